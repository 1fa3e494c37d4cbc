"""Which request goes wrong, and how: drawn with a seed, so that a run can be repeated."""

from dataclasses import dataclass
from random import Random
from typing import Literal

from connector.sandbox.behaviour import Common, Faults, ReadFaults, Shares, WriteFaults

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
        self._routes = {route: _ways(shares) for route, shares in behaviour.faulty().items()}
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


def _ways(shares: Shares) -> list[tuple[float, Fault]]:
    match shares:
        case Faults():
            return _send_faults(shares)
        case WriteFaults():
            return _write_faults(shares)
        case ReadFaults():
            return _read_faults(shares)
    raise TypeError(f"{type(shares).__name__} is no way to fail")


def _send_faults(faults: Faults) -> list[tuple[float, Fault]]:
    late = [(faults.late_commit, _late_commit(faults))] if faults.late_commit else []
    least = faults.repeat_older_than
    repeated = [
        (faults.repeat_before, Fault("repeat_before", "skip", "repeat", seconds=least)),
        (faults.repeat_after, Fault("repeat_after", "do", "repeat", seconds=least)),
    ]
    return [*_write_faults(faults), *((s, fault) for s, fault in repeated if s), *late]


def _write_faults(faults: WriteFaults) -> list[tuple[float, Fault]]:
    held = faults.hang_seconds
    shares = [
        (faults.too_many, Fault("too_many", "skip", "too_many")),
        *_statuses("status_before", "skip", faults.status_before),
        (faults.reset_before, Fault("reset_before", "skip", "reset")),
        (faults.hang_before, Fault("hang_before", "skip", "hang", seconds=held)),
        *_statuses("status_after", "do", faults.status_after),
        (faults.reset_after, Fault("reset_after", "do", "reset")),
        (faults.hang_after, Fault("hang_after", "do", "hang", seconds=held)),
        (faults.truncate_after, Fault("truncate_after", "do", "truncate")),
        (faults.cut_after, Fault("cut_after", "do", "cut")),
        (faults.no_id_after, Fault("no_id_after", "do", "no_id")),
        (faults.html_after, Fault("html_after", "do", "html")),
    ]
    return [(share, fault) for share, fault in shares if share]


def _read_faults(faults: ReadFaults) -> list[tuple[float, Fault]]:
    shares = [
        (faults.too_many, Fault("too_many", "skip", "too_many")),
        *_statuses("status", "skip", faults.status),
        (faults.reset, Fault("reset", "skip", "reset")),
        (faults.hang, Fault("hang", "skip", "hang", seconds=faults.hang_seconds)),
        (faults.truncate, Fault("truncate", "do", "truncate")),
        (faults.html, Fault("html", "do", "html")),
    ]
    return [(share, fault) for share, fault in shares if share]


def _statuses(name: str, work: Work, shares: dict[int, float]) -> list[tuple[float, Fault]]:
    return [
        (share, Fault(f"{name} {status}", work, "status", status=status))
        for status, share in shares.items()
    ]


def _late_commit(faults: Faults) -> Fault:
    ends: dict[str, End] = {"hang": "hang", "reset": "reset", "504": "status", "id": "answer"}
    return Fault(
        "late_commit",
        "late",
        ends[faults.late_answer],
        status=504,
        seconds=faults.hang_seconds,
        late_by=faults.late_by,
    )
