"""The rows that a form of the pages is about, and what can be decided about them."""

from collections.abc import Collection, Mapping
from typing import Annotated, Any
from urllib.parse import urlencode

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from connector.decisions.deciding import LONGEST_PATTERN, Selection
from connector.decisions.quarantine import DISCARDABLE
from connector.project.app import App
from connector.rules.deed import Document
from connector.rules.delivery import CORRECTABLE, QUARANTINE, State
from connector.rules.errors import ConfigurationError


class Meant(BaseModel):
    """The rows that a form is about: the one with `key`; or all `count` of a group, which have just
    one `state` and one `reason`; or all that a filter finds, in `states`.

    Forms carry it as JSON, since browsers rewrite line ends in plain fields, and a row key may have
    some.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    activation: str
    key: str | None = None
    state: State | None = None
    reason: str | None = None
    states: tuple[State, ...] = ()
    holding: str | None = None
    """Of a filter: what row keys hold. Its `reason` is a part of theirs."""
    count: Annotated[int, Field(ge=1)] = 1

    @property
    def place(self) -> str:
        """The page to go on with."""
        if self.key is not None:
            return f"/rows?{urlencode({'activation': self.activation, 'key': self.key})}"
        return f"/quarantine?{urlencode({'activation': self.activation})}"

    @property
    def shown(self) -> str:
        """The page on which the rows were shown."""
        if self.key is not None:
            return self.place
        states = self.states if self.state is None else (self.state,)
        parts = {"state": states[0] if len(states) == 1 else None, "key": self.holding}
        parts |= {"reason": (self.reason or "")[:LONGEST_PATTERN]}
        return f"{self.place}&{urlencode({name: text for name, text in parts.items() if text})}"

    @property
    def everywhere(self) -> str:
        """The page of the rows of all activations that the filter finds."""
        parts = {"reason": (self.reason or "")[:LONGEST_PATTERN], "key": self.holding or ""}
        asked = {name: text for name, text in parts.items() if text}
        return f"/quarantine?{urlencode(asked)}" if asked else "/quarantine"

    @property
    def selection(self) -> Selection:
        """The rows, as many as were shown; of a group those with exactly its reason."""
        if self.key is not None:
            return Selection((self.key,), count=1)
        if self.states and set(self.states) <= set(QUARANTINE):
            parts = (self.reason, self.holding)
            if any(part is not None and len(part) > LONGEST_PATTERN for part in parts):
                raise ConfigurationError("that is too long for a part of a reason, or of a row key")
            return Selection((), self.states, self.reason, count=self.count, holding=self.holding)
        if self.state not in QUARANTINE:
            raise ConfigurationError("only rows in quarantine are decided about together")
        return Selection((), (State(self.state),), self.reason, whole=True, count=self.count)


MOST_TOGETHER = 50
"""Activations whose rows are decided about at once."""
SEVERAL = TypeAdapter(Annotated[list[Meant], Field(min_length=1, max_length=MOST_TOGETHER)])


def meant_by(form: dict[str, str]) -> Meant:
    """What a form is about. Raises ConfigurationError."""
    try:
        return Meant.model_validate_json(form.get("meant", ""))
    except ValidationError:
        raise ConfigurationError("the form does not say which rows are meant") from None


def several_meant_by(form: dict[str, str]) -> list[Meant] | None:
    """The same of a form about rows of several activations; None where it is about those of one.
    Raises ConfigurationError."""
    if not form.get("meant", "").startswith("["):
        return None
    try:
        return SEVERAL.validate_json(form["meant"])
    except ValidationError:
        raise ConfigurationError("the form does not say which rows are meant") from None


def choices(app: App, state: State, meant: Meant) -> dict[str, Any] | None:
    """What can be decided about rows in `state`; None where nothing can. One on the wire is in
    doubt when its run is dead; of a live run, deciding is refused."""
    state = State.IN_DOUBT if state is State.SENDING else state
    if state not in DISCARDABLE.states:
        return None
    configured = meant.activation in app.settings.project.activations  # else they are given up
    return {
        "meant": meant.model_dump_json(exclude_defaults=True),
        "configured": configured,
        "retry": configured and state in CORRECTABLE,
        "settle": configured and state is State.IN_DOUBT and meant.key is not None,
        "doubt": state is State.IN_DOUBT,
        "number": meant.count,
    }


def bulk(app: App, meant: Meant, numbers: Mapping[str, Mapping[State, int]]) -> Document | None:
    """What can be decided about all that a filter finds, `meant` for each activation, of which so
    many rows are in each state; None where nothing can, or they are of too many."""
    known = app.settings.project.activations
    names = [name for name, states in numbers.items() if name in known and any(states.values())]
    if not names or len(names) > MOST_TOGETHER:
        return None

    def about(states: Collection[State]) -> tuple[int, str]:
        parts = list[Meant]()
        for name in names:
            there = tuple(state for state in states if numbers[name].get(state))
            number = sum(numbers[name][state] for state in there)
            if number:
                update = {"activation": name, "states": there, "count": number}
                parts.append(meant.model_copy(update=update))
        texts = [part.model_dump_json(exclude_defaults=True) for part in parts]
        text = f"[{','.join(texts)}]" if len(parts) > 1 else "".join(texts)
        return sum(part.count for part in parts), text

    again, retry = about(CORRECTABLE)
    every, discard = about(QUARANTINE)
    return {
        "again": again,
        "retry": retry,
        "every": every,
        "discard": discard,
        "doubts": sum(numbers[name].get(State.IN_DOUBT, 0) for name in names),
        "of": f" of {len(names)} activations" if len(names) > 1 else "",
    }
