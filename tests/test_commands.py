"""What a command loads: its help next to nothing, and what only looks at the ledger no client."""

import subprocess
import sys
from pathlib import Path

import pytest
from typer.main import get_command

import connector
from connector.cli.main import command_line

PROGRAM = """
import sys
from connector.cli.main import run
for command in {commands!r}:
    assert run(command) == 0, command
print(sorted({heavy!r} & sys.modules.keys()), file=sys.stderr)
"""
HEAVY = {
    "alembic",
    "apscheduler",
    "asyncio",
    "duckdb",
    "httpx",
    "jinja2",
    "jsonschema",
    "pydantic",
    "pydantic_settings",
    "rich",
    "ruamel.yaml",
    "sqlalchemy",
    "starlette",
    "structlog",
    "uvicorn",
}
FILE = """
version: 1
warehouse: {url: "duckdb:///shop.duckdb"}
destinations: {engage: {type: engage, url: "https://shop.voyado.com", api_key: k}}
activations:
  visits:
    model: {sql: "select 1 as id"}
    row_key: id
    schema_id: visits
    start: all
    contact: {column: id, identifier: contactId}
    payload: {id: id}
"""
ANOTHER = """
  {name}:
    model: {{dbt: {name}}}
    schema_id: visit
    row_key: id
    cursor: seen_at
    start: all
    contact: {{column: email, identifier: email}}
    payload: {{visitId: id, rating: rating}}
    schedule: {{every: 1h}}
    tags: [crm, daily]
"""


def loaded_by(*commands: list[str], place: Path | None = None) -> set[str]:
    """Which heavy modules a process has loaded when it has run `commands`."""
    program = PROGRAM.format(commands=commands, heavy=HEAVY)
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=place, capture_output=True, text=True, check=True
    )
    return set(eval(done.stderr))


def helps() -> list[list[str]]:
    """How each command is asked for its help."""
    found = [["--help"]]
    for name, command in get_command(command_line()).commands.items():  # type: ignore[attr-defined]
        inner = getattr(command, "commands", {})
        found += [[name, "--help"], *([name, each, "--help"] for each in inner)]
    return found


def test_no_help_loads_more_than_it_shows() -> None:
    assert len(helps()) > 30
    assert loaded_by(["--help"]) == set()
    assert loaded_by(*helps()) == {"pydantic"}  # by which typer reads what stands before a command


@pytest.mark.parametrize("command", [["status"], ["runs"], ["quarantine", "list"]])
def test_what_stands_in_the_ledger_is_told_without_what_sends(
    command: list[str], tmp_path: Path
) -> None:
    (tmp_path / "activations.yaml").write_text(FILE)

    loaded = loaded_by(command, place=tmp_path)

    assert loaded == {"asyncio", "pydantic", "rich", "sqlalchemy"}


def test_what_is_configured_is_told_without_a_ledger(tmp_path: Path) -> None:
    (tmp_path / "activations.yaml").write_text(FILE)

    loaded = loaded_by(["plan"], place=tmp_path)

    assert not loaded & {"sqlalchemy", "duckdb", "httpx", "structlog"}


def test_what_sends_loads_no_other_client() -> None:
    kinds = ("engage", "mxo", "survey_dynamix")
    names = ["connector.project.app", *(f"connector.destinations.{k}.client" for k in kinds)]
    program = f"import sys, {', '.join(names)}; print({{'httpx', 'httpcore'}} & sys.modules.keys())"

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)

    assert done.stdout == "set()\n", done.stderr


def test_a_plan_of_many_activations_asks_for_no_secret(tmp_path: Path) -> None:
    file = tmp_path / "activations.yaml"
    head = FILE.partition("activations:\n")[0].replace("api_key: k", 'api_key: "${SOME_KEY}"')
    many = (ANOTHER.format(name=f"a{number}") for number in range(300))
    file.write_text(f"{head}activations:\n{''.join(many)}")

    planned = connector.plan(file).activations

    assert len(planned) == 300
    assert {each.key for each in planned} == {planned[0].key}
