"""The delivery protocol as a small world, in which everything that can happen does happen.

The world is one row of the ledger, two runs that may send it, an Engage, and the wire in between.
Any of them may take its next step at any moment, or none for ever: so every interleaving and every
pause is there, between any two steps. A run may be killed at each of its steps; its lease may be
lost at any moment (whoever is silent may be taken for dead); a request may be lost, stored late, or
stored and not answered; what is stored may be hidden from the read-back for a while; and the ledger
may be replaced by an older copy of itself.

Nothing is counted: of an attempt only its age matters, and only until it is older than the wait; of
two attempt numbers only whether they are equal. That leaves a finite number of worlds, so `check`
visits all of them: any number of attempts, kills and restores, for ever. Clocks may be wrong: that
of the database may step either way at any moment, one of a run's may stand still.

What a run does is what connector/sync/deliver.py, settle.py and the ledger do with one row:

    begin     take the activation; a row left in `sending` becomes in doubt
    read      the row and its attempt; of a doubt also its age
    open      an attempt, by compare-and-set on state and attempt, if the lease is still held
    send      if the attempt is young enough: exactly one POST
    record    what it brought, by compare-and-set on the attempt, lease or no lease
    ask       what is at the destination
    ask ledger, record new   whether a row of the model is known; it is not, and is recorded
    settle    found: delivered; absent and old enough: pending; by compare-and-set, with the lease

Three promises are checked in every world: never two interactions; never `delivered` without one;
and from wherever the world is, a way leads to `delivered`. A `Case` can take away one thing on
which they rest; then the check finds how they break, and tells it as a list of steps.
"""

import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, TypeVar

PENDING, SENDING, IN_DOUBT, DELIVERED = "pending", "sending", "in doubt", "delivered"
PRUNED, UNRECORDED = "pruned", "unrecorded"
"""Where the row stands: of one that is pruned its key alone is known, and of the last nothing."""

NO_RUN, READY, SEEN, OPENED, CHECKED, WAITING, KNOWS, DOUBTING, UNLISTED, LOOKED, FOUND, ABSENT = (
    "no run",  # nobody is there; a run may begin
    "ready",  # it has nothing in its hands
    "seen",  # it has read that the row is pending
    "opened",  # its attempt is on record, its request not sent
    "checked",  # it has looked at the clock (only where that is not one with the write)
    "waiting",  # its request is sent
    "knows",  # it knows what came of its attempt, and has not recorded it
    "doubting",  # it has read that the row is in doubt
    "unlisted",  # the contact that it was sent to does not list it
    "looked",  # it knows which contact it is by now, and has read no list (only where it is wrong)
    "found",  # it has seen an interaction at the destination
    "absent",  # it has seen that there is none, and believes it
)
HALF_ASKED, NEW = (
    "half asked",  # it has read the model, and one of the two that may know its row does not
    "new",  # neither does: it is to be recorded
)
ROWS, KEYS = "rows", "pruned keys"
"""Where it is asked whether a row of the model is known."""
"""What a run has in its hands."""

ACCEPTED, NOT_APPLIED, UNKNOWN = "accepted", "not applied", "unknown"
"""What an attempt can bring, as a run that `knows` it remembers it."""
OLD, YOUNG = "old", "young"
"""Whether the doubt that a run read was old enough for its absence to be believed."""

FLYING, HIDDEN, SHOWN, DELETED = "flying", "hidden", "shown", "deleted"
"""A request on its way; stored, but not in the read-back yet; stored and shown; deleted, and shown
still. A request that is lost is in no world any more."""
OLD_LIST, BOTH_LISTS = "the old list", "both lists"
"""What a run will read that has looked the contact up first."""

NOBODY = -1

FORWARD, BACK = "forward", "back"
"""Whether the database's clock has stepped since the attempt, so that it makes it old, or young."""


class Row(NamedTuple):
    """The row in the ledger. `age`: of its attempt, or, after a restore, since then. `suspect`: it
    came out of a backup as pending, and may have been sent since. `stepped`: what the database's
    clock has done to that age."""

    state: str
    attempt: int
    age: int
    suspect: bool
    stepped: str = ""


class Run(NamedTuple):
    """One process. `attempt`: the one that it is about; `age`: of that attempt, by that of its own
    clocks which says most; `fact`: what else it remembers. `misled`: the ledger went back beneath
    it, and has forgotten what was written meanwhile."""

    step: str
    attempt: int = 0
    age: int = 0
    fact: str = ""
    misled: bool = False


class Request(NamedTuple):
    """One POST. `age`: since it was sent, or since it was stored. `waiter`: the run that waits for
    its answer."""

    state: str
    age: int
    waiter: int


class World(NamedTuple):
    """Everything there is. `holder`: the run that has the lease. `backup`: a copy of the row.
    `merged`: the contact is another one by now, which lists all that was sent about it."""

    row: Row
    holder: int
    runs: tuple[Run, ...]
    requests: tuple[Request, ...]
    backup: Row | None
    merged: bool = False


HOLDS, DUPLICATE, FALSE_ACK, STUCK = "holds", "duplicate", "false ack", "stuck"
"""What can come out of a check."""


@dataclass(frozen=True, slots=True)
class Case:
    """A world, and a protocol in it; by default the one that is built. What is `expected` of it."""

    name: str
    expected: str = HOLDS

    # the world: how many runs, and the longest that things take, in ticks
    runs: int = 2
    sent_within: int = 1
    """From opening an attempt to the write; the run itself sees to that."""
    stored_within: int = 1
    """From the write to the moment at which Engage stores it, if it does."""
    shown_within: int = 1
    """From there to the moment at which a read-back shows it."""
    later_than_thought: int = 0
    """How much longer than `stored_within` Engage really takes."""
    hidden_longer_than_thought: int = 0
    """How much longer than `shown_within` the read-back really lags."""
    restores: bool = False
    """The ledger may be replaced by an older copy."""
    database_steps: bool = False
    """The database's clock may step, forward and back."""
    a_clock_stands_still: bool = False
    """One of a run's clocks may stand still while it is frozen, as in a suspended machine."""
    all_clocks_stand_still: bool = False
    """All of them may, as in a virtual machine that is paused and not set right."""
    merges: bool = False
    """The contact may become another one."""
    caches: bool = False
    """A request may be answered with an id that was given before, and not get through."""
    prunes: bool = False
    """A delivered row may be pruned, and runs read the model again and again."""
    undoes: bool = False
    """What is delivered may be deleted and released; it is listed still."""

    # the protocol: everything that is taken away or done otherwise
    attempt_on_record: bool = True
    deadline_before_send: bool = True
    every_clock_is_asked: bool = True
    """Before the send. Else one that may stand still."""
    check_and_write_are_one: bool = True
    clocks_that_agree: int = 2
    """How many of three have to say that a doubt is old: the database's, and two that are right."""
    unknown_becomes: str = IN_DOUBT
    lost_answer_counts_as: str = UNKNOWN
    orphan_becomes: str = IN_DOUBT
    wait_too_short_by: int = 0
    """Ticks by which the wait before an absence is believed does not cover all those delays."""
    age_read_before_asking: bool = True
    settling_compares_attempts: bool = True
    answers_compare_attempts: bool = True
    late_answers_are_recorded: bool = True
    lease: bool = True
    suspects_after_restore: bool = True
    restored_doubts_wait_anew: bool = True
    runs_end_before_restore: bool = True
    misled_runs_stop: bool = True
    """A run compares the ledger with what it has written itself, in each of its transactions."""
    looks_up_again: bool = True
    looks_up_first: bool = False
    ids_have_one_owner: bool = True
    deleted_ids_stay_owned: bool = True
    pruned_keys_stay: bool = True
    rows_are_asked_first: bool = True
    """Before the pruned keys: a row goes from the first to the second."""
    asked_again_to_record: bool = True
    """In the transaction that records a row."""

    @property
    def wait(self) -> int:
        """An attempt must be older than this for its absence to be believed."""
        delays = self.sent_within + self.stored_within + self.shown_within
        return delays - self.wait_too_short_by

    def is_old(self, row: "Row") -> bool:
        """Whether an attempt is believed to be older than the wait."""
        right = row.age > self.wait
        database = row.stepped == FORWARD or (right and row.stepped != BACK)
        return database + 2 * right >= self.clocks_that_agree


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a check found: how many worlds there are, and the shortest way to each broken promise.

    Once a promise is broken the search ends, so `states` is all of them only where all hold.
    """

    states: int
    seconds: float
    happened: frozenset[str]
    """Everything that happened in some world."""
    duplicate: list[str] | None = None
    false_ack: list[str] | None = None
    stuck: list[str] | None = None

    @property
    def found(self) -> str:
        """In a word."""
        if self.duplicate:
            return DUPLICATE
        if self.false_ack:
            return FALSE_ACK
        return STUCK if self.stuck else HOLDS

    @property
    def steps(self) -> list[str]:
        """The counterexample; empty where everything holds."""
        return self.duplicate or self.false_ack or self.stuck or []

    def __str__(self) -> str:
        lines = [f"{self.found} ({self.states:,} worlds in {self.seconds:.1f} s)"]
        return "\n".join(lines + [f"  {n:2}. {step}" for n, step in enumerate(self.steps, 1)])


SMALL: Any = {"restores": True, "sent_within": 0, "stored_within": 0, "shown_within": 0}
"""The smallest world with restores, in which things take less than a tick: enough to break in."""
SLOW: Any = {"sent_within": 2, "stored_within": 3, "shown_within": 2}


def cases(long: bool) -> list[Case]:
    """What is checked: the protocol, and the same without each thing that it rests on."""
    return [*protocols(long), *weakened()]


def protocols(long: bool) -> list[Case]:
    """What must hold."""
    held = [
        Case("the protocol"),
        Case("the protocol without the lease, which only saves work", lease=False),
        Case("the protocol, late answers thrown away", late_answers_are_recorded=False),
        Case("the protocol, longer delays", **SLOW),
        Case("the protocol over restores of the ledger", restores=True, shown_within=0),
        Case("the protocol, the database's clock steps", database_steps=True),
        Case("the protocol, one clock of a run stands still", a_clock_stands_still=True),
        Case(
            "the protocol over a ledger that goes back beneath its runs",
            **SMALL,
            runs_end_before_restore=False,
        ),
        Case("the protocol, contacts that are merged", merges=True),
        Case("the protocol behind a cache", caches=True),
        Case("the protocol, rows that are taken back and released", undoes=True),
        Case("the protocol, delivered rows are pruned", prunes=True),
        Case(
            "the same, asked in the wrong order at first", prunes=True, rows_are_asked_first=False
        ),
        Case("the same, asked once, in the right order", prunes=True, asked_again_to_record=False),
    ]
    if long:
        held += [
            Case("the protocol over restores, with a lag", restores=True),
            Case("the protocol over restores, without the lease", restores=True, lease=False),
            Case("the protocol over restores, longer delays", restores=True, **SLOW),
            Case(
                "the protocol, every clock wrong that may be",
                restores=True,
                shown_within=0,
                database_steps=True,
                a_clock_stands_still=True,
            ),
            Case(
                "the protocol over a ledger that goes back beneath its runs, with a lag",
                restores=True,
                runs_end_before_restore=False,
            ),
            Case(
                "the same without the lease",
                restores=True,
                runs_end_before_restore=False,
                shown_within=0,
                lease=False,
            ),
            Case("delivered rows are pruned, over restores", **SMALL, prunes=True),
            Case("the protocol, three runs", runs=3),
            Case("the protocol, three runs, longer delays", runs=3, **SLOW),
        ]
    return held


def weakened() -> list[Case]:
    """What must break: each takes one thing away, or lets the world be worse than is assumed."""
    return [
        Case("no attempt on record before the send", DUPLICATE, attempt_on_record=False),
        Case("sent again at once after a time-out", DUPLICATE, unknown_becomes=PENDING),
        Case("a time-out counts as success", FALSE_ACK, lost_answer_counts_as=ACCEPTED),
        Case("an orphan is pending again", DUPLICATE, orphan_becomes=PENDING),
        Case("an orphan stays as it is", STUCK, orphan_becomes=SENDING),
        Case("a wait of exactly all delays, not longer", DUPLICATE, wait_too_short_by=1),
        Case("a wait that forgets the lag of the read-back", DUPLICATE, shown_within=2,
             wait_too_short_by=2),
        Case("the age of a doubt read after asking", DUPLICATE, age_read_before_asking=False),
        Case("no deadline before the send", DUPLICATE, deadline_before_send=False),
        Case("one clock asked before the send, which stands still", DUPLICATE,
             a_clock_stands_still=True, every_clock_is_asked=False),
        Case("all clocks stand still", DUPLICATE, all_clocks_stand_still=True),
        Case("the database's clock believed alone", DUPLICATE, database_steps=True,
             clocks_that_agree=1),
        Case("a pause between that check and the write", DUPLICATE, check_and_write_are_one=False),
        Case("settling without comparing attempts, nor a lease", DUPLICATE,
             settling_compares_attempts=False, lease=False),
        Case("an answer recorded for another attempt", DUPLICATE, answers_compare_attempts=False),
        Case("Engage stores later than is assumed", DUPLICATE, later_than_thought=1),
        Case("the read-back lags more than is assumed", DUPLICATE, hidden_longer_than_thought=1),
        Case("a contact that is merged, and not looked up again", DUPLICATE, merges=True,
             looks_up_again=False),
        Case("a contact that is looked up before its list is read", DUPLICATE, merges=True,
             looks_up_first=True),
        Case("an id that another row owns is believed", FALSE_ACK, caches=True,
             ids_have_one_owner=False),
        Case("an id that was deleted is believed", FALSE_ACK, undoes=True,
             deleted_ids_stay_owned=False),
        Case("a row that is pruned, and its key forgotten", DUPLICATE, prunes=True,
             pruned_keys_stay=False),
        Case("asked in the wrong order, and not again", DUPLICATE, prunes=True,
             rows_are_asked_first=False, asked_again_to_record=False),
        Case("a restore, and nothing suspected", DUPLICATE, restores=True,
             suspects_after_restore=False),
        Case("a restore, its doubts as old as they say", DUPLICATE, **SMALL,
             restored_doubts_wait_anew=False),
        Case("a restore beneath a run that goes on", DUPLICATE, **SMALL,
             runs_end_before_restore=False, misled_runs_stop=False),
    ]  # fmt: skip


# --- the search -----------------------------------------------------------------------------------

W = TypeVar("W")


def check(case: Case) -> Verdict:
    """Visit every world that can come about in `case`, nearest first."""
    began = time.perf_counter()
    start = World(Row(PENDING, 0, 0, False), NOBODY, (Run(NO_RUN),) * case.runs, (), None)
    search = Search(start)
    broken = _explored(search, case)
    if broken is None and (stuck := search.stuck(_is_delivered)) is not None:
        broken = (STUCK, stuck)
    promise, number = broken or (HOLDS, 0)
    return Verdict(
        states=len(search.numbers),
        seconds=time.perf_counter() - began,
        happened=frozenset(search.happened),
        duplicate=search.way_to(number) if promise is DUPLICATE else None,
        false_ack=search.way_to(number) if promise is FALSE_ACK else None,
        stuck=search.way_to(number) if promise is STUCK else None,
    )


def _is_delivered(world: World) -> bool:
    return world.row.state in (DELIVERED, PRUNED)


def _explored(search: "Search[World]", case: Case) -> tuple[str, int] | None:
    """Go through all worlds, or up to the first that breaks a promise: which, and where."""
    for number, world in search.worlds():
        if broken := broken_promise(world):
            return broken, number
        for text, after in moves(world, case):
            search.reached(number, text, simplest(after, case))
    return None


def broken_promise(world: World) -> str | None:
    """The promise that `world` breaks."""
    stored = sum(request.state not in (FLYING, DELETED) for request in world.requests)
    if stored > 1:
        return DUPLICATE
    return FALSE_ACK if _is_delivered(world) and not stored else None


class Search(Generic[W]):
    """Breadth first, so that the way to a world is the shortest one."""

    def __init__(self, start: W) -> None:
        self.numbers = {start: 0}
        self._found = [start]
        self.happened: set[str] = set()
        self._came: list[tuple[int, str]] = [(0, "")]
        self._before: list[list[int]] = [[]]

    def worlds(self) -> Iterator[tuple[int, W]]:
        """Every world with its number, as they are found."""
        number = 0
        while number < len(self._found):
            yield number, self._found[number]
            number += 1

    def reached(self, origin: int, text: str, world: W, is_way: bool = True) -> None:
        """`text` leads from the world `origin` to `world`; `is_way`: to where it should end, too,
        since nobody's decision is needed for it."""
        self.happened.add(text)
        number = self.numbers.setdefault(world, len(self._found))
        if number == len(self._found):
            self._found.append(world)
            self._came.append((origin, text))
            self._before.append([])
        if is_way:
            self._before[number].append(origin)

    def way_to(self, number: int) -> list[str]:
        """The steps to a world, with the time at which each is taken."""
        steps: deque[str] = deque()
        while number:
            number, text = self._came[number]
            steps.appendleft(text)
        clock, told = 0, []
        for text in steps:
            clock += text.startswith(TICK)
            if text != TICK:
                told.append(f"at {clock}: {text}")
        return told

    def stuck(self, is_good: Callable[[W], bool]) -> int | None:
        """The nearest world from which nothing leads to one that `is_good`."""
        good = bytearray(is_good(world) for world in self._found)
        todo = deque(number for number, reached in enumerate(good) if reached)
        while todo:
            for number in self._before[todo.popleft()]:
                if not good[number]:
                    good[number] = True
                    todo.append(number)
        return good.find(False) if False in good else None


def simplest(world: World, case: Case) -> World:
    """`world` without what can make no difference any more."""
    row, holder = world.row, world.holder
    oldest = case.wait + 1
    if holder != NOBODY and world.runs[holder].step is NO_RUN:
        holder = NOBODY
    return World(
        _simple_row(row, row.attempt, oldest),
        holder,
        tuple([_simple_run(run, row.attempt, case) for run in world.runs]),
        tuple(sorted(world.requests)),
        world.backup and _simple_row(world.backup, row.attempt, oldest),
        world.merged,
    )


def _simple_row(row: Row, attempt: int, oldest: int) -> Row:
    dated = row.state in (SENDING, IN_DOUBT) or row.suspect
    return Row(
        row.state,
        max(row.attempt - attempt, -2),
        min(row.age, oldest) if dated else 0,
        row.suspect,
        row.stepped if dated else "",
    )


def _simple_run(run: Run, attempt: int, case: Case) -> Run:
    if run.step in (NO_RUN, READY, HALF_ASKED, NEW):
        return Run(run.step, fact=run.fact, misled=run.misled)
    age = min(run.age, case.sent_within + 1) if run.step is OPENED else 0
    return Run(run.step, max(-1, min(run.attempt - attempt, 2)), age, run.fact, run.misled)


# --- what can happen ------------------------------------------------------------------------------

Moves = Iterator[tuple[str, World]]
TICK = "time passes"


def moves(world: World, case: Case) -> Moves:
    """Everything that can happen next, and the world after it."""
    yield TICK, after_a_tick(world, case)
    yield from clock_moves(world, case)
    yield from wire_moves(world)
    for i in range(len(world.runs)):
        yield from run_moves(world, i, case)
    if case.restores:
        yield from restore_moves(world, case)
    if case.merges and not world.merged:
        yield "the contact is MERGED into another", world._replace(merged=True)
    if case.undoes and world.row.state is DELIVERED:
        yield from take_back(world, case)
    if case.prunes and world.row.state is DELIVERED:
        left = PRUNED if case.pruned_keys_stay else UNRECORDED
        yield "the row is PRUNED", world._replace(row=world.row._replace(state=left))


def after_a_tick(world: World, case: Case) -> World:
    """Everything is older; what took as long as it can take is over."""
    row, backup = world.row, world.backup
    return world._replace(
        row=row._replace(age=row.age + 1),
        runs=tuple([run._replace(age=run.age + 1) for run in world.runs]),
        requests=tuple([r for r in (_older(r, case) for r in world.requests) if r]),
        backup=backup and backup._replace(age=backup.age + 1),
    )


def clock_moves(world: World, case: Case) -> Moves:
    """What clocks do that are wrong."""
    if case.database_steps:
        for way in (FORWARD, BACK):
            stepped = world.row._replace(stepped=way)
            yield f"THE DATABASE'S CLOCK STEPS {way}", world._replace(row=stepped)
    hidden = case.a_clock_stands_still and not case.every_clock_is_asked
    if not (hidden or case.all_clocks_stand_still):
        return
    older = after_a_tick(world, case)
    for i, run in enumerate(world.runs):
        if run.step is OPENED:
            yield f"{TICK}, UNCOUNTED by {_name(i)}", _with_run(older, i, run)


def _older(request: Request, case: Case) -> Request | None:
    age = request.age + 1
    if request.state is FLYING and age > case.stored_within + case.later_than_thought:
        return None
    if request.state is HIDDEN and age > case.shown_within + case.hidden_longer_than_thought:
        return Request(SHOWN, 0, request.waiter)
    return request._replace(age=0 if request.state in (SHOWN, DELETED) else age)


def wire_moves(world: World) -> Moves:
    """What may become of each request, whether anybody waits for it or not."""
    for n, request in enumerate(world.requests):
        before, after = world.requests[:n], world.requests[n + 1 :]
        whose = "a dead run's" if request.waiter == NOBODY else f"{_name(request.waiter)}'s"
        if request.state is FLYING:
            stored = Request(HIDDEN, 0, request.waiter)
            yield (
                f"Engage stores {whose} request",
                world._replace(requests=(*before, stored, *after)),
            )
            yield f"{whose} request is lost", world._replace(requests=before + after)
        elif request.state is HIDDEN:
            shown = Request(SHOWN, 0, request.waiter)
            yield "the read-back shows it", world._replace(requests=(*before, shown, *after))


def run_moves(world: World, i: int, case: Case) -> Moves:
    """What the run `i` may do next, or suffer."""
    run = world.runs[i]
    if run.step is NO_RUN:
        yield from begin(world, i, case)
        return
    yield f"{_name(i)} is killed", _without_waiter(_with_run(world, i, Run(NO_RUN)), i)
    if run.misled and case.misled_runs_stop and run.step in (SEEN, KNOWS, FOUND, ABSENT):
        yield (
            f"{_name(i)} sees that the ledger went back, and stops",
            _with_run(world, i, Run(NO_RUN)),
        )
        return
    yield from STEPS[run.step](world, i, case)


def begin(world: World, i: int, case: Case) -> Moves:
    """A run takes the activation, from whoever has it, and buries what a dead one left behind."""
    row = world.row
    if row.state is DELIVERED and not case.prunes:
        return
    if row.state is SENDING:
        row = row._replace(state=case.orphan_becomes)
    yield f"{_name(i)} begins", _with_run(world, i, Run(READY))._replace(row=row, holder=i)


def read(world: World, i: int, case: Case) -> Moves:
    """It reads the row, and of a doubt how old it is by now."""
    row = world.row
    if row.state is IN_DOUBT or row.suspect:
        age = OLD if case.is_old(row) else YOUNG
        run = Run(DOUBTING, row.attempt, fact=age)
        yield f"{_name(i)} reads that the row is {_said(row)}, {age}", _with_run(world, i, run)
    elif row.state is PENDING:
        yield (
            f"{_name(i)} reads that the row is pending",
            _with_run(world, i, Run(SEEN, row.attempt)),
        )
    if case.prunes:
        yield from ask_ledger(world, i, case)


def ask_ledger(world: World, i: int, case: Case) -> Moves:
    """It reads the model, and asks one of the two that may know its row, and then the other."""
    run, first = world.runs[i], ROWS if case.rows_are_asked_first else KEYS
    asked = first if run.step is READY else (KEYS if first is ROWS else ROWS)
    known = (world.row.state is PRUNED) if asked is KEYS else _is_there(world.row)
    after = Run(READY) if known else Run(HALF_ASKED if run.step is READY else NEW)
    if after != run:
        text = f"{_name(i)} asks the {asked} for the row: it is {'' if known else 'not '}there"
        yield text, _with_run(world, i, after._replace(misled=run.misled))


def _is_there(row: Row) -> bool:
    return row.state not in (PRUNED, UNRECORDED)


def record_new(world: World, i: int, case: Case) -> Moves:
    """It records the row, unless it is there by now; as another one than it ever was."""
    row = world.row
    if not _holds(world, i, case):
        yield f"{_name(i)} has lost its lease and stops", _with_run(world, i, Run(NO_RUN))
    elif _is_there(row) or (row.state is PRUNED and case.asked_again_to_record):
        yield f"{_name(i)} records no row: it is known", _with_run(world, i, Run(READY))
    else:
        new = world._replace(row=Row(PENDING, row.attempt + 3, 0, False))
        yield f"{_name(i)} RECORDS the row anew", _with_run(new, i, Run(READY))


def open_attempt(world: World, i: int, case: Case) -> Moves:
    """It puts an attempt on record, if the row is where it saw it and the lease is its own."""
    row, run = world.row, world.runs[i]
    if not case.attempt_on_record:
        sent = world._replace(requests=(*world.requests, Request(FLYING, 0, i)))
        yield f"{_name(i)} SENDS", _with_run(sent, i, Run(WAITING, run.attempt))
        return
    if not _holds(world, i, case):
        yield f"{_name(i)} has lost its lease and stops", _with_run(world, i, Run(NO_RUN))
    elif row.state is PENDING and not row.suspect and row.attempt == run.attempt:
        opened = Row(SENDING, row.attempt + 1, 0, False)
        run = Run(OPENED, opened.attempt)
        yield f"{_name(i)} opens an attempt", _with_run(world._replace(row=opened), i, run)
    else:
        yield f"{_name(i)} opens nothing: the row has moved", _with_run(world, i, Run(READY))


def send(world: World, i: int, case: Case) -> Moves:
    """It looks at its clock and sends; or it could not connect, or comes too late."""
    run = world.runs[i]
    known = Run(KNOWS, run.attempt, fact=NOT_APPLIED)
    yield f"{_name(i)} does not send: too late, or no connection", _with_run(world, i, known)
    if run.age > case.sent_within and case.deadline_before_send:
        return
    if case.check_and_write_are_one:
        yield from write(world, i, case)
    else:
        yield f"{_name(i)} looks at the clock", _with_run(world, i, Run(CHECKED, run.attempt))


def write(world: World, i: int, case: Case) -> Moves:
    """Its request leaves."""
    sent = world._replace(requests=(*world.requests, Request(FLYING, 0, i)))
    yield f"{_name(i)} SENDS", _with_run(sent, i, Run(WAITING, world.runs[i].attempt))


def receive(world: World, i: int, case: Case) -> Moves:
    """An answer comes; or none that can be trusted, for any reason and at any time."""
    attempt = world.runs[i].attempt
    mine = next((r for r in world.requests if r.waiter == i), None)
    without = _without_waiter(world, i)
    unknown = Run(KNOWS, attempt, fact=case.lost_answer_counts_as)
    yield f"{_name(i)} gets no answer that it can trust", _with_run(without, i, unknown)
    if mine is None:
        return
    if case.caches:
        answer = Run(KNOWS, attempt, fact=UNKNOWN if case.ids_have_one_owner else ACCEPTED)
        lost = without._replace(requests=tuple(r for r in world.requests if r is not mine))
        if mine.state is FLYING:
            yield f"a cache answers {_name(i)} with another's id", _with_run(lost, i, answer)
    if mine.state is DELETED:
        owned = case.deleted_ids_stay_owned
        accepted = Run(KNOWS, attempt, fact=UNKNOWN if owned else ACCEPTED)
        yield f"{_name(i)} gets the id of what is deleted", _with_run(without, i, accepted)
    elif mine.state is FLYING:
        refused = without._replace(requests=tuple(r for r in world.requests if r is not mine))
        known = Run(KNOWS, attempt, fact=NOT_APPLIED)
        yield f"{_name(i)} gets a 429", _with_run(refused, i, known)
    else:
        accepted = Run(KNOWS, attempt, fact=ACCEPTED)
        yield f"{_name(i)} gets a 2xx with an id", _with_run(without, i, accepted)


def record(world: World, i: int, case: Case) -> Moves:
    """It records what came of its attempt, if that is still the row's last one."""
    row, run = world.row, world.runs[i]
    after = _recorded(row, run.fact, case)
    same = row.attempt == run.attempt or not case.answers_compare_attempts
    heard = case.late_answers_are_recorded or _holds(world, i, case)
    if not (after and same and heard):
        after = row
    text = f"{_name(i)} records: {run.fact}" + (", in vain" if after == row else "")
    yield text, _with_run(world._replace(row=after), i, Run(READY))


def _recorded(row: Row, outcome: str, case: Case) -> Row | None:
    """The row after `outcome` of its last attempt; None where that is no move for it."""
    if outcome is ACCEPTED and row.state in (SENDING, IN_DOUBT, PENDING):
        return row._replace(state=DELIVERED, suspect=False)
    if outcome is NOT_APPLIED and row.state in (SENDING, IN_DOUBT):
        return row._replace(state=PENDING)
    if outcome is UNKNOWN and row.state is SENDING:
        return row._replace(state=case.unknown_becomes)
    return None


def ask(world: World, i: int, case: Case) -> Moves:
    """It reads back what the destination has, after it has read how old the doubt is."""
    run = world.runs[i]
    if case.looks_up_first:
        lists = Run(LOOKED, run.attempt, fact=BOTH_LISTS if world.merged else OLD_LIST)
        if run.fact is OLD:
            yield f"{_name(i)} looks the contact up", _with_run(world, i, lists)
    elif _listed(world, case) and not world.merged:
        found = Run(FOUND, run.attempt)
        yield f"{_name(i)} asks Engage: it is there", _with_run(world, i, found)
    elif run.fact is OLD or not case.age_read_before_asking:
        absent = Run(UNLISTED if case.merges and case.looks_up_again else ABSENT, run.attempt)
        yield f"{_name(i)} asks Engage: it is not there", _with_run(world, i, absent)
    else:
        yield f"{_name(i)} asks Engage too early to believe it", _with_run(world, i, Run(READY))


def _listed(world: World, case: Case) -> bool:
    """Whether the list of the contact, whichever it is by now, shows what may be the row's."""
    shown = {request.state for request in world.requests}
    return SHOWN in shown or (DELETED in shown and not case.deleted_ids_stay_owned)


def look_up(world: World, i: int, case: Case) -> Moves:
    """It looks the contact up after its list, and reads that of the other, where there is one."""
    there = world.merged and _listed(world, case)
    run = Run(FOUND if there else ABSENT, world.runs[i].attempt)
    text = "is there at the contact that it is now" if there else "is nowhere"
    yield f"{_name(i)} looks the contact up: it {text}", _with_run(world, i, run)


def read_lists(world: World, i: int, case: Case) -> Moves:
    """It reads the lists of the contacts that it knew of when it looked up."""
    run = world.runs[i]
    there = _listed(world, case) and (not world.merged or run.fact is BOTH_LISTS)
    step = FOUND if there else ABSENT
    yield f"{_name(i)} reads {run.fact}: {step}", _with_run(world, i, Run(step, run.attempt))


def take_back(world: World, case: Case) -> Moves:
    """A person deletes the interaction and lets the row be sent again; the list shows it still.
    Whoever has its id in hands has one that belongs to nobody any more."""
    gone = [DELETED if r.state in (HIDDEN, SHOWN) else r.state for r in world.requests]
    requests = [r._replace(state=s) for r, s in zip(world.requests, gone, strict=True)]
    once = [r for n, r in enumerate(requests) if r.state is not DELETED or r not in requests[:n]]
    runs = world.runs
    if case.deleted_ids_stay_owned:
        runs = tuple(r._replace(fact=UNKNOWN) if r.fact is ACCEPTED else r for r in runs)
    row = Row(PENDING, world.row.attempt, 0, False)
    after = world._replace(row=row, holder=NOBODY, requests=tuple(once), runs=runs)
    yield "the row is TAKEN BACK and released", after


def settle(world: World, i: int, case: Case) -> Moves:
    """It ends the doubt, if it is still one about the same attempt and the lease is its own."""
    row, run = world.row, world.runs[i]
    same = row.attempt == run.attempt and (row.state is IN_DOUBT or row.suspect)
    if not case.settling_compares_attempts:
        same = row.state is not DELIVERED
    in_time = case.age_read_before_asking or case.is_old(row) or run.step is FOUND
    if not _holds(world, i, case):
        yield f"{_name(i)} has lost its lease and stops", _with_run(world, i, Run(NO_RUN))
    elif same and in_time:
        state = DELIVERED if run.step is FOUND else PENDING
        settled = world._replace(row=Row(state, row.attempt, 0, False))
        yield f"{_name(i)} settles: {state}", _with_run(settled, i, Run(READY))
    else:
        yield f"{_name(i)} settles nothing", _with_run(world, i, Run(READY))


STEPS = {
    READY: read,
    HALF_ASKED: ask_ledger,
    NEW: record_new,
    SEEN: open_attempt,
    OPENED: send,
    CHECKED: write,
    WAITING: receive,
    KNOWS: record,
    DOUBTING: ask,
    UNLISTED: look_up,
    LOOKED: read_lists,
    FOUND: settle,
    ABSENT: settle,
}


def restore_moves(world: World, case: Case) -> Moves:
    """The ledger is backed up; or the last backup takes its place, however old it is."""
    if world.row != world.backup:
        yield "the ledger is backed up", world._replace(backup=world.row)
    if world.backup is None or world.backup == world.row:
        return
    row = world.backup
    if row.state is not DELIVERED and case.suspects_after_restore:
        suspect = row.state is PENDING
        age = 0 if suspect or case.restored_doubts_wait_anew else row.age
        row = row._replace(age=age, suspect=suspect)
    world = world._replace(row=row, holder=NOBODY)
    misled = tuple(run._replace(misled=run.step is not NO_RUN) for run in world.runs)
    world = world._replace(runs=misled)
    if case.runs_end_before_restore:
        nobody = (Run(NO_RUN),) * len(world.runs)
        requests = tuple(r._replace(waiter=NOBODY) for r in world.requests)
        world = world._replace(runs=nobody, requests=requests)
    yield "THE LEDGER IS RESTORED from its backup", world


def _holds(world: World, i: int, case: Case) -> bool:
    return world.holder == i or not case.lease


def _with_run(world: World, i: int, run: Run) -> World:
    if run.step is not NO_RUN and world.runs[i].misled:
        run = run._replace(misled=True)
    return world._replace(runs=(*world.runs[:i], run, *world.runs[i + 1 :]))


def _without_waiter(world: World, i: int) -> World:
    requests = tuple([r._replace(waiter=NOBODY) if r.waiter == i else r for r in world.requests])
    return world._replace(requests=requests)


def _name(i: int) -> str:
    return f"run {'ABC'[i]}"


def _said(row: Row) -> str:
    return "suspect" if row.suspect else row.state
