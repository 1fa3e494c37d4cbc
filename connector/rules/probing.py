"""How a destination behaves: questions, what was assumed, answers and what they were seen by."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from typing import Any

from connector.basis import dataclass

Value = str | int | float | bool | None
"""An answer; None: there is none, and the evidence says why."""
Evidence = Mapping[str, Any]
DURATIONS = ("visible_after", "deletable_after", "listed_after_delete", "clock_difference")
"""Questions that are answered with seconds."""
CLOCKS_AGREE = 60.0
"""Seconds by which the clocks of two machines may differ before somebody should look."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What of the configuration an answer is held against. `settle_after`: seconds."""

    settle_after: float
    answers: Mapping[str, Value] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Question:
    """Something that only a destination itself can say of itself.

    `assumed`: what the connector goes by; `holds`: whether an answer agrees with that; `otherwise`:
    what it means for the owner where it does not, and what to do.
    """

    name: str
    asks: str
    assumed: str
    holds: Callable[[Any, Facts], bool]
    otherwise: str = ""


@dataclass(frozen=True, slots=True)
class Answered:
    """The answer to a question, and what it was seen by: no secret, nothing of a person."""

    question: str
    answer: Value
    evidence: Sequence[Evidence] = ()


@dataclass(frozen=True, slots=True)
class Subject:
    """What is measured with: whom interactions may be about, what they may go to where there is
    nothing of its own, how many there may be, and how many seconds something is waited for."""

    contact: str
    target: str
    most: int
    patience: float
    own: frozenset[str] = frozenset()
    """What an earlier probe has made for itself and left behind; it is deleted before."""


@dataclass(frozen=True, slots=True)
class Prospect:
    """What a probe will do, told before: where its interactions go, and how many at most."""

    target: str
    own_target: bool
    """It makes the target for itself, and deletes it."""
    most: int
    notes: Sequence[str] = ()


# --- what agrees with what is assumed -------------------------------------------------------------


def any_answer(answer: Any, facts: Facts) -> bool:
    """Nothing depends on it."""
    return answer is not None


def success(answer: Any, facts: Facts) -> bool:
    return isinstance(answer, int) and 200 <= answer < 300


def refusal(answer: Any, facts: Facts) -> bool:
    """A status that refuses."""
    return isinstance(answer, int) and 400 <= answer < 500


def in_time(answer: Any, facts: Facts) -> bool:
    return isinstance(answer, int | float) and answer <= facts.settle_after


def near(answer: Any, facts: Facts) -> bool:
    return isinstance(answer, int | float) and abs(answer) <= CLOCKS_AGREE


def one_of(*words: Value) -> Callable[[Any, Facts], bool]:
    """Whether the answer is one of these."""
    return lambda answer, facts: answer in words


CLOCK_DIFFERENCE = Question(
    "clock_difference",
    "By how many seconds is its clock ahead of this machine's?",
    f"within {CLOCKS_AGREE:g}",
    near,
    "the clocks differ: set this machine's by NTP",
)
"""What every destination is asked."""
