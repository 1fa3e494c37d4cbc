"""What the files of a project say together: `activations.yaml`, what it includes, its defaults.

An included file has activations alone. Each value keeps the file, line and column where it is
written, so a mistake is told where it can be mended, whichever file that is.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import field
from functools import lru_cache
from glob import glob
from pathlib import Path
from posixpath import normpath
from typing import Any, Protocol

from connector.basis import dataclass
from connector.rules.errors import ConfigurationError, Mark, Problem, did_you_mean
from connector.rules.errors import Path as KeyPath
from connector.rules.variables import Nothing, Variables, read_utf8
from connector.rules.yaml_values import Parsed, mark_of, parse

There = Callable[[Path], bool]
EXPECTED = "a mapping with version, warehouse and so on"
MERGED = ("contact", "payload", "limits")
"""Keys of an activation whose default is filled in key by key; of any other, the activation's own
value stands alone: two ways to say one thing would meet otherwise, such as cron and every."""


@dataclass(frozen=True, slots=True)
class Written:
    """Everything that is written, in one piece, and where each part of it stands."""

    file: Path
    content: Any = field(repr=False)
    """It holds secrets."""
    marks: Mapping[KeyPath, Mark] = field(repr=False)
    problems: Sequence[Problem]
    unset: Mapping[KeyPath, str]
    """What holds a variable that is not set, and says so, or a secret that is not fetched."""
    files: Sequence[Path]
    """All that was read; the first is `file`."""
    filled: frozenset[KeyPath] = field(default=frozenset(), repr=False)
    """What comes from `defaults`."""

    def mark(self, path: KeyPath) -> Mark:
        """Where `path` stands, or the nearest key above it that is written out."""
        while path and path not in self.marks:
            path = path[:-1]
        return self.marks.get(path, Mark(self.file, 1, 1))

    def placed(self, problem: Problem) -> Problem:
        """`problem` with its place."""
        if problem.mark:
            return problem
        path = problem.path
        if problem.rule == "missing-key" and path in self.filled:
            path = path[:2]  # the default is right, and the activation has to say the rest
        value = self.content
        with suppress(LookupError, TypeError):
            for key in problem.path:
                value = value[key]
        emptied = f"; {value.source} is empty here" if isinstance(value, Nothing) else ""
        return Problem(problem.path, problem.message + emptied, problem.rule, self.mark(path))

    def in_order(self, problems: Iterable[Problem]) -> list[Problem]:
        """`problems` with their places, in the order of the files; each once, though a default may
        be wrong for many activations. A value that could not be read is no further mistake."""
        unread = {problem.path for problem in self.problems if problem.path}
        known = list(self.problems)
        known += [each for each in problems if each not in known and each.path not in unread]
        placed = {(each.mark, each.message): each for each in map(self.placed, known)}
        return sorted(placed.values(), key=self._order)

    def _order(self, problem: Problem) -> tuple[int, Mark]:
        mark = problem.mark or Mark(self.file, 1, 1)
        return self.files.index(mark.file) if mark.file in self.files else -1, mark


class Keys(Protocol):
    """Which keys an activation may have."""

    def all(self) -> Collection[str]:
        """Those of any kind of destination."""

    def of(self, activation: Mapping[str, Any], content: Any) -> Collection[str]:
        """Those of one activation, in a file that holds `content`."""

    def foreign(self, activation: Mapping[str, Any], content: Any) -> Collection[str]:
        """Those of a contact that only other kinds of destinations know."""


def read(
    file: Path,
    variables: Variables,
    keys: Keys,
    lenient: bool = False,
    there: There = Path.exists,
) -> Written:
    """Read `file` and what it includes. `lenient`: a variable that is not set is no mistake.
    `there`: whether there is a file that is named, of those that need not be at hand.

    Raises ConfigurationError when `file` itself is not there or holds no YAML mapping; what is
    wrong with an included one is among the problems.
    """
    try:
        text = read_utf8(file)
    except FileNotFoundError:
        raise ConfigurationError(
            f"there is no {file}; `connector init` makes a project, --config names another file"
        ) from None
    reading = _Reading(file, variables, lenient, there)
    reading.take(file, parse(text, file, EXPECTED, variables, lenient))
    if isinstance(reading.content, dict):
        reading.include()
        reading.fill_in_defaults(keys)
    return Written(
        file,
        reading.content,
        reading.marks,
        reading.problems,
        reading.unset,
        reading.files,
        frozenset(reading.filled),
    )


def watched(file: Path, included: Sequence[str] = ()) -> list[Path]:
    """What `file` includes now, as far as it can be read; cheap while it stays the same.
    `included`: what it included when it was read, with its variables filled in."""
    try:
        state = file.stat()
    except OSError:
        return []
    patterns = dict.fromkeys((*included, *_patterns(file, state.st_mtime_ns, state.st_size)))
    return [each for pattern in patterns for each in _fit(file, pattern)]


@lru_cache(maxsize=1)
def _patterns(file: Path, *_state: int) -> Sequence[str]:
    with suppress(ConfigurationError, OSError):
        content = parse(read_utf8(file), file, EXPECTED).content
        return _texts(content.get("include") if isinstance(content, dict) else None)
    return []


@dataclass(slots=True)
class _Reading:
    """Puts the files together, one after the other."""

    main: Path
    variables: Variables
    lenient: bool
    there: There
    content: Any = None
    marks: dict[KeyPath, Mark] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    unset: dict[KeyPath, str] = field(default_factory=dict)
    files: list[Path] = field(default_factory=list)
    filled: set[KeyPath] = field(default_factory=set)

    def take(self, file: Path, parsed: Parsed) -> None:
        """The project's own file."""
        self.files.append(file)
        self.content = parsed.content
        self.marks = {path: Mark(file, *at) for path, at in parsed.marks.items()}
        self.problems += _placed(file, parsed)
        self.unset.update(parsed.unset)

    def include(self) -> None:
        """What the files under `include` add to the activations."""
        if self.content.get("include") and self.content.get("activations") is None:
            self.content["activations"] = {}
        for i, pattern in enumerate(_texts(self.content.get("include"))):
            files = _fit(self.main, pattern)
            if not files:
                where: KeyPath = ("include", i) if ("include", i) in self.marks else ("include",)
                said = f'include: no file fits "{pattern}"; paths are relative to {self.main}'
                self._wrong(Problem(where, said, "include"))
            for each in files:
                if each.resolve() not in [known.resolve() for known in self.files]:
                    self.files.append(each)
                    self._include(each)

    def _include(self, file: Path) -> None:
        expected = "a mapping with activations"
        try:
            parsed = parse(read_utf8(file), file, expected, self.variables, self.lenient)
        except FileNotFoundError:
            said = "it is named, and leads nowhere"
            self.problems.append(Problem((), said, "include", Mark(file, 1, 1)))
            return
        except ConfigurationError as error:
            self.problems += error.problems or [Problem((), str(error))]
            return
        marks = {path: Mark(file, *at) for path, at in parsed.marks.items()}
        self.problems += _placed(file, parsed)
        content = parsed.content if isinstance(parsed.content, dict) else {}
        for key in content:
            if key != "activations":
                said = (
                    f'"{key}" does not belong into an included file, which has activations alone;'
                    f" move it to {self.main}"
                )
                self.problems.append(Problem((), said, "include", marks[(key,)]))
        added = content.get("activations")
        if not isinstance(added, dict):
            said = "an included file has activations, by name; this has none"
            at = mark_of(parsed.marks, ("activations",))
            self.problems.append(Problem((), said, "include", Mark(file, *at)))
            return
        for name, activation in added.items():
            self._add(name, activation, marks, parsed.unset, file.parent)

    def _add(
        self,
        name: str,
        activation: Any,
        marks: Mapping[KeyPath, Mark],
        unset: Mapping[KeyPath, str],
        folder: Path,
    ) -> None:
        """An activation of an included file, unless there is one of that name."""
        path = ("activations", name)
        known = self.content["activations"]
        if not isinstance(known, dict):
            return  # the grammar says what is wrong with it
        if name in known:
            said = f'there is another activation "{name}", in {self.marks[path]}; rename one'
            self.problems.append(Problem((), said, "duplicate-activation", marks[path]))
            return
        known[name] = self._rebased(activation, folder)
        self.marks |= {at: mark for at, mark in marks.items() if at[:2] == path}
        self.unset |= {at: said for at, said in unset.items() if at[:2] == path}

    def _rebased(self, activation: Any, folder: Path) -> Any:
        """`activation` with the paths of its files seen from the project's own file."""
        base = self.main.parent
        if folder == base or not isinstance(activation, dict):
            return activation
        from_here = folder.relative_to(base) if folder.is_relative_to(base) else folder

        def seen(path: Any) -> Any:
            if not isinstance(path, str) or not path or Path(path).is_absolute():
                return path
            beside = self.there(folder / path) or not self.there(base / path)
            return normpath((from_here / path).as_posix()) if beside else path

        def of_model(model: Any) -> Any:
            if isinstance(model, dict) and "file" in model:
                return {**model, "file": seen(model["file"])}
            return seen(model)

        rebased = dict(activation)
        if "model" in rebased:
            rebased["model"] = of_model(rebased["model"])
        schema = rebased.get("schema")
        if isinstance(schema, str) and self.there(folder / schema):
            rebased["schema"] = seen(schema)
        contact = rebased.get("contact")
        if isinstance(contact, dict) and "lookup" in contact:
            rebased["contact"] = {**contact, "lookup": of_model(contact["lookup"])}
        return rebased

    def fill_in_defaults(self, keys: Keys) -> None:
        """Give each activation what it leaves out and `defaults` has."""
        defaults = self.content.get("defaults")
        activations = self.content.get("activations")
        if not isinstance(defaults, dict) or not isinstance(activations, dict):
            return
        known = keys.all()
        for key in [key for key in defaults if key not in known]:
            said = f'defaults: an activation has no key "{key}"{did_you_mean(key, sorted(known))}'
            self._wrong(Problem(("defaults", key), said, "unknown-key"))
        marks = [at for at in self.marks if at[:1] == ("defaults",)]
        for name, activation in activations.items():
            if isinstance(activation, dict):
                goes = {key: defaults[key] for key in ("destination",) if key in defaults}
                there = keys.of(goes | activation, self.content)
                # a key of another kind of destination is meant for the activations that go there
                own = {key: value for key, value in defaults.items() if key in there}
                if isinstance(contact := own.get("contact"), dict):
                    foreign = keys.foreign(goes | activation, self.content)
                    own["contact"] = {k: v for k, v in contact.items() if k not in foreign}
                self._fill(activation, own, ("activations", name), marks)

    def _fill(
        self,
        activation: dict[str, Any],
        defaults: Mapping[str, Any],
        path: KeyPath,
        marks: Sequence[KeyPath],
    ) -> None:
        for key, default in defaults.items():
            own = activation.get(key)
            filled: list[KeyPath] = []
            if key not in activation:
                activation[key] = default
                filled = [(key,)]
            elif key in MERGED and isinstance(own, dict) and isinstance(default, dict):
                activation[key] = own | {k: v for k, v in default.items() if k not in own}
                filled = [(key, inner) for inner in default.keys() - own.keys()]
            # what was filled in stands where the default does
            for at in (at for part in filled for at in marks if at[1 : 1 + len(part)] == part):
                here = (*path, *at[1:])
                self.filled.add(here)
                self.marks[here] = self.marks[at]
                if at in self.unset:
                    self.unset[here] = self.unset[at]

    def _wrong(self, problem: Problem) -> None:
        mark = self.marks.get(problem.path, Mark(self.main, 1, 1))
        self.problems.append(Problem(problem.path, problem.message, problem.rule, mark))


def _placed(file: Path, parsed: Parsed) -> Iterator[Problem]:
    for problem in parsed.problems:
        mark = Mark(file, *parsed.place(problem.path))
        yield Problem(problem.path, problem.message, problem.rule, mark)


def _fit(file: Path, pattern: str) -> list[Path]:
    """The files that `pattern` names, seen from `file`."""
    # unlike Path.glob it takes patterns that begin with / or ..
    names = glob(pattern, root_dir=file.parent, recursive=True)  # noqa: PTH207
    found = (file.parent / name for name in names)
    return sorted(each for each in found if not each.is_dir())


def _texts(value: Any) -> list[str]:
    """The texts of a list, or the one that stands alone; for anything else the grammar speaks."""
    values = value if isinstance(value, list) else [value]
    return [each for each in values if isinstance(each, str) and each]
