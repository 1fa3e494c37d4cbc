"""The rows that a form of the pages is about, and what can be decided about them."""

from typing import Any
from urllib.parse import urlencode

from pydantic import BaseModel, ConfigDict, ValidationError

from connector.decisions.quarantine import DISCARDABLE, Selection
from connector.ledger.decisions import Case
from connector.project import decide
from connector.project.app import App
from connector.rules.activation import Activation
from connector.rules.delivery import CORRECTABLE, QUARANTINE, State
from connector.rules.errors import ConfigurationError, StaleMove

LONGEST_FILTER = 200
"""Characters of a reason that are looked for; databases refuse very long patterns."""


class Meant(BaseModel):
    """The rows that a form is about: the one with `key`, or all `count` of a group.

    Forms carry it as JSON, since browsers rewrite line ends in plain fields, and a row key may have
    some.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    activation: str
    key: str | None = None
    state: State | None = None
    reason: str | None = None
    count: int = 1

    @property
    def place(self) -> str:
        """The page to go on with."""
        if self.key is not None:
            return f"/rows?{urlencode({'activation': self.activation, 'key': self.key})}"
        return f"/quarantine?{urlencode({'activation': self.activation})}"


def meant_by(form: dict[str, str]) -> Meant:
    try:
        return Meant.model_validate_json(form.get("meant", ""))
    except ValidationError:
        raise ConfigurationError("the form does not say which rows are meant") from None


def rows_meant(app: App, activation: Activation, meant: Meant) -> list[Case]:
    """The rows as they stand now; of a group those with exactly its reason."""
    if meant.key is not None:
        return decide.discardable(app, activation, Selection((meant.key,), ()))
    if meant.state not in QUARANTINE:
        raise ConfigurationError("only rows in quarantine are decided about together")
    part = meant.reason[:LONGEST_FILTER] if meant.reason else None
    cases = decide.discardable(app, activation, Selection((), (State(meant.state),), part))
    return [case for case in cases if case.reason == meant.reason]


def changed(meant: Meant) -> StaleMove:
    return StaleMove(
        f'"{meant.activation}": the rows have changed since they were shown, so nothing was'
        " decided; look at them again"
    )


def choices(app: App, state: State, meant: Meant) -> dict[str, Any] | None:
    """What can be decided about rows in `state`; None where nothing can."""
    if meant.activation not in app.settings.project.activations or state not in DISCARDABLE:
        return None
    return {
        "meant": meant.model_dump_json(exclude_defaults=True),
        "retry": state in CORRECTABLE,
        "settle": state is State.IN_DOUBT and meant.key is not None,
        "doubt": state is State.IN_DOUBT,
        "number": meant.count,
    }
