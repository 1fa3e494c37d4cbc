"""A ledger with batches is put back from a backup: MXO counts nothing twice, nothing is told to be
delivered that is not, nothing is lost, and what nobody can tell waits for a person."""

import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from connector.sandbox.mxo.running import running
from tests.targets import in_short
from tests.whole.mxo_project import SECRET, Project
from tests.whole.test_mxo_batches import MORE, TIME, is_true, killed_while_sending, settled, states

pytestmark = pytest.mark.long
BEFORE, ROWS, LATER = 3, 10, 4


@pytest.fixture
def project(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Project]:
    with running(secret=SECRET) as sandbox:
        project = Project(tmp_path, sandbox, capsys)
        project.configure(mode="batch", time=TIME, more=MORE)
        yield project
        project.close()


def backup(project: Project) -> None:
    """A copy of the ledger, and of nothing beside it, as SQLite makes one while others write."""
    with (
        closing(sqlite3.connect(project.path / "ledger.db")) as here,
        closing(sqlite3.connect(project.path / "backup.db")) as there,
    ):
        here.backup(there)


def restore(project: Project) -> None:
    for file in project.path.glob("ledger.db-*"):
        file.unlink()
    shutil.copy(project.path / "backup.db", project.path / "ledger.db")


# --- moments at which the backup is made; each leaves all rows with MXO ---------------------------


def before_they_are_recorded(project: Project) -> None:
    backup(project)
    project.add(ROWS, BEFORE)
    project.sync("--wait")


def before_they_are_sent(project: Project) -> None:
    project.configure(activation="limits: {rows: 2}")
    project.add(ROWS, BEFORE)
    assert project.sync().run["status"] == "held"
    backup(project)
    project.sync("--approve", "--wait")
    project.configure(activation="")


def while_they_are_sent(project: Project) -> None:
    """The batch is with MXO, and not answered yet."""
    project.add(ROWS, BEFORE)
    project.behave(answer_delay=0.5)
    process = project.start("sync", "--wait")
    known = len(project.sandbox.store.batches())
    while len(project.sandbox.store.batches()) == known and process.poll() is None:
        time.sleep(0.005)
    backup(project)
    process.communicate()
    project.behave()


def after_a_kill(project: Project) -> None:
    """In doubt in the backup; then found, or sent again."""
    project.add(ROWS, BEFORE)
    killed_while_sending(project)
    backup(project)
    settled(project)


def when_a_lost_one_is_to_go_again(project: Project) -> None:
    """Found absent in the backup, and sent again since, under the same id."""
    project.add(ROWS, BEFORE)
    project.behave(faults={"reset_before": 1.0})
    project.sync()
    for _ in range(8):
        project.sync("--limit", "1")  # fewer than it carries: found absent, it stays
        if "pending" in project.counts:
            break
        time.sleep(0.5)
    backup(project)
    project.behave()
    settled(project)


def when_they_are_submitted(project: Project) -> None:
    project.behave(process_delay=3600)
    project.add(ROWS, BEFORE)
    project.sync()
    backup(project)
    project.sandbox.finish()
    project.behave()
    project.sync()


def when_they_are_settled(project: Project) -> None:
    project.add(ROWS, BEFORE)
    project.sync("--wait")
    backup(project)
    project.add(LATER, BEFORE + ROWS)
    project.sync("--wait")


MOMENTS = [
    before_they_are_recorded,
    before_they_are_sent,
    while_they_are_sent,
    after_a_kill,
    when_a_lost_one_is_to_go_again,
    when_they_are_submitted,
    when_they_are_settled,
]
Moment = Callable[[Project], None]


def other_rows(project: Project) -> None:
    """The model has other rows by now, between and after those that it had."""
    with closing(sqlite3.connect(project.path / "w.db")) as warehouse, warehouse:
        warehouse.execute("delete from visits where id in ('v4', 'v7')")
        warehouse.execute("update visits set amount = 9.5 where id in ('v5', 'v9')")
        rows = [(f"n{n}", f"2026-11-01 10:00:{n:02}", f"n{n}", 1, 4.5) for n in range(3, 12, 2)]
        warehouse.executemany("insert into visits values (?, ?, ?, ?, ?)", rows)


def forgetful(project: Project) -> None:
    project.behave(kept_for=0)


def nothing_else(project: Project) -> None:
    """The model is what it was, and MXO remembers."""


CHANGES = [nothing_else, other_rows, forgetful]


def called(function: Any) -> str:
    return str(function.__name__)


def nothing_is_lost(project: Project) -> None:
    """Each row that is recorded has taken effect, or waits; all of the model is recorded."""
    with closing(sqlite3.connect(project.path / "w.db")) as warehouse:
        model = {row[0] for row in warehouse.execute("select id from visits")}
    known = states(project)
    assert model <= known.keys()
    is_true(project)
    listed = project.connector("quarantine", "list", "--json").json["rows"]
    waits = {row["row_key"]: row["reason"] for row in listed}
    assert all(waits.values()), waits
    assert all(state == "delivered" or key in waits for key, state in known.items()), known


@pytest.mark.parametrize("change", in_short(CHANGES, slice(1, 2)), ids=called)
@pytest.mark.parametrize("moment", MOMENTS, ids=called)
def test_a_ledger_from_any_moment_makes_nothing_count_twice(
    project: Project, moment: Moment, change: Moment
) -> None:
    project.add(BEFORE)
    project.sync("--wait")  # it is known that ids are kept
    moment(project)
    restore(project)
    change(project)

    first = project.sync("--wait")

    assert first.code == 1
    assert "put back from a backup" in first.run["notes"][0], first.run["notes"]
    is_true(project)
    settled(project, rounds=3)
    nothing_is_lost(project)


@pytest.mark.parametrize("moment", in_short(MOMENTS, slice(2, None, 2)), ids=called)
def test_nor_where_mxo_gives_batches_ids_of_its_own(project: Project, moment: Moment) -> None:
    real = project.behave

    def ignoring(**switches: Any) -> None:
        real(own_id="ignored", **switches)

    project.behave = ignoring  # type: ignore[method-assign]
    project.behave()
    project.add(BEFORE)
    project.sync("--wait")
    moment(project)
    restore(project)

    project.sync("--wait")
    settled(project, rounds=3)

    is_true(project)
    nothing_is_lost(project)
