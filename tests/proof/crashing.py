"""A crash, or a pause, at every point where a run touches the world, then a restart, and a look at
what the destination holds.

    python -m tests.proof.crashing sqlite                  # every point
    python -m tests.proof.crashing sqlite --seconds 15     # points all over the run, so long
    python -m tests.proof.crashing sqlite --points 6       # so many of them for each kind of story

The process that runs this has no threads, so that it can fork children that have everything
imported already. Many of them are watched side by side: most of the time they wait.
"""

import argparse
import json
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Generator, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from itertools import zip_longest
from pathlib import Path

from connector.sandbox.mxo.running import SITE_KEY
from connector.sync import reading
from tests.proof.crashing_points import Point
from tests.proof.crashing_story import (
    CRASH,
    FIRST_RUN,
    PAUSE,
    TWO_CRASHES,
    Case,
    Ground,
    Outcome,
    Story,
)
from tests.proof.engages import Address, Engages
from tests.proof.forks import forking
from tests.proof.ledgers import PostgreSQLDatabases, ledgers
from tests.proof.worlds import BATCH, WORLDS

KINDS = (CRASH, FIRST_RUN, TWO_CRASHES, PAUSE)
SIDE_BY_SIDE = 8
DANGER = (
    "after ledger: COMMIT of insert attempts",
    "after ledger: COMMIT of insert turns",
    "approvals",
    "pruned",
    "POST interactions: written",
    f"POST {SITE_KEY}: written",
    "COMMIT of update changes",
    "DELETE one: written",
    "after DELETE",
    "changes",
    "after ledger: COMMIT of update requests",
    "GET error",
    "after POST",
    "POST",
    "attempts",
    "COMMIT of",
    "deliveries",
    "leases",
    "GET",
)
"""Words of the points at which most is at stake, the most first."""
MOST_DANGEROUS = 8
INSTEAD = 4
"""How many others are tried for a kind of which no point came: no two runs are quite alike."""


@dataclass(slots=True)
class Report:
    """What came of all the stories of one kind."""

    kind: str
    destination: str
    database: str
    seed: int
    points: int
    """How many there are in the run."""
    tried: int = 0
    reached: int = 0
    """At how many it happened; the others came no more, as no two runs are quite alike."""
    places: int = 0
    """Of how many different descriptions."""
    rows: int = 0
    seconds: float = 0
    """From the beginning of all kinds, which are played side by side."""
    bad: list[Outcome] = field(default_factory=list)


def play(ground: Ground, cases: Sequence[Case], seconds: float | None) -> list[Outcome]:
    """All stories, many side by side; none is begun when `seconds` are over."""
    free, waiting = list(ground.engages.all), iter(cases)
    going: dict[Address, Generator[None, None, Outcome]] = {}
    done: list[Outcome] = []
    end = None if seconds is None else time.monotonic() + seconds
    while True:
        while free and (end is None or time.monotonic() < end):
            case = next(waiting, None)
            if case is None:
                break
            engage = free.pop()
            going[engage] = Story(ground, engage, case).play()
        if not going:
            return done
        for engage, each in list(going.items()):
            try:
                next(each)
            except StopIteration as stop:
                done.append(stop.value)
                free.append(engage)
                del going[engage]
        time.sleep(0.003)


def spread(points: Sequence[Point], seed: int) -> list[Point]:
    """All points, in an order that soon has been everywhere: one of each description, where most
    is at stake first and more than once; then the others."""
    taken: Counter[str] = Counter()
    first: list[Point] = []
    others: list[Point] = []
    for point in random.Random(seed).sample(points, len(points)):
        taken[point[0]] += 1
        few = taken[point[0]] <= (3 if _danger(point) < MOST_DANGEROUS else 1)
        (first if few else others).append(point)
    return sorted(first, key=_danger) + others


def _danger(point: Point) -> int:
    return next((i for i, word in enumerate(DANGER) if word in point[0]), len(DANGER))


def cases_of(kind: str, ground: Ground, points: Sequence[Point]) -> list[Case]:
    """Every case of a kind, for a run that has these points."""
    order = spread(points, ground.seed)
    if kind == TWO_CRASHES:
        return [
            Case(kind, pair) for pair in zip(order, spread(points, ground.seed + 1), strict=True)
        ]
    if kind == PAUSE:
        return [Case(kind, pause=point) for point in order]
    return [Case(kind, (point,)) for point in order]


def some(cases: Sequence[Case], number: int | None) -> Sequence[Case]:
    """So many of them: half of them where most is at stake, half from all over the others."""
    if number is None or number >= len(cases):
        return cases
    first = number // 2
    others = cases[first:]
    return [*cases[:first], *others[:: len(others) // (number - first)][: number - first]]


def reports(
    ground: Ground, kinds: Sequence[str], seconds: float | None, number: int | None = None
) -> list[Report]:
    """Every case of all `kinds`, or so many of each, in turn; and others where none of those came.
    None is begun when `seconds` are over."""
    first = ground.points(afresh=True) if FIRST_RUN in kinds else []
    again = ground.points(afresh=False) if set(kinds) - {FIRST_RUN} else []
    points = {kind: first if kind == FIRST_RUN else again for kind in kinds}
    cases = {kind: some(cases_of(kind, ground, points[kind]), number) for kind in kinds}
    began = time.monotonic()
    outcomes = play(ground, _in_turn(cases.values()), seconds)
    for _ in range(INSTEAD if number else 0):
        missed = set(kinds) - {outcome.case.kind for outcome in outcomes if outcome.places}
        told = {outcome.case for outcome in outcomes}
        others = (cases_of(kind, ground, points[kind]) for kind in missed)
        one_more = ([case for case in each if case not in told][:1] for each in others)
        outcomes += play(ground, _in_turn(one_more), seconds)
    return [
        _report(
            kind, ground, len(points[kind]), [o for o in outcomes if o.case.kind == kind], began
        )
        for kind in kinds
    ]


def _in_turn(cases: Iterable[Sequence[Case]]) -> list[Case]:
    """One of each kind, then the next of each."""
    return [case for turn in zip_longest(*cases) for case in turn if case]


def _report(
    kind: str, ground: Ground, points: int, outcomes: Sequence[Outcome], began: float
) -> Report:
    places = [place for outcome in outcomes for place in outcome.places]
    return Report(
        kind=kind,
        destination=ground.world.kind or ground.world.type,
        database=ground.ledgers.name,
        seed=ground.seed,
        points=points,
        tried=len(outcomes),
        reached=len(places),
        places=len(set(places)),
        rows=len(outcomes) * ground.world.expected.stored.total(),
        seconds=round(time.monotonic() - began, 1),
        bad=[outcome for outcome in outcomes if not outcome.good],
    )


def run(
    database: str,
    kinds: Sequence[str],
    seed: int,
    seconds: float | None,
    server: str | None,
    number: int | None = None,
    type: str = "engage",
) -> tuple[list[Report], Counter[str]]:
    """The stories of `kinds` on one kind of ledger; and how often each fault befell a request."""
    reading.BATCH = BATCH
    path = Path(tempfile.mkdtemp(prefix="connector-crashing-"))
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, path, ignore_errors=True)
        stack.enter_context(forking())
        kept = ledgers(database, path, server)
        if isinstance(kept, PostgreSQLDatabases):
            stack.callback(kept.close)
        engages = stack.enter_context(Engages(SIDE_BY_SIDE, WORLDS[type].type))
        found = reports(Ground(path, kept, engages, seed, WORLDS[type]), kinds, seconds, number)
        return found, engages.faults()


def main(arguments: Sequence[str]) -> int:
    """Print each report as a line of JSON; 1 if anything was stored twice, lost or told wrongly."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("database", choices=["sqlite", "postgresql"])
    parser.add_argument("--server", help="where the PostgreSQL is")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=float, help="default: to the end")
    parser.add_argument("--points", type=int, help="of each kind; default: all")
    parser.add_argument("--kind", action="append", choices=KINDS)
    parser.add_argument("--destination", choices=WORLDS, default="engage")
    given = parser.parse_args(arguments)
    kinds, to = given.kind or KINDS, given.server
    number, type = given.points, given.destination
    found, faults = run(given.database, kinds, given.seed, given.seconds, to, number, type)
    for each in found:
        print(json.dumps(asdict(each)))
    print(json.dumps({"faults": faults}), flush=True)
    return 1 if any(each.bad for each in found) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
