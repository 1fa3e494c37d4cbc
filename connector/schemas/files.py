"""The schemas of a project: one a file under `schemas/`, in YAML or JSON, named by its id.

Both hold the same one form (see `connector.rules.definition`). Reading needs no configuration
and asks
nobody, so that a schema can be judged anywhere.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from typing import Any

import orjson
from ruamel.yaml import YAML

from connector.rules.definition import (
    ID,
    MOST_SCHEMAS,
    Definition,
    advice,
    capitals_clash,
    definition_of,
    problems,
)
from connector.rules.errors import ConfigurationError, Problem, did_you_mean
from connector.rules.errors import Path as KeyPath
from connector.rules.schema import InteractionSchema
from connector.rules.variables import read_utf8
from connector.rules.yaml_values import Parsed, parse

FOLDER = "schemas"
SUFFIXES = (".yaml", ".yml", ".json")
EXPECTED = "a mapping with id, displayName and jsonSchema"


@dataclass(frozen=True, slots=True)
class SchemaFile:
    """A file as it was read. `error`: why it holds no values at all."""

    path: Path
    parsed: Parsed
    error: str | None = None

    def located(self, problem: Problem) -> str:
        """`problem` with file, line and column."""
        line, column = self.parsed.place(problem.path)
        return f"{self.path}:{line}:{column}: {problem.message}"

    def problems(self) -> list[Problem]:
        """Every rule that the file breaks, in the order of the file."""
        if self.error:
            return [Problem((), self.error)]
        found = [*self.parsed.problems, *problems(self.parsed.content)]
        return sorted(found, key=lambda p: self.parsed.place(p.path))

    def definition(self) -> Definition:
        """What the file holds. Raises ConfigurationError with every rule that it breaks."""
        if found := self.problems():
            raise ConfigurationError(*(self.located(problem) for problem in found))
        return definition_of(self.parsed.content)


@dataclass(frozen=True, slots=True)
class Linted:
    """What `lint` has to say about a file: rules that it breaks, and advice."""

    file: SchemaFile
    problems: list[Problem]
    advice: list[Problem] = field(default_factory=list)

    @property
    def id(self) -> str | None:
        """The id in the file, if there is one."""
        return _id_of(self.file)


def folder_files(base: Path) -> list[Path]:
    """The files of a project's schemas, by name."""
    folder = base / FOLDER
    return sorted(p for p in folder.glob("*") if p.suffix in SUFFIXES and p.is_file())


def find(base: Path, schema_id: str) -> Path | None:
    """The file of a schema. Raises ConfigurationError when there are two."""
    if not ID.fullmatch(schema_id):  # it would lead out of the folder
        return None
    candidates = (base / FOLDER / f"{schema_id}{suffix}" for suffix in SUFFIXES)
    found = [path for path in candidates if path.is_file()]
    if len(found) > 1:
        names = " and ".join(str(path) for path in found)
        raise ConfigurationError(f"the schema {schema_id} stands in {names}; remove one of them")
    return found[0] if found else None


def chosen(base: Path, names: Sequence[str]) -> list[Path]:
    """The files that `names` mean, ids or paths; all of the project when none is named.

    Raises ConfigurationError for a name that means none.
    """
    return [_chosen(base, name) for name in names] or folder_files(base)


def read(path: Path) -> SchemaFile:
    """Read a file of a schema. Raises ConfigurationError when it cannot be opened."""
    try:
        text = read_utf8(path)
    except FileNotFoundError:
        raise ConfigurationError(f"there is no {path}") from None
    return _read_json(path, text) if path.suffix == ".json" else _read_yaml(path, text)


def lint(base: Path, names: Sequence[str]) -> list[Linted]:
    """Judge the files that `names` mean; with no name all of the project, and whether they go
    together."""
    files = [read(path) for path in chosen(base, names)]
    together = {} if names else dict(_together(files))
    return [_linted(file, together.get(file.path, []), base) for file in files]


def definitions(base: Path, names: Sequence[str]) -> dict[str, tuple[Definition, Path]]:
    """The schemas that `names` mean, by id, each with its file; all when none is named.

    Raises ConfigurationError with every problem of every file.
    """
    linted = lint(base, names)
    found = [each.file.located(problem) for each in linted for problem in each.problems]
    if found:
        raise ConfigurationError(*found)
    every = ((each.file.definition(), each.file.path) for each in linted)
    return {definition.id: (definition, path) for definition, path in every}


def local_schema(base: Path, schema_id: str) -> InteractionSchema | None:
    """The schema of the project with this id, if it has a file. Raises ConfigurationError when the
    file holds nothing that a payload can be held against."""
    path = find(base, schema_id)
    if path is None:
        return None
    file = read(path)
    try:
        if file.error:
            raise ValueError(file.error)
        definition = definition_of(file.parsed.content)
        schema = dict(definition.json_schema)
        return InteractionSchema(definition.id, schema, definition.display_name)
    except ValueError as error:
        reason = str(error).partition("\n")[0]
        raise ConfigurationError(f"{path} is not a schema: {reason}") from None


def text_of(definition: Definition, suffix: str = ".yaml") -> str:
    """The text of a file that holds `definition`."""
    as_json = json.dumps(definition.content, indent=2, ensure_ascii=False) + "\n"
    if suffix == ".json":
        return as_json
    yaml = YAML()
    yaml.width = 1_000  # a name is not broken over two lines
    yaml.indent(mapping=2, sequence=4, offset=2)
    out = StringIO()
    yaml.dump(definition.content, out)
    if _reads_as(out.getvalue(), definition):
        return out.getvalue()
    # some characters do not come through the emitter; JSON with escapes is YAML, too
    return re.sub("[\x7f-\uffff]", lambda match: f"\\u{ord(match[0]):04x}", as_json)


def _reads_as(text: str, definition: Definition) -> bool:
    try:
        return bool(parse(text, Path("it"), EXPECTED).content == definition.content)
    except ConfigurationError:
        return False


def _chosen(base: Path, name: str) -> Path:
    if Path(name).suffix in SUFFIXES:
        if Path(name).is_file():
            return Path(name)
        raise ConfigurationError(f"there is no file {name}")
    if path := find(base, name):
        return path
    known = [path.stem for path in folder_files(base)]
    hint = did_you_mean(name, known)
    raise ConfigurationError(f'there is no schema "{name}" in {base / FOLDER}{hint}')


def _read_yaml(path: Path, text: str) -> SchemaFile:
    try:
        return SchemaFile(path, parse(text, path, EXPECTED))
    except ConfigurationError as error:
        return _unreadable(path, str(error).removeprefix(str(path)))


def _read_json(path: Path, text: str) -> SchemaFile:
    try:
        content = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        reason = f":{error.lineno}:{error.colno}: not valid JSON: {error.msg}"
        return _unreadable(path, reason)
    marks: Mapping[KeyPath, tuple[int, int]] = {}
    twice: list[Problem] = []
    with suppress(ConfigurationError):  # JSON is YAML but for a few oddities, such as tabs
        parsed = parse(text, path, EXPECTED)
        marks, twice = parsed.marks, parsed.problems
    return SchemaFile(path, Parsed(content, marks, twice))


def _unreadable(path: Path, said: str) -> SchemaFile:
    """A file that is neither YAML nor JSON; `said` begins with the place, where that is known."""
    match = re.match(r":(\d+):(\d+)", said)
    mark = (int(match[1]), int(match[2])) if match else (1, 1)
    reason = said[match.end() if match else 0 :].strip(": ")
    return SchemaFile(path, Parsed(None, {(): mark}, []), reason)


def _linted(file: SchemaFile, together: list[Problem], base: Path) -> Linted:
    found = file.problems()
    tips = [] if found else advice(file.parsed.content)
    schema_id = _id_of(file)
    at_home = file.path.resolve().parent == (base / FOLDER).resolve()
    if schema_id and at_home and file.path.stem != schema_id:
        name = f"{schema_id}{file.path.suffix}"
        found.append(Problem(("id",), f'id: the file of "{schema_id}" must be named {name}'))
    return Linted(file, found + together, tips)


def _together(files: Sequence[SchemaFile]) -> Iterator[tuple[Path, list[Problem]]]:
    """What is wrong with files that are right one by one, by file."""
    seen: dict[str, Path] = {}
    for file in files:
        schema_id = _id_of(file)
        if schema_id is None:
            continue
        found = []
        if other := seen.get(schema_id):
            found.append(Problem(("id",), f'id: "{schema_id}" stands in {other.name}, too'))
        elif clash := capitals_clash(schema_id, seen):
            found.append(Problem(("id",), f"id: {clash}"))
        seen.setdefault(schema_id, file.path)
        if len(seen) > MOST_SCHEMAS:
            message = f"is schema number {len(seen)}, and Engage has at most {MOST_SCHEMAS}"
            found.append(Problem((), message))
        yield file.path, found


def _id_of(file: SchemaFile) -> str | None:
    content: Any = file.parsed.content
    found = content.get("id") if isinstance(content, Mapping) else None
    return found if isinstance(found, str) else None
