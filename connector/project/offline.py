"""Hold a project against all that needs no connection and no secret: grammar, files, queries.

For a pull request, and for whoever writes: a variable that is not set is a warning, and nothing is
asked of a warehouse, a ledger or a destination.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache, partial
from pathlib import Path
from typing import Literal

from connector.basis import dataclass
from connector.basis.near import perhaps
from connector.destinations.kinds import Kinds
from connector.destinations.port import AnyKind
from connector.ledger.engine import ledger_path, refuse_others
from connector.project.dbt import gate_of, manifest_file, told_of
from connector.project.lenient import grammar_of
from connector.project.settings import Settings, written_in
from connector.project.urls import url_of
from connector.rules.activation import Activation, Model
from connector.rules.deed import Document
from connector.rules.errors import ConfigurationError, Mark, Problem, did_you_mean, of_activation
from connector.rules.errors import Path as KeyPath
from connector.rules.schema import InteractionSchema
from connector.rules.selection import is_meant
from connector.schemas.files import FOLDER, folder_files, local_schema
from connector.sync.preflight import refuse_misfits
from connector.warehouse.models import query_of
from connector.warehouse.spelling import spelling_of
from connector.warehouse.unopened import columns_of, dialect_of


@dataclass(frozen=True, slots=True)
class Remark:
    """One thing that was found, and where."""

    level: Literal["error", "warning"]
    rule: str
    message: str
    mark: Mark

    def document(self) -> Document:
        return {
            "file": str(self.mark.file),
            "line": self.mark.line,
            "column": self.mark.column,
            "rule": self.rule,
            "level": self.level,
            "message": self.message,
        }


@dataclass(frozen=True, slots=True)
class Offline:
    """What was found in `files` files with `activations` activations."""

    remarks: Sequence[Remark]
    files: int
    activations: int

    @property
    def exit_code(self) -> int:
        return 2 if any(remark.level == "error" for remark in self.remarks) else 0

    def document(self) -> Document:
        return {
            "ok": self.exit_code == 0,
            "files": self.files,
            "activations": self.activations,
            "findings": [remark.document() for remark in self.remarks],
        }


def check_offline(
    file: Path, selectors: Sequence[str] = (), environment: Mapping[str, str] | None = None
) -> Offline:
    """All mistakes of the project in `file` that can be seen from here; of some activations alone
    where `selectors` choose them. Raises ConfigurationError for a selector that chooses none."""
    try:
        written = written_in(file, environment, lenient=True)
    except ConfigurationError as error:
        return Offline([_error(p, Mark(file, 1, 1)) for p in error.problems], 1, 0)
    project, problems = grammar_of(written)
    chosen, hints = None, list[Remark]()
    if project is not None:
        settings = Settings(project, written)
        schema_of = cache(partial(local_schema, settings.base))
        problems += [*_of_warehouse(settings), *_of_ledger(settings)]
        if selectors:
            chosen = _chosen(settings, selectors)
        for activation in project.activations.values():
            if chosen is None or activation.name in chosen:
                problems += _of_activation(settings, activation, schema_of)
                hints += _of_dbt(settings, activation)
                hints += _of_schema(settings, activation, schema_of)
    found = [
        _error(p, written.mark(p.path))
        for p in written.in_order(problems)
        if (chosen is None or _is_about(p, chosen)) and not _is_unset(p.path, written.unset)
    ]
    unset = {
        (written.mark(path), said): Remark("warning", "variable-not-set", said, written.mark(path))
        for path, said in written.unset.items()
        if said
    }
    content = written.content if isinstance(written.content, dict) else {}
    named = content.get("activations")
    number = len(named) if isinstance(named, dict) else 0
    return Offline([*found, *unset.values(), *hints], len(written.files), number)


def _chosen(settings: Settings, selectors: Sequence[str]) -> set[str]:
    """The names that `selectors` choose, also of activations that the grammar did not take. Raises
    ConfigurationError for a selector that chooses none."""
    named = settings.written.content.get("activations")
    written = named.items() if isinstance(named, dict) else ()
    broken = {str(n): keys for n, keys in written if n not in settings.project.activations}
    chosen = set[str]()
    for selector in selectors:
        meant = {name for name, keys in broken.items() if is_meant(selector, name, keys)}
        try:
            chosen |= meant | {each.name for each in settings.selected([selector])}
        except ConfigurationError:
            if not meant:
                raise
            chosen |= meant
    return chosen


def _error(problem: Problem, mark: Mark) -> Remark:
    return Remark("error", problem.rule, problem.message, problem.mark or mark)


def _is_about(problem: Problem, chosen: set[str]) -> bool:
    """Whether it is of no activation at all, or of one that was chosen."""
    return (
        problem.path[:1] != ("activations",)
        or problem.path[1:2] == ()
        or (problem.path[1] in chosen)
    )


SAID_SHORT: Sequence[KeyPath] = ((), ("column",), ("value",), (0,))
"""Of keys that may be written as one word: what else the word stands under."""


def _is_unset(path: KeyPath, unset: Iterable[KeyPath]) -> bool:
    """Whether what is wrong at `path` is only that a variable is not set there."""
    whole = {(*path, *rest) for rest in SAID_SHORT}
    return any(each in whole or path[: len(each)] == each for each in unset)


# --- what the grammar does not see ----------------------------------------------------------------


def _of_warehouse(settings: Settings) -> Iterator[Problem]:
    """Whether its url is one; whose driver is installed is another question."""
    url = settings.project.warehouse.url
    if url is None or ("warehouse", "url") in settings.written.unset:
        return
    try:
        url_of("warehouse", url.get_secret_value())
    except ConfigurationError as error:
        yield from error.problems


def _of_ledger(settings: Settings) -> Iterator[Problem]:
    """Whether a ledger can be there."""
    if ("ledger", "url") in settings.written.unset:
        return
    try:
        url = url_of("ledger", settings.project.ledger.url.get_secret_value())
        if refuse_others(url) == "sqlite":
            ledger_path(url)
    except ConfigurationError as error:
        yield from error.problems


def _kind(settings: Settings, activation: Activation) -> AnyKind | None:
    """Where it goes, as far as that is known here."""
    try:
        name = settings.project.destination_of(activation)
        return Kinds()[settings.project.destinations[name].type]
    except LookupError:
        return None


def _of_activation(
    settings: Settings,
    activation: Activation,
    schema_of: Callable[[str], InteractionSchema | None],
) -> Iterator[Problem]:
    """Its files, its queries and the schema of the project."""
    path: KeyPath = ("activations", activation.name)
    yield from _of_model(settings, activation.model, (*path, "model"), activation)
    if activation.contact.table:
        yield from _of_model(settings, activation.contact.table, (*path, "contact", "lookup"))
    try:
        kind = _kind(settings, activation)
        said_here = kind.shape if kind else None
        schema = said_here(activation, settings.base) if said_here else schema_of(activation.target)
        if schema:
            refuse_misfits(activation, schema)
    except ConfigurationError as error:
        for problem in error.problems:
            yield replace(
                problem, path=problem.path or (*path, activation.target_key), rule="schema"
            )


def _of_schema(
    settings: Settings,
    activation: Activation,
    schema_of: Callable[[str], InteractionSchema | None],
) -> Iterator[Remark]:
    """Whether its schema may be meant to be one of the project's: those that only the destination
    has are no mistake."""
    kind = _kind(settings, activation)
    path: KeyPath = ("activations", activation.name, activation.target_key)
    if kind is None or kind.shape or path in settings.written.unset:
        return
    with suppress(ConfigurationError):
        ids = [each.stem for each in folder_files(settings.base)]
        if schema_of(activation.target) is None and (near := perhaps(activation.target, ids)):
            said = f'activation "{activation.name}": no file in {FOLDER} is of the schema'
            text = f'{said} "{activation.target}", so nothing is held against it{near}'
            yield Remark("warning", "no-schema-file", text, settings.mark(path))


def _of_dbt(settings: Settings, activation: Activation) -> Iterator[Remark]:
    """What dbt does not test, or has built elsewhere: no mistakes of what is written here. A model
    that is not there is told where the model is looked at."""
    path: KeyPath = ("activations", activation.name)
    try:
        for advice, text in told_of(settings, activation):
            if advice:
                mark = settings.mark((*path, "row_key"))
                yield Remark("warning", "dbt-tests", text, mark)
        gate = gate_of(settings, activation)
        if gate and gate.pinned:
            look = replace(gate, passed=False, max_age=None).look(None, datetime.now(UTC))
            if look.barred:
                mark = settings.mark((*path, "model"))
                yield Remark("warning", "dbt-target", look.barred.short, mark)
    except ConfigurationError:
        return


def _of_model(
    settings: Settings, model: Model, path: KeyPath, activation: Activation | None = None
) -> Iterator[Problem]:
    if any(each[: len(path)] == path for each in settings.written.unset):
        return  # which model it is, is not known here
    warehouse = settings.project.warehouse
    unset = warehouse.url is None or ("warehouse", "url") in settings.written.unset
    dialect = dialect_of(
        None if unset or warehouse.url is None else warehouse.url.get_secret_value()
    )
    manifest = manifest_file(settings)
    try:
        sql = query_of(model, path, f"the {path[-1]}", dialect, settings.base, manifest)
    except ConfigurationError as error:
        yield from (replace(problem, rule="model") for problem in error.problems)
        return
    names = columns_of(sql, dialect) if activation else None
    if activation is None or names is None:
        return
    spelling = spelling_of(activation.columns.values(), names)
    for where, column in activation.columns.items():
        if column not in spelling:
            said = f'the model has no column "{column}"{did_you_mean(column, names)}'
            problem = of_activation(activation.name, *where, text=said)
            yield replace(problem, rule="no-such-column")
