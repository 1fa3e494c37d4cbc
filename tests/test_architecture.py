"""The house is as it is drawn: rooms on floors, sentences at the doors, nothing too long."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.house import BESIDE, ROOMS

PACKAGE = Path(__file__).parent.parent / "connector"
MODULES = sorted(PACKAGE.rglob("*.py"))
FROZEN = "ledger.migrations"  # what was true once; it is not written anew
LINES, FUNCTION, PARAMETERS, FLOORS_INSIDE = 500, 60, 6, 4

OUTSIDE = {
    "sqlalchemy",
    "duckdb",
    "httptools",
    "httpx",
    "apscheduler",
    "starlette",
    "uvicorn",
    "typer",
}
WITHOUT_OUTSIDE = {"rules", "sync", "decisions", "schemas", "show"}
CLOCKS = {"os", "time", "random", "socket"}

APIS = {
    "destinations.engage",
    "destinations.mxo",
    "destinations.survey_dynamix",
    "sandbox.engage",
    "sandbox.survey_dynamix",
    "sandbox.mxo",
}
"""Each has floors of its own."""


def name_of(path: Path) -> str:
    """`ledger.moves`; of a package its own name."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)


PATHS = {name_of(path): path for path in MODULES}
NOT_FROZEN = [name for name in PATHS if not name.startswith(FROZEN)]


@cache
def tree(name: str) -> ast.Module:
    return ast.parse(PATHS[name].read_text())


def imports(name: str) -> Iterator[str]:
    """Everything a module imports, with the names that it takes from there."""
    for node in ast.walk(tree(name)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{name}: absolute imports only"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@cache
def ours(name: str) -> frozenset[str]:
    """The modules of this package that a module imports."""
    found = set()
    for full in imports(name):
        head, _, rest = full.partition(".")
        if head == "connector" and rest and rest != "__version__":
            found.add(rest if rest in PATHS else rest.rpartition(".")[0])
    return frozenset(found - {name})


def room_of(name: str) -> str:
    return name.partition(".")[0]


def test_every_entry_is_a_room_of_the_plan() -> None:
    assert {room_of(name) for name in PATHS} == set(ROOMS) | BESIDE
    assert len(ROOMS) <= 13
    assert max(floor for floor, _ in ROOMS.values()) <= 8


@pytest.mark.parametrize("name", [name for name in PATHS if name not in BESIDE])
def test_imports_point_down(name: str) -> None:
    me = room_of(name)
    for other in ours(name):
        if other and (room := room_of(other)) != me:
            assert ROOMS[room][0] < ROOMS[me][0], f"{name} imports {other}, which is not below it"


def depth(name: str, within: frozenset[str], above: tuple[str, ...] = ()) -> int:
    assert name not in above, f"a circle: {' -> '.join([*above, name])}"
    below = ours(name) & within
    return 1 + max((depth(other, within, (*above, name)) for other in below), default=0)


@pytest.mark.parametrize("room", [*ROOMS, *sorted(APIS)])
def test_a_room_has_few_floors_and_no_circle(room: str) -> None:
    others = tuple(APIS - {room})
    mine = [name for name in NOT_FROZEN if f"{name}.".startswith(f"{room}.")]
    within = frozenset(name for name in mine if not name.startswith(others))

    deepest = {name: depth(name, within) for name in within}

    most = max(deepest.values(), default=0)
    assert most <= FLOORS_INSIDE, [n for n in deepest if deepest[n] == most]


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_has_no_circle_whatever_its_folders(room: str) -> None:
    within = frozenset(name for name in NOT_FROZEN if name.startswith(f"{room}."))

    for name in within:
        depth(name, within)


@pytest.mark.parametrize("name", NOT_FROZEN)
def test_a_module_opens_with_a_sentence(name: str) -> None:
    text = ast.get_docstring(tree(name)) or ""

    assert text.split("\n\n")[0].endswith((".", ":", "?")), f"{name}: {text[:60]!r}"


@pytest.mark.parametrize("name", NOT_FROZEN)
def test_nothing_is_too_long_to_be_read_in_one_go(name: str) -> None:
    assert len(PATHS[name].read_text().splitlines()) <= LINES
    for node in ast.walk(tree(name)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert (node.end_lineno or 0) - node.lineno < FUNCTION, node.name
            if room_of(name) != "cli":  # a command's parameters are what is typed
                given = node.args.posonlyargs + node.args.args + node.args.kwonlyargs
                names = [each.arg for each in given if each.arg not in ("self", "cls")]
                assert len(names) <= PARAMETERS, f"{node.name}: {', '.join(names)}"


@pytest.mark.parametrize("name", [name for name in PATHS if name not in BESIDE])
def test_the_outside_is_touched_where_it_is_met(name: str) -> None:
    heads = {full.partition(".")[0] for full in imports(name)}

    if room_of(name) in WITHOUT_OUTSIDE:
        assert not heads & OUTSIDE
    if room_of(name) == "rules" and name not in {"rules.clocks", "rules.variables"}:
        assert not heads & CLOCKS, "a rule is handed its clock"


@pytest.mark.parametrize("name", ["preview", "verify"])
def test_what_only_reads_cannot_write(name: str) -> None:
    assert not ours(f"sync.{name}") & {"ledger.store", "ledger.engine"}


def test_the_sandbox_shares_nothing_with_what_it_tests() -> None:
    for name in PATHS:
        if name.startswith("sandbox.") and not name.startswith("sandbox.demo"):
            rooms = {room_of(other) for other in ours(name)}
            assert rooms <= {"sandbox", "rules", "basis"}, name
            assert {o for o in ours(name) if room_of(o) == "rules"} <= {"rules.errors"}, name


def test_only_the_project_builds_engines_and_clients() -> None:
    for name in PATHS:
        taken = {full.rpartition(".")[2] for full in imports(name)}
        if name in {"project.app", "project.reporting"}:
            continue
        if room_of(name) in {"ledger", "destinations", "warehouse"}:
            continue
        assert not taken & {"writing_engine", "reading_engine", "Wiring"}, name


def test_work_knows_destinations_by_the_port_alone() -> None:
    apis = tuple(f"{api}." for api in APIS if api.startswith("destinations."))
    for name in PATHS:
        concrete = {other for other in ours(name) if f"{other}.".startswith(apis)}
        if name != "destinations.kinds" and not f"{name}.".startswith(apis):
            assert not concrete, name
        if room_of(name) in {"sync", "decisions", "schemas", "show", "ledger", "rules"}:
            taken = {other for other in ours(name) if room_of(other) == "destinations"}
            allowed = {f"destinations.{part}" for part in ("port", "trials", "pacing")}
            assert taken <= allowed, name
