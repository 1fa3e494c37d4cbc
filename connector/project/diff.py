"""What an edit of models or YAML means for rows, before it is merged. Writes and sends nothing.

The earlier version comes from Git (`checkout`), the rows from the warehouse of now, and what was
sent from the ledger of now.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import field, replace
from pathlib import Path
from typing import Any, Literal

import orjson

from connector.basis import dataclass
from connector.destinations.port import AnyDestination, Item, Parcel, References
from connector.project.app import App
from connector.project.checkout import Earlier, as_sql, earlier
from connector.project.dbt import manifest_file
from connector.project.lenient import grammar_of
from connector.project.settings import Settings, written_in
from connector.rules.activation import Activation
from connector.rules.deed import Document
from connector.rules.delivery import TO_BE_SENT
from connector.rules.errors import ConfigurationError, ConnectorError
from connector.rules.interaction import Interaction
from connector.rules.schema import InteractionSchema
from connector.schemas.files import local_schema
from connector.sync.outlook import Would
from connector.sync.preflight import preflight, refuse_misfits
from connector.sync.preview import Forecast
from connector.sync.versions import Difference, EarlierRows, Example, compare

NOW = "(now)"
"""Stands for the time at which a row is staged."""
NOT_LOOKED = "no row was looked at: --offline"
NO_LEDGER = "there is no ledger here, so nothing is known of what was sent"
Foresee = Callable[[App, Activation, int, bool], Awaitable[Forecast]]
NOTHING_TOLD = ("description", "owner", "tags")
"""Keys that mean nothing for rows."""


@dataclass(slots=True)
class Changed:
    """What became of one activation. `parts`: the keys that were edited; `problems`: what keeps
    the later version from running at all; `rows` None: nobody looked."""

    name: str
    change: Literal["added", "removed", "renamed", "changed"]
    parts: Sequence[str] = ()
    was: str | None = None
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    rows: Difference | None = None
    forecast: Forecast | None = None
    examples: list[Document] = field(default_factory=list)
    recorded: Document | None = None
    """Of one that is removed: how many of its rows are recorded, by state."""

    @property
    def needs_a_look(self) -> bool:
        """Whether somebody should look before this is merged."""
        again = self.rows is not None and self.rows.sent_again > 0
        if self.forecast is None:
            return bool(self.problems or again)
        foreseen = self.forecast.counted
        held = foreseen.outlook.would is Would.BE_HELD
        return bool(self.problems or again or foreseen.mapping or held)

    def document(self) -> Document:
        forecast = self.forecast.document() if self.forecast else None
        return {
            "activation": self.name,
            "change": self.change,
            "was": self.was,
            "parts": list(self.parts),
            "problems": self.problems,
            "notes": self.notes,
            "rows": self.rows.document() if self.rows else None,
            "next_run": forecast and _next_run(forecast),
            "mapping": forecast["mapping"] if forecast else [],
            "examples": self.examples,
            "recorded": self.recorded,
        }


def _next_run(forecast: Document) -> Document:
    """What the next run would do, of what a preview says."""
    rows = ("new", "pending", "behind", "invalid", "rejected", "already_recorded", "history")
    of_mirrors = [n for n in ("removed", "replaced", "returned", "dropped") if n in forecast]
    others = ("outlook", "reasons", "estimated_seconds")
    return {name: forecast[name] for name in (*rows, *of_mirrors, *others)}


@dataclass(frozen=True, slots=True)
class Review:
    """The edit as a whole. `unchanged`: activations that mean the same as before."""

    then: Earlier
    changes: Sequence[Changed]
    unchanged: int

    @property
    def exit_code(self) -> int:
        return 1 if any(each.needs_a_look for each in self.changes) else 0

    def document(self) -> Document:
        return {
            "against": self.then.reference,
            "commit": self.then.commit,
            "activations": [each.document() for each in self.changes],
            "unchanged": self.unchanged,
            "edited": list(self.then.edited),
            "notes": list(self.then.notes),
        }


def review_offline(file: Path, against: str, names: Sequence[str], state: Path | None) -> Review:
    """Which activations of `file` were edited, and in which parts; no row is looked at, and no
    secret is needed. Raises ConfigurationError."""
    written = written_in(file, lenient=True)
    project, problems = grammar_of(written)
    if project is None or problems:
        raise ConfigurationError(*written.in_order(problems))
    settings = Settings(project, written)
    then, changes, unchanged = _changes(settings, against, names, state)
    then = replace(then, notes=[*then.notes, NOT_LOOKED])
    return Review(then, [each.changed for each in changes], unchanged)


@dataclass(frozen=True, slots=True)
class Looking:
    """How rows are looked at: `foresee` is what previews an activation, with no requests; `show`:
    how many rows of each are shown."""

    app: App
    foresee: Foresee
    show: int


async def review(
    looking: Looking, against: str, names: Sequence[str], state: Path | None
) -> Review:
    """What the edit means for rows. Raises ConfigurationError, and what stands in the way of
    reading the later version."""
    app = looking.app
    app.only_look()
    then, changes, unchanged = _changes(app.settings, against, names, state)
    with app.reports() as reports:
        if not reports.has_ledger:
            then = replace(then, notes=[*then.notes, NO_LEDGER])
    for each in changes:
        if each.after is None:
            await asyncio.to_thread(_count_left, app, each.changed)
        else:
            await _look(looking, each, each.after, _others(app, then, each))
    return Review(then, [each.changed for each in changes], unchanged)


# --- which activations ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Edit:
    """An activation as it was and as it is; None: it was not, or is no more."""

    changed: Changed
    before: Activation | None
    after: Activation | None


def _changes(
    settings: Settings, against: str, names: Sequence[str], state: Path | None
) -> tuple[Earlier, list[Edit], int]:
    """Each activation that was edited, as it was and as it is."""
    then = earlier(settings, against, state)
    chosen = {each.name for each in settings.selected(names)} if names else None
    left, edits, unchanged = dict(then.activations), list[Edit](), 0
    for name, written in settings.project.activations.items():
        before = left.pop(name, None)
        was = written.renamed_from if isinstance(written.renamed_from, str) else None
        if before is None and was in left:
            before = left.pop(was).named(name)
        if chosen is not None and name not in chosen:
            continue
        changed = _changed(settings, then, written, before)
        if changed is None:
            unchanged += 1
        else:
            edits.append(Edit(changed, before, written))
    for name, before in left.items():
        if chosen is None:
            edits.append(Edit(Changed(name, "removed"), before, None))
    return then, edits, unchanged


def _changed(
    settings: Settings, then: Earlier, after: Activation, before: Activation | None
) -> Changed | None:
    """What of an activation was edited; None where nothing was that means anything for rows."""
    found = Changed(after.name, "added")
    if said := then.problems.get(after.name):
        found.change = "changed"
        found.notes.append(f"its earlier version cannot be read: {said}")
        return found
    if before is None:
        return found
    try:
        now = as_sql(after, settings.base, manifest_file(settings))
    except ConfigurationError as error:
        now = after
        found.problems += [problem.message for problem in error.problems]
    parts = list(_edited(before, now))
    if after.renamed_from and after.name not in then.activations:
        found.was, found.change = str(after.renamed_from), "renamed"
    elif parts or found.problems:
        found.change = "changed"
    else:
        return None
    found.parts = parts
    return found


def _edited(before: Activation, after: Activation) -> Iterator[str]:
    """The keys whose values differ."""
    was, now = before.model_dump(mode="json"), after.model_dump(mode="json")
    for name in dict.fromkeys((*was, *now)):
        if was.get(name) != now.get(name) and name not in (*NOTHING_TOLD, "renamed_from"):
            yield name


def _others(app: App, then: Earlier, edit: Edit) -> list[Activation]:
    """Activations, of now or before, whose rows went where those of the later version go, and which
    the ledger would not know again."""
    after, project = edit.after, app.settings.project
    if after is None or edit.before is not None:
        return []  # under one name no row goes twice, whatever was edited
    here = (project.destination_of(after), after.target)
    found = {}
    for each in (*project.activations.values(), *then.activations.values()):
        at = each.destination or project.destination_of(each)
        if each.name != after.name and (at, each.target) == here:
            found[each.name] = each
    return list(found.values())


# --- what it means for rows -----------------------------------------------------------------------


def _count_left(app: App, changed: Changed) -> None:
    with app.reports() as reports:
        counts = reports.counts(changed.name)
    changed.recorded = {state: number for state, number in counts.items() if number}
    if waiting := sum(counts[state] for state in TO_BE_SENT):
        changed.notes.append(f"rows that wait and would not be sent any more: {waiting:,}")


async def _look(
    looking: Looking, edit: Edit, after: Activation, others: Sequence[Activation]
) -> None:
    """Look at the rows of both versions."""
    app, changed = looking.app, edit.changed
    async with app.destination(app.settings.project.destination_of(after)) as client:
        schema, offline = await _schema(app, changed, after, client)
        if changed.problems:
            return
        reading = Reading(app, edit, after, schema)
        try:
            changed.rows = await asyncio.to_thread(reading.compare, others, looking.show)
            changed.forecast = await looking.foresee(app, after, 0, offline)
        except ConfigurationError as error:
            changed.problems += [problem.message for problem in error.problems]
            return
        changed.examples = list(reading.bodies(client, changed.rows.examples))


async def _schema(
    app: App, changed: Changed, after: Activation, client: AnyDestination
) -> tuple[InteractionSchema | None, bool]:
    """What rows are held against, and whether the destination could not be asked for it. A
    mapping that can never fit is a problem."""
    try:
        return await preflight(after, client), False
    except ConfigurationError as error:
        changed.problems += [problem.message for problem in error.problems]
        return None, False
    except ConnectorError as error:
        changed.notes.append(f"the destination could not be asked: {error}")
    try:
        if client.can.keeps_schemas:
            schema = local_schema(app.settings.base, after.target)
        else:
            schema = client.shape(after)
        if schema:
            refuse_misfits(after, schema)
    except ConfigurationError as error:
        changed.problems += [problem.message for problem in error.problems]
        return None, True
    return schema, True


@dataclass(frozen=True, slots=True)
class Reading:
    """Both versions of one activation; `schema`: what rows of the later one must fit."""

    app: App
    edit: Edit
    after: Activation
    schema: InteractionSchema | None

    def compare(self, others: Sequence[Activation], show: int) -> Difference:
        """Count the rows of both. Raises ConfigurationError where the later one would not run."""
        app, after, before = self.app, self.after, self.edit.before
        with app.reports() as reports:
            if problems := reports.identity_problems(after.name, app.identity(after)):
                raise ConfigurationError(*problems)
        with ExitStack() as stack:
            later = stack.enter_context(app.source(after, self.schema))
            rows = EarlierRows()
            if before is not None:
                schema = self.schema if before.target == after.target else None
                try:
                    rows = EarlierRows(stack.enter_context(app.source(before, schema)))
                except ConfigurationError as error:
                    said = f"its earlier version cannot be read any more: {error}"
                    self.edit.changed.notes.append(said)
            return compare(rows, later, others, show)

    def bodies(self, client: AnyDestination, examples: Sequence[Example]) -> Iterator[Document]:
        """What would be sent of each of `examples`, by either version."""
        with self.app.reports() as reports:
            origin = reports.origin(self.after.name) or self.after.name
        references = References(origin, client.reference_prefix)
        before = self.edit.before or self.after
        for each in examples:
            then, now = (
                None if content is None else _body(client, activation, reference, content)
                for reference in [references.of(each.row_key)]
                for activation, content in ((before, each.before), (self.after, each.after))
            )
            both = then is not None and now is not None
            yield {
                "row_key": each.row_key,
                "why": each.why,
                "before": then,
                "after": now,
                "differences": list(differing(then, now)) if both else [],
            }


def _body(
    client: AnyDestination, activation: Activation, reference: str, content: Interaction
) -> Any:
    """The body of the request. A contact that a run would look up stands as the row has it."""
    created = content.created or NOW
    item = Item(0, reference, content.contact, created, content.payload)
    body = client.compose(activation, Parcel(item.reference, (item,))).body
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return body.decode(errors="replace")


def differing(before: Any, after: Any, path: str = "") -> Iterator[str]:
    """The paths, with dots, at which two bodies differ."""
    if isinstance(before, dict) and isinstance(after, dict):
        for name in dict.fromkeys((*before, *after)):
            below = f"{path}.{name}" if path else name
            yield from differing(before.get(name), after.get(name), below)
    elif before != after:
        yield path
