"""A test send asks nobody: it is due far ahead, and taken back; a survey of a row stays its own."""

from datetime import UTC, datetime, timedelta
from typing import Any

from tests.whole.survey_dynamix.conftest import ROWS, Project
from tests.whole.test_crash import killed, until

TESTER = "tester@example.com"


def send(project: Project, *more: str) -> Any:
    return project.connector(
        "send", "delivery_survey", "p1", "--to", TESTER, "--yes", "--json", *more
    )


def test_it_is_due_far_ahead_and_gone_before_anybody_is_asked(project: Project) -> None:
    done = send(project)

    body = done.json["request"]["body"]
    ahead = datetime.fromisoformat(body["scheduled_at"]).replace(tzinfo=UTC) - datetime.now(UTC)
    assert (done.code, done.json["taken_back"]) == (0, True), done
    assert ahead > timedelta(days=6)
    assert body["email"] == TESTER
    assert body["orderNo"] == "A+1"
    assert all(side["same"] for side in done.json["differences"]), done.json["differences"]
    assert sum(each.surveys for each in project.got().values()) == 0


def test_a_killed_one_is_found_by_its_mark_and_asks_nobody(project: Project) -> None:
    project.behave(faults={"hang_after": 1.0, "hang_seconds": 30})
    process = project.start("send", "delivery_survey", "p1", "--to", TESTER, "--yes")
    until(lambda: project.posts == 1)
    killed(process)
    project.behave()

    done = send(project)

    assert (done.code, done.json["taken_back"]) == (0, True), done
    assert "found, and taken back" in done.json["cleaned_up"][0]
    assert project.sync().code == 0
    got = project.got()
    assert sorted(each.surveys for each in got.values() if each.surveys) == [1] * ROWS


def test_one_that_is_kept_is_due_as_the_row_says(project: Project) -> None:
    done = send(project, "--keep")

    at = done.json["request"]["body"]
    due = datetime.fromisoformat(at["scheduled_at"]).replace(tzinfo=UTC)
    assert (done.code, done.json["kept"]) == (0, True), done
    assert due - datetime.now(UTC) < timedelta(hours=1)
    assert len(project.got()) == 1
