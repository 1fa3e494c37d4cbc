"""Whose turn it is, where several activations want the slots of one key at the same time.

Pure. Whatever is to go out waits in the lane of its activation. Each slot that more than one lane
wants goes to one of them, so that each has its part: never a slot more, never a slot less.
"""

import math
from collections.abc import Sequence
from typing import Generic, Protocol, TypeVar

from connector.basis import dataclass
from connector.rules.activation import Activation
from connector.rules.words import percent

LEAST = 0.05
"""The part of those that have no share, where shares leave less; and, of what goes by priority, the
part of those below the highest, together."""
LONGEST = 2.0
"""Seconds in which a lane that waits gets a slot at least, or its even part where there are not so
many: what is on record already must not wait for long."""
ROUNDING = 1e-9
"""How far sums of parts may be off."""


@dataclass(frozen=True, slots=True)
class Lane:
    """Where the requests of an activation wait. `share`: its part of the slots, in 0..1; None: it
    has of what is left, by its `priority`."""

    name: str = ""
    priority: int = 0
    share: float | None = None


def lane_of(activation: Activation) -> Lane:
    """The lane of all that a run of `activation` asks of its destination."""
    return Lane(activation.name, activation.priority, activation.share)


def lane_text(lane: Lane) -> str | None:
    """How much of its key's requests a lane has, for people; None: as any other."""
    parts = []
    if lane.share is not None:
        parts.append(f"{percent(lane.share)} of the requests while others want them")
    if lane.priority:
        parts.append(f"priority {lane.priority}")
    return ", ".join(parts) or None


def parts_of(lanes: Sequence[Lane], rate: float) -> list[float]:
    """What part of the slots each of `lanes` has while all of them want more; together 1. `rate`:
    slots a second."""
    shares = [lane.share or 0.0 for lane in lanes]
    most = 1.0 if all(shares) else 1 - LEAST
    scale = min(1.0, most / sum(shares)) if any(shares) else 1.0
    left = 1 - scale * sum(shares)
    parts = [
        share * scale + weight * left for share, weight in zip(shares, _weights(lanes), strict=True)
    ]
    return _at_least(min(1 / (LONGEST * rate), 1 / len(lanes)), parts)


def _weights(lanes: Sequence[Lane]) -> list[float]:
    """How that is divided which no share takes: among those without one, or else among all; by
    priority, evenly or by shares where that is the same."""
    without = [lane for lane in lanes if lane.share is None]
    highest = max(lane.priority for lane in without or lanes)
    above = sum(lane.priority == highest for lane in without)
    below = len(without) - above
    for_below = LEAST if below else 0.0
    shares = sum(lane.share or 0.0 for lane in lanes if lane.priority == highest)

    def weight(lane: Lane) -> float:
        first = lane.priority == highest
        if not without:
            return (lane.share or 0.0) / shares if first else 0.0
        if lane.share is not None:
            return 0.0
        return (1 - for_below) / above if first else for_below / below

    return [weight(lane) for lane in lanes]


def _at_least(least: float, parts: Sequence[float]) -> list[float]:
    """`parts`, none below `least`: what that takes is given by the others, by what they have more.
    Not all of them can be below."""
    missing = sum(max(0.0, least - part) for part in parts)
    if not missing:
        return list(parts)
    beyond = sum(max(0.0, part - least) for part in parts)
    keep = max(0.0, 1 - missing / beyond) if beyond else 0.0
    return [least + max(0.0, part - least) * keep for part in parts]


class Waiting(Protocol):
    """Those who wait in one lane. Told from others by what it is, not by what it holds."""

    @property
    def lane(self) -> Lane: ...


W = TypeVar("W", bound=Waiting)


class Rota(Generic[W]):
    """Which lane has the next slot.

    At each slot a lane is credited its part, and whoever gets the slot pays one. Only who has
    credit may get it; of those, whoever would be a slot behind first. Who stops waiting loses what
    it has and owes.
    """

    def __init__(self) -> None:
        self._among: list[W] = []
        self._rate = 0.0
        self._parts: list[float] = []
        self._credits: list[float] = []

    def next(self, among: list[W], rate: float) -> W:
        """Whose turn it is, of all who wait: at least one. `rate`: slots a second."""
        if len(among) == 1:
            self._among, self._credits = [], []
            return among[0]
        if among != self._among or rate != self._rate:
            self._begin(among, rate)
        credits = self._credits
        first, soonest = 0, math.inf
        for place, part in enumerate(self._parts):
            credits[place] += part
            if credits[place] > ROUNDING:
                behind = (1 - credits[place]) / part
                if behind < soonest - ROUNDING:
                    first, soonest = place, behind
        credits[first] -= 1
        return among[first]

    def _begin(self, among: list[W], rate: float) -> None:
        """Others wait than before, or at another pace. What those who left had, or owed, is divided
        among all."""
        old = {id(each): credit for each, credit in zip(self._among, self._credits, strict=True)}
        self._parts = parts_of([each.lane for each in among], rate)
        kept = [old.get(id(each), 0.0) for each in among]
        over = sum(kept)
        self._credits = [
            credit - over * part for credit, part in zip(kept, self._parts, strict=True)
        ]
        self._among, self._rate = among, rate
