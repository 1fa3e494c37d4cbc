"""What can happen in the world of mirroring.py, and what can make no difference in it any more."""

from collections.abc import Callable, Iterator

from tests.proof.mirroring import (
    ABSENT,
    ACCEPTED,
    ASKED,
    ASKS,
    DELETED,
    DELETED_IT,
    DOUBTING,
    FLYING,
    FOUND,
    FREED,
    FREED_IN_BACKUP,
    GONE,
    HANDS,
    HIDDEN,
    IN_BACKUP,
    KNOWS,
    LIVE,
    LOOKS,
    MISSING,
    NEW,
    NO_RUN,
    NONE,
    NOT_APPLIED,
    NOT_THERE,
    OF_BACKUP,
    OPENED,
    READ,
    READY,
    REMOVED,
    ROW,
    SEEN,
    SHOWN,
    TAKEN,
    THERE,
    UNKNOWN,
    UNSURE,
    VANISHED,
    WAITING,
    WANTS,
    Case,
    Row,
    Run,
    Thing,
    World,
)
from tests.proof.protocol import DELIVERED as SENT
from tests.proof.protocol import IN_DOUBT, NOBODY, PENDING, SENDING, TICK

Moves = Iterator[tuple[str, World]]
RESTORED = "THE LEDGER IS RESTORED from its backup"
BACKED_UP = "the ledger is backed up"
MINDS = ("the model", RESTORED)
"""How what somebody decides begins: no way may need it."""


def moves(world: World, case: Case) -> Moves:
    """Everything that can happen next, and the world after it."""
    yield TICK, after_a_tick(world, case)
    for content in (GONE, *range(case.contents)):
        if content != world.model:
            yield f"the model has {_called(content)}", world._replace(model=content)
    yield from wire_moves(world, case)
    for i in range(len(world.runs)):
        yield from run_moves(world, i, case)
    if world.restored < case.restores:
        yield from restore_moves(world, case)


# --- time, the wire, the destination --------------------------------------------------------------


def after_a_tick(world: World, case: Case) -> World:
    """Everything is older; what took as long as it can take is over."""
    row, backup = world.row, world.backup
    return world._replace(
        row=row._replace(age=row.age + 1),
        runs=tuple([run._replace(age=run.age + 1) for run in world.runs]),
        things=tuple([t for t in (_older(t, case) for t in world.things) if t]),
        backup=backup and backup._replace(age=backup.age + 1),
    )


def _older(thing: Thing, case: Case) -> Thing | None:
    age = thing.age + 1
    flying = [(waiter, old + 1) for waiter, old in thing.deletions if old < case.stored_within]
    thing = thing._replace(deletions=tuple(flying))
    if thing.state is FLYING and age > case.stored_within:
        return None
    if thing.state is HIDDEN and age > case.shown_within:
        return thing._replace(state=SHOWN, age=0)
    if thing.state is DELETED and age > case.shown_within:
        return thing._replace(state=VANISHED, age=0)
    return thing._replace(age=age if thing.state in (FLYING, HIDDEN, DELETED) else 0)


def wire_moves(world: World, case: Case) -> Moves:
    """What may become of each request, whether anybody waits for it or not."""
    for n, thing in enumerate(world.things):
        if thing.state is FLYING:
            whose = _whose(thing.waiter)
            stored = thing._replace(state=HIDDEN, age=0)
            yield f"{whose} POST is stored", _with_thing(world, n, stored)
            yield f"{whose} POST is lost", _with_thing(world, n, None)
        elif thing.state is HIDDEN:
            yield "it is shown", _with_thing(world, n, thing._replace(state=SHOWN, age=0))
        elif thing.state is DELETED:
            vanished = thing._replace(state=VANISHED, age=0)
            yield "it is shown no more", _with_thing(world, n, vanished)
        for deletion in dict.fromkeys(thing.deletions):
            yield from deletion_moves(world, n, deletion, case)


def deletion_moves(world: World, n: int, deletion: tuple[int, int], case: Case) -> Moves:
    """What may become of a DELETE on its way."""
    thing, waiter = world.things[n], deletion[0]
    left = list(thing.deletions)
    left.remove(deletion)
    over = thing._replace(deletions=tuple(left))
    whose = _whose(waiter)
    yield f"{whose} DELETE is lost", _with_thing(world, n, over)
    if thing.state in LIVE:
        applied = _with_thing(world, n, over._replace(state=DELETED, age=0))
        yield f"{whose} DELETE is applied", _answered(applied, waiter, DELETED_IT)
    if thing.state not in (SHOWN, FLYING) and waiter != NOBODY:
        fact = DELETED_IT if case.deletes_twice and thing.state is not HIDDEN else MISSING
        missed = _answered(_with_thing(world, n, over), waiter, fact)
        yield f"{whose} DELETE finds nothing: {fact}", missed
    if case.acks_early and thing.state in LIVE and waiter != NOBODY:
        later = over._replace(deletions=(*left, (NOBODY, deletion[1])))
        acked = _answered(_with_thing(world, n, later), waiter, DELETED_IT)
        yield f"{whose} DELETE is acknowledged, and not done yet", acked


def _answered(world: World, waiter: int, fact: str) -> World:
    if waiter == NOBODY:
        return world
    return _with_run(world, waiter, world.runs[waiter]._replace(fact=fact))


# --- runs -----------------------------------------------------------------------------------------


def run_moves(world: World, i: int, case: Case) -> Moves:
    """What the run `i` may do next, or suffer."""
    run = world.runs[i]
    if run.step is NO_RUN:
        row = world.row
        if row.state is SENDING:
            row = row._replace(state=IN_DOUBT)
        begun = _with_run(world, i, Run(READY))._replace(row=row, holder=i)
        yield f"{_name(i)} begins", begun
        return
    yield f"{_name(i)} is killed", _stopped(world, i)
    if run.step in LEASED and world.holder != i and case.lease:
        yield f"{_name(i)} has lost its lease and stops", _stopped(world, i)
        return
    yield from STEPS[run.step](world, i, case)


def pick(world: World, i: int, case: Case) -> Moves:
    """It reads the model, or takes up what there is to do with the row."""
    row = world.row
    read = Run(READ, content=world.model)
    yield f"{_name(i)} reads that the model has {_called(world.model)}", _with_run(world, i, read)
    run = Run(SEEN, row.attempt, content=row.content, old=row.age > case.wait)
    changes = row.change != NONE
    if row.state is PENDING and row.suspect and (case.suspects_first or not changes):
        yield from presume(world, i)
    elif row.state is PENDING and changes:
        if _holds(world, i, case):
            applied = world._replace(row=_with_content(row, row.change, world, case))
            yield f"{_name(i)} applies the change to the unsent row", applied
    elif row.state is PENDING:
        yield f"{_name(i)} reads that the row is pending", _with_run(world, i, run)
    elif row.state is IN_DOUBT:
        doubting = run._replace(step=DOUBTING)
        yield (
            f"{_name(i)} reads that the row is in doubt, {_age(run)}",
            _with_run(world, i, doubting),
        )
    elif row.state is SENT and changes:
        wants = _take(_with_run(world, i, run._replace(step=WANTS)), i, ROW)
        yield f"{_name(i)} reads that the row is to change, {_age(run)}", wants
    elif row.state is SENT and row.suspect:
        looks = _take(_with_run(world, i, run._replace(step=LOOKS)), i, ROW)
        yield f"{_name(i)} reads that the row is to be looked at, {_age(run)}", looks


def presume(world: World, i: int) -> Moves:
    """A suspect row is in doubt, as if a forgotten attempt had been made with what is on record."""
    row = world.row
    if world.holder == i:
        presumed = row._replace(state=IN_DOUBT, attempt=row.attempt + 1)
        yield f"{_name(i)} presumes that it was sent", world._replace(row=presumed)


def note(world: World, i: int, case: Case) -> Moves:
    """It records what the model says of the row."""
    row, model = world.row, world.runs[i].content
    after = world
    match row.state:
        case "new":
            if model != GONE:
                fresh = _with_content(row, model, world, case)
                after = world._replace(row=fresh)
        case "pending" if not (row.suspect and case.suspects_first):
            if model != row.content:
                after = world._replace(row=_with_content(row, model, world, case))
            else:
                after = world._replace(row=row._replace(change=NONE))
        case "pending" | "sending" | "in doubt":
            change = NONE if model == row.content else model
            if change != NONE and not case.doubts_first and row.state is IN_DOUBT:
                after = world._replace(row=_with_content(row, change, world, case))
            else:
                after = world._replace(row=row._replace(change=change))
        case "delivered":
            after = world._replace(row=row._replace(change=_change(row, model, case)))
        case "removed" if model != GONE:
            after = _free(world._replace(row=_with_content(row, model, world, case)))
    yield f"{_name(i)} notes it", _with_run(after, i, Run(READY))


def _change(row: Row, model: int, case: Case) -> int:
    """The change of a delivered row."""
    if row.asked and case.asked_stays:
        return model
    same = model == row.content or (model != GONE and not case.replaces)
    return NONE if same else model


def _with_content(row: Row, content: int, world: World, case: Case) -> Row:
    """A row that is not stored, with other content; or removed."""
    if content == GONE:
        return Row(REMOVED, row.content, row.attempt, row.age)
    suspect = bool(world.restored) and case.new_contents_are_suspect
    return Row(PENDING, content, row.attempt, row.age, suspect)


def open_attempt(world: World, i: int, case: Case) -> Moves:
    """It puts an attempt on record, if the row is where it saw it."""
    row, run = world.row, world.runs[i]
    same = row.state is PENDING and row.attempt == run.attempt and not row.suspect
    if case.opening_compares_content:
        same = same and row.content == run.content
    if same:
        opened = row._replace(state=SENDING, attempt=row.attempt + 1, age=0)
        begun = Run(OPENED, opened.attempt, content=run.content)
        yield f"{_name(i)} opens an attempt", _with_run(world._replace(row=opened), i, begun)
    else:
        yield f"{_name(i)} opens nothing: the row has moved", _with_run(world, i, Run(READY))


def send(world: World, i: int, case: Case) -> Moves:
    """It sends; or it could not connect, or comes too late."""
    run = world.runs[i]
    known = Run(KNOWS, run.attempt, fact=NOT_APPLIED)
    yield f"{_name(i)} does not send: too late, or no connection", _with_run(world, i, known)
    if run.age <= case.sent_within:
        owners = OF_BACKUP if run.backed else 0
        thing = Thing(FLYING, run.content, 0, i, owners)
        sent = world._replace(things=(*world.things, thing))
        yield f"{_name(i)} POSTS {run.content}", _with_run(sent, i, Run(WAITING, run.attempt))


def receive(world: World, i: int, case: Case) -> Moves:
    """An answer comes; or none that can be trusted, for any reason and at any time."""
    attempt = world.runs[i].attempt
    without = _without_waiter(world, i)
    unknown = _with_run(without, i, Run(KNOWS, attempt, fact=UNKNOWN))
    yield f"{_name(i)} gets no answer that it can trust", unknown
    for n, thing in enumerate(world.things):
        if thing.waiter != i:
            continue
        if thing.state is FLYING:
            known = Run(KNOWS, attempt, fact=NOT_APPLIED)
            refused = _with_run(_with_thing(without, n, None), i, known)
            yield f"{_name(i)} gets a 429", refused
        else:
            mine = thing._replace(waiter=NOBODY, owners=thing.owners | HANDS[i])
            known = Run(KNOWS, attempt, fact=ACCEPTED)
            accepted = _with_run(_with_thing(without, n, mine), i, known)
            yield f"{_name(i)} gets a 2xx with an id", accepted


def record(world: World, i: int, case: Case) -> Moves:
    """It records what came of its attempt, if that is still the row's last one."""
    row, run = world.row, world.runs[i]
    after = world
    if row.attempt == run.attempt:
        if run.fact is ACCEPTED and row.state in (SENDING, IN_DOUBT, PENDING):
            after = _adopt(world, i, row._replace(state=SENT, suspect=False), case)
        elif run.fact is NOT_APPLIED and row.state in (SENDING, IN_DOUBT):
            after = world._replace(row=row._replace(state=PENDING))
        elif run.fact is UNKNOWN and row.state is SENDING:
            after = world._replace(row=row._replace(state=IN_DOUBT))
    vain = ", in vain" if after == world else ""
    yield f"{_name(i)} records: {run.fact}{vain}", _put_down(after, i)


def _adopt(world: World, i: int, row: Row, case: Case) -> World:
    """The row is delivered as what the run has in hands, if that was nobody's before."""
    for n, thing in enumerate(world.things):
        if thing.owners & HANDS[i] and not (thing.owners & FREED and case.deleted_ids_stay_owned):
            owned = thing._replace(owners=thing.owners | ROW, forgotten=False)
            return _with_thing(world, n, owned)._replace(row=row)
    return world


def ask(world: World, i: int, case: Case) -> Moves:
    """It reads back what the destination has, after it has read how old the doubt is."""
    run, row = world.runs[i], world.row
    believed = run.old or not (row.suspect and case.found_needs_age)
    there = False
    for n, thing in enumerate(world.things):
        owned = thing.owners & (FREED | ROW) if case.deleted_ids_stay_owned else 0
        like = thing.content == run.content or case.by_reference
        if thing.state not in (SHOWN, DELETED) or owned or not like:
            continue
        there = True
        if believed:
            mine = thing._replace(owners=thing.owners | HANDS[i])
            found = run._replace(step=FOUND, content=thing.content)
            if not case.adoption_compares_content:
                found = run._replace(step=FOUND)
            yield (
                f"{_name(i)} reads back: it is there",
                _with_run(_with_thing(world, n, mine), i, found),
            )
    if not there and run.old:
        absent = run._replace(step=ABSENT)
        yield f"{_name(i)} reads back: it is not there", _with_run(world, i, absent)
    elif not believed or not there:
        yield f"{_name(i)} reads back too early to believe it", _with_run(world, i, Run(READY))


def settle(world: World, i: int, case: Case) -> Moves:
    """It ends the doubt, if it is still one about the same attempt."""
    row, run = world.row, world.runs[i]
    after = world
    if row.attempt == run.attempt and row.state is IN_DOUBT:
        if run.step is FOUND:
            found = row._replace(state=SENT, suspect=False, content=run.content)
            after = _adopt(world, i, found, case)
        else:  # a change beside it is applied in a step of its own
            after = world._replace(row=row._replace(state=PENDING, suspect=False))
    text = "nothing" if after == world else after.row.state
    yield f"{_name(i)} settles: {text}", _put_down(after, i)


# --- taking back, and looking ---------------------------------------------------------------------


def want(world: World, i: int, case: Case) -> Moves:
    """It puts on record that it asks for the deletion, if the row is where it saw it."""
    row, run = world.row, world.runs[i]
    if row.state is SENT and row.attempt == run.attempt and row.change != NONE:
        asked = world._replace(row=row._replace(asked=case.asked_on_record))
        yield (
            f"{_name(i)} records that it asks",
            _with_run(asked, i, run._replace(step=ASKS, age=0)),
        )
    else:
        yield f"{_name(i)} asks for nothing: the row has moved", _put_down(world, i)


def delete(world: World, i: int, case: Case) -> Moves:
    """It sends its DELETE, by the id in its hands; or it comes too late."""
    run = world.runs[i]
    yield f"{_name(i)} does not delete", _put_down(world, i)
    if run.age > case.sent_within:
        return
    unseen = not run.old and not _in_hands(world, i, SHOWN, DELETED)
    if unseen and case.acks_early and case.young_are_seen_first:
        return
    step, fact = (ASKED, "") if case.waits_for_the_deletion else (TAKEN, DELETED_IT)
    asked = run._replace(step=step, fact=fact)
    for n, thing in enumerate(world.things):
        if thing.owners & HANDS[i]:
            flying = thing._replace(deletions=(*thing.deletions, (i, 0)))
            sent = _with_run(_with_thing(world, n, flying), i, asked)
            yield f"{_name(i)} DELETES", sent
            return
    missing = asked._replace(fact=fact or (DELETED_IT if case.deletes_twice else MISSING))
    yield f"{_name(i)} DELETES what is gone", _with_run(world, i, missing)


def hear(world: World, i: int, case: Case) -> Moves:
    """The answer to its DELETE comes, or none."""
    run, quiet = world.runs[i], _without_waiter(world, i)
    if case.lost_deletion_counts:
        taken = run._replace(step=TAKEN, fact=DELETED_IT)
        yield f"{_name(i)} gets no answer, and believes in it", _with_run(quiet, i, taken)
    yield f"{_name(i)} gets no answer to its DELETE", _put_down(quiet, i)
    if not run.fact:
        return
    old = run.old or not (case.missing_needs_age if run.fact is MISSING else False)
    if not old:
        yield f"{_name(i)} hears {run.fact} too early to believe it", _put_down(world, i)
    elif run.fact is DELETED_IT and case.shows and case.confirms:
        yield f"{_name(i)} hears: {run.fact}", _with_run(world, i, run._replace(step=UNSURE))
    else:
        yield f"{_name(i)} hears: {run.fact}", _with_run(world, i, run._replace(step=TAKEN))


def confirm(world: World, i: int, case: Case) -> Moves:
    """It asks whether the interaction is shown still."""
    if _in_hands(world, i, SHOWN, DELETED):
        yield f"{_name(i)} sees that it is shown still", _put_down(world, i)
    else:
        taken = world.runs[i]._replace(step=TAKEN)
        yield f"{_name(i)} sees that it is gone", _with_run(world, i, taken)


def take_back(world: World, i: int, case: Case) -> Moves:
    """It records that the interaction is gone, if the row is where it saw it."""
    row, run = world.row, world.runs[i]
    same = row.attempt == run.attempt or not case.taking_back_compares
    if not (row.state is SENT and row.change != NONE and same):
        yield f"{_name(i)} takes nothing back: the row has moved", _put_down(world, i)
        return
    again = _with_content(row, row.change, world, case)
    if run.fact is MISSING and case.missing_makes_suspect and again.state is PENDING:
        again = again._replace(suspect=True)
    after = world._replace(row=again)
    after = after if again.state is REMOVED else _free(after)
    yield f"{_name(i)} takes it back: {after.row.state}", _put_down(after, i)


def look(world: World, i: int, case: Case) -> Moves:
    """It asks whether the interaction of a live row is there."""
    run = world.runs[i]
    there = _in_hands(world, i, SHOWN, DELETED)
    if not run.old and (case.found_needs_age or not there):
        yield f"{_name(i)} looks too early to believe it", _put_down(world, i)
    else:
        looked = run._replace(step=THERE if there else NOT_THERE)
        yield f"{_name(i)} looks: it is {looked.step}", _with_run(world, i, looked)


def looked(world: World, i: int, case: Case) -> Moves:
    """It records what it saw, if the row is where it saw it."""
    row, run = world.row, world.runs[i]
    after = world
    if row.state is SENT and row.attempt == run.attempt and row.suspect:
        if run.step is THERE:
            after = world._replace(row=row._replace(suspect=False))
        else:
            again = row._replace(state=PENDING, asked=False)
            after = _free(world._replace(row=again))
    yield f"{_name(i)} records that it is {run.step}", _put_down(after, i)


STEPS: dict[str, Callable[[World, int, Case], Moves]] = {
    READY: pick,
    READ: note,
    SEEN: open_attempt,
    OPENED: send,
    WAITING: receive,
    KNOWS: record,
    DOUBTING: ask,
    FOUND: settle,
    ABSENT: settle,
    WANTS: want,
    ASKS: delete,
    ASKED: hear,
    UNSURE: confirm,
    TAKEN: take_back,
    LOOKS: look,
    THERE: looked,
    NOT_THERE: looked,
}
LEASED = (READ, SEEN, FOUND, ABSENT, WANTS, THERE, NOT_THERE)
"""The next step is a transaction that needs the lease. What became of an attempt, and that an
interaction is gone, are facts, and recorded without it."""


# --- backups --------------------------------------------------------------------------------------


def restore_moves(world: World, case: Case) -> Moves:
    """The ledger is backed up; or the last backup takes its place, however old it is."""
    things = tuple([_backed_up(t) for t in world.things])
    runs = tuple([run._replace(backed=run.step is OPENED) for run in world.runs])
    if (world.row, world.things) != (world.backup, things):
        yield BACKED_UP, world._replace(backup=world.row, things=things, runs=runs)
    if world.backup is None:
        return
    row = world.backup
    suspect = {NEW: False, REMOVED: False, SENT: case.looks}.get(row.state, True)
    things = tuple([_put_back(t, row) for t in world.things])
    row = row._replace(age=0, suspect=suspect)
    back = world._replace(row=row, holder=NOBODY, things=things, backup=None)
    back = back._replace(restored=world.restored + 1)
    for i in range(len(world.runs)):
        back = _stopped(back, i)
    yield RESTORED, back


def _backed_up(thing: Thing) -> Thing:
    owners = thing.owners & ~(IN_BACKUP | FREED_IN_BACKUP | OF_BACKUP)
    owners |= IN_BACKUP if owners & ROW else 0
    owners |= FREED_IN_BACKUP if owners & FREED else 0
    return thing._replace(owners=owners | (0 if thing.forgotten else OF_BACKUP))


def _put_back(thing: Thing, row: Row) -> Thing:
    """An interaction, once `row` stands in the ledger again. What is like a row that was to be sent
    can be found."""
    owners = thing.owners & ~(ROW | FREED)
    owners |= ROW if owners & IN_BACKUP else 0
    owners |= FREED if owners & FREED_IN_BACKUP else 0
    found = row.state is PENDING and row.content == thing.content
    return thing._replace(owners=owners, forgotten=not (found or owners & OF_BACKUP))


# --- the least that matters -----------------------------------------------------------------------


def simplest(world: World, case: Case) -> World:
    """`world` without what can make no difference any more."""
    row, holder = world.row, world.holder
    if holder != NOBODY and world.runs[holder].step is NO_RUN:
        holder = NOBODY
    hands = sum(HANDS[i] for i, run in enumerate(world.runs) if run.step in (KNOWS, FOUND))
    taking = sum(HANDS[i] for i, run in enumerate(world.runs) if run.step not in (NO_RUN, READY))
    keep = hands | taking
    things = []
    for t in world.things:
        if t.state is VANISHED:
            t = t._replace(deletions=tuple([d for d in t.deletions if d[0] != NOBODY]), content=0)
            owned = t.owners & keep or t.deletions or t.waiter != NOBODY
            if not owned:
                continue
            t = t._replace(forgotten=False)
        deletions = tuple(sorted(set(t.deletions)))
        owners = t.owners & ~OF_BACKUP if world.backup is None else t.owners
        things.append(t._replace(deletions=deletions, owners=owners))
    return World(
        world.model,
        _simple_row(row, row.attempt, case),
        holder,
        tuple([_simple_run(run, row.attempt, case, world.backup) for run in world.runs]),
        tuple(sorted(_once(things))),
        world.backup and _simple_row(world.backup, row.attempt, case),
        world.restored,
    )


def _once(things: list[Thing]) -> list[Thing]:
    """Of several that are deleted and alike, one is as good as all."""
    gone = dict.fromkeys(t for t in things if t.state in (DELETED, VANISHED))
    return [*(t for t in things if t not in gone), *gone]


def _simple_row(row: Row, attempt: int, case: Case) -> Row:
    dated = row.state in (SENDING, IN_DOUBT, SENT) or row.suspect
    age = min(row.age, case.wait + 1) if dated else 0
    content = GONE if row.state is REMOVED else row.content
    return row._replace(attempt=max(row.attempt - attempt, -2), age=age, content=content)


def _simple_run(run: Run, attempt: int, case: Case, backup: Row | None) -> Run:
    if run.step in (NO_RUN, READY):
        return Run(run.step)
    dated = run.step in (OPENED, ASKS)
    age = min(run.age, case.sent_within + 1) if dated else 0
    backed = run.backed and run.step is OPENED and backup is not None
    shifted = 0 if run.step is READ else max(-1, min(run.attempt - attempt, 2))
    return run._replace(attempt=shifted, age=age, backed=backed)


# --- hands ----------------------------------------------------------------------------------------


def _free(world: World) -> World:
    """The row gives up the id that it had, which stays owned."""
    freed = [
        t._replace(owners=(t.owners & ~ROW) | FREED) if t.owners & ROW else t for t in world.things
    ]
    return world._replace(things=tuple(freed))


def _take(world: World, i: int, owner: int) -> World:
    """The run `i` takes the id that `owner` has."""
    things = [
        t._replace(owners=t.owners | HANDS[i]) if t.owners & owner else t for t in world.things
    ]
    return world._replace(things=tuple(things))


def _put_down(world: World, i: int) -> World:
    """The run `i` has nothing in its hands any more."""
    things = [t._replace(owners=t.owners & ~HANDS[i]) for t in world.things]
    return _with_run(world._replace(things=tuple(things)), i, Run(READY))


def _stopped(world: World, i: int) -> World:
    """The run `i` is gone."""
    gone = _without_waiter(_put_down(world, i), i)
    runs = (*gone.runs[:i], Run(NO_RUN), *gone.runs[i + 1 :])
    return gone._replace(runs=runs)


def _in_hands(world: World, i: int, *states: str) -> bool:
    return any(t.owners & HANDS[i] and t.state in states for t in world.things)


def _holds(world: World, i: int, case: Case) -> bool:
    return world.holder == i or not case.lease


def _with_run(world: World, i: int, run: Run) -> World:
    return world._replace(runs=(*world.runs[:i], run, *world.runs[i + 1 :]))


def _with_thing(world: World, n: int, thing: Thing | None) -> World:
    kept = () if thing is None else (thing,)
    return world._replace(things=(*world.things[:n], *kept, *world.things[n + 1 :]))


def _without_waiter(world: World, i: int) -> World:
    things = []
    for t in world.things:
        waiter = NOBODY if t.waiter == i else t.waiter
        deletions = [(NOBODY if who == i else who, age) for who, age in t.deletions]
        things.append(t._replace(waiter=waiter, deletions=tuple(sorted(deletions))))
    return world._replace(things=tuple(things))


def _called(content: int) -> str:
    return "nothing" if content == GONE else f"content {content}"


def _name(i: int) -> str:
    return f"run {'ABC'[i]}"


def _whose(i: int) -> str:
    return "a dead run's" if i == NOBODY else f"{_name(i)}'s"


def _age(run: Run) -> str:
    return "old" if run.old else "young"
