"""The rows that a form of the pages is about, and what can be decided about them."""

from collections.abc import Iterable
from typing import Annotated, Any
from urllib.parse import urlencode

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from connector.decisions.deciding import LONGEST_PATTERN, Selection
from connector.decisions.quarantine import DISCARDABLE
from connector.project.app import App
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


def meant_by(form: dict[str, str]) -> Meant:
    """What a form is about. Raises ConfigurationError."""
    try:
        return Meant.model_validate_json(form.get("meant", ""))
    except ValidationError:
        raise ConfigurationError("the form does not say which rows are meant") from None


def choices(app: App, state: State, meant: Meant) -> dict[str, Any] | None:
    """What can be decided about rows in `state`; None where nothing can."""
    if meant.activation not in app.settings.project.activations or state not in DISCARDABLE.states:
        return None
    return {
        "meant": meant.model_dump_json(exclude_defaults=True),
        "retry": state in CORRECTABLE,
        "settle": state is State.IN_DOUBT and meant.key is not None,
        "doubt": state is State.IN_DOUBT,
        "number": meant.count,
    }


def bulk(app: App, meant: Meant, numbers: dict[State, int]) -> dict[str, Any] | None:
    """What can be decided about all that a filter finds of one activation, of which `numbers` are
    in each state; None where nothing can."""
    if meant.activation not in app.settings.project.activations or not any(numbers.values()):
        return None

    def about(states: Iterable[State]) -> tuple[int, str]:
        there = tuple(state for state in states if numbers.get(state))
        number = sum(numbers[state] for state in there)
        those = meant.model_copy(update={"states": there, "count": number})
        return number, those.model_dump_json(exclude_defaults=True)

    again, retry = about(CORRECTABLE)
    every, discard = about(QUARANTINE)
    return {
        "again": again,
        "retry": retry,
        "every": every,
        "discard": discard,
        "doubts": numbers.get(State.IN_DOUBT, 0),
    }
