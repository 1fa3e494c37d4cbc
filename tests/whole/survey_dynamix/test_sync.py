"""Surveys are asked for once each, whatever becomes of requests, answers and processes."""

import re
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl

import pytest

from connector.destinations.survey_dynamix.client import PENDING
from connector.sandbox.survey_dynamix.running import CUSTOMER
from tests.targets import each_in_turn, in_short
from tests.whole.survey_dynamix.conftest import ROWS, Project

LOST = {
    "reset_after": 0.12,
    "reset_before": 0.12,
    "status_after": {503: 0.12},
    "status_before": {500: 0.12},
    "html_after": 0.12,
    "truncate_after": 0.12,
    "no_id_after": 0.12,
}


def once_each(project: Project, rows: int = ROWS) -> None:
    """Every person got one survey, by the destination's own count."""
    got = project.got()
    assert [each.surveys for each in got.values()] == [1] * rows


def test_check_says_that_it_works_and_what_the_destination_cannot_do(project: Project) -> None:
    done = project.connector("check")

    told = " ".join(done.out.split())
    assert done.code == 0, done.out + done.err
    assert "the destination accepts the token; the mapping fits" in told
    assert "no schemas are kept" in told
    assert "carries the row key" not in told
    assert project.posts == 0


def test_a_preview_shows_the_form_as_it_will_be_sent(project: Project) -> None:
    document = project.connector("preview", "delivery_survey", "--json", "--limit", "1").json

    (request,) = document["requests"]
    assert request["method"] == "POST"
    assert request["url"] == f"{project.sandbox.url}/api/interactions"
    assert "orderNo=A%2B0" in request["body"]
    assert "storeName=%C3%85hus" in request["body"]
    form = dict(parse_qsl(request["body"]))
    assert (form["email"], form["survey_id"], form["agent_id"]) == ("c0@example.com", "493", "7")
    assert (document["new"], project.posts) == (ROWS, 0)

    project.sync("--limit", "1")
    ((_, _, body),) = [project.sandbox.requests.last or ("", "", b"")]
    sent = dict(parse_qsl(body.decode()))
    assert {**form, "scheduled_at": ""} == {**sent, "scheduled_at": ""}


def test_every_person_is_asked_once_and_when_it_was_planned(project: Project) -> None:
    before = datetime.now(UTC)
    done = project.sync()

    assert (done.code, done.run["delivered"]) == (0, ROWS), done.out + done.err
    for each in project.sandbox.store.interactions():
        at = datetime.fromtimestamp(each.scheduled_at, UTC)
        assert timedelta(minutes=14) < at - before < timedelta(minutes=17)
        assert each.texts["agent_id"] == "7"
        assert each.texts["call_type"] == "delivery"
        assert set(each.data) == {"orderNo", "storeName"}

    assert project.sync().run["delivered"] == 0
    assert project.posts == ROWS
    once_each(project)


SWITCHES: list[dict[str, Any]] = [
    {},
    {"answer_form": "wrapped", "id_form": "text", "success_status": 201},
    {"answer_form": "list", "empty_list": "array", "link_name": "weblink"},
    {"reference_filter": "ignored", "email_pending": False},
    {"reference_filter": "case_blind", "gone_status": 410, "error_body": "html"},
    {"read_back_delay": 0.3, "error_body": "empty"},
    {"permission": "all", "iso_time": "local", "json_body": "ignored", "past_time": "400"},
    {"pending_ends": "sent", "starts_after": 60},
]
OWN = ["", "external_ref: order_no"]


@pytest.mark.parametrize(
    ("own", "switches"), in_short(each_in_turn(OWN, SWITCHES), slice(len(SWITCHES)))
)
def test_nothing_is_asked_twice_or_lost_under_any_switch(
    project: Project, switches: dict[str, Any], own: str
) -> None:
    project.configure(more=own or "description: x")
    project.behave(**switches, faults=LOST, seed=len(str(switches)))

    first = project.sync("--wait")
    project.behave(**switches)
    done = project.sync("--wait")

    assert done.code == 0, done.out + done.err
    assert project.counts == {"delivered": ROWS}, first.out
    once_each(project)


@pytest.mark.parametrize("cut", [1, 26])
def test_references_that_are_cut_short_stop_the_run_and_nothing_goes_twice(
    project: Project, cut: int
) -> None:
    project.behave(reference_cut=cut, faults={"reset_after": 0.4})

    project.sync("--wait")
    project.sync("--wait")
    project.behave(reference_cut=cut)
    for _ in range(ROWS):
        last = project.sync()
        if not last.run["pending"]:
            break

    assert last.code in (1, 3)
    counts = project.counts
    assert counts["delivered"] + counts.get("in_doubt", 0) == ROWS
    got = project.got()
    assert sum(each.surveys for each in got.values()) == ROWS
    assert all(each.surveys == 1 for each in got.values())


def test_a_run_that_stops_for_that_says_why(project: Project) -> None:
    project.behave(reference_cut=9)

    done = project.sync()

    assert done.code == 3
    assert "references are not kept as they are sent" in str(done.run["error"])
    assert done.run["delivered"] >= 1


def test_an_answer_about_another_row_stops_the_run(project: Project) -> None:
    project.sync("--limit", "1")
    project.behave(faults={"repeat_after": 1})

    done = project.sync()

    assert done.code == 3
    assert "another interaction" in str(done.run["error"])
    project.behave()
    assert project.sync("--wait").code == 0
    once_each(project)


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_token_burns_no_row(project: Project, status: int) -> None:
    project.behave(permission="read", no_permission_status=status)

    done = project.sync()

    assert done.code == 3
    assert "refuses the auth token" in str(done.run["error"])
    assert project.counts == {"pending": ROWS}
    project.behave()
    assert project.sync().run["delivered"] == ROWS


def test_what_the_api_refuses_is_rejected_in_its_words(project: Project) -> None:
    project.add(99, email="anna@@example{}")

    done = project.sync()

    assert (done.code, done.run["rejected"], done.run["delivered"]) == (1, 1, ROWS)
    rows = project.connector("quarantine", "list", "--json").json["rows"]
    assert [row["row_key"] for row in rows] == ["p99"]


# --- somebody has a survey pending ----------------------------------------------------------------


def two_of_one(project: Project) -> None:
    project.execute("delete from parcels")
    project.add(1, 2, email="anna@example.com")


def test_a_second_survey_of_a_person_is_rejected(project: Project) -> None:
    two_of_one(project)

    done = project.sync()

    assert (done.code, done.run["delivered"], done.run["rejected"]) == (1, 1, 1)
    (row,) = project.connector("quarantine", "list", "--json").json["rows"]
    assert "a survey for this person is pending already" in row["reason"]


def test_or_it_waits_for_the_end_of_the_first(project: Project) -> None:
    project.configure(when_pending="{wait: 2d}")
    two_of_one(project)

    done = project.sync()
    assert (done.code, done.run["delivered"], done.run["pending"]) == (0, 1, 1)
    assert (done.run["resting"], done.run["next_try"] is None) == (1, False)
    assert re.search(f"{PENDING}; each run tries again until 20.*Z$", done.run["rests_for"])
    status = project.connector("status", "--json").json["activations"][0]
    assert status["last_run"]["rests_for"] == done.run["rests_for"]
    for command in ("status", "runs"):
        text = " ".join(project.connector(command).out.split())
        assert "1 row rests; it may be tried again at" in text
        assert f"{PENDING}; each run tries again until" in text
    would = project.connector("preview", "delivery_survey", "--json").json
    assert (would["new"], would["pending"], would["resting"], would["requests"]) == (0, 0, 1, [])
    assert would["rests_for"] == done.run["rests_for"]
    assert (would["outlook"]["would"], would["outlook"]["may_send"]) == ("send_nothing", 1)
    shown = project.connector("preview", "delivery_survey").said
    assert "0 would be sent 1 recorded before, which may be tried again at" in shown
    assert "1 row that rests may be sent, since each run tries: HTTP 409" in shown
    assert (
        project.connector("check", "--json").json["activations"][0]["outlook"] == would["outlook"]
    )
    posts = project.posts
    text = " ".join(project.connector("sync").out.split())
    assert f"{PENDING}; each run tries again until" in text
    assert project.posts == posts + 1  # once a run

    project.sandbox.clock.advance(3600)
    done = project.sync()
    assert (done.run["delivered"], done.run["resting"], done.run["rests_for"]) == (1, 0, None)
    assert "rests" not in project.connector("status").out
    once_each(project, 2)


def test_the_wait_for_it_ends(project: Project) -> None:
    project.configure(when_pending="{wait: 1s}")
    two_of_one(project)
    project.sync()

    for _ in range(50):
        if project.sync().run["rejected"]:
            break

    (row,) = project.connector("quarantine", "list", "--json").json["rows"]
    assert "the wait for its end is over" in row["reason"]


def test_or_it_is_forced(project: Project) -> None:
    project.configure(when_pending="force")
    two_of_one(project)

    assert project.sync().run["delivered"] == 2
    once_each(project, 2)


# --- rows that are too late -----------------------------------------------------------------------


def test_a_row_that_is_too_late_is_invalid_and_one_that_is_not_is_asked(project: Project) -> None:
    project.execute("delete from parcels")
    now = datetime.now(UTC)
    project.add(1, ask_at=str(now - timedelta(days=3))[:19])
    project.add(2, ask_at=str(now - timedelta(days=1))[:19])
    project.add(3, ask_at=str(now + timedelta(days=1))[:19])
    project.configure(scheduled_at="{column: ask_at, timezone: UTC}")

    preview = project.connector("preview", "delivery_survey", "--json").json
    assert (preview["new"], preview["invalid"]) == (2, 1)
    done = project.sync()

    assert (done.run["delivered"], done.run["invalid"]) == (2, 1)
    (row,) = project.connector("quarantine", "list", "--json").json["rows"]
    assert "stale_after" in row["reason"]
    asked = sorted(each.scheduled_at for each in project.sandbox.store.interactions())
    assert asked[1] == pytest.approx((now + timedelta(days=1)).timestamp(), abs=1)
    again = project.connector("quarantine", "retry", "delivery_survey", row["row_key"], "--yes")
    assert "stale_after" in " ".join(again.out.split())
    assert project.counts == {"delivered": 2, "invalid": 1}, "it is too late for it still"


def test_a_row_that_has_become_too_late_is_not_sent_any_more(project: Project) -> None:
    project.execute("delete from parcels")
    ask_at = datetime.now(UTC) - timedelta(minutes=10)
    project.add(1, ask_at=str(ask_at)[:19])
    project.configure(scheduled_at="{column: ask_at, timezone: UTC}")
    project.behave(permission="read")
    assert project.sync().code == 3
    project.configure(stale_after="5m")
    project.behave()

    foreseen = project.connector("preview", "delivery_survey", "--json").json
    checked = project.connector("check", "--json").json["activations"][0]
    done = project.sync()

    assert (done.code, done.run["rejected"], project.posts) == (1, 1, 1)
    assert (foreseen["pending"], foreseen["rejected"], foreseen["requests"]) == (0, 1, [])
    assert "stale_after" in foreseen["reasons"][0]["reason"]
    assert foreseen["outlook"]["would"] == "send_nothing"
    assert checked["outlook"] == foreseen["outlook"]
    told = [each["message"] for each in checked["findings"] if "stale_after" in each["message"]]
    assert told[0].startswith("1 recorded row would be rejected, such as p1: scheduled_at")


# --- who is who -----------------------------------------------------------------------------------


def test_a_renamed_activation_finds_what_it_asked_for_under_its_old_name(project: Project) -> None:
    project.behave(faults={"reset_after": 1})
    project.sync("--limit", "3")
    project.behave()
    project.configure(name="after_delivery", more="renamed_from: delivery_survey")

    done = project.sync("--wait")

    assert done.code == 0, done.out + done.err
    assert project.counts == {"delivered": ROWS}
    once_each(project)


def test_another_survey_under_the_same_name_is_refused(project: Project) -> None:
    project.sync()
    config = project.config.read_text().replace("survey_id: 493", "survey_id: 511")
    project.config.write_text(config)

    done = project.connector("sync")

    assert done.code == 2
    told = " ".join((done.out + done.err).split())
    assert "survey_id was 493 when its rows were recorded and is now 511" in told


@pytest.mark.parametrize("started", [False, True])
@pytest.mark.parametrize("own", ["", "external_ref: order_no"])
def test_a_new_ledger_recognises_what_an_old_one_has_sent(
    project: Project, own: str, started: bool
) -> None:
    project.configure(more=own or "description: x")
    project.sync("--limit", "7")
    for file in project.path.glob("ledger.db*"):
        file.unlink()
    if started:  # no 409 tells of it any more
        project.sandbox.clock.advance(3600)

    done = project.sync()

    assert (done.code, done.run["delivered"]) == (0, ROWS), done.out
    assert project.posts == ROWS
    once_each(project)


def test_what_was_sent_before_is_not_sent_where_that_cannot_be_told(project: Project) -> None:
    project.sync("--limit", "7")
    for file in project.path.glob("ledger.db*"):
        file.unlink()
    project.behave(read_faults={"html": 0.9}, seed=3)
    posts = project.posts

    for _ in range(3):
        done = project.sync()
        assert done.code == 3, done.out
    assert project.posts == posts
    project.behave()
    assert project.sync().code == 0
    once_each(project)


def test_a_prefix_makes_other_references(project: Project) -> None:
    project.sync("--limit", "1")
    project.configure(there="reference_prefix: staging")
    project.sync("--limit", "1")

    assert len({each.reference for each in project.sandbox.store.interactions()}) == 2


def test_a_limit_holds_a_run_before_anything_is_asked(project: Project) -> None:
    project.configure(limits="{rows: 5}")

    done = project.sync()

    assert (done.run["status"], project.posts) == ("held", 0)
    assert project.sync("--approve").run["delivered"] == ROWS


def test_a_file_says_what_metadata_must_be_like(project: Project) -> None:
    (project.path / "schemas").mkdir()
    (project.path / "schemas" / "survey.json").write_text(
        '{"type": "object", "properties": {"orderNo": {"type": "string", "maxLength": 3},'
        ' "storeName": {"type": "string"}}, "required": ["orderNo"]}'
    )
    project.configure(more="schema: schemas/survey.json")
    foreseen = project.connector("preview", "delivery_survey", "--offline", "--json").json

    done = project.sync()

    assert (foreseen["new"], foreseen["invalid"]) == (10, 2)

    assert (done.run["delivered"], done.run["invalid"]) == (10, 2)  # A+10 and A+11 are too long
    project.configure(payload="{storeName: store_name}")
    missing = project.connector("sync")
    assert missing.code == 2
    assert "orderNo" in missing.out + missing.err


def test_another_account_at_the_same_url_is_another_place(project: Project) -> None:
    project.sync()
    config, there = project.config.read_text(), f"{project.sandbox.url}#"
    other = config.replace(
        f"customer: {CUSTOMER}", "customer: 0f0f0f0f-0000-4000-8000-000000000001"
    )
    project.config.write_text(other)
    posts = project.posts

    refused = project.connector("sync")

    told = " ".join((refused.out + refused.err).split())
    assert (refused.code, project.posts) == (2, posts), told
    assert "put the account of feedback back" in told
    assert CUSTOMER.lower() in told

    moved = f"previous_url: {there}{CUSTOMER}\n    auth_token"
    project.config.write_text(other.replace("auth_token", moved, 1))
    checked = project.connector("check")
    assert "when its rows were recorded" not in checked.out + checked.err


def test_rows_that_went_with_a_token_belong_to_whichever_account_it_is(project: Project) -> None:
    """A token does not say whose it is."""
    project.sync()
    with closing(sqlite3.connect(project.path / "ledger.db")) as ledger, ledger:
        ledger.execute(
            "update watermarks set address = substr(address, 1, instr(address, '#') - 1)"
        )

    again = project.sync()

    assert (again.code, again.run["delivered"]) == (0, 0)
    once_each(project)


def test_another_prefix_is_refused_while_rows_are_in_doubt_under_this_one(project: Project) -> None:
    project.configure(settle_after="5m", there="reference_prefix: live")
    project.behave(faults={"reset_after": 1}, read_back_delay=3600)
    assert project.sync("--limit", "1").run["in_doubt"] == 1
    project.behave()
    project.configure(there="user_agent: tests/1.0")

    refused, checked = project.connector("sync"), project.connector("check")

    for done in (refused, checked):
        told = " ".join((done.out + done.err).split())
        assert "reference_prefix was live when 1 of its rows were sent" in told
    assert (refused.code, project.posts) == (2, 1)
    project.configure(there="reference_prefix: live")
    assert project.sync("--limit", "1").code == 0
    project.configure(there="user_agent: tests/1.0")
    assert project.sync().code == 0
    once_each(project)
