"""The schemas of a project: one a file under `schemas/`, in YAML or JSON, named by its id.

Both hold the same one form (see `connector.rules.definition`).
"""

import json
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from io import StringIO
from pathlib import Path
from typing import Any

import orjson
from ruamel.yaml import YAML

from connector.basis import dataclass
from connector.rules.definition import ID, Definition, definition_of, problems
from connector.rules.errors import ConfigurationError, Mark, Problem, did_you_mean
from connector.rules.errors import Path as KeyPath
from connector.rules.schema import InteractionSchema
from connector.rules.variables import read_utf8
from connector.rules.yaml_values import Parsed, located, parse

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
        return located(self.path, self.parsed.marks, problem)

    @property
    def id(self) -> str | None:
        content: Any = self.parsed.content
        found = content.get("id") if isinstance(content, Mapping) else None
        return found if isinstance(found, str) else None

    @property
    def content(self) -> Definition | None:
        """What the file holds, as far as that can be told, whatever rule it breaks."""
        try:
            return None if self.error else definition_of(self.parsed.content)
        except ValueError:
            return None

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
    if path.suffix == ".json":
        return _read_json(path, text)
    try:
        return SchemaFile(path, parse(text, path, EXPECTED))
    except ConfigurationError as error:
        return _unreadable(path, str(error).removeprefix(str(path)))


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
        return definition_of(file.parsed.content).schema
    except ValueError as error:
        reason = str(error).partition("\n")[0]
        mark = Mark(path, *file.parsed.place(()))
        raise ConfigurationError(Problem((), f"not a schema: {reason}", mark=mark)) from None


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
    with suppress(ConfigurationError):
        if parse(out.getvalue(), Path("it"), EXPECTED).content == definition.content:
            return out.getvalue()
    # some characters do not come through the emitter; JSON with escapes is YAML, too
    return re.sub("[\x7f-\uffff]", lambda match: f"\\u{ord(match[0]):04x}", as_json)


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
