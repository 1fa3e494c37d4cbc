"""How a destination behaves: questions, what was assumed, answers and what they were seen by."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from typing import Any

from connector.basis import dataclass

Value = str | int | float | bool | None
"""An answer; None: there is none, and the evidence says why."""
Evidence = Mapping[str, Any]


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
