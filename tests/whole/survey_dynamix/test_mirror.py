"""A mirror of surveys: what has not started is taken back, what has started stays."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.whole.survey_dynamix.conftest import Project

FEW = 4


@pytest.fixture
def mirror(project: Project) -> Project:
    """Few rows, each asked in an hour."""
    configured(project, scheduled_at="{column: ask_at}", settle_after="0s")
    project.execute("delete from parcels")
    ask(project, timedelta(hours=1), *range(FEW))
    return project


def configured(project: Project, **options: Any) -> None:
    project.configure(**options)
    text = project.config.read_text().replace("    cursor: seen_at\n", "    mode: mirror\n")
    project.config.write_text(text)


def ask(project: Project, ahead: timedelta, *numbers: int) -> None:
    at = (datetime.now(UTC) + ahead).isoformat(timespec="seconds")
    project.add(*numbers, ask_at=at)


def synced(project: Project) -> Any:
    done = project.sync()
    assert done.code in (0, 1), done.err
    return done.run


def test_surveys_that_have_not_started_come_and_go_with_their_rows(mirror: Project) -> None:
    synced(mirror)
    mirror.execute("delete from parcels where id = 'p1'")
    mirror.execute("update parcels set store_name = 'Ystad' where id = 'p2'")
    changed = synced(mirror)
    ask(mirror, timedelta(hours=1), 1)

    returned = synced(mirror)

    assert (changed["removed"], changed["replaced"], changed["delivered"]) == (1, 1, 1)
    assert returned["delivered"] == 1
    assert mirror.counts == {"delivered": FEW}
    assert [each.surveys for each in mirror.got().values()] == [1] * FEW


def test_a_survey_that_has_started_stays_and_that_is_told(mirror: Project) -> None:
    synced(mirror)
    mirror.sandbox.clock.advance(2 * 3600)
    mirror.execute("delete from parcels where id = 'p1'")

    done = synced(mirror), synced(mirror)

    for run in done:
        assert (run["status"], run["removed"]) == ("attention", 0)
        assert "such as p1), and Survey Dynamix refused it" in run["notes"][0]
    assert mirror.counts == {"delivered": FEW}


def test_what_was_asked_stays_when_it_would_be_too_late_to_ask_now(mirror: Project) -> None:
    mirror.execute("delete from parcels")
    ask(mirror, timedelta(hours=-1), *range(FEW))
    synced(mirror)
    configured(mirror, stale_after="1m")

    done = synced(mirror)

    assert (done["status"], done["removed"], done["replaced"]) == ("succeeded", 0, 0), done
    assert mirror.counts == {"delivered": FEW}
