"""Read `activations.yaml`: from text to a checked project, or to every mistake with its place.

YAML 1.2, `${NAME}` and `${NAME:-default}` from the environment and from a `.env` beside the file,
then the closed grammar. A mistake is reported with file, line and column, several at a time, and
never with the value that was found: that could be a secret.
"""

import ipaddress
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal, get_args
from urllib.parse import urlsplit

from dotenv import dotenv_values
from pydantic import (
    AfterValidator,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from connector import __version__
from connector.activation import Activation, Closed, Duration, Name, Zone
from connector.errors import ConfigurationError, Problem, did_you_mean
from connector.errors import Path as KeyPath
from connector.place import Place, address_of

VARIABLE = re.compile(r"\$(\$?)\{([A-Za-z_][A-Za-z0-9_]*)(?::-((?:[^}\\]|\\.)*))?\}")
NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")


def _named(names: Mapping[str, Any]) -> Any:
    for name in names:
        if not NAME.fullmatch(name):
            raise ValueError(f'the name "{name}" may hold only letters, digits, "_", "-" and "."')
    return names


class WarehouseSettings(Closed):
    """Where the models are read."""

    url: SecretStr
    """Any SQLAlchemy URL: duckdb:///shop.duckdb, postgresql://user:password@host/shop …"""
    timezone: Zone | None = None
    """What times without a zone mean; may be given per column instead."""
    lock_timeout: Duration = timedelta(seconds=60)
    """How long to wait for a DuckDB file that somebody else writes."""
    dbt_manifest: Name = "target/manifest.json"
    """Where dbt describes its models, for `model: {dbt: …}`."""


class LedgerSettings(Closed):
    """Where it is remembered what was recorded, tried and answered."""

    url: SecretStr = SecretStr("sqlite:///.connector/ledger.db")
    """SQLite or PostgreSQL."""
    lease: Duration = timedelta(seconds=30)
    """How long a run that fell silent keeps its activation."""

    @field_validator("lease")
    @classmethod
    def _long_enough(cls, lease: timedelta) -> timedelta:
        if lease < timedelta(seconds=1):
            raise ValueError("expected a lease of 1s or longer")
        return lease


class EngageSettings(Closed):
    """A Voyado Engage and how it may be used."""

    type: Literal["engage"]
    url: Name
    """https://<client>.voyado.com; plain http only to this machine."""
    previous_url: Name | None = None
    """The address under which the same Engage was before; what was sent there is not sent again."""
    api_key: SecretStr
    api_version: Literal["v3", "v2"] = "v3"
    user_agent: Name = f"engage-connector/{__version__}"
    requests_per_second: Annotated[float, Field(gt=0)] = 50
    """Shared by everything that uses this API key, look-ups too; Voyado asks for 50 at most."""
    concurrency: Annotated[int, Field(ge=1, le=1000)] = 32
    timeout: Duration = timedelta(seconds=60)
    """How long one answer is waited for."""
    settle_after: Duration = timedelta(minutes=3)
    """How long after an attempt's time-out "not found" is believed."""
    contact_cache: Duration = timedelta(days=1)
    """How long a contact that was found is not looked up again; 0 = within a run only."""

    @field_validator("url", "previous_url")
    @classmethod
    def _safe(cls, url: str | None) -> str | None:
        if url is None:
            return None
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or not _has_a_port(url):
            raise ValueError("expected a url such as https://client.voyado.com")
        if parts.username or parts.password or parts.query or parts.fragment:
            raise ValueError("expected only a scheme, a host and at most a port and a path")
        if parts.scheme == "http" and not is_loopback(parts.hostname):
            raise ValueError("plain http would show the API key on the way; use https")
        return url

    @field_validator("api_key")
    @classmethod
    def _sendable(cls, key: SecretStr) -> SecretStr:
        text = key.get_secret_value()
        if not text or not text.isascii() or not text.isprintable() or text != text.strip():
            raise ValueError("expected an API key: printable, without spaces around it, not empty")
        return key

    @field_validator("timeout")
    @classmethod
    def _positive(cls, timeout: timedelta) -> timedelta:
        if timeout <= timedelta(0):
            raise ValueError("expected a time-out longer than 0")
        return timeout

    @property
    def place(self) -> Place:
        """Where it is."""
        earlier = None if self.previous_url is None else address_of(self.previous_url)
        return Place(self.type, address_of(self.url), earlier)


class Alert(Closed):
    """Whom `connector serve` tells when an activation's state changes, for better or worse."""

    webhook: SecretStr | None = None
    """A Slack-compatible incoming webhook: gets {"text": …}."""
    apprise: SecretStr | None = None
    """Any address that apprise knows, such as mailto://…; needs the extra of that name."""

    @model_validator(mode="after")
    def _one_address(self) -> "Alert":
        if (self.webhook is None) == (self.apprise is None):
            raise ValueError("expected exactly one of webhook and apprise")
        if self.webhook and not self.webhook.get_secret_value().startswith(("https://", "http://")):
            raise ValueError("expected a webhook such as https://hooks.slack.com/services/…")
        return self


class Project(Closed):
    """The whole file."""

    version: Literal[1]
    warehouse: WarehouseSettings
    ledger: LedgerSettings = LedgerSettings()
    destinations: Annotated[dict[Name, EngageSettings], Field(min_length=1), AfterValidator(_named)]
    activations: Annotated[dict[Name, Activation], AfterValidator(_named)] = Field(
        default_factory=dict
    )
    alerts: tuple[Alert, ...] = ()

    @model_validator(mode="after")
    def _names_for_all(self) -> "Project":
        named = {name: activation.named(name) for name, activation in self.activations.items()}
        object.__setattr__(self, "activations", named)
        return self

    def destination_of(self, activation: Activation) -> str:
        """The name of the destination of `activation`."""
        return activation.destination or next(iter(self.destinations))

    def place_of(self, activation: Activation) -> Place:
        """Where the interactions of `activation` go."""
        return self.destinations[self.destination_of(activation)].place


@dataclass(frozen=True, slots=True)
class Settings:
    """A project as it was read from `file`, and where each key of it stands."""

    project: Project
    file: Path
    marks: Mapping[KeyPath, tuple[int, int]]

    @property
    def base(self) -> Path:
        """Where relative paths start."""
        return self.file.parent

    def activation(self, name: str) -> Activation:
        """The activation `name`. Raises ConfigurationError."""
        if name not in self.project.activations:
            hint = did_you_mean(name, list(self.project.activations))
            raise ConfigurationError(f'there is no activation "{name}" in {self.file}{hint}')
        return self.project.activations[name]

    def destination_at(self, activation: str, destination: str, place: Place | None) -> str:
        """The destination that rows of `activation` went to, when it was called `destination` and
        was at `place`. Raises ConfigurationError when it is no longer configured so."""
        known = self.project.destinations
        went = f'the rows of "{activation}" went to the destination "{destination}"'
        if destination not in known:
            here = [n for n, d in known.items() if place is not None and d.place.covers(place)]
            hint = (
                f'; "{here[0]}" is at the same address: call it {destination} again'
                if here
                else did_you_mean(destination, list(known))
            )
            raise ConfigurationError(f"{went}, which the configuration has no more{hint}")
        now = known[destination].place
        if place is not None and not now.covers(place):
            raise ConfigurationError(
                f"{went} at {place.address}, and in {self.file} that is at {now.address}. If it is"
                f" the same one under a new address, add previous_url: {place.address} to"
                f" destinations.{destination}"
            )
        return destination

    def located(self, problem: Problem) -> str:
        """`problem` with file, line and column, as far as they are known."""
        return _located(self.file, self.marks, problem) if problem.path else problem.message


def load(file: Path, environment: Mapping[str, str] | None = None) -> Settings:
    """Read and check `file`. Raises ConfigurationError with every mistake in it.

    `environment` is os.environ by default; it wins over a `.env` beside the file.
    """
    text = _text_of(file)
    variables = dict(dotenv_values(file.parent / ".env", interpolate=False))
    variables.update(os.environ if environment is None else environment)
    parsed = parse(text, file, "a mapping with version, warehouse and so on", variables)
    with _placed(file, parsed.marks):
        project = _checked(parsed.content, parsed.problems)
        _refuse_dangling(project)
    return Settings(project, file, parsed.marks)


@dataclass(frozen=True, slots=True)
class Parsed:
    """The values of a YAML file, where each key of it stands, and what is wrong with it."""

    content: Any
    marks: Mapping[KeyPath, tuple[int, int]]
    problems: list[Problem]

    def place(self, path: KeyPath) -> tuple[int, int]:
        """Line and column of `path`, or of the nearest key above it that is written out."""
        return _mark_of(self.marks, path)


def parse(
    text: str, file: Path, expected: str, variables: Mapping[str, str | None] | None = None
) -> Parsed:
    """Read YAML 1.2. Without `variables`, `${NAME}` is a text like any other.

    Raises ConfigurationError, saying what was `expected`, when it is no YAML or no mapping.
    """
    reader = _Reader(variables)
    try:
        content = reader.value(_compose(text, file, expected), ())
    except RecursionError:
        raise ConfigurationError(f"{file}: a part of it contains itself") from None
    except ValueError as error:
        raise ConfigurationError(f"{file}: a number cannot be read: {error}") from None
    return Parsed(content, reader.marks, reader.problems)


def json_schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of the file, for editors."""
    schema = _with_variables(Project.model_json_schema())
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "activations.yaml",
        **schema,
    }


def _with_variables(schema: Any) -> Any:
    """`schema`, with `${NAME}` allowed wherever something else than text is expected."""
    if isinstance(schema, list):
        return [_with_variables(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    inner = {key: _with_variables(part) for key, part in schema.items()}
    if inner.get("type") in ("number", "integer", "boolean"):
        about = {key: inner.pop(key) for key in ("title", "description", "default") if key in inner}
        return {**about, "anyOf": [inner, {"type": "string", "pattern": r"\$\{"}]}
    return inner


def _has_a_port(url: str) -> bool:
    """Whether the port in `url`, if there is one, can be one."""
    try:
        return urlsplit(url).port != 0
    except ValueError:
        return False


def is_loopback(host: str) -> bool:
    """Whether `host` is this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _text_of(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise ConfigurationError(
            f"there is no {file}; `connector init` makes a project, --config names another file"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"cannot read {file}: {error}") from None


def _compose(text: str, file: Path, expected: str) -> Node:
    try:
        node = YAML().compose(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"{file}:{mark.line + 1}:{mark.column + 1}" if mark else str(file)
        raise ConfigurationError(f"{place}: not valid YAML: {error.problem}") from None
    except YAMLError as error:
        raise ConfigurationError(f"{file}: not valid YAML: {type(error).__name__}") from None
    if not isinstance(node, MappingNode):
        raise ConfigurationError(f"{file}: expected {expected}")
    return node


class _Reader:
    """Turns YAML nodes into values, fills in variables, and remembers where everything stands."""

    def __init__(self, variables: Mapping[str, str | None] | None) -> None:
        self._variables = variables or {}
        self._has_variables = variables is not None
        self.marks: dict[KeyPath, tuple[int, int]] = {}
        self.problems: list[Problem] = []

    def value(self, node: Node, path: KeyPath) -> Any:
        """The value of `node`, which stands at `path`."""
        self.marks.setdefault(path, (node.start_mark.line + 1, node.start_mark.column + 1))
        if isinstance(node, MappingNode):
            return self._mapping(node, path)
        if isinstance(node, SequenceNode):
            return [self.value(child, (*path, i)) for i, child in enumerate(node.value)]
        assert isinstance(node, ScalarNode)
        return self._scalar(node, path)

    def _mapping(self, node: MappingNode, path: KeyPath) -> dict[str, Any]:
        content: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = str(key_node.value)
            place = (*path, key)
            if key in content:
                self.marks[place] = _mark(key_node)
                self.problems.append(Problem(place, f'the key "{key}" stands twice'))
                continue
            self.marks[place] = _mark(key_node)
            content[key] = self.value(value_node, place)
        return content

    def _scalar(self, node: ScalarNode, path: KeyPath) -> Any:
        if not isinstance(node.value, str):
            return node.value
        if self._has_variables and "${" in node.value:
            return VARIABLE.sub(lambda match: self._variable(match, path), node.value)
        return _plain(str(node.tag).rpartition(":")[2], node.value)

    def _variable(self, match: re.Match[str], path: KeyPath) -> str:
        escaped, name, default = match.groups()
        if escaped:
            return match[0][1:]
        value = self._variables.get(name)
        if not value and default is not None:
            value = default
        if value is None:
            self.problems.append(
                Problem(
                    path,
                    f"the environment variable {name} is not set; set it, put it into .env beside"
                    f" the file, or write ${{{name}:-default}}",
                )
            )
            return ""
        return value


def _plain(kind: str, text: str) -> Any:
    """A scalar by its YAML 1.2 kind; times stay text, since the grammar reads them itself."""
    match kind:
        case "null":
            return None
        case "bool":
            return text.lower() == "true"
        case "int":
            return int(text.replace("_", ""), 0) if not text.isdigit() else int(text)
        case "float":
            return float(
                text.replace("_", "").lower().replace(".inf", "inf").replace(".nan", "nan")
            )
        case _:
            return text


def _checked(content: Any, problems: list[Problem]) -> Project:
    """The project in `content`. Raises ConfigurationError with `problems` and the grammar's own."""
    try:
        project = Project.model_validate(content)
    except ValidationError as error:
        told = {p.path for p in problems}
        found = [_problem(e) for e in error.errors(include_input=False, include_url=False)]
        problems = problems + [p for p in found if p.path not in told]
    if problems:
        raise ConfigurationError(*problems)
    return project


def _problem(error: Any) -> Problem:
    path: KeyPath = tuple(error["loc"])
    last = path[-1] if path else ""
    match error["type"]:
        case "extra_forbidden":
            known = _keys_at(path[:-1])
            return Problem(path, f'unknown key "{last}"{did_you_mean(str(last), known)}')
        case "missing":
            return Problem(path[:-1], f'the key "{last}" is missing')
        case "value_error":
            return Problem(path, f"{last}: {error['ctx']['error']}")
        case "literal_error":
            return Problem(path, f"{last}: expected {error['ctx']['expected']}")
        case _:
            message = error["msg"].replace("Input should be", "expected").split(", unable")[0]
            return Problem(path, f"{last}: {message[0].lower()}{message[1:]}")


def _keys_at(path: KeyPath) -> list[str]:
    """The keys that the grammar has at `path`."""
    kind: Any = Project
    for key in path:
        field = kind.model_fields.get(str(key))
        kind = _closed_in(field.annotation) if field else kind  # or a name in a mapping of parts
    return list(kind.model_fields)


def _closed_in(annotation: Any) -> Any:
    """The part of the grammar inside an annotation such as `dict[str, X] | None`."""
    if isinstance(annotation, type) and issubclass(annotation, Closed):
        return annotation
    for argument in get_args(annotation):
        if found := _closed_in(argument):
            return found
    return None


def _refuse_dangling(project: Project) -> None:
    problems = []
    for name, activation in project.activations.items():
        path: KeyPath = ("activations", name, "destination")
        if activation.destination is None:
            if len(project.destinations) > 1:
                hint = ", ".join(project.destinations)
                problems.append(Problem(path[:-1], f'"{name}" needs a destination; one of: {hint}'))
        elif activation.destination not in project.destinations:
            hint = did_you_mean(activation.destination, list(project.destinations))
            problems.append(
                Problem(path, f'there is no destination "{activation.destination}"{hint}')
            )
        problems += _schedule_problems(name, activation)
    if problems:
        raise ConfigurationError(*problems)


def _schedule_problems(name: str, activation: Activation) -> list[Problem]:
    if activation.schedule is None:
        return []
    from connector.scheduler import trigger_of  # only those who schedule pay for the import

    try:
        trigger_of(activation.schedule)
    except ValueError as error:
        return [Problem(("activations", name, "schedule"), f"schedule: {error}")]
    return []


@contextmanager
def _placed(file: Path, marks: Mapping[KeyPath, tuple[int, int]]) -> Iterator[None]:
    """Puts file, line and column before every problem, in the order of the file."""
    try:
        yield
    except ConfigurationError as error:
        ordered = sorted(error.problems, key=lambda p: _mark_of(marks, p.path))
        raise ConfigurationError(
            *(Problem(p.path, _located(file, marks, p)) for p in ordered)
        ) from None


def _located(file: Path, marks: Mapping[KeyPath, tuple[int, int]], problem: Problem) -> str:
    line, column = _mark_of(marks, problem.path)
    return f"{file}:{line}:{column}: {problem.message}"


def _mark_of(marks: Mapping[KeyPath, tuple[int, int]], path: KeyPath) -> tuple[int, int]:
    """Where `path` stands, or the nearest key above it that is written out."""
    while path and path not in marks:
        path = path[:-1]
    return marks.get(path, (1, 1))


def _mark(node: Node) -> tuple[int, int]:
    return node.start_mark.line + 1, node.start_mark.column + 1
