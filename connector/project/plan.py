"""List what is configured: without secrets, without a driver, without a connection.

For orchestrators, which make a job of each activation where neither the warehouse nor the API keys
are at hand. A variable that is not set stands for itself.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from hashlib import blake2b
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from connector.basis import dataclass
from connector.project.lenient import grammar_of
from connector.project.settings import written_in
from connector.rules.errors import ConfigurationError
from connector.rules.grammar import parse_duration
from connector.rules.words import span_text

SECRETS = ("api_key", "token", "auth_token", "client_secret")
"""What opens a destination; whatever has the same shares its rate."""

TRUTH = TypeAdapter(bool)


@dataclass(frozen=True, slots=True)
class Planned:
    """What is configured of one activation. `key` is equal for equal API keys: what has the same
    shares its rate."""

    name: str
    destination: str
    key: str
    schedule: str | None
    tags: Sequence[str]
    dbt: str | None
    paused: bool
    owner: str | None = None
    verify: str | None = None
    """When it is verified by itself, as a schedule is written."""
    timezone: str | None = None
    """In which the times of a cron expression are; None: in UTC."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Every activation that is configured."""

    activations: Sequence[Planned]

    def document(self) -> dict[str, Any]:
        """What `plan --json` prints."""
        return {"activations": [asdict(each) for each in self.activations]}


def read_plan(file: Path, environment: Mapping[str, str] | None = None) -> Plan:
    """What `file` configures. Raises ConfigurationError for mistakes in it, as far as they can be
    told from variables that are not set."""
    written = written_in(file, environment, lenient=True)
    _, problems = grammar_of(written)
    if problems := written.in_order(problems):
        raise ConfigurationError(*problems)
    destinations = _mapping(written.content, "destinations")
    return Plan(
        [
            _planned(name, activation, destinations)
            for name, activation in _mapping(written.content, "activations").items()
            if isinstance(activation, dict)
        ]
    )


def _mapping(content: Any, key: str) -> dict[str, Any]:
    found = content.get(key) if isinstance(content, dict) else None
    return found if isinstance(found, dict) else {}


def _planned(name: str, activation: dict[str, Any], destinations: dict[str, Any]) -> Planned:
    destination = str(activation.get("destination") or next(iter(destinations), ""))
    model = activation.get("model")
    return Planned(
        name=name,
        destination=destination,
        key=_key(_mapping(destinations, destination)),
        schedule=_schedule(activation.get("schedule")),
        tags=_names(activation.get("tags")),
        owner=activation.get("owner"),
        dbt=model.get("dbt") if isinstance(model, dict) else None,
        verify=_verify(activation.get("verify")),
        paused=_is_true(activation.get("paused")),
        timezone=_mapping(activation, "schedule").get("timezone"),
    )


def _is_true(value: Any) -> bool:
    """Whether the grammar reads this as true, such as `yes`."""
    try:
        return TRUTH.validate_python(value)
    except ValidationError:  # a variable that is not set, or nothing
        return False


def _names(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else list(dict.fromkeys(value or ()))


def _verify(verify: Any) -> str | None:
    """The rhythm of verifications, in words; written as text alone it is an interval."""
    return _schedule({"every": verify} if isinstance(verify, str) else verify)


def _key(destination: dict[str, Any]) -> str:
    """A hash of what opens the destination; of the variable's name where that is not set."""
    secrets = [str(destination[name]) for name in SECRETS if name in destination]
    opens = secrets or [str(destination.get("url"))]
    text = "\x00".join([str(destination.get("type")), *opens])
    return blake2b(text.encode(), digest_size=8).hexdigest()


def _schedule(schedule: Any) -> str | None:
    """A schedule in words, as `status` has it."""
    if not isinstance(schedule, dict):
        return None if schedule is None else str(schedule)
    if schedule.get("cron") is not None:
        return str(schedule["cron"])
    try:
        return f"every {span_text(parse_duration(schedule.get('every')))}"
    except ValueError:
        return f"every {schedule.get('every')}"
