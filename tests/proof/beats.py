"""Leases, beats and counts as a small world: everything that can happen does, up to so many steps.

The world is a ledger with its generation and the leases of its activations, the files beside it,
and processes that have runs. A run begins, sends, ends; its lease may be over, and another process
takes it; a process beats for all its runs at once, and writes what it saw into the file in a step
of its own; a process may be killed, or the power cut, between any two steps; and the ledger may
be put back to an older copy of itself.

It is the part that tests.proof.protocol takes for granted there: that a run which was replaced does
nothing more, and that a ledger which has forgotten a send is noticed before the next one. A `Case`
takes away one thing on which that rests; then `check` tells the steps by which it breaks.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

HOLDS = "holds"
REVIVED = "a run that was replaced is kept alive"
TOLD_WRONGLY = "a run is told that it lost what it holds"
SENT = "something is sent from a ledger that forgot a send"
UNNOTICED = "a run begins on a ledger that forgot a send, and does not notice"
FALSE_ALARM = "a ledger that never went back is taken for one from a backup"
ALIVE_TOO_SHORT = "a run that beats is not prolonged"


@dataclass(frozen=True, slots=True)
class Case:
    """A world and what is done in it; by default what is built. What is `expected` of it."""

    name: str
    expected: str = HOLDS
    processes: int = 2
    activations: int = 1
    steps: int = 9
    begin_counts: bool = True
    beat_compares_fences: bool = True
    beat_compares_writes: bool = True
    beat_is_synced: bool = True
    beat_syncs_what_it_saw: bool = True
    """After its commit; else before it, what would be if it were committed."""
    one_lost_stops_only_that_one: bool = True
    a_lost_one_keeps_none_from_the_others: bool = True


class Lease(NamedTuple):
    """One activation in the ledger. `run`: who holds it; `sends`: what it knows of."""

    fence: int = 0
    run: int = 0
    over: bool = False
    writes: int = 0
    sends: int = 0


class Ledger(NamedTuple):
    generation: int
    leases: tuple[Lease, ...]


class File(NamedTuple):
    """What stands on the disk of the machine: the generation and, by activation, the writes that
    were synced; and those that a power cut takes, with the fence of their file."""

    number: int
    beaten: tuple[int, ...]
    loose: tuple[int, ...]
    fences: tuple[int, ...]


class Known(NamedTuple):
    """What a run remembers."""

    run: int
    fence: int
    number: int
    writes: int


class Pending(NamedTuple):
    """What was committed, and stands in no file yet. `late`: since then the ledger was copied."""

    number: int
    writes: tuple[int, ...]
    fences: tuple[int, ...] = ()
    late: bool = False


class Process(NamedTuple):
    runs: tuple[Known | None, ...]
    beating: Pending | None = None
    beginning: tuple[int, Known, Pending] | None = None


class World(NamedTuple):
    """`sent`: by activation, what was really sent; `holders`: the run that began last; `synced`:
    something was counted and synced between the copy and the moment at which it was put back;
    `rolled`: it was put back, and nobody has marked that; `went`: that has happened at all; `cut`:
    power was, since the copy; `begins`: how many runs there were."""

    ledger: Ledger
    file: File
    processes: tuple[Process, ...]
    sent: tuple[int, ...]
    holders: tuple[int, ...]
    copy: Ledger | None = None
    synced: bool = False
    rolled: bool = False
    went: bool = False
    cut: bool = False
    begins: int = 0


class Broken(Exception):
    """A promise is."""


@dataclass(frozen=True, slots=True)
class Verdict:
    found: str
    steps: list[str]
    worlds: int
    seconds: float
    happened: frozenset[str]

    def __str__(self) -> str:
        lines = [f"{self.found} ({self.worlds:,} worlds in {self.seconds:.1f} s)"]
        return "\n".join(lines + [f"  {n:2}. {step}" for n, step in enumerate(self.steps, 1)])


def cases(long: bool) -> list[Case]:
    """What must hold, and what must break."""
    more = 2 if long else 0
    return [
        Case("two processes", steps=8 + more),
        Case("one process with two runs", processes=1, activations=2, steps=7 + more),
        Case("two processes with two runs", activations=2, steps=6 + more),
        Case("a beat that revives a lost lease", REVIVED, beat_compares_fences=False),
        Case("a beat that does not compare", SENT, beat_compares_writes=False),
        Case("a begin that does not count", UNNOTICED, begin_counts=False),
        Case("a beat that is not synced", UNNOTICED, beat_is_synced=False),
        Case("a beat that is in the file before its commit", FALSE_ALARM,
             beat_syncs_what_it_saw=False),
        Case("a beat that tells all what one has lost", TOLD_WRONGLY, activations=2,
             one_lost_stops_only_that_one=False),
        Case("a beat that prolongs all or none", ALIVE_TOO_SHORT, activations=2,
             a_lost_one_keeps_none_from_the_others=False),
    ]  # fmt: skip


def check(case: Case) -> Verdict:
    """Visit every world within `case.steps` steps, until a promise is broken."""
    began, none = time.monotonic(), (0,) * case.activations
    first = World(
        Ledger(0, (Lease(),) * case.activations),
        File(0, none, none, none),
        (Process((None,) * case.activations),) * case.processes,
        none,
        none,
    )
    came_from: dict[World, tuple[World, str] | None] = {first: None}
    layer, happened = [first], set[str]()

    def path(world: World) -> list[str]:
        steps = []
        while found := came_from[world]:
            world, step = found
            steps.append(step)
        return steps[::-1]

    def verdict(found: str, steps: list[str]) -> Verdict:
        seconds = time.monotonic() - began
        return Verdict(found, steps, len(came_from), seconds, frozenset(happened))

    for _ in range(case.steps):
        following = []
        for world in layer:
            for step, after in Moves(case, world).all():
                happened.add(step.partition(":")[0])
                if isinstance(after, str):
                    return verdict(after, [*path(world), step])
                if after not in came_from:
                    came_from[after] = world, step
                    following.append(after)
        layer = following
    return verdict(HOLDS, [])


def put(many: tuple, at: int, one: object) -> tuple:  # type: ignore[type-arg]
    """`many` with `one` at that place."""
    return (*many[:at], one, *many[at + 1 :])


def highest(one: tuple[int, ...], other: tuple[int, ...]) -> tuple[int, ...]:
    """The higher number at each place."""
    return tuple(map(max, one, other))


class Moves:
    """Everything that may happen next in a world."""

    def __init__(self, case: Case, world: World) -> None:
        self.case, self.world = case, world

    def all(self) -> Iterator[tuple[str, World | str]]:
        """What happens, and the world after it; or the promise that it breaks."""
        for step, move, given in self._possible():
            try:
                after = move(*given)
            except Broken as broken:
                yield step, str(broken)
            else:
                if after is not None:
                    yield step, after

    def _possible(self):  # type: ignore[no-untyped-def]
        world = self.world
        for p, process in enumerate(world.processes):
            if process.beginning:
                yield f"it has begun: {p}", self.begun, (p,)
            if process.beating:
                yield f"the beat is in the file: {p}", self.beaten, (p,)
            elif any(process.runs):
                yield f"beat: {p}", self.beat, (p,)
            for a, known in enumerate(process.runs):
                if known:
                    yield f"send: {p} for {a}", self.send, (p, a)
                    yield f"end: {p} for {a}", self.end, (p, a)
                elif not process.beginning:
                    yield f"begin: {p} for {a}", self.begin, (p, a)
            if any(process.runs) or process.beginning:
                yield f"killed: {p}", self.kill, (p,)
        for a, lease in enumerate(world.ledger.leases):
            if lease.run and not lease.over:
                yield f"the lease is over: {a}", self.over, (a,)
        if not world.rolled:
            yield "the ledger is copied", self.copied, ()
        if world.copy and world.copy != world.ledger:
            yield "the copy is put back", self.put_back, ()
        if world.copy and not world.cut:
            yield "the power is cut", self.cut, ()

    # --- what runs do -----------------------------------------------------------------------------

    def begin(self, p: int, a: int) -> World | None:
        world = self.world
        if self._forgotten(world):
            world = self._marked(world)
        elif self._forgot(world):
            if not (world.cut and not world.synced):
                raise Broken(UNNOTICED)
            return None  # what a power cut may take: nobody promises more
        lease = world.ledger.leases[a]
        if lease.run and not lease.over:
            return None  # busy
        counted = world.ledger.generation + self.case.begin_counts
        run = world.begins + 1
        taken = Lease(lease.fence + 1, run, False, lease.writes + 1, lease.sends)
        known = Known(run, taken.fence, counted, taken.writes)
        none = (0,) * self.case.activations
        pending = Pending(counted, put(none, a, taken.writes), put(none, a, taken.fence))
        process = world.processes[p]._replace(beginning=(a, known, pending))
        return world._replace(
            ledger=Ledger(counted, put(world.ledger.leases, a, taken)),
            processes=put(world.processes, p, process),
            holders=put(world.holders, a, run),
            begins=run,
        )

    def begun(self, p: int) -> World:
        """Its number is on the disk, and it may send."""
        process = self.world.processes[p]
        assert process.beginning
        a, known, pending = process.beginning
        file = self.world.file
        file = file._replace(
            number=max(file.number, pending.number),
            loose=highest(file.loose, pending.writes),
            fences=highest(file.fences, pending.fences),
        )
        process = process._replace(runs=put(process.runs, a, known), beginning=None)
        return self._synced(p, process, file, pending)

    def send(self, p: int, a: int) -> World:
        world, known = self.world, self._known(p, a)
        lease = world.ledger.leases[a]
        if not self._holds(a, known) or world.file.fences[a] > known.fence:
            return self._without(world, p, a)
        if self._differs(a, known):
            return self._without(self._marked(world), p, a)
        if lease.sends < world.sent[a]:
            raise Broken(SENT)
        written = lease._replace(writes=lease.writes + 1, sends=lease.sends + 1, over=False)
        file = world.file
        return self._remembering(p, a, known._replace(writes=written.writes))._replace(
            ledger=world.ledger._replace(leases=put(world.ledger.leases, a, written)),
            file=file._replace(loose=highest(file.loose, self._only(a, written.writes))),
            sent=put(world.sent, a, world.sent[a] + 1),
        )

    def end(self, p: int, a: int) -> World:
        world, known = self.world, self._known(p, a)
        after = self._without(world, p, a)
        if not self._holds(a, known):
            return after
        if self._differs(a, known) or world.file.number > world.ledger.generation:
            return self._without(self._marked(world), p, a)
        counted, lease = world.ledger.generation + 1, world.ledger.leases[a]
        freed = lease._replace(run=0, over=False, writes=lease.writes + 1)
        file = world.file
        file = file._replace(number=counted, loose=highest(file.loose, self._only(a, freed.writes)))
        after = after._replace(ledger=Ledger(counted, put(world.ledger.leases, a, freed)))
        return after._replace(file=file, synced=world.synced or not world.rolled)

    def beat(self, p: int) -> World:
        """One transaction for all runs of the process; who is not found in it is asked alone."""
        case, world = self.case, self.world
        mine = [(a, known) for a, known in enumerate(world.processes[p].runs) if known]
        kept = [(a, known) for a, known in mine if self._kept(a, known)]
        if not case.a_lost_one_keeps_none_from_the_others and len(kept) < len(mine):
            if any(self._holds(a, k) and not self._differs(a, k) for a, k in kept):
                raise Broken(ALIVE_TOO_SHORT)
            kept = []
        leases, runs = world.ledger.leases, world.processes[p].runs
        writes, number = (0,) * case.activations, world.ledger.generation
        for a, known in kept:
            if not world.rolled and world.holders[a] != known.run:
                raise Broken(REVIVED)
            lease = leases[a]._replace(writes=leases[a].writes + 1, over=False)
            leases, writes = put(leases, a, lease), put(writes, a, lease.writes)
            now = known._replace(number=max(known.number, number), writes=lease.writes)
            if case.beat_compares_writes:
                now = now._replace(writes=max(now.writes, known.writes))
            runs = put(runs, a, now)
        if len(kept) < len(mine) and not case.one_lost_stops_only_that_one and kept:
            raise Broken(TOLD_WRONGLY)
        pending = Pending(number, writes) if kept else None
        process = world.processes[p]._replace(runs=runs, beating=pending)
        after = world._replace(
            ledger=world.ledger._replace(leases=leases), processes=put(world.processes, p, process)
        )
        if not case.beat_syncs_what_it_saw and kept:  # it dies after the file, before its commit
            early = world.file._replace(beaten=highest(world.file.beaten, writes))
            return Moves(case, world._replace(file=early)).kill(p)
        for a, known in mine:
            if (a, known) not in kept:
                if self._holds(a, known):
                    after = self._marked(after)
                after = self._without(after, p, a)
        return after

    def beaten(self, p: int) -> World:
        process, file = self.world.processes[p], self.world.file
        assert process.beating
        if self.case.beat_is_synced:
            beaten = highest(file.beaten, process.beating.writes)
            file = file._replace(number=max(file.number, process.beating.number), beaten=beaten)
        return self._synced(p, process._replace(beating=None), file, process.beating)

    # --- what befalls them ------------------------------------------------------------------------

    def kill(self, p: int) -> World:
        gone = Process((None,) * self.case.activations)
        return self.world._replace(processes=put(self.world.processes, p, gone))

    def over(self, a: int) -> World:
        leases = self.world.ledger.leases
        late = put(leases, a, leases[a]._replace(over=True))
        return self.world._replace(ledger=self.world.ledger._replace(leases=late))

    def copied(self) -> World:
        def late(process: Process) -> Process:
            beating, beginning = process.beating, process.beginning
            return process._replace(
                beating=beating and beating._replace(late=True),
                beginning=beginning and (*beginning[:2], beginning[2]._replace(late=True)),
            )

        processes = tuple(map(late, self.world.processes))
        return self.world._replace(
            copy=self.world.ledger, processes=processes, synced=False, cut=False
        )

    def put_back(self) -> World:
        assert self.world.copy
        return self.world._replace(ledger=self.world.copy, rolled=True, went=True)

    def cut(self) -> World:
        none = (0,) * self.case.activations
        gone = (Process((None,) * self.case.activations),) * self.case.processes
        file = self.world.file._replace(loose=none, fences=none)
        return self.world._replace(file=file, processes=gone, cut=True)

    # --- what is compared -------------------------------------------------------------------------

    def _known(self, p: int, a: int) -> Known:
        known = self.world.processes[p].runs[a]
        assert known
        return known

    def _holds(self, a: int, known: Known) -> bool:
        lease = self.world.ledger.leases[a]
        return lease.run == known.run and lease.fence == known.fence

    def _differs(self, a: int, known: Known) -> bool:
        ledger = self.world.ledger
        return ledger.leases[a].writes < known.writes or ledger.generation < known.number

    def _kept(self, a: int, known: Known) -> bool:
        """Whether the one statement prolongs that run."""
        holds = self._holds(a, known) or not self.case.beat_compares_fences
        same = not self._differs(a, known) or not self.case.beat_compares_writes
        return holds and same

    def _forgotten(self, world: World) -> bool:
        """Whether the files know more than the ledger."""
        known = highest(world.file.beaten, world.file.loose)
        pairs = zip(world.ledger.leases, known, strict=True)
        fewer = any(lease.writes < number for lease, number in pairs)
        return fewer or world.file.number > world.ledger.generation

    def _forgot(self, world: World) -> bool:
        pairs = zip(world.ledger.leases, world.sent, strict=True)
        return any(lease.sends < number for lease, number in pairs)

    def _marked(self, world: World) -> World:
        """All rows are suspect from now on: nothing that was forgotten is sent again unasked."""
        if not world.went:  # what was seen before the mark may be told after it: that is harmless
            raise Broken(FALSE_ALARM)
        counted = max(world.ledger.generation, world.file.number) + 1
        none = (0,) * self.case.activations
        leases = tuple(
            lease._replace(fence=lease.fence + 1, run=0, over=False)
            for lease in world.ledger.leases
        )
        return world._replace(
            ledger=Ledger(counted, leases),
            file=File(counted, none, none, none),
            sent=tuple(lease.sends for lease in leases),
            copy=None,
            synced=False,
            rolled=False,
            cut=False,
        )

    # --- what becomes of the world ----------------------------------------------------------------

    def _only(self, a: int, number: int) -> tuple[int, ...]:
        return put((0,) * self.case.activations, a, number)

    def _without(self, world: World, p: int, a: int) -> World:
        process = world.processes[p]
        process = process._replace(runs=put(process.runs, a, None))
        return world._replace(processes=put(world.processes, p, process))

    def _remembering(self, p: int, a: int, known: Known) -> World:
        process = self.world.processes[p]
        process = process._replace(runs=put(process.runs, a, known))
        return self.world._replace(processes=put(self.world.processes, p, process))

    def _synced(self, p: int, process: Process, file: File, pending: Pending) -> World:
        world = self.world
        counts = not pending.late and not world.rolled
        return world._replace(
            processes=put(world.processes, p, process), file=file, synced=world.synced or counts
        )
