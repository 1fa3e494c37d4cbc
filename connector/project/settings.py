"""Read `activations.yaml`: from text to a checked project, or to every mistake with its place.

YAML 1.2 of one file or several (`files`) with its variables filled in (`variables`), then the
closed grammar. A mistake is reported with file, line and column, all at a time, and never with the
value that was found: that could be a secret.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from connector.basis import dataclass
from connector.destinations.kinds import ANY_KIND, ActivationKeys, ByKind, Kinds, Named, keys_at
from connector.destinations.secrets import Secrets
from connector.destinations.settings import DestinationSettings
from connector.rules.activation import Activation
from connector.rules.alerting import Alerts
from connector.rules.dbt.grammar import DbtConnection, DbtSettings
from connector.rules.errors import ConfigurationError, Mark, Problem, did_you_mean
from connector.rules.errors import Path as KeyPath
from connector.rules.grammar import Closed, Duration, Name, Names, Zone, plain_number
from connector.rules.keeping import SHORTEST, too_short
from connector.rules.mistakes import mistakes
from connector.rules.place import Place
from connector.rules.selection import is_meant, select
from connector.rules.serving import ServeSettings
from connector.rules.variables import fetch_none, variables_for
from connector.rules.window import window_of
from connector.rules.words import percent
from connector.rules.written import Written, read

NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
SCHEMA = re.compile(r"[a-z_][a-z0-9_]{0,62}")
SHORTEST_KEY = 32


def _named(names: Mapping[str, Any]) -> Any:
    for name in names:
        if not NAME.fullmatch(name):
            raise ValueError(f'the name "{name}" may hold only letters, digits, "_", "-" and "."')
    return names


class WarehouseSettings(Closed):
    """Where the models are read."""

    url: SecretStr | None = None
    """Any SQLAlchemy URL: duckdb:///shop.duckdb, postgresql://user:password@host/shop …"""
    dbt: DbtConnection | None = None
    """Instead of url: the connection that is written in dbt's profiles.yml."""
    connect_args: dict[str, Any] = Field(default_factory=dict, repr=False)
    """What the driver is given beside the URL, such as private_key_file; secrets as ${NAME}. What
    ends in _file or _path is relative to this file."""
    session: Names = Field(default=(), repr=False)
    """SQL that is run on each connection before anything is read, such as USE ROLE."""
    timezone: Zone | None = None
    """What times without a zone mean; may be given per column instead."""
    lock_timeout: Duration = timedelta(seconds=60)
    """How long to wait for a DuckDB file that somebody else writes."""
    dbt_manifest: Name = "target/manifest.json"
    """Where dbt describes its models, for `model: {dbt: …}`. Left out beside `dbt`: where dbt
    writes it."""

    @model_validator(mode="after")
    def _one_connection(self) -> "WarehouseSettings":
        if self.url is None and self.dbt is None:
            raise ValueError('the key "url" is missing (or dbt, for a connection of profiles.yml)')
        if self.url is not None and self.dbt is not None:
            raise ValueError("expected one of url and dbt, not both")
        return self


class LedgerSettings(Closed):
    """Where it is remembered what was recorded, tried and answered."""

    url: SecretStr = SecretStr("sqlite:///.connector/ledger.db")
    """SQLite or PostgreSQL."""
    schema_name: Name | None = Field(default=None, alias="schema")
    """PostgreSQL: the schema that the tables are in, made at the first start; so many projects
    share a database. Left out: where the server's search_path puts them, usually public."""
    lease: Duration = timedelta(seconds=30)
    """How long a run that fell silent keeps its activation."""
    keep: Duration | None = None
    """For how long all is kept of delivered rows, and of runs, such as 400d: of older rows only by
    what they are known again, so that they are never sent again. Left out: for ever."""
    receipt_key: SecretStr | None = None
    """What receipts of verifications are signed with, where several machines write them. Left out:
    a key that is made beside the ledger."""

    @field_validator("schema_name")
    @classmethod
    def _of_a_server(cls, schema: str | None, info: ValidationInfo) -> str | None:
        if schema is None:
            return None
        if not SCHEMA.fullmatch(schema) or schema.startswith("pg_"):
            raise ValueError(
                'expected at most 63 small letters, digits and "_", no digit first, such as'
                " crm_connector; names that begin with pg_ are PostgreSQL's own"
            )
        url = info.data.get("url")
        if url is not None and url.get_secret_value().startswith("sqlite"):
            raise ValueError(
                "a SQLite file has no schemas, and belongs to one project; take the key out, or"
                " write a url such as postgresql://user:password@host/connector"
            )
        return schema

    @field_validator("lease")
    @classmethod
    def _long_enough(cls, lease: timedelta) -> timedelta:
        if lease < timedelta(seconds=1):
            raise ValueError("expected a lease of 1s or longer")
        return lease

    @field_validator("keep")
    @classmethod
    def _a_day_at_least(cls, keep: timedelta | None) -> timedelta | None:
        if keep is not None and keep < SHORTEST:
            raise ValueError("expected 1d or longer; left out, everything is kept")
        return keep

    @field_validator("receipt_key")
    @classmethod
    def _hard_to_guess(cls, key: SecretStr | None) -> SecretStr | None:
        if key is not None and len(key.get_secret_value()) < SHORTEST_KEY:
            raise ValueError(f"expected {SHORTEST_KEY} characters or more: openssl rand -hex 32")
        return key


class Project(Closed):
    """The whole file."""

    version: Annotated[Literal[1], BeforeValidator(plain_number)]
    name: Name | None = None
    """What pages and alerts call the project; left out: the name of the file's folder."""
    environment: Name | None = None
    """Which of several it is, such as production or staging, for pages and alerts."""
    warehouse: WarehouseSettings
    dbt: DbtSettings | None = None
    ledger: LedgerSettings = LedgerSettings.model_construct()
    destinations: Annotated[
        dict[Name, Annotated[DestinationSettings, ByKind("settings")]],
        Field(min_length=1),
        AfterValidator(_named),
    ]
    activations: dict[Name, Annotated[Activation, ByKind("activation")]] = Field(
        default_factory=dict
    )
    include: Names = ()
    """More files, such as activations/*.yaml, relative to this one; each has activations alone."""
    defaults: dict[Name, Any] = Field(default_factory=dict)
    """Any keys of an activation: what one of them leaves out is filled in from here."""
    alerts: Alerts = ()
    """Whom `connector serve` tells: one entry, or a list of them."""
    serve: ServeSettings = ServeSettings.model_construct()

    @model_validator(mode="after")
    def _names_for_all(self) -> "Project":
        named = {name: activation.named(name) for name, activation in self.activations.items()}
        object.__setattr__(self, "activations", named)
        return self

    def destination_of(self, activation: Activation) -> str:
        return activation.destination or next(iter(self.destinations))

    def kept_too_short(self, keep: timedelta | None) -> list[Problem]:
        """What looks further back at delivered rows than these are to be kept."""
        needs = [
            (f"destinations.{name}.settle_after", there.timeout + there.settle_after)
            for name, there in self.destinations.items()
        ]
        for name, activation in self.activations.items():
            if activation.per_contact:
                needs.append((f"activations.{name}.per_contact", activation.per_contact.every))
            if activation.verify and activation.verify.every:
                needs.append((f"activations.{name}.verify", activation.verify.every))
        return list(too_short(keep, needs))

    def place_of(self, activation: Activation) -> Place:
        """Where the interactions of `activation` go."""
        return self.destinations[self.destination_of(activation)].place


@dataclass(frozen=True, slots=True)
class Settings:
    """A project as it was read from `file`, and what it includes, and where each key stands."""

    project: Project
    written: Written

    @property
    def file(self) -> Path:
        """The project's own file."""
        return self.written.file

    @property
    def name(self) -> str:
        """What people call the project."""
        return self.project.name or self.file.absolute().parent.name

    @property
    def base(self) -> Path:
        """Where relative paths start."""
        return self.file.parent

    def activation(self, name: str) -> Activation:
        """The activation of this very name. Raises ConfigurationError."""
        if name not in self.project.activations:
            hint = did_you_mean(name, list(self.project.activations))
            raise ConfigurationError(f'there is no activation "{name}" in {self.file}{hint}')
        return self.project.activations[name]

    def selected(self, selectors: Sequence[str]) -> list[Activation]:
        """The activations that names, patterns, tags and owners choose. Raises ConfigurationError
        for what chooses none."""
        known = self.project.activations
        return [known[name] for name in select(selectors, known, str(self.file))]

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

    def mark(self, path: KeyPath) -> Mark:
        """Where `path` stands, or the nearest key above it that is written out."""
        return self.written.mark(path)

    def located(self, problem: Problem) -> str:
        """`problem` with file, line and column, as far as they are known."""
        return self.written.placed(problem).text if problem.path else problem.text


def load(file: Path, environment: Mapping[str, str] | None = None) -> Settings:
    """Read and check `file`, and what it includes. Raises ConfigurationError with every mistake.

    `environment` is os.environ by default; it wins over a `.env` beside the file.
    """
    written = written_in(file, environment)
    checked = checked_of(written.content)
    if problems := written.in_order(checked.problems):
        raise ConfigurationError(*problems)
    assert checked.project is not None
    return Settings(checked.project, written)


def written_in(
    file: Path, environment: Mapping[str, str] | None = None, lenient: bool = False
) -> Written:
    """What stands in `file` and what it includes, not checked yet. `lenient`: a variable that is
    not set is no mistake, and no secret is fetched. Raises ConfigurationError."""
    secrets = Secrets(file.parent)
    fetch = fetch_none if lenient else secrets
    written = read(file, variables_for(file, environment, fetch), ActivationKeys(), lenient)
    return replace(written, files=[*written.files, *secrets.files])


@dataclass(frozen=True, slots=True)
class Checked:
    """What the grammar makes of what is written. `project`: as far as there are no mistakes in it;
    None where no part can stand without one that is wrong."""

    project: Project | None
    problems: Sequence[Problem]


def checked_of(content: Any) -> Checked:
    """Hold `content` against the grammar; an activation with a mistake keeps none of another's from
    being told."""
    project, problems = _validated(content)
    if misnamed := list(_misnamed(content)):
        project, problems = None, [*misnamed, *problems]
    if project is None and isinstance(content, dict):
        good = _without_wrong(content, problems)
        project = _validated(good)[0] if good is not None else None
    if project is None:
        return Checked(None, problems)
    written = content.get("activations") or {}
    left_out = {name: keys for name, keys in written.items() if name not in project.activations}
    return Checked(project, [*problems, *_dangling(project, left_out)])


def _misnamed(content: Any) -> Iterator[Problem]:
    """Activations whose names may not be."""
    activations = content.get("activations") if isinstance(content, dict) else None
    for name in activations if isinstance(activations, dict) else ():
        try:
            _named({name: None})
        except ValueError as error:
            yield Problem(("activations", name), str(error), "wrong-value")


def _without_wrong(content: Mapping[str, Any], problems: Sequence[Problem]) -> Any:
    """`content` without the activations that have mistakes; None where others have some."""
    wrong = {p.path[1] for p in problems if p.path[:1] == ("activations",) and len(p.path) > 1}
    if any(p.path[:1] != ("activations",) or len(p.path) < 2 for p in problems):
        return None
    left = {name: each for name, each in content["activations"].items() if name not in wrong}
    return {**content, "activations": left}


def json_schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of the file, for editors."""
    schema = _with_variables(Project.model_json_schema())
    schema["properties"]["defaults"] |= _defaults_schema(schema)
    included = {"required": ["activations"], "maxProperties": 1}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "activations.yaml",
        **schema,
        # an included file has activations alone
        "anyOf": [{"required": schema.pop("required")}, included],
    }


def _defaults_schema(schema: dict[str, Any]) -> dict[str, Any]:
    """What `defaults` may hold: any key of an activation of any kind, and of a contact a part."""
    kinds = schema["properties"]["activations"]["additionalProperties"]["anyOf"]
    written = [schema["$defs"].get(each.get("$ref", "").rpartition("/")[2], each) for each in kinds]
    keys = {key: value for each in reversed(written) for key, value in each["properties"].items()}
    part = {"type": "object", "description": keys["contact"].get("description", "")}
    return {"properties": {**keys, "contact": part}, "additionalProperties": False}


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


def _validated(content: Any) -> tuple[Project | None, list[Problem]]:
    named = Named(content, Kinds())
    try:
        return Project.model_validate(content, context=named), []
    except ValidationError as error:
        return None, mistakes(error, content, partial(keys_at, named, Project))


def _dangling(project: Project, left_out: Mapping[str, Any]) -> list[Problem]:
    """What names something that is not there, or does not go with it. `left_out`: activations that
    are written, and have mistakes."""
    problems: list[Problem] = []
    for name, activation in project.activations.items():
        path: KeyPath = ("activations", name, "destination")
        if activation.destination is None:
            if len(project.destinations) > 1:
                hint = ", ".join(project.destinations)
                said = f'"{name}" needs a destination; one of: {hint}'
                problems.append(Problem(path[:-1], said, "missing-key"))
        elif activation.destination not in project.destinations:
            hint = did_you_mean(activation.destination, list(project.destinations))
            said = f'there is no destination "{activation.destination}"{hint}'
            problems.append(Problem(path, said, "no-such-destination"))
        there = project.destinations.get(project.destination_of(activation))
        if there and there.type != ANY_KIND:
            found = there.problems_with(activation)
            problems += [Problem(("activations", name, *p.path), p.message) for p in found]
            problems += _of_kind(name, activation, there)
        try:
            window_of(activation, project.warehouse.timezone)
        except ValueError as error:
            problems.append(Problem(("activations", name, "send"), f"send: {error}"))
        for key, rhythm in (("schedule", activation.schedule), ("verify", activation.verify)):
            if rhythm and rhythm.cron:
                problems += _not_cron(("activations", name, key), rhythm.cron)
    problems += _of_earlier_names(project)
    problems += _more_than_all(project)
    problems += _of_hooks(project, left_out)
    return [*problems, *project.kept_too_short(project.ledger.keep)]


def _of_earlier_names(project: Project) -> Iterator[Problem]:
    """Earlier names that are somebody's still, or of two: the rows recorded under one go along with
    one activation, and any other would send all of them again."""
    taken: dict[str, str] = {}
    for name, activation in project.activations.items():
        earlier = activation.renamed_from
        if not isinstance(earlier, str) or earlier == name:
            continue
        first = taken.setdefault(earlier, name)
        if earlier in project.activations:
            text = (
                f'"{earlier}" is still configured. If "{name}" is "{earlier}" under a new name,'
                f' take "{earlier}" out; if it is another one, say renamed_from: false'
            )
        elif first != name:
            text = (
                f'"{first}" says so too, and only one of them can have the rows that were sent as'
                f' "{earlier}". Say renamed_from: false in the one that is new'
            )
        else:
            continue
        yield Problem(("activations", name, "renamed_from"), f"renamed_from: {earlier}: {text}")


def _of_hooks(project: Project, left_out: Mapping[str, Any]) -> Iterator[Problem]:
    """What a webhook is to begin, or an alert is to tell of, and is not there."""
    hook = project.serve.hooks.dbt
    chosen: list[tuple[KeyPath, str, Sequence[str]]] = [
        (("alerts", number), f"alerts, entry {number + 1}", alert.activations)
        for number, alert in enumerate(project.alerts)
    ]
    if hook:
        chosen.append((("serve", "hooks", "dbt"), "serve.hooks.dbt", hook.activations))
    for path, called, selectors in chosen:
        for number, selector in enumerate(selectors):
            if any(is_meant(selector, name, keys) for name, keys in left_out.items()):
                continue
            try:
                select([selector], project.activations, "the configuration")
            except ConfigurationError as error:
                where = (*path, "activations", number)
                yield Problem(where, f"{called}: {error}", "no-such-activation")


def _more_than_all(project: Project) -> Iterator[Problem]:
    """Shares of one key that are more than there is."""
    keys: dict[str, list[Activation]] = {}
    for activation in project.activations.values():
        there = project.destinations.get(project.destination_of(activation))
        if there and activation.share is not None:
            keys.setdefault(there.pace, []).append(activation)
    for sharing in keys.values():
        total = sum(activation.share or 0.0 for activation in sharing)
        if total > 1 + 1e-9:
            each = ", ".join(f"{a.name} {percent(a.share or 0)}" for a in sharing)
            yield Problem(
                ("activations", sharing[-1].name, "share"),
                f"share: those that use the same credentials have {percent(total)} together, and"
                f" 100% is all there is: {each}",
            )


def _not_cron(where: KeyPath, cron: str) -> list[Problem]:
    from connector.rules.due import five_fields  # only those who schedule pay for it

    try:
        five_fields(cron)
    except ValueError as error:
        return [Problem(where, f"{where[-1]}: {error}")]
    return []


def _of_kind(
    name: str, activation: Activation, destination: DestinationSettings
) -> Iterator[Problem]:
    """What does not go with the kind of a destination: that it is verified, or a mode."""
    kind, path = Kinds()[destination.type], ("activations", name)
    can, called = kind.can(destination), kind.called or kind.title
    if activation.verify is not None and not can.shows:
        text = f"verify: {called} cannot be asked what it has of a row; take the key out"
        yield Problem((*path, "verify"), text)
    for p in activation.problems_of_mode(can.takes_back, called):
        yield Problem((*path, *p.path), p.message)
