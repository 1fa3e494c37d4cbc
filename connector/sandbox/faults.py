"""Which request goes wrong, and how: drawn with a seed, so that a run can be repeated."""

from collections.abc import Iterator
from random import Random
from typing import Literal, cast

from connector.basis import dataclass
from connector.sandbox.behaviour import NO_SHARES, Common, Faults, Shares

Work = Literal["skip", "do", "late"]
End = Literal[
    "too_many", "status", "reset", "hang", "truncate", "cut", "no_id", "html", "repeat", "answer"
]


@dataclass(frozen=True, slots=True)
class Fault:
    """One way to fail: whether the work is done at all, and what the caller sees."""

    name: str  #: the switch of the behaviour that caused it
    work: Work
    end: End
    status: int = 0
    seconds: float = 0  #: how long a caller is left hanging, or how old a repeated id is
    late_by: float = 0


class Dice:
    """Draws the fault of each request from the behaviour's shares, one draw a request."""

    def __init__(self, behaviour: Common) -> None:
        self._routes = {route: [*_ways(shares)] for route, shares in behaviour.faulty().items()}
        # A sequence for each route: an additional look-up must not shift the faults of the POSTs.
        self._random = {route: Random(f"{behaviour.seed} {route}") for route in self._routes}

    def draw(self, route: str) -> Fault | None:
        """Return the fault of the next request of a route, None for one that goes well."""
        faults = self._routes.get(route)
        if not faults:
            return None
        left = self._random[route].random()
        for share, fault in faults:
            left -= share
            if left < 0:
                return fault
        return None


def _ways(shares: Shares) -> Iterator[tuple[float, Fault]]:
    """The faults that are asked for, each with its share, in the order of their switches."""
    for name, given in shares:
        if name in NO_SHARES:
            continue
        if isinstance(given, dict):
            yield from ((part, _fault(f"{name} {s}", shares, s)) for s, part in given.items())
        elif given:
            yield given, _fault(name, shares)


def _fault(name: str, shares: Shares, status: int = 0) -> Fault:
    """What a switch says by its name: how it ends, and whether that is before or after the work."""
    if isinstance(shares, Faults) and name == "late_commit":
        return _late_commit(shares)
    switch = name.partition(" ")[0]
    end = cast("End", switch.removesuffix("_before").removesuffix("_after"))
    # half an answer, or another page, can only be given in place of one
    done = switch.endswith("_after") or switch in ("truncate", "html")
    seconds = shares.hang_seconds if end == "hang" else 0.0
    if isinstance(shares, Faults) and end == "repeat":
        seconds = shares.repeat_older_than
    return Fault(name, "do" if done else "skip", end, status, seconds)


def _late_commit(faults: Faults) -> Fault:
    ends: dict[str, End] = {"hang": "hang", "reset": "reset", "504": "status", "id": "answer"}
    end, seconds = ends[faults.late_answer], faults.hang_seconds
    return Fault("late_commit", "late", end, 504, seconds, faults.late_by)
