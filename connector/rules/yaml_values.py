"""Read YAML 1.2 into plain values, and remember where each of them stands.

One document whose top is a mapping; keys are text, each once. What YAML allows and nobody expects
in a configuration (other versions, tags, merge keys, numbers such as 1_000) is refused with what to
write instead: taken in silence, it would mean something else than it seems.
"""

import re
from collections.abc import Mapping
from dataclasses import field
from decimal import Decimal
from math import isfinite
from pathlib import Path
from typing import Any

from connector.basis import dataclass
from connector.rules.errors import OUT_OF_REACH, Mark, Problem, not_yaml
from connector.rules.errors import Path as KeyPath
from connector.rules.variables import (
    TEMPLATE,
    NotFetched,
    NotSet,
    OutOfReach,
    Unfilled,
    Variables,
    refuse_other_forms,
)
from connector.rules.yaml_nodes import Node, composed_in_c

DEEPEST = 50
"""Levels of nesting; a file that is meant has a handful."""
MOST_VALUES = 100_000
"""Values of a file, each alias counted with all that it stands for: a few lines of aliases can
stand for more values than fit into memory."""
DIRECTIVE = re.compile(r"%YAML\s+(\S+)")
KNOWN_TAG = re.compile(r"tag:yaml\.org,2002:(null|bool|int|float|str|timestamp)")
CONNECTING = ("warehouse", "ledger", "destinations", "alerts")
"""Parts of `activations.yaml` that hold addresses and keys."""
FREE_TEXT = ("description", "value", "sql")
"""Keys whose texts may hold anything."""


@dataclass(frozen=True, slots=True)
class Parsed:
    """The values of a YAML file, where each key of it stands, and what is wrong with it."""

    content: Any
    marks: Mapping[KeyPath, tuple[int, int]]
    problems: list[Problem]
    unset: Mapping[KeyPath, str] = field(default_factory=dict)
    """What holds a variable that is not set, and says so, or a secret that is not fetched, which is
    no word; the value stands as it is written."""

    def place(self, path: KeyPath) -> tuple[int, int]:
        """Line and column of `path`, or of the nearest key above it that is written out."""
        return mark_of(self.marks, path)


def parse(
    text: str,
    file: Path,
    expected: str,
    variables: Variables | None = None,
    lenient: bool = False,
) -> Parsed:
    """Read YAML 1.2. Without `variables`, `${NAME}` is a text like any other. `lenient`: a variable
    that is not set is no mistake.

    Raises ConfigurationError, saying what was `expected`, when it is no YAML or no mapping.
    """
    reader = _Reader(file, variables, lenient)
    content = reader.value(_compose(text, file, expected), ())
    return Parsed(content, reader.marks, reader.problems, reader.unset)


def mark_of(marks: Mapping[KeyPath, tuple[int, int]], path: KeyPath) -> tuple[int, int]:
    """Where `path` stands, or the nearest key above it that is written out."""
    while path and path not in marks:
        path = path[:-1]
    return marks.get(path, (1, 1))


def located(file: Path, marks: Mapping[KeyPath, tuple[int, int]], problem: Problem) -> str:
    """`problem` with file, line and column."""
    return f"{Mark(file, *mark_of(marks, problem.path))}: {problem.message}"


def _compose(text: str, file: Path, expected: str) -> Node:
    _refuse_other_versions(text, file)
    node = composed_in_c(text)
    if node is None:
        from connector.rules.yaml_strict import composed  # imported for few files

        node = composed(text, file)
    if node is None or node.id != "mapping":
        raise not_yaml(file, *(_mark(node) if node else (1, 1)), f"expected {expected}")
    return node


def _refuse_other_versions(text: str, file: Path) -> None:
    for number, line in enumerate(text.splitlines(), 1):
        if not line.startswith(("%", "#")) and line.strip():
            return
        if (directive := DIRECTIVE.match(line)) and directive[1] != "1.2":
            said = "files are read as YAML 1.2; write %YAML 1.2, or take the line out"
            raise not_yaml(file, number, 1, said)


class _Reader:
    """Turns YAML nodes into values, fills in variables, and remembers where everything stands."""

    def __init__(self, file: Path, variables: Variables | None, lenient: bool) -> None:
        self._file, self._variables, self._lenient = file, variables, lenient
        self._values = 0
        self.unset: dict[KeyPath, str] = {}
        self.marks: dict[KeyPath, tuple[int, int]] = {}
        self.problems: list[Problem] = []

    def value(self, node: Node, path: KeyPath) -> Any:
        """The value of `node`, which stands at `path`. Raises ConfigurationError when there are
        too many, or they contain themselves."""
        self.marks.setdefault(path, _mark(node))
        self._values += 1
        if len(path) > DEEPEST or self._values > MOST_VALUES:
            said = (
                "nested too deeply, or aliases that contain themselves or stand for too much; write"
                " the values out"
            )
            raise not_yaml(self._file, *mark_of(self.marks, path[:2]), said)
        if node.id == "mapping":
            return self._mapping(node, path)
        if node.id == "sequence":
            return [self.value(child, (*path, i)) for i, child in enumerate(node.value)]
        try:
            return self._scalar(node, path)
        except (NotSet, NotFetched) as error:
            if not self._lenient:
                return self._wrong(path, str(error), "", "variable-not-set")
            self.unset[path] = str(error) if isinstance(error, NotSet) else ""
            return str(node.value)
        except OutOfReach as error:
            return self._wrong(path, str(error), "", OUT_OF_REACH)
        except Unfilled as error:
            return self._wrong(path, str(error), "", "variable")

    def _mapping(self, node: Node, path: KeyPath) -> Any:
        if TEMPLATE.match(_source(node)) and self._variables is not None:
            return self._wrong(path, "this is no template; write ${NAME} or a value", "")
        content: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if key_node.id != "scalar":
                self.marks[path] = _mark(key_node)
                self._wrong(path, "a key is a list or a mapping; expected a name", None)
                continue
            key = str(key_node.value)
            place = (*path, key)
            if key in content:
                self.marks[place] = _mark(key_node)
                self._wrong(place, f'the key "{key}" stands twice', None)
                continue
            self.marks[place] = _mark(key_node)
            if key == "<<" and str(key_node.tag).endswith(":merge"):
                self._wrong(place, "merge keys are not known here; write the keys out", None)
                continue
            content[key] = self.value(value_node, place)
        return content

    def _scalar(self, node: Node, path: KeyPath) -> Any:
        kind = KNOWN_TAG.fullmatch(str(node.tag))
        if kind is None:
            return self._wrong(path, "a tag (!…) is not known here; write the value alone", "")
        text = str(node.value)
        if self._variables is not None:
            if "\0" in text:
                return self._wrong(path, "a NUL character is no part of any value; take it out", "")
            if "${" in text:
                return self._variables.fill(text)
            if path[-1:] and path[-1] not in FREE_TEXT:
                refuse_other_forms(text, path[0] in CONNECTING)
        try:
            return _plain(kind[1], text)
        except ValueError as error:
            return self._wrong(path, str(error), 0)

    def _wrong(self, path: KeyPath, message: str, instead: Any, rule: str = "yaml") -> Any:
        """Note what is wrong; reading goes on with `instead`."""
        self.problems.append(Problem(path, message, rule))
        return instead


def _plain(kind: str, text: str) -> Any:
    """A scalar by its YAML 1.2 kind; times stay text, since the grammar reads them itself."""
    digits = text.lstrip("+-")
    match kind:
        case "null":
            return None
        case "bool":
            return text.lower() == "true"
        case "int" | "float" if "_" in text or digits[:2].lower() == "0b":
            raise ValueError(
                "YAML 1.2 reads this as a text, other versions as a number; write the digits"
                " alone, or put it in quotes"
            )
        case "int" if len(digits) > 1 and digits.startswith("0") and digits.isdigit():
            raise ValueError(
                "a number that begins with 0 is read in two ways; write it without, or put it in"
                " quotes"
            )
        case "int":
            return _whole(text)
        case "float":
            return _fraction(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
        case _:
            return text


def _whole(text: str) -> int:
    try:
        return int(text, 0) if not text.lstrip("+-").isdigit() else int(text)
    except ValueError:
        raise ValueError("the number has too many digits") from None


def _fraction(text: str) -> float:
    number = float(text)
    if isfinite(number) and Decimal(repr(number)) != Decimal(text):
        raise ValueError(
            "a number of more digits than are kept; write fewer, or put it in quotes if it is a"
            " text"
        )
    return number


def _source(node: Node) -> str:
    """How a flow mapping begins in the file: a template that is not in quotes reads as one that has
    a mapping for its key."""
    if not node.flow_style or not node.value:
        return ""
    key = node.value[0][0]
    return "{{" if key.id == "mapping" and key.flow_style else ""


def _mark(node: Node) -> tuple[int, int]:
    return node.start_mark.line + 1, node.start_mark.column + 1
