"""The list of commands is what their modules have, and is shown without loading them."""

import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
from typer.main import get_group

from connector.cli.main import COMMANDS

SHOWN = """
import sys
from connector.cli.main import run
assert run(["--help"]) == 0
heavy = {"sqlalchemy", "duckdb", "rich", "pydantic", "httpx", "structlog", "asyncio"}
print(sorted(heavy & sys.modules.keys()), file=sys.stderr)
"""
TOLD = """
import sys
from connector.cli.main import run
assert run(["status"]) == 0
print(sorted({"duckdb", "httpx", "aiohttp"} & sys.modules.keys()), file=sys.stderr)
"""
FILE = """
version: 1
warehouse: {url: "duckdb:///shop.duckdb"}
destinations: {engage: {type: engage, url: "https://shop.voyado.com", api_key: k}}
activations: {}
"""


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_is_listed_with_the_first_sentence_of_its_help(name: str) -> None:
    module, sentence = COMMANDS[name]

    command = get_group(import_module(f"connector.cli.{module}").commands).commands[name]

    assert (command.help or "").startswith(sentence)
    assert sentence.endswith((".", "?"))


def test_no_module_has_a_command_that_is_not_listed() -> None:
    for module in {module for module, _ in COMMANDS.values()}:
        theirs = get_group(import_module(f"connector.cli.{module}").commands).commands
        assert set(theirs) == {name for name, (where, _) in COMMANDS.items() if where == module}


def test_the_help_loads_no_more_than_it_shows() -> None:
    done = subprocess.run([sys.executable, "-c", SHOWN], capture_output=True, text=True, check=True)

    assert done.stderr.strip() == "[]"


def test_what_stands_in_the_ledger_is_told_without_a_client(tmp_path: Path) -> None:
    (tmp_path / "activations.yaml").write_text(FILE)

    done = subprocess.run(
        [sys.executable, "-c", TOLD], cwd=tmp_path, capture_output=True, text=True, check=True
    )

    assert done.stderr.strip() == "[]"
