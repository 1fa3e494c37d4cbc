"""Mirror mode as a small world, in which everything that can happen does happen.

The world is one row key: what the model has under it, which may change at any moment; its row of
the ledger; two runs, each of which may take its next step at any time or never; and a destination
that stores, shows, hides and deletes. What moves it stands in mirroring_moves.py, the search in
protocol.py, which has the same for rows that are sent and never taken back: what is proved there
(clocks, caches, merged contacts, a ledger that goes back beneath its runs) is not looked at again.

What a run does to the row, beside beginning, opening, sending, recording and settling as there:

    read      what the model has under the key
    note      what that means for the row: new, corrected in place, a change beside it, or nothing
    apply     a change to a row that was in doubt when it came, and is not stored
    ask       a change is to be made: on record, before the first byte
    delete    exactly one DELETE, by the id that the ledger has
    confirm   that the destination shows it no more
    take back the row is removed, or pending with the new content; its old id stays owned
    look      in a ledger from a backup: whether the interaction of a live row is there

Four promises are checked in every world: never two live interactions; never `removed` while one is
live; never `delivered` where the interaction is not there, or has another content; and from
wherever the world is, a way leads to exactly what the model has, without anybody's decision.

A ledger from a backup has forgotten what was sent since. What it can find again is held against it;
what it cannot is counted (`Verdict.excused`): an interaction sent since the backup with a content
that is not the one which the row is sent with now.
"""

import time
from dataclasses import dataclass
from typing import Any, NamedTuple

from tests.proof.protocol import DELIVERED, HOLDS, NOBODY, STUCK, Search

NEW, REMOVED = "new", "removed"
"""Where the row stands besides: nowhere yet; taken back, or never sent."""
NONE, GONE = -2, -1
"""No change; the row is gone from the model. Contents are 0, 1, …"""

NO_RUN, READY, READ, SEEN, OPENED, WAITING, KNOWS, DOUBTING, FOUND, ABSENT = (
    *("no run", "ready", "read", "seen", "opened", "waiting", "knows"),
    *("doubting", "found", "absent"),
)
"""What a run has in its hands, as in protocol.py; `read`: what the model has."""
WANTS, ASKS, ASKED, UNSURE, TAKEN, LOOKS, THERE, NOT_THERE = (
    "wants",  # it has read that the row is delivered, and that it is to be changed
    "asks",  # that is on record, its DELETE not sent
    "asked",  # its DELETE is sent
    "unsure",  # the destination says that it has deleted it
    "taken",  # it is confirmed, and not recorded
    "looks",  # it has read that the row is to be looked at
    "there",  # the destination shows it
    "not there",  # the destination does not, and that is believed
)
"""What it has in its hands when it takes back, or looks."""
ACCEPTED, NOT_APPLIED, UNKNOWN = "accepted", "not applied", "unknown"
DELETED_IT, MISSING = "deleted", "missing"
"""What a DELETE brings."""

FLYING, HIDDEN, SHOWN, DELETED, VANISHED = "flying", "hidden", "shown", "deleted", "vanished"
"""A POST on its way; stored and not shown yet; shown; deleted and shown still; shown no more."""
LIVE = (HIDDEN, SHOWN)

ROW, FREED, IN_BACKUP, FREED_IN_BACKUP, OF_BACKUP = 1, 2, 4, 8, 16
HANDS = (32, 64, 128)
"""Who has the id of an interaction: the row; what it had before; the same in the backup; the
backup knows of its attempt; and each run."""


class Row(NamedTuple):
    """The row. `content`: what it is or was sent with. `age`: of its attempt, or since a restore.
    `suspect`: a run that the ledger has forgotten may have sent it as it is; of a delivered one, or
    have taken it back. `change`: the content that it is to have, or GONE. `asked`: a deletion was,
    on record."""

    state: str
    content: int = GONE
    attempt: int = 0
    age: int = 0
    suspect: bool = False
    change: int = NONE
    asked: bool = False


class Run(NamedTuple):
    """One process. `old`: the attempt was older than the wait when it read the row. `backed`: its
    open attempt is in the backup."""

    step: str
    attempt: int = 0
    age: int = 0
    fact: str = ""
    content: int = GONE
    old: bool = False
    backed: bool = False


class Thing(NamedTuple):
    """An interaction. `owners`: who has its id. `deletions`: those on their way to it, by the run
    that waits for each and the age. `forgotten`: sent after the backup that took the ledger's
    place."""

    state: str
    content: int
    age: int
    waiter: int
    owners: int = 0
    deletions: tuple[tuple[int, int], ...] = ()
    forgotten: bool = False


class World(NamedTuple):
    """Everything there is. `model`: what it has under the key. `restored`: how often the ledger
    came out of a backup."""

    model: int
    row: Row
    holder: int
    runs: tuple[Run, ...]
    things: tuple[Thing, ...]
    backup: Row | None
    restored: int = 0


TWICE, FALSE_REMOVED, FALSE_ACK = "two live", "removed while live", "not there as recorded"
"""What else can come out of a check, beside HOLDS and STUCK."""


@dataclass(frozen=True, slots=True)
class Case:
    """A world, and a protocol in it; by default the one that is built. What is `expected` of it."""

    name: str
    expected: str = HOLDS

    # the world, all times in ticks
    runs: int = 2
    contents: int = 2
    sent_within: int = 0
    stored_within: int = 0
    shown_within: int = 0
    restores: int = 0
    """How often the ledger may be replaced by an older copy; the copy is gone with it."""
    replaces: bool = True
    """`on_change`."""
    by_reference: bool = False
    """What is read back is found by the row's reference, whatever its content."""
    shows: bool = True
    acks_early: bool = False
    """A deletion may be answered before it is done, and never be done."""
    deletes_twice: bool = False
    """The deletion of what is deleted is answered as if it had been there."""

    # the protocol: everything that is taken away or done otherwise
    lease: bool = True
    asked_on_record: bool = True
    asked_stays: bool = True
    """A change that was asked for is made, also when the model is back to what it was."""
    waits_for_the_deletion: bool = True
    lost_deletion_counts: bool = False
    missing_needs_age: bool = True
    confirms: bool = True
    young_are_seen_first: bool = True
    """What may not be shown yet is deleted only once it is."""
    taking_back_compares: bool = True
    deleted_ids_stay_owned: bool = True
    doubts_first: bool = True
    """A change waits while the row is in doubt."""
    opening_compares_content: bool = True
    adoption_compares_content: bool = True

    # the same of a ledger from a backup
    missing_makes_suspect: bool = True
    """Needed only in a ledger that does not know that it was restored."""
    suspects_first: bool = True
    """A change waits while the row is suspect."""
    new_contents_are_suspect: bool = True
    """In a ledger that was restored once, whatever is to be sent is read back first, as it is."""
    found_needs_age: bool = True
    looks: bool = True

    @property
    def wait(self) -> int:
        return self.sent_within + self.stored_within + self.shown_within


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a check found: how many worlds there are, and the shortest way to a broken promise."""

    found: str
    states: int
    seconds: float
    happened: frozenset[str]
    steps: list[str]
    excused: list[str]
    """The shortest way to two live interactions, or to `removed` while one is live, that the ledger
    cannot know of, since it was put back from a backup."""

    def __str__(self) -> str:
        lines = [f"{self.found} ({self.states:,} worlds in {self.seconds:.1f} s)"]
        return "\n".join(lines + [f"  {n:2}. {step}" for n, step in enumerate(self.steps, 1)])


ONCE: Any = {"runs": 1, "restores": 1}
"""A ledger that was put back from a backup once."""


def protocols(long: bool) -> list[Case]:
    """What must hold."""
    held = [Case("the protocol", runs=1)]
    if long:
        held += [
            Case("the protocol, two runs", contents=1),
            Case("the protocol, changes that are kept", runs=1, replaces=False),
            Case("the protocol where nothing is shown by its id", runs=1, shows=False),
            Case("the protocol where deletions are acknowledged early", runs=1, acks_early=True),
            Case("the protocol where what is gone can be deleted", runs=1, deletes_twice=True),
            Case("the protocol, a slow destination", runs=1, shown_within=1, acks_early=True),
            Case("the protocol over a restore", contents=1, **ONCE),
        ]
    return held


def weakened(long: bool) -> list[Case]:
    """What must break: each takes one thing away."""
    broken = [
        Case("an answer to the deletion not waited for", FALSE_REMOVED, runs=1,
             waits_for_the_deletion=False),
        Case("a lost answer counts as a deletion", FALSE_REMOVED, runs=1,
             lost_deletion_counts=True),
        Case("a 404 of a young one believed", FALSE_REMOVED, runs=1, missing_needs_age=False),
        Case("a deletion not confirmed", FALSE_REMOVED, runs=1, acks_early=True, confirms=False),
        Case("a young one deleted unseen", FALSE_REMOVED, runs=1, acks_early=True,
             young_are_seen_first=False),
        Case("an asking that is not on record", FALSE_ACK, runs=1, asked_on_record=False),
        Case("a change that was asked for dropped", STUCK, runs=1, asked_stays=False),
        Case("an id that was deleted is believed", FALSE_ACK, runs=1, shown_within=1,
             deleted_ids_stay_owned=False),
        Case("a change applied to a row in doubt", FALSE_REMOVED, runs=1, doubts_first=False),
        Case("a restore, a change applied to a suspect row", FALSE_REMOVED, **ONCE,
             suspects_first=False),
        Case("a restore, what is shown believed at once", FALSE_ACK, contents=1, **ONCE,
             found_needs_age=False),
        Case("a restore, live rows not looked at", FALSE_ACK, contents=1, **ONCE, looks=False),
    ]  # fmt: skip
    if long:
        broken += [
            Case("taken back without comparing attempts", FALSE_REMOVED, contents=1,
                 taking_back_compares=False),
            Case("opened without the lease, nor comparing contents", FALSE_ACK, lease=False,
                 opening_compares_content=False),
            Case("a restore, new contents not read back", TWICE, **ONCE,
                 new_contents_are_suspect=False),
            Case("a restore, found by reference and its content not compared", FALSE_ACK,
                 by_reference=True, adoption_compares_content=False, **ONCE),
        ]  # fmt: skip
    return broken


def check(case: Case) -> Verdict:
    """Visit every world that can come about in `case`, nearest first, or up to the first that
    breaks a promise."""
    from tests.proof.mirroring_moves import MINDS, moves, simplest

    began = time.perf_counter()
    search = Search(World(0, Row(NEW), NOBODY, (Run(NO_RUN),) * case.runs, (), None))
    found, excused = HOLDS, None
    for number, world in search.worlds():
        if (found := broken_promise(world)) != HOLDS:
            break
        if excused is None and is_excused(world):
            excused = number
        for text, after in moves(world, case):
            is_way = not text.startswith(MINDS)
            search.reached(number, text, simplest(after, case), is_way)
    else:
        number = search.stuck(lambda world: is_exact(world, case)) or 0
        found = STUCK if number else HOLDS
    return Verdict(
        found,
        len(search.numbers),
        time.perf_counter() - began,
        frozenset(search.happened),
        search.way_to(number) if found != HOLDS else [],
        search.way_to(excused) if excused is not None else [],
    )


def broken_promise(world: World) -> str:
    """The promise that `world` breaks, or HOLDS."""
    row = world.row
    live = [thing for thing in world.things if thing.state in LIVE]
    known = [thing for thing in live if not thing.forgotten]
    contents = {thing.content for thing in live}
    if len(known) > 1 or len(contents) < len(live):
        return TWICE
    if row.state is REMOVED and known:
        return FALSE_REMOVED
    settled = row.state is DELIVERED and not row.suspect and not row.asked
    if settled and not any(t.owners & ROW and t.content == row.content for t in live):
        return FALSE_ACK
    return HOLDS


def is_excused(world: World) -> bool:
    """Whether an interaction is live that the ledger cannot know of."""
    live = [thing for thing in world.things if thing.state in LIVE]
    return len(live) > 1 or (world.row.state is REMOVED and bool(live))


def is_exact(world: World, case: Case) -> bool:
    """Whether the destination has exactly what the model has, and nothing is on its way."""
    row, model = world.row, world.model
    if any(t.state is FLYING or t.deletions for t in world.things):
        return False
    live = [t for t in world.things if t.state in LIVE and not t.forgotten]
    if model == GONE:
        return not live and row.state in (NEW, REMOVED)
    if row.state is not DELIVERED or row.change != NONE or row.suspect or len(live) != 1:
        return False
    return bool(live[0].owners & ROW) and (live[0].content == model or not case.replaces)
