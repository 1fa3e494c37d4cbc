"""A mirror at a destination that somebody else ships: where letters can be taken back, and where
they cannot."""

import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.third_party.server import running
from tests.third_party.test_whole import LOST, ROWS, Project, installed, site  # noqa: F401
from tests.whole.shop import Done

CAN = "CAN = Capabilities(Proof.ROW, shows=True, lists_equals=True, takes_back=True)"
NOT_BACK = "CAN = Capabilities(Proof.ROW, shows=True, lists_equals=True)"


@pytest.fixture
def project(
    installed: None,  # noqa: F811
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> Iterator[Project]:
    with running() as office:
        project = Project(tmp_path, office, capsys)
        mirrored = project.config.replace("    cursor: seen_at\n", "    mode: mirror\n")
        project.write(mirrored.replace("settle_after: 1s", "settle_after: 0s"))
        yield project


def execute(project: Project, sql: str) -> None:
    with closing(sqlite3.connect(project.path / "w.db")) as warehouse, warehouse:
        warehouse.execute(sql)


def synced(project: Project, *arguments: str) -> Any:
    done: Done = project.connector("sync", "--json", *arguments)
    (run,) = done.json["runs"]
    return run


def ratings(project: Project) -> list[str]:
    return sorted(letter["text"] for letter in project.office.letters.values())


def test_letters_come_and_go_with_their_rows(project: Project) -> None:
    synced(project)
    execute(project, "delete from visits where id = 'v1'")
    execute(project, "update visits set rating = 5 where id = 'v2'")
    changed = synced(project)
    execute(project, "insert into visits values ('v1', '2026-11-01', 'anna@example.com', 1)")

    returned = synced(project)

    assert (changed["removed"], changed["replaced"], changed["delivered"]) == (1, 1, 1)
    assert returned["delivered"] == 1
    assert project.office.per_reference() == [1] * ROWS
    assert sum('"rating":5' in text for text in ratings(project)) == 1


def test_whichever_answers_get_lost_no_row_has_two_letters(project: Project) -> None:
    synced(project)
    execute(project, "update visits set rating = 5 where id < 'v2'")
    project.office.fail(*LOST, None)

    synced(project, "--wait")

    assert project.office.per_reference() == [1] * ROWS
    assert sum('"rating":5' in text for text in ratings(project)) == 4


def test_a_model_that_breaks_off_takes_nothing_back(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its first batches say what is changed and gone; then it cannot be read on."""
    monkeypatch.setattr("connector.sync.reading.BATCH", 3)
    execute(project, "create index in_order on visits (id)")
    synced(project)
    execute(project, "delete from visits where id = 'v1'")
    execute(project, "update visits set rating = 5 where id = 'v0'")
    overflow = "case when id = 'v9' then abs(-9223372036854775808) else rating end as rating"
    broken = f"select id, email, {overflow} from visits"
    model = project.config
    project.write(model.replace("{table: visits}", f'{{sql: "{broken}"}}'))

    done = synced(project)

    assert (done["status"], done["read"] > 0) == ("stopped", True), done
    assert len(project.office.letters) == project.office.posts == ROWS
    project.write(model)
    done = synced(project)
    assert (done["removed"], done["replaced"]) == (1, 1)


def test_a_destination_that_takes_nothing_back_has_no_mirrors(
    project: Project,
    site: Path,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    text = (site / "connector_postbox.py").read_text()
    assert CAN in text
    (tmp_path / "first").mkdir()
    (tmp_path / "first" / "connector_postbox.py").write_text(text.replace(CAN, NOT_BACK))
    monkeypatch.syspath_prepend(str(tmp_path / "first"))
    monkeypatch.setitem(sys.modules, "connector_postbox", ModuleType("later as it was"))
    del sys.modules["connector_postbox"]

    done = project.connector("check")

    assert done.code == 2
    told = " ".join((done.out + done.err).split())
    assert "activations.yaml:18:5" in told
    assert "those in Postbox cannot be; take the key out" in told
