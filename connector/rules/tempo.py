"""How a run went in time: its phases, and its requests a second with how long answers took.

A run of hours has as many figures as one of seconds: where there are too many, two become one.
"""

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import field
from typing import Any

from connector.basis import dataclass
from connector.rules import clocks

MOST = 120
"""Stretches of time that are told apart."""
MOST_PHASES = 60
FINE = 20
"""Classes of durations in a factor of ten, by which half of them and nine in ten are told: each is
an eighth longer than the one before."""
NOBODY = "none"
"""In place of a status: nothing was answered."""
Observer = Callable[[str, str, float], None]


@dataclass(slots=True)
class Stretch:
    """Requests that were answered in one stretch of time. `failed`: by anything but 2xx and 404,
    which says that a contact is not known; `seconds`: all of them took."""

    requests: int = 0
    failed: int = 0
    seconds: float = 0.0
    longest: float = 0.0

    def __add__(self, other: "Stretch") -> "Stretch":
        return Stretch(
            self.requests + other.requests,
            self.failed + other.failed,
            self.seconds + other.seconds,
            max(self.longest, other.longest),
        )


@dataclass(slots=True)
class Tempo:
    """What is noted while a run goes on; times in seconds since it began."""

    began: float = field(default_factory=lambda: clocks.now().monotonic)
    step: float = 1.0
    stretches: list[Stretch] = field(default_factory=list)
    answers: Counter[str] = field(default_factory=Counter)
    """How often which status was answered, or NOBODY."""
    classes: Counter[int] = field(default_factory=Counter)
    phases: list[tuple[str, float]] = field(default_factory=list)
    """What it began to do, and when."""
    in_flight: int = 0
    """Requests that were begun and have not ended."""

    def __post_init__(self) -> None:
        self.enter("checking")

    def enter(self, phase: str) -> None:
        """From now on it is checking (whether it may), reading, sending, settling, or
        finishing."""
        if not self.phases or (self.phases[-1][0] != phase and len(self.phases) < MOST_PHASES):
            self.phases.append((phase, self._now()))

    def beside(self, other: Observer) -> Observer:
        """An observer of requests that tells `other`, too."""

        def observe(method: str, answer: str, seconds: float) -> None:
            self.saw(answer, seconds)
            other(method, answer, seconds)

        return observe

    def count(self, more: int) -> None:
        """So many more requests are in flight."""
        self.in_flight += more

    def saw(self, answer: str, seconds: float) -> None:
        """A request was answered now, or was not in all this time."""
        place = int(self._now() / self.step)
        while place >= MOST:
            self._halve()
            place = int(self._now() / self.step)
        while len(self.stretches) <= place:
            self.stretches.append(Stretch())
        at = self.stretches[place]
        at.requests += 1
        at.failed += not (answer.startswith("2") or answer == "404")
        at.seconds += seconds
        at.longest = max(at.longest, seconds)
        self.answers[answer] += 1
        if answer != NOBODY:  # a refused connection is no quick answer, nor a time-out a slow one
            self.classes[math.floor(FINE * math.log10(max(seconds, 1e-6)))] += 1

    @property
    def document(self) -> dict[str, Any]:
        """The whole, for the ledger and for pages: short, since every run keeps one."""
        return {
            "step": self.step,
            "requests": [each.requests for each in self.stretches],
            "failed": [each.failed for each in self.stretches],
            "mean_ms": [round(1000 * e.seconds / (e.requests or 1)) for e in self.stretches],
            "longest_ms": [round(1000 * each.longest) for each in self.stretches],
            "answers": dict(self.answers.most_common()),
            "half_ms": self._within(0.5),
            "most_ms": self._within(0.95),
            "phases": [[name, round(at, 2)] for name, at in self.phases],
            "seconds": round(self._now(), 2),
        }

    def _now(self) -> float:
        return max(0.0, clocks.now().monotonic - self.began)

    def _halve(self) -> None:
        pairs = zip(self.stretches[::2], [*self.stretches[1::2], Stretch()], strict=False)
        self.stretches = [one + other for one, other in pairs]
        self.step *= 2

    def _within(self, share: float) -> int | None:
        """In how many milliseconds that share of the answers came; an eighth more at the most."""
        left = share * self.classes.total()
        for each in sorted(self.classes):
            left -= self.classes[each]
            if left <= 0:
                return math.ceil(1000 * 10 ** ((each + 1) / FINE))
        return None
