"""A ledger that an older connector has written goes on being used: every command works on it.

`fixtures/tables_0008/` was made by syncs against a sandbox, with the tables of step 0008: rows in
every state, suspect ones, a contact that is remembered, an interaction that was removed, a run that
is held back, and one that was killed. The tables of a later step get no fixture of their own unless
their contents change.
"""

import json
import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import duckdb
import psycopg
import pytest
from sqlalchemy import URL

from connector.cli.main import run
from connector.ledger.engine import writing_engine
from connector.ledger.migrations import HEAD
from connector.rules.delivery import State
from connector.sandbox.engage.running import Running, running
from tests.ledger.factories import only, select
from tests.whole.shop import an_engage

FIXTURE = Path(__file__).parent / "fixtures" / "tables_0008"


class Old:
    """A project whose ledger is the old one; what it sent is in the sandbox, under ids that the
    sandbox gives and that are written into the ledger instead of those of then."""

    def __init__(self, path: Path, url: URL, sandbox: Running, capture: Any) -> None:
        self.path, self.url, self.sandbox, self._capture = path, url, sandbox, capture
        self.config = path / "activations.yaml"
        text = (FIXTURE / "activations.yaml").read_text().replace("SANDBOX", sandbox.url)
        self.config.write_text(text.replace("LEDGER", url.render_as_string(hide_password=False)))
        with duckdb.connect(str(path / "shop.duckdb")) as warehouse:
            warehouse.execute((FIXTURE / "warehouse.sql").read_text())
        kind = url.get_backend_name()
        ledger = (FIXTURE / f"{kind}.sql").read_text()
        ledger = ledger.replace("ADDRESS", sandbox.url.replace("127.0.0.1", "localhost"))
        for stored in json.loads((FIXTURE / f"{kind}.json").read_text()):
            now = sandbox.engage.receive(stored["body"].encode()).id
            assert now is not None
            assert stored["id"] in ledger
            ledger = ledger.replace(stored["id"], now)
        self._load(kind, ledger)

    def _load(self, kind: str, ledger: str) -> None:
        if kind == "postgresql":
            plain = self.url.set(drivername="postgresql").render_as_string(hide_password=False)
            with psycopg.connect(plain) as connection:
                connection.execute(ledger.encode())
            return
        with closing(sqlite3.connect(str(self.url.database))) as connection:
            connection.executescript(ledger)
            query = "select identity, generation from ledgers"
            identity, number = connection.execute(query).fetchone()
        beside = {"ledger": identity, "number": number}
        Path(f"{self.url.database}.generation").write_text(json.dumps(beside))

    def run(self, *arguments: str, code: int = 0) -> Any:
        """The document that a command prints."""
        self._capture.readouterr()
        ended = run(["--config", str(self.config), *arguments, "--json"])
        out, err = self._capture.readouterr()
        assert ended == code, (out, err)
        return json.loads(out)

    def counts(self, activation: str) -> dict[str, int]:
        """How many rows of an activation stand in each state."""
        found = self.run("status")["activations"]
        (counts,) = (each["counts"] for each in found if each["name"] == activation)
        return {state: number for state, number in counts.items() if number}

    @property
    def stored(self) -> Counter[str]:
        """How often each row is at the destination."""
        return Counter(i.payload["visitId"] for i in self.sandbox.engage.interactions())


@pytest.fixture
def old(fresh_url: URL, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Old]:
    with running(engage=an_engage()) as sandbox:
        yield Old(tmp_path, fresh_url, sandbox, capsys)


def migrated(old: Old) -> None:
    writing_engine(old.url).dispose()


def test_it_holds_rows_in_every_state(old: Old) -> None:
    engine = writing_engine(old.url)

    later = {State.SUBMITTED, State.REMOVED}  # no row could be in these
    found = {row[0] for row in select(engine, "select state from deliveries")}
    assert found == set(State) - later
    assert only(engine, "select version_num from alembic_version")[0] == HEAD
    for table in ("contacts", "removed_interactions", "attempts", "decisions", "delivery_counts"):
        assert only(engine, f"select count(*) from {table}")[0], table
    engine.dispose()


def test_it_is_told_of_as_it_was(old: Old) -> None:
    migrated(old)

    assert old.counts("visits") == {
        "delivered": 4, "invalid": 1, "rejected": 1, "in_doubt": 1, "sending": 1, "discarded": 1,
        "undone": 2,
    }  # fmt: skip
    assert old.counts("letters") == {"delivered": 1, "invalid": 1, "waiting": 1}
    assert old.counts("orders") == {"pending": 3, "discarded": 2}
    waiting = {row["row_key"] for row in old.run("quarantine", "list")["rows"]}
    assert waiting == {"bad", "stranger", "doubt-lost", "odd"}
    story = old.run("explain", "visits", "again-1")
    assert [each["what"] for each in story["story"]] == [
        "attempt 1", "deleted", "released", "attempt 2",
    ]  # fmt: skip
    assert old.run("explain", "visits", "taken-1")["suspect"] is True
    assert "held" in {run["status"] for run in old.run("runs")["runs"]}


def test_it_is_synced_and_nothing_is_sent_twice(old: Old) -> None:
    before = old.stored

    synced = old.run("sync", "--wait", "visits", "letters", code=1)

    assert {each["status"] for each in synced["runs"]} == {"attention"}
    assert old.stored == before + Counter(["doubt-lost", "killed"])
    counts = old.counts("visits")
    assert counts == {
        "delivered": 6, "invalid": 1, "rejected": 1, "discarded": 1, "undone": 2,
    }  # fmt: skip


def test_what_is_held_is_let_go(old: Old) -> None:
    old.run("sync", "orders", code=1)
    assert old.stored["order-0"] == 0

    old.run("sync", "orders", "--approve", "--wait")

    assert [old.stored[f"order-{number}"] for number in range(3)] == [1, 1, 1]
    assert old.stored["before-1"] == 0


def test_its_runs_are_undone_and_released(old: Old) -> None:
    migrated(old)
    sent, taken = (run_of(old, key) for key in ("sent-1", "taken-1"))

    undone = old.run("undo", sent, "--yes")

    assert (undone["deleted"], old.stored["sent-1"], old.stored["sent-2"]) == (2, 0, 0)
    old.run("release", taken, "--yes")
    old.run("sync", "visits", "--wait", code=1)
    assert (old.stored["taken-1"], old.stored["taken-2"]) == (1, 1)
    assert old.stored["sent-1"] == 0


def test_a_person_decides_about_its_rows(old: Old) -> None:
    old.run("quarantine", "discard", "visits", "bad", "--note", "never mind")

    found = old.run("explain", "visits", "bad")
    assert (found["state"], found["suspect"]) == ("discarded", False)
    old.run("forget", "--contact", "nobody@example.com", "--yes")


def run_of(old: Old, key: str) -> str:
    """The run that sent a row."""
    return str(old.run("explain", "visits", key)["attempts"][-1]["run_id"])
