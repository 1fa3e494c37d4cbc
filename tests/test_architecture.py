"""Imports point one way: shells -> work -> adapters -> domain."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "connector"
MODULES = sorted(PACKAGE.rglob("*.py"))
DOMAIN = {
    "activation",
    "schema",
    "definition",
    "difference",
    "columns",
    "interaction",
    "mapping",
    "watermark",
    "walltime",
    "delivery",
    "due",
    "values",
    "errors",
    "matching",
    "contacts",
    "absence",
    "clocks",
    "place",
    "keys",
    "turnover",
}
ADAPTERS = {"warehouse", "ledger", "destinations"}
WORK = {
    "reading",
    "behind",
    "stage",
    "lookup",
    "deliver",
    "settle",
    "sync",
    "preview",
    "check",
    "outlook",
    "quarantine",
    "verify",
    "undo",
    "release",
    "forget",
    "provision",
    "migrate",
    "propose",
    "progress",
}
SHELLS = {
    "service",
    "alerts",
    "metrics",
    "tracing",
    "web",
    "settings",
    "variables",
    "yaml_values",
    "reporting",
    "runlog",
    "app",
    "scheduler",
    "cli",
    "show",
    "terminal",
    "exposure",
    "show_undo",
    "layout",
    "schemas",
    "sandbox",
    "demo",
    "__main__",
}
LEVEL = {name: i for i, layer in enumerate((SHELLS, WORK, ADAPTERS, DOMAIN)) for name in layer}
OUTSIDE = {
    "aiohttp",
    "sqlalchemy",
    "duckdb",
    "httpx",
    "apscheduler",
    "starlette",
    "uvicorn",
    "typer",
}
CLOCKS = {"os", "time", "random", "socket"}


def name_of(path: Path) -> str:
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def imports(path: Path) -> Iterator[list[str]]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path.name}: absolute imports only"
            yield from (f"{node.module}.{alias.name}".split(".") for alias in node.names)


def ours(path: Path) -> Iterator[str]:
    """The parts of the package that a module imports."""
    for head, *rest in imports(path):
        if head == "connector" and rest and rest[0] != "__version__":
            yield rest[0]


def test_every_module_has_its_layer() -> None:
    assert {name_of(path) for path in MODULES} - {"__init__"} == set(LEVEL)


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_point_down(path: Path) -> None:
    me = name_of(path)
    for name in ours(path):
        assert LEVEL[name] >= LEVEL[me], f"{me} imports {name}, which is above it"
        if me in ADAPTERS and name in ADAPTERS:
            assert name == me, f"the adapter {me} knows the adapter {name}"


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_the_outside_is_touched_by_adapters_and_shells_alone(path: Path) -> None:
    heads = {head for head, *_ in imports(path)}

    if name_of(path) in WORK | DOMAIN:
        assert not heads & OUTSIDE
    if name_of(path) in DOMAIN - {"clocks"}:
        assert not heads & CLOCKS, "the domain is handed its clock"


@pytest.mark.parametrize("name", ["preview", "verify"])
def test_what_only_reads_cannot_write(name: str) -> None:
    modules = {".".join(parts[:3]) for parts in imports(PACKAGE / f"{name}.py")}

    assert not modules & {"connector.ledger.store", "connector.ledger.engine"}


def test_the_sandbox_shares_nothing_with_what_it_tests() -> None:
    for path in (PACKAGE / "sandbox").rglob("*.py"):
        assert set(ours(path)) <= {"sandbox", "errors"}, path


def test_only_the_app_builds_engines_and_clients() -> None:
    for path in MODULES:
        names = {parts[-1] for parts in imports(path)}
        if name_of(path) in {"app", "ledger", "destinations", "warehouse"}:
            continue
        reads = {"reading_engine"} if name_of(path) == "reporting" else set()
        assert names & {"writing_engine", "reading_engine", "EngageOptions"} <= reads, path
