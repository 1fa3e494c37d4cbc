"""Hold files of schemas against the rules of Engage, one by one and all together. Needs no
configuration and asks nobody, so that a schema can be judged anywhere."""

from collections.abc import Iterator, Sequence
from dataclasses import field
from pathlib import Path

from connector.basis import dataclass
from connector.rules.deed import Document
from connector.rules.definition import MOST_SCHEMAS, Definition, advice, capitals_clash
from connector.rules.errors import ConfigurationError, Problem
from connector.schemas.files import FOLDER, SchemaFile, chosen, read


@dataclass(frozen=True, slots=True)
class Linted:
    """What there is to say about a file: rules that it breaks, and advice."""

    file: SchemaFile
    problems: list[Problem]
    advice: list[Problem] = field(default_factory=list)

    def document(self) -> Document:
        return {
            "file": str(self.file.path),
            "id": self.file.id,
            "problems": self._told(self.problems),
            "advice": self._told(self.advice),
        }

    def _told(self, found: Sequence[Problem]) -> list[Document]:
        placed = [(p.message, *self.file.parsed.place(p.path)) for p in found]
        return [{"message": text, "line": line, "column": c} for text, line, c in placed]


def lint(base: Path, names: Sequence[str]) -> list[Linted]:
    """Judge the files that `names` mean; with no name all of the project, and whether they go
    together. Raises ConfigurationError where there is none: nothing would be judged."""
    files = [read(path) for path in chosen(base, names)]
    if not files:
        raise ConfigurationError(f"there is no schema in {base / FOLDER}")
    together = {} if names else dict(_together(files))
    return [_linted(file, together.get(file.path, []), base) for file in files]


def lint_document(linted: Sequence[Linted]) -> Document:
    return {
        "ok": not any(each.problems for each in linted),
        "files": [each.document() for each in linted],
    }


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


def _linted(file: SchemaFile, together: list[Problem], base: Path) -> Linted:
    found, schema_id = file.problems(), file.id
    tips = [] if found else advice(file.parsed.content)
    at_home = file.path.resolve().parent == (base / FOLDER).resolve()
    if schema_id and at_home and file.path.stem != schema_id:
        name = f"{schema_id}{file.path.suffix}"
        found.append(Problem(("id",), f'id: the file of "{schema_id}" must be named {name}'))
    return Linted(file, found + together, tips)


def _together(files: Sequence[SchemaFile]) -> Iterator[tuple[Path, list[Problem]]]:
    """What is wrong with files that are right one by one, by file."""
    seen: dict[str, Path] = {}
    for file in files:
        schema_id = file.id
        if schema_id is None:
            continue
        found = []
        if other := seen.get(schema_id):
            message = f'id: "{schema_id}" stands in {other.name}, too; remove one of them'
            found.append(Problem(("id",), message))
        elif clash := capitals_clash(schema_id, seen):
            found.append(Problem(("id",), f"id: {clash}"))
        seen.setdefault(schema_id, file.path)
        if len(seen) > MOST_SCHEMAS:
            message = f"is schema number {len(seen)}, and Engage has at most {MOST_SCHEMAS}"
            found.append(Problem((), message))
        yield file.path, found
