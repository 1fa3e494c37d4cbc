"""Read dbt's manifest.json: which models there are, and which one is meant by a name.

Read tolerantly, since each version of dbt writes more than the one before: what is not known is
left alone, and what is missing has a default. Large projects have manifests of 50 MB, so only what
is asked for is kept, and that as long as the file stays as it is.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import field
from functools import lru_cache
from pathlib import Path
from typing import Any

import orjson

from connector.basis import dataclass
from connector.rules.errors import ConfigurationError, Problem, did_you_mean
from connector.rules.errors import Path as KeyPath

OLDEST = 10
"""dbt 1.6. Those before name latest versions otherwise, or have none."""
MODELS = ("model", "snapshot", "seed")
SCHEMA_VERSION = re.compile(r"/manifest/v(\d+)")
VERSIONED = re.compile(r"(.+)\.v([^.]+(?:\.\d+)?)")
NO_MANIFEST = (
    "there is no dbt manifest at {}; run `dbt parse` or `dbt build`, or say where dbt's project is"
    " with dbt.project (where the file is: warehouse.dbt_manifest)"
)


@dataclass(frozen=True, slots=True)
class Described:
    """What dbt says of a column; `type` as it is written there, or empty."""

    name: str
    description: str = ""
    type: str = ""


@dataclass(frozen=True, slots=True)
class Node:
    """A model, a snapshot or a seed. `relation`: as it stands in SQL; None for what is ephemeral,
    of which `code` is the compiled SELECT. `own_database`, `own_schema`: what the model's own
    configuration asks for beside that of the target; `parents`: what it is made of."""

    id: str
    name: str
    package: str
    kind: str = "model"
    version: str | None = None
    latest: str | None = None
    relation: str | None = None
    ephemeral: bool = False
    code: str | None = None
    database: str | None = None
    schema: str | None = None
    own_database: str | None = None
    own_schema: str | None = None
    description: str = ""
    columns: tuple[Described, ...] = ()
    primary_key: tuple[str, ...] = ()
    parents: tuple[str, ...] = ()

    @property
    def called(self) -> str:
        """Its name as it can be written under `dbt:`, without its package."""
        return self.name if self.version is None else f"{self.name}.v{self.version}"

    @property
    def is_latest(self) -> bool:
        """Whether its name alone means it."""
        return self.version is None or self.version == self.latest

    @property
    def place(self) -> str:
        """Database and schema, for people."""
        return ".".join(part for part in (self.database, self.schema) if part)


@dataclass(frozen=True, slots=True)
class Test:
    """A test of dbt: of the node `of`, or of all its `parents` where it stands alone in a file.
    `kind`: unique, not_null and so on; `column`: of one column."""

    __test__ = False  # for pytest

    id: str
    name: str
    of: str | None
    parents: tuple[str, ...]
    severity: str = "error"
    kind: str = ""
    columns: tuple[str, ...] = ()

    def is_of(self, node: str) -> bool:
        """Whether it says something of a node."""
        return self.of == node if self.of else node in self.parents


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a manifest says. `generated`: when it was written; `invocation`: by which call."""

    file: Path
    generated: str | None = None
    invocation: str | None = None
    project: str | None = None
    nodes: Mapping[str, Node] = field(default_factory=dict)
    disabled: Sequence[Node] = ()
    sources: Mapping[str, str] = field(default_factory=dict)
    """Relations of sources, by `source.table`."""
    tests: Sequence[Test] = ()

    def tests_of(self, node: Node) -> list[Test]:
        """The tests that say something of `node`."""
        return [test for test in self.tests if test.is_of(node.id)]

    def find(self, wanted: str, path: KeyPath = ()) -> Node:
        """The node that `wanted` means: `name`, `package.name`, `name.v2` or `package.name.v2`; of
        a name alone the latest version. Raises ConfigurationError, at `path`, where that is none,
        or could be several."""
        found = [node for node in self.nodes.values() if _means(wanted, node)]
        if len(found) > 1:  # a version that is named is meant, whatever a package is called
            found = _nearest(found, wanted)
        packages = [node.package for node in found]
        if len(found) == 1:
            return found[0]
        if found:
            names = ", ".join(sorted(f"{node.package}.{node.called}" for node in found))
            wrong = (
                f'dbt has several models "{wanted}", in the packages'
                f" {', '.join(sorted(packages))}; write which one is meant: {names}"
            )
        else:
            wrong = self._why_none(wanted)
        raise ConfigurationError(Problem(path, wrong))

    def _why_none(self, wanted: str) -> str:
        versions = [node for node in self.nodes.values() if wanted in _names(node)]
        if off := [node for node in self.disabled if _means(wanted, node)]:
            still = "".join(f"; enabled is {node.called}" for node in versions[:1])
            kind = off[0].kind
            return (
                f'the {kind} "{off[0].package}.{off[0].called}" is disabled in dbt; enable it there'
                f" (enabled: true) and run dbt again{still}"
            )
        if versions:
            return (
                f'dbt has no latest version of "{wanted}"; write one of:'
                f" {', '.join(sorted(node.called for node in versions))}"
            )
        if match := VERSIONED.fullmatch(wanted):
            named = [node for node in self.nodes.values() if match[1] in _names(node)]
            if named and all(node.version is None for node in named):
                return f'the dbt model "{match[1]}" has no versions; write {match[1]}'
            if named:
                listed = ", ".join(
                    node.called + (" (the latest)" if node.is_latest else "")
                    for node in sorted(named, key=lambda node: node.called)
                )
                return f'dbt has no version {match[2]} of "{match[1]}"; there are: {listed}'
        for name, relation in self.sources.items():
            if wanted == name or name.endswith(f".{wanted}"):
                return (
                    f'"{wanted}" is a source in dbt, not a model; write `model: {{table: …}}` with'
                    f" the table itself ({relation})"
                )
        known = {each for node in self.nodes.values() for each in (node.name, node.called)}
        if "." in wanted:
            known |= {f"{node.package}.{node.called}" for node in self.nodes.values()}
        return f'dbt has no model "{wanted}"{did_you_mean(wanted, _few(wanted, known))}'


MOST_LISTED = 20


def _few(wanted: str, known: set[str]) -> list[str]:
    """All names where they are not too many to be listed; else those that could be near."""
    names = sorted(known)
    if len(names) <= MOST_LISTED:
        return names
    from difflib import get_close_matches

    return get_close_matches(wanted, names, n=1)


def _names(node: Node) -> tuple[str, str]:
    """What it is called, whatever its version."""
    return node.name, f"{node.package}.{node.name}"


def _means(wanted: str, node: Node) -> bool:
    if wanted in _names(node):
        return node.is_latest
    match = VERSIONED.fullmatch(wanted)
    if match is None or node.version is None or match[1] not in _names(node):
        return False
    return version_text(match[2]) == node.version


def _nearest(found: list[Node], wanted: str) -> list[Node]:
    """Of several, those that are called just so: `a.v2` is a version before it is a package."""
    exact = [node for node in found if wanted in (node.called, node.name)]
    return exact or found


def version_text(version: Any) -> str | None:
    """A version as versions are compared: 2, "2" and 2.0 are the same."""
    if version is None or isinstance(version, bool):
        return None
    text = str(version).strip()
    whole, _, rest = text.partition(".")
    return whole if whole.isdecimal() and rest.strip("0") == "" else text


def relation_of(node: Node, path: KeyPath = ()) -> str | None:
    """The relation of a node; None: it is ephemeral. Raises ConfigurationError where the manifest
    does not say."""
    if node.relation:
        return node.relation
    if not node.ephemeral:
        wrong = (
            f'dbt\'s manifest has no relation of "{node.called}"; run `dbt build`, which writes it'
        )
    elif not node.code:
        wrong = (
            f'the dbt model "{node.called}" is ephemeral, and its manifest has no compiled SQL;'
            " run `dbt compile` or `dbt build` (`dbt parse` is not enough)"
        )
    else:
        return None
    raise ConfigurationError(Problem(path, wrong))


# --- reading --------------------------------------------------------------------------------------


def read_manifest(file: Path, path: KeyPath = ()) -> Manifest:
    """The manifest in `file`. Raises ConfigurationError, at `path`, when there is none, or it is
    of a dbt that is too old."""
    try:
        stat = file.stat()
        return _kept(file, stat.st_mtime_ns, stat.st_size)
    except FileNotFoundError:
        wrong = NO_MANIFEST.format(file)
    except _Unfit as unfit:
        wrong = f"{file} {unfit}"
    except (ValueError, LookupError, AttributeError, TypeError, OSError) as error:
        wrong = (
            f"{file} is not a dbt manifest ({type(error).__name__}); run `dbt build`, or run this"
            " again if dbt is writing it just now"
        )
    raise ConfigurationError(Problem(path, wrong))


class _Unfit(ValueError):
    """It is a manifest, and cannot be read all the same."""


@lru_cache(maxsize=4)
def _kept(file: Path, changed: int, size: int) -> Manifest:
    """`changed` and `size`: as long as they are the same, the file is."""
    return _manifest(file, orjson.loads(file.read_bytes()))


def _manifest(file: Path, content: Any) -> Manifest:
    about = content.get("metadata") or {}
    match = SCHEMA_VERSION.search(str(about.get("dbt_schema_version") or ""))
    if match and int(match[1]) < OLDEST:
        raise _Unfit(
            f"is a manifest of version {match[1]} (dbt {about.get('dbt_version', 'of long ago')});"
            f" known are {OLDEST} and later, which dbt writes since 1.6"
        )
    raw = content["nodes"]
    nodes = [_node(id, node) for id, node in raw.items() if node.get("resource_type") in MODELS]
    off = [
        _node(id, node)
        for id, copies in (content.get("disabled") or {}).items()
        for node in copies
        if node.get("resource_type") in MODELS
    ]
    return Manifest(
        file,
        _text(about.get("generated_at")),
        _text(about.get("invocation_id")),
        _text(about.get("project_name")),
        {node.id: node for node in nodes},
        tuple(off),
        dict(_sources(content.get("sources") or {})),
        tuple(_test(id, t) for id, t in raw.items() if t.get("resource_type") == "test"),
    )


def _node(id: str, raw: Mapping[str, Any]) -> Node:
    config = raw.get("config") or {}
    ephemeral = config.get("materialized") == "ephemeral"
    parts = id.split(".")
    return Node(
        id=id,
        name=str(raw["name"]),
        package=str(raw.get("package_name") or (parts[1] if len(parts) > 1 else "")),
        kind=str(raw["resource_type"]),
        version=version_text(raw.get("version")),
        latest=version_text(raw.get("latest_version")),
        relation=None if ephemeral else _text(raw.get("relation_name")),
        ephemeral=ephemeral,
        code=_text(raw.get("compiled_code")) if ephemeral else None,
        database=_text(raw.get("database")),
        schema=_text(raw.get("schema")),
        own_database=_text(config.get("database")),
        own_schema=_text(config.get("schema")),
        description=str(raw.get("description") or ""),
        columns=tuple(_columns(raw.get("columns") or {})),
        primary_key=_texts(raw.get("primary_key")),
        parents=_texts((raw.get("depends_on") or {}).get("nodes")),
    )


def _columns(raw: Mapping[str, Any]) -> Iterator[Described]:
    for name, column in raw.items():
        about, type = column.get("description"), column.get("data_type")
        yield Described(str(column.get("name") or name), str(about or "").strip(), str(type or ""))


def _sources(raw: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for source in raw.values():
        name = f"{source.get('source_name')}.{source.get('name')}"
        yield name, _text(source.get("relation_name")) or name


def _test(id: str, raw: Mapping[str, Any]) -> Test:
    about = raw.get("test_metadata") or {}
    given = about.get("kwargs") or {}
    column = raw.get("column_name") or given.get("column_name")
    together = given.get("combination_of_columns")
    return Test(
        id=id,
        name=str(raw.get("name") or id),
        of=_text(raw.get("attached_node")),
        parents=_texts((raw.get("depends_on") or {}).get("nodes")),
        severity=str((raw.get("config") or {}).get("severity") or "error").lower(),
        kind=str(about.get("name") or ""),
        columns=_texts(together) or _texts([column] if column else None),
    )


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _texts(value: Any) -> tuple[str, ...]:
    return tuple(str(each) for each in value) if isinstance(value, list) else ()
