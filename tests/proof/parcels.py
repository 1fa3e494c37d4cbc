"""The protocol of requests that are processed later, as a small world of its own.

As in protocol.py everything that can happen does happen, between any two steps. The world is one
row, the request that carries it, two runs that may send it, and a destination that takes a request
over, processes it later, and may forget it. A request that comes twice is processed twice; one of
two arrivals may be turned down. What a run does is what connector/sync/deliver.py, requests.py and
the ledger do with all rows of a request:

    open      the request with its row, by compare-and-set, if the lease is still held
    send      once; again only what was found absent, under the same reference
    record    taken over: submitted, and seen; no answer, or a refusal of the whole: in doubt
    ask       by our reference: not found, under way, done, turned down
    settle    not found is believed of what was never seen, is old enough, and of a destination that
              has shown that it knows requests by our references, and then, asked about one that had
              ended before this one was opened, that it still knows that; all else not found is a
              person's

Promises: never two effects; `delivered` means one and `rejected` none; and from wherever the world
is, a way leads to an end, which may be a person's.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from tests.proof.protocol import DUPLICATE, FALSE_ACK, HOLDS, STUCK

PENDING, SENDING, IN_DOUBT, SUBMITTED = "pending", "sending", "in doubt", "submitted"
DELIVERED, REJECTED, PERSON = "delivered", "rejected", "a person's"
ENDS = (DELIVERED, REJECTED, PERSON)

NO_RUN, READY, SEEN, OPENED, WAITING, KNOWS, DOUBTING, TOLD, WITNESSED = (
    "no run",
    "ready",
    "seen",  # it has read that the row is pending
    "opened",  # the request is on record, and not sent
    "waiting",  # it is sent
    "knows",  # it knows what came of it, and has not recorded it
    "doubting",  # it has read the row that is not settled, and how old that is
    "told",  # it was told how the request stands
    "witnessed",  # the destination still knew another request after that
)
ACCEPTED, NOT_APPLIED, UNKNOWN, REFUSED = "taken over", "not applied", "unknown", "refused"
ABSENT, UNDER_WAY, DONE, FAILED = "not found", "under way", "done", "turned down"
FLYING, HIDDEN, QUEUED = "flying", "hidden", "queued"
"""A request on its way; taken over, and its status not shown yet; taken over and shown."""
FORGOTTEN = "forgotten"
NOBODY = -1


class Row(NamedTuple):
    """The row and its request in the ledger. `seen`: the destination has said that it has it."""

    state: str
    attempt: int
    age: int
    seen: bool


class Run(NamedTuple):
    """One process. `row`: as it has read it; `fact`: what it knows; `old`: its age was enough;
    `late`: time has passed since it opened the request, so it does not send it any more;
    `witness`: before it asked, it was told that another request is still known."""

    step: str
    row: Row | None = None
    fact: str = ""
    old: bool = False
    late: bool = False
    witness: bool = False


class Post(NamedTuple):
    """One POST that has not been processed."""

    state: str
    age: int
    waiter: int


class World(NamedTuple):
    """Everything there is. `status`: what the destination would say of the request, once it is
    processed; `known`: it has shown, of some request, that it knows them by our references;
    `witness`: it still knows the last request that had ended before this one was opened."""

    row: Row
    holder: int
    runs: tuple[Run, ...]
    posts: tuple[Post, ...] = ()
    effects: int = 0
    status: str = ABSENT
    known: bool = False
    witness: bool = True
    backup: Row | None = None


@dataclass(frozen=True, slots=True)
class Case:
    """A world, and a protocol in it; by default the one that is built."""

    name: str
    expected: str = HOLDS
    knows_ours: bool = True
    """The destination knows requests by our references."""
    restores: bool = False
    forgets_unseen: bool = False
    """It forgets a request before it was ever asked about it; what had ended earlier, earlier."""

    on_record: bool = True
    deadline: bool = True
    """A request that was put on record a while ago is not sent any more."""
    orphan_becomes: str = IN_DOUBT
    taken_over_is: str = SUBMITTED
    refusal_is: str = IN_DOUBT
    wait: int = 2
    """An attempt must be older for its absence to be believed: a tick on its way, one hidden."""
    remembers_seen: bool = True
    needs_known: bool = True
    needs_witness: bool = True
    witness_is_older: bool = True
    """The other request had ended before this one was opened."""
    witness_comes_last: bool = True
    """It is asked about after this one was not found, not before."""
    settling_compares: bool = True
    restored_count_as_seen: bool = True


def cases(long: bool) -> list[Case]:
    """The protocol, and the same without each thing that it rests on."""
    return [
        Case("requests that are processed later"),
        Case("a destination that ignores our references", knows_ours=False),
        Case("a request that is on record only after it was sent", DUPLICATE, on_record=False),
        Case("no deadline before the send", DUPLICATE, deadline=False),
        Case("an orphan is pending again", DUPLICATE, orphan_becomes=PENDING),
        Case("what is taken over counts as delivered", FALSE_ACK, taken_over_is=DELIVERED),
        Case("a refusal of the whole is believed at once", FALSE_ACK, refusal_is=REJECTED),
        Case("a wait of exactly all delays, not longer", DUPLICATE, wait=1),
        Case("what was seen once is not remembered", DUPLICATE, remembers_seen=False),
        Case("absence is believed of a destination that ignores our references", DUPLICATE,
             knows_ours=False, needs_known=False),
        Case("settling without comparing", DUPLICATE, settling_compares=False),
        Case("a destination that forgets what it was never asked about", forgets_unseen=True),
        Case("absence is believed without a witness", DUPLICATE, forgets_unseen=True,
             needs_witness=False),
        *([*other_witnesses(), *over_restores()] if long else []),
    ]  # fmt: skip


def other_witnesses() -> list[Case]:
    """Large worlds, in which another request is asked for, but not as it should be."""
    return [
        Case("a witness that is younger than the request", DUPLICATE, forgets_unseen=True,
             witness_is_older=False),
        Case("a witness that is asked about first", DUPLICATE, forgets_unseen=True,
             witness_comes_last=False),
    ]  # fmt: skip


def over_restores() -> list[Case]:
    """The largest worlds."""
    broken = "a restore, and what was seen before it is what it remembers"
    return [
        Case("requests over restores of the ledger", restores=True),
        Case(broken, DUPLICATE, restores=True, restored_count_as_seen=False),
    ]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was found, how it came about, and everything that happened in some world."""

    found: str
    steps: list[str]
    happened: frozenset[str]


def check(case: Case) -> Verdict:
    """Visit every world that can come about, nearest first."""
    start = World(Row(PENDING, 0, 0, False), NOBODY, (Run(NO_RUN),) * 2)
    came: dict[World, tuple[World | None, str]] = {start: (None, "")}
    before: dict[World, list[World]] = {start: []}
    todo, happened = deque([start]), set[str]()
    while todo:
        world = todo.popleft()
        if broken := broken_promise(world):
            return Verdict(broken, way_to(world, came), frozenset(happened))
        for text, after in moves(world, case):
            happened.add(text)
            after = simplest(after, case)
            if after not in came:
                came[after] = (world, text)
                before[after] = []
                todo.append(after)
            before[after].append(world)
    stuck = stuck_world(before, case)
    steps = [] if stuck is None else way_to(stuck, came)
    return Verdict(HOLDS if stuck is None else STUCK, steps, frozenset(happened))


def broken_promise(world: World) -> str | None:
    """The promise that `world` breaks."""
    if world.effects > 1:
        return DUPLICATE
    wrong = {DELIVERED: 0, REJECTED: 1}.get(world.row.state)
    if world.row.state == DELIVERED and any(post.state != FLYING for post in world.posts):
        return FALSE_ACK  # it is not processed, and may be turned down
    return FALSE_ACK if world.effects == wrong else None


def way_to(world: World, came: dict[World, tuple[World | None, str]]) -> list[str]:
    """The steps to a world."""
    steps: list[str] = []
    origin, text = came[world]
    while origin is not None:
        steps.append(text)
        origin, text = came[origin]
    return steps[::-1]


def stuck_world(before: dict[World, list[World]], case: Case) -> World | None:
    """A world from which no way leads to an end. Without our references a doubt may be one: it is
    a person's, although it says so only while it lasts."""
    ends = (*ENDS, *(() if case.knows_ours else (IN_DOUBT,)))
    good = {world for world in before if world.row.state in ends}
    todo = deque(good)
    while todo:
        for world in before[todo.popleft()]:
            if world not in good:
                good.add(world)
                todo.append(world)
    return next((world for world in before if world not in good), None)


def simplest(world: World, case: Case) -> World:
    """`world` without what can make no difference any more."""
    base = world.row.attempt

    def small(row: Row) -> Row:
        dated = row.state in (SENDING, IN_DOUBT)
        age = min(row.age, case.wait + 1) if dated else 0
        return row._replace(attempt=max(-1, row.attempt - base), age=age)

    runs = tuple(run._replace(row=run.row and small(run.row)._replace(age=0)) for run in world.runs)
    backup = world.backup and small(world.backup)
    posts = tuple(sorted(world.posts))
    return world._replace(row=small(world.row), runs=runs, posts=posts, backup=backup)


# --- what can happen ------------------------------------------------------------------------------

Moves = Iterator[tuple[str, World]]


def moves(world: World, case: Case) -> Moves:
    """Everything that can happen next."""
    yield "time passes", a_tick(world)
    yield from at_the_destination(world, case)
    for i in range(len(world.runs)):
        yield from run_moves(world, i, case)
    if case.restores:
        yield from restore(world, case)


def a_tick(world: World) -> World:
    """What takes as long as it can take is over: a request is lost; the status of one shows."""
    posts = []
    for post in world.posts:
        if post.state == HIDDEN and post.age >= 1:
            posts.append(Post(QUEUED, 0, post.waiter))
        elif post.state != FLYING or post.age < 1:
            posts.append(post._replace(age=0 if post.state == QUEUED else post.age + 1))
    row = world.row._replace(age=world.row.age + 1)
    runs = tuple(run._replace(late=True) if run.step == OPENED else run for run in world.runs)
    return world._replace(row=row, runs=runs, posts=tuple(posts))


def at_the_destination(world: World, case: Case) -> Moves:
    """What may become of each request, and of what the destination knows."""
    for n, post in enumerate(world.posts):
        others = world.posts[:n] + world.posts[n + 1 :]
        if post.state == FLYING:
            taken = (*others, Post(HIDDEN, 0, post.waiter))
            yield "a request is taken over", world._replace(posts=taken, status=ABSENT)
            yield "a request is lost", world._replace(posts=others)
            continue
        done = world._replace(posts=others, effects=world.effects + 1, status=DONE)
        yield "a request is processed", done
        yield "its row is turned down", world._replace(posts=others, status=FAILED)
    if case.forgets_unseen and world.witness:
        yield "the destination forgets an older one", world._replace(witness=False)
    oldest = not (case.forgets_unseen and case.witness_is_older and world.witness)
    if world.status in (DONE, FAILED) and (world.row.seen or case.forgets_unseen) and oldest:
        yield "the destination forgets it", world._replace(status=FORGOTTEN)
    if case.knows_ours and not world.known:
        yield "another request is known by our reference", world._replace(known=True)


def run_moves(world: World, i: int, case: Case) -> Moves:
    """What the run `i` may do next, or suffer."""
    run = world.runs[i]
    if run.step == NO_RUN:
        row = world.row
        if row.state not in ENDS:
            left = row._replace(state=case.orphan_becomes) if row.state == SENDING else row
            begun = _with(world, i, Run(READY))
            yield f"run {i} begins", begun._replace(row=left, holder=i)
        return
    alone = tuple(p._replace(waiter=NOBODY) if p.waiter == i else p for p in world.posts)
    yield f"run {i} is killed", _with(world, i, Run(NO_RUN))._replace(posts=alone)
    yield from STEPS[run.step](world, i, case)


def read(world: World, i: int, case: Case) -> Moves:
    """It reads the row; of one that is not settled also how old its request is."""
    row = world.row
    if row.state == PENDING:
        yield f"run {i} reads that it is pending", _with(world, i, Run(SEEN, row))
    elif row.state in (IN_DOUBT, SUBMITTED):
        witness = world.witness or not case.needs_witness
        run = Run(DOUBTING, row, old=row.age > case.wait, witness=witness)
        yield f"run {i} reads that it is {row.state}", _with(world, i, run)


def open_request(world: World, i: int, case: Case) -> Moves:
    """It puts the request on record."""
    row, run = world.row, world.runs[i]
    if not case.on_record:
        sent = (*world.posts, Post(FLYING, 0, i))
        yield f"run {i} SENDS", _with(world, i, Run(WAITING, row))._replace(posts=sent)
    elif world.holder == i and run.row and (row.state, row.attempt) == (PENDING, run.row.attempt):
        opened = Row(SENDING, row.attempt + 1, 0, row.seen)
        after = _with(world, i, Run(OPENED, opened))._replace(row=opened)
        yield f"run {i} opens a request", after
    else:
        yield f"run {i} opens nothing", _with(world, i, Run(READY))


def send(world: World, i: int, case: Case) -> Moves:
    """It sends at once, or comes too late."""
    run = world.runs[i]
    known = Run(KNOWS, run.row, NOT_APPLIED)
    yield f"run {i} does not send", _with(world, i, known)
    if run.late and case.deadline:
        return
    sent = (*world.posts, Post(FLYING, 0, i))
    yield f"run {i} SENDS", _with(world, i, Run(WAITING, run.row))._replace(posts=sent)


def receive(world: World, i: int, case: Case) -> Moves:
    """An answer comes, or none that proves anything."""
    row = world.runs[i].row
    mine = next((post for post in world.posts if post.waiter == i), None)
    alone = tuple(p._replace(waiter=NOBODY) if p.waiter == i else p for p in world.posts)

    def told(fact: str, posts: tuple[Post, ...] = alone) -> World:
        return _with(world, i, Run(KNOWS, row, fact))._replace(posts=posts)

    yield f"run {i} gets no answer", told(UNKNOWN)
    yield f"run {i} is told that all is refused", told(REFUSED)
    if mine and mine.state == FLYING:
        yield f"run {i} gets a 429", told(NOT_APPLIED, tuple(p for p in world.posts if p != mine))
    elif mine:
        yield f"run {i} gets a 2xx", told(ACCEPTED)


def record(world: World, i: int, case: Case) -> Moves:
    """It records what came of the request, if that is still the row's last one."""
    row, run = world.row, world.runs[i]
    after = _recorded(row, run.fact, case)
    mine = run.row is not None and run.row.attempt == row.attempt
    text = f"run {i} records: {run.fact}"
    yield text, _with(world, i, Run(READY))._replace(row=after if after and mine else row)


def _recorded(row: Row, fact: str, case: Case) -> Row | None:
    open_states = (SENDING, IN_DOUBT, PENDING) if case.on_record else (PENDING,)
    if fact == ACCEPTED and row.state in open_states:
        return row._replace(state=case.taken_over_is, seen=case.remembers_seen)
    if fact == NOT_APPLIED and row.state in (SENDING, IN_DOUBT):
        return row._replace(state=PENDING)
    if fact in (UNKNOWN, REFUSED) and row.state == (SENDING if case.on_record else PENDING):
        return row._replace(state=IN_DOUBT if fact == UNKNOWN else case.refusal_is)
    return None


def ask(world: World, i: int, case: Case) -> Moves:
    """It asks for the request by our reference."""
    told = ABSENT
    if case.knows_ours:
        shown = any(post.state == QUEUED for post in world.posts)
        told = UNDER_WAY if shown else world.status
    told = ABSENT if told == FORGOTTEN else told
    if told in (DONE, FAILED) and any(post.state == HIDDEN for post in world.posts):
        return  # an arrival that will show in a moment: its status is that of the last one
    run = world.runs[i]._replace(step=TOLD, fact=told)
    yield f"run {i} asks: {told}", _with(world, i, run)


def witness(world: World, i: int, case: Case) -> Moves:
    """It asks about another request; only then it settles what was not found."""
    run = world.runs[i]
    if run.fact == ABSENT and case.witness_comes_last:
        run = run._replace(witness=world.witness or not case.needs_witness)
    yield f"run {i} has a witness: {run.witness}", _with(world, i, run._replace(step=WITNESSED))


def settle(world: World, i: int, case: Case) -> Moves:
    """What was told ends the doubt, or not, if the row is still as it was read."""
    row, run = world.row, world.runs[i]
    idle = _with(world, i, Run(READY))
    same = run.row is not None and (run.row.state, run.row.attempt) == (row.state, row.attempt)
    if not case.settling_compares:
        same = row.state not in ENDS
    elif world.holder != i:
        same = False
    after = _settled(row, run, world.known, case) if same else None
    text = f"run {i} settles: {after.state}" if after else f"run {i} settles nothing"
    yield text, idle._replace(row=after or row, known=world.known or run.fact in SHOWN)


SHOWN = (UNDER_WAY, DONE, FAILED)


def _settled(row: Row, run: Run, known: bool, case: Case) -> Row | None:
    if run.fact in SHOWN:
        became = {UNDER_WAY: SUBMITTED, DONE: DELIVERED, FAILED: REJECTED}[run.fact]
        return row._replace(state=became, seen=case.remembers_seen)
    if not run.old and row.state == IN_DOUBT:
        return None
    if row.seen or (row.state == SUBMITTED and case.remembers_seen):
        return row._replace(state=PERSON)
    if not run.witness:
        return row._replace(state=PERSON)
    if known or not case.needs_known:
        return row._replace(state=PENDING)
    return None


STEPS = {
    READY: read,
    SEEN: open_request,
    OPENED: send,
    WAITING: receive,
    KNOWS: record,
    DOUBTING: ask,
    TOLD: witness,
    WITNESSED: settle,
}


def restore(world: World, case: Case) -> Moves:
    """The ledger is backed up; or the last backup takes its place, and no run goes on."""
    if world.row != world.backup:
        yield "the ledger is backed up", world._replace(backup=world.row)
    if world.backup is None or world.backup == world.row:
        return
    row = world.backup._replace(age=0)
    if row.state in (PENDING, SENDING):
        # in a request that nobody knows any more
        row = row._replace(state=PERSON if row.state == PENDING else IN_DOUBT)
    if case.restored_count_as_seen:
        row = row._replace(seen=True)
    posts = tuple(post._replace(waiter=NOBODY) for post in world.posts)
    after = world._replace(row=row, holder=NOBODY, runs=(Run(NO_RUN),) * 2, posts=posts)
    yield "THE LEDGER IS RESTORED", after


def _with(world: World, i: int, run: Run) -> World:
    return world._replace(runs=(*world.runs[:i], run, *world.runs[i + 1 :]))
