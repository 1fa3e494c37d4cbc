"""Visits go to an MXO one by one, and as past ones: through commands, while answers get lost."""

import asyncio
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from connector.project.settings import load
from connector.sandbox.mxo.running import running
from connector.serve.service import Service
from connector.serve.web.server import web_app
from tests.targets import each_in_turn, in_short
from tests.whole.mxo_project import SECRET, Project


@pytest.fixture
def project(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Project]:
    with running(secret=SECRET) as sandbox:
        project = Project(tmp_path, sandbox, capsys)
        yield project
        project.close()


# --- before anything is sent ----------------------------------------------------------------------


def test_a_check_says_what_is_promised_and_sends_nothing(project: Project) -> None:
    project.configure(on_unknown="resend")
    project.add(3)

    done = project.connector("check")

    assert done.code == 0, done.said
    assert "each row counts at least once, and some may count twice" in done.said
    assert "drops in silence a property" in done.said
    assert project.effects == {}


def test_a_wrong_secret_is_found_by_a_check(project: Project) -> None:
    path = project.path / "activations.yaml"
    path.write_text(path.read_text().replace(SECRET, "another-secret"))

    done = project.connector("check")

    assert done.code == 3
    assert "another-secret" not in done.said
    assert "client id and secret" in done.said


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (
            {"time": "created_date: seen_at"},
            "yaml:26:5: created_date cannot be sent in mode: single",
        ),
        (
            {"mode": "batch", "on_unknown": "resend"},
            "on_unknown: resend is for destinations that cannot be asked",
        ),
        ({"mode": "offline", "more": "batch: {rows: 101}"}, "batch.rows of at most 100"),
        ({"mode": "batch", "more": "batch: {rows: 5001}"}, "less than or equal to 5000"),
        ({"mode": "batch", "more": "batch: {bytes: many}"}, "expected a size such as 1MiB"),
        ({"mode": "batch", "more": "status_kept: 2s"}, "longer than timeout and settle_after"),
        ({"more": "batch_url: http://example.com"}, "plain http would show"),
        ({"activation": "reference: amount"}, "carries the row reference; name another one"),
        ({"activation": "referense: x"}, 'unknown key "referense"; did you mean "reference"?'),
        ({"activation": "shcema: x"}, 'unknown key "shcema"; did you mean "schema"?'),
        (
            {"activation": "reference: true"},
            "reference: expected a text; put it in quotes if it is one, or expected false",
        ),
        ({"on_unknown": "guess"}, "on_unknown: expected 'park', 'resend' or 'assume_delivered'"),
        ({"mode": "many"}, "mode: expected 'batch', 'single' or 'offline'"),
    ],
)
def test_its_keys_are_a_closed_grammar(
    project: Project, options: dict[str, str], expected: str
) -> None:
    project.configure(**options)

    done = project.connector("status")

    assert done.code == 2
    assert expected in done.said


@pytest.mark.parametrize("command", [["check"], ["check", "--offline"], ["sync"], ["status"]])
def test_it_cannot_be_a_mirror_and_says_why(project: Project, command: list[str]) -> None:
    """Nothing of it is taken for a run that appends."""
    project.add(3)
    project.configure(activation="mode: mirror")

    done = project.connector(*command)

    assert done.code == 2
    assert "mode: mirror takes interactions back by their ids" in done.said
    assert "those in MXO cannot be; take the key out" in done.said
    assert "cursor: a mirror" not in done.said
    assert not project.sandbox.requests.count()


def test_a_batch_needs_a_workspace(project: Project) -> None:
    project.configure(mode="batch")
    path = project.path / "activations.yaml"
    path.write_text(path.read_text().replace("    workspace_id: sandbox-workspace\n", ""))

    done = project.connector("status")

    assert done.code == 2
    assert "mode: batch needs a workspace_id" in done.said


def test_a_schema_file_finds_names_that_mxo_would_drop(project: Project) -> None:
    rules = {"type": "object", "properties": {"storeNo": {}}, "additionalProperties": False}
    (project.path / "visit.json").write_bytes(orjson.dumps(rules))
    project.configure(activation="schema: visit.json")
    project.add(1)

    done = project.connector("check")

    assert done.code == 2
    assert 'has no property "amount", so MXO would drop it in silence' in done.said


def test_a_preview_shows_the_very_request(project: Project) -> None:
    project.add(1)
    (shown,) = project.connector("preview", "visits", "--json").json["requests"]
    assert project.effects == {}

    assert project.sync().code == 0

    assert project.sandbox.requests.last is not None
    method, path, body = project.sandbox.requests.last
    assert (shown["method"], shown["url"]) == (method, project.sandbox.url + path)
    assert shown["body"] == orjson.loads(body)
    assert {each["name"]: each["value"] for each in shown["body"]["properties"]}["amount"] == "4.5"


# --- sent -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["single", "offline"])
def test_each_row_counts_once_however_often_it_is_synced(project: Project, mode: str) -> None:
    project.configure(mode=mode, time="created_date: seen_at" if mode == "offline" else "")
    project.add(20)

    first, again = project.sync(), project.sync()

    assert (first.code, first.run["delivered"]) == (0, 20)
    assert (again.code, again.run["delivered"]) == (0, 0)
    assert list(project.effects.values()) == [1] * 20
    assert project.counts == {"delivered": 20}


MODES = ["single", "offline"]
LOST: list[dict[str, Any]] = [
    {"reset_after": 0.5},
    {"reset_before": 0.5},
    {"status_after": {503: 0.5}},
    {"status_before": {500: 0.5}},
    {"html_after": 0.5},
    {"truncate_after": 0.5},
    {"too_many": 0.5},
    {"late_commit": 0.5, "late_answer": "reset"},
]


@pytest.mark.parametrize(("mode", "faults"), in_short(each_in_turn(MODES, LOST), slice(len(LOST))))
def test_a_lost_answer_waits_for_a_person_and_is_never_sent_again(
    project: Project, mode: str, faults: dict[str, Any]
) -> None:
    project.configure(mode=mode)
    project.add(12)
    project.behave(faults=faults, retry_after=0)
    for _ in range(6):
        project.sync("--wait")
    project.behave()

    assert project.sync("--wait").code in (0, 1)
    assert project.sync().code == (1 if project.counts.get("in_doubt") else 0)

    counts, effects = project.counts, project.effects
    project.nothing_twice()
    assert counts.get("delivered", 0) + counts.get("in_doubt", 0) == 12
    assert len(effects) >= counts.get("delivered", 0)
    assert len(effects) <= 12
    for row in project.connector("quarantine", "list", "--json").json["rows"]:
        assert "Look in Monitor" in row["reason"]


@pytest.mark.parametrize(
    ("on_unknown", "left"), [("park", "in_doubt"), ("assume_delivered", "delivered")]
)
def test_a_list_of_past_ones_is_sent_once_with_all_of_its_rows(
    project: Project, on_unknown: str, left: str
) -> None:
    more, time = "batch: {rows: 4}", "created_date: seen_at"
    project.configure(mode="offline", more=more, time=time, on_unknown=on_unknown)
    project.add(10)
    first = project.sync()
    assert (first.code, first.run["delivered"]) == (0, 10), first.said
    assert project.sandbox.requests.count("PUT /interactions/offline") == 3
    project.add(4, first=10)
    project.behave(faults={"reset_after": 1})

    project.sync("--wait")
    project.behave()
    project.sync("--wait")

    assert list(project.effects.values()) == [1] * 14
    assert project.counts.get(left) == (14 if left == "delivered" else 4)


def test_a_list_that_was_lost_is_sent_again_where_that_is_wanted(project: Project) -> None:
    project.configure(mode="offline", more="batch: {rows: 4}", on_unknown="resend")
    project.add(4)
    project.behave(faults={"reset_before": 1})
    project.sync()
    project.behave()

    done = project.sync("--wait")

    assert (done.code, done.run["delivered"]) == (0, 4), done.said
    assert list(project.effects.values()) == [1] * 4


@pytest.mark.parametrize("on_unknown", ["resend", "assume_delivered"])
def test_a_list_that_was_refused_waits_for_a_person_in_mxos_words(
    project: Project, on_unknown: str
) -> None:
    """It was not lost: taken for delivered it would be, and sent again it is refused again."""
    project.configure(mode="offline", more="batch: {rows: 4}", on_unknown=on_unknown)
    project.add(4)
    project.behave(faults={"status_before": {400: 1}})

    done = project.sync("--wait")
    again = project.sync("--wait")

    assert (done.code, again.code, project.counts) == (1, 1, {"in_doubt": 4}), done.said
    (row, *_) = project.connector("quarantine", "list", "--json").json["rows"]
    assert "HTTP 400" in row["reason"]
    assert "{rows: 1}" in row["reason"]
    assert sum(project.effects.values()) == 0


def test_three_doubts_in_a_row_stop_the_run(project: Project) -> None:
    project.add(9)
    project.behave(faults={"reset_after": 1})

    done = project.sync()

    assert done.code == 3
    assert "3 requests in a row" in done.run["error"]
    assert project.counts["in_doubt"] == 3
    assert len(project.effects) == 3


def test_resend_sends_again_what_got_no_answer(project: Project) -> None:
    project.configure(on_unknown="resend")
    project.add(2)
    project.behave(faults={"reset_before": 1})
    assert project.sync().run["in_doubt"] == 2
    project.behave()

    done = project.sync("--wait")

    assert (done.code, done.run["delivered"], done.run["resent"]) == (0, 2, 2), done.said
    assert list(project.effects.values()) == [1, 1]
    last, first = project.connector("runs", "visits", "--json").json["runs"]
    assert (last["resent"], last["assumed"], first["resent"]) == (2, 0, 0)


def test_assume_delivered_takes_what_got_no_answer_for_delivered(project: Project) -> None:
    project.configure(on_unknown="assume_delivered")
    project.add(2)
    project.behave(faults={"reset_after": 1})

    done = project.sync("--wait")

    assert project.counts == {"delivered": 2}, done.said
    assert list(project.effects.values()) == [1, 1]
    assert project.connector("explain", "visits", "v0", "--json").json["state"] == "delivered"
    assert (done.run["assumed"], done.run["resent"]) == (2, 0)
    shown = project.connector("runs", "visits").out
    assert "assumed" in shown
    assert "resent" not in shown


def test_tokens_that_die_at_any_time_cost_no_row(project: Project) -> None:
    project.add(30)
    project.behave(token_uses=4)

    done = project.sync()

    assert (done.code, done.run["delivered"]) == (0, 30), done.said
    assert list(project.effects.values()) == [1] * 30
    assert project.sandbox.store.tokens.made >= 8


def test_a_refused_row_is_rejected_in_words_and_others_go(project: Project) -> None:
    project.add(3)
    project.behave(bad_customers=["k1"])

    done = project.sync()

    assert (done.code, done.run["delivered"], done.run["rejected"]) == (1, 2, 1)
    (row,) = project.connector("quarantine", "list", "--json").json["rows"]
    assert (row["row_key"], row["state"]) == ("v1", "rejected")
    assert "the customer key is not valid" in row["reason"]


def test_an_offline_call_that_is_gone_stops_the_run_and_burns_no_row(project: Project) -> None:
    project.configure(mode="offline")
    project.add(3)
    project.behave(offline="off")

    done = project.sync()

    assert done.code == 3
    assert "deprecated (use mode: batch)" in done.run["error"]
    assert project.counts == {"pending": 3}


def test_a_killed_process_leaves_a_doubt_and_nothing_twice(project: Project) -> None:
    """No more than the one that is under way, however fast they may go."""
    project.add(8)
    project.behave(answer_delay=0.1)
    process = project.start("sync")
    while len(project.effects) < 3:
        assert process.poll() is None
    process.send_signal(signal.SIGKILL)
    process.wait()
    project.behave()

    for _ in range(2):
        project.sync("--wait")

    project.nothing_twice()
    counts = project.counts
    assert counts["delivered"] + counts.get("in_doubt", 0) == 8
    assert counts.get("in_doubt", 0) <= 1


# --- what it cannot do ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "sentence"),
    [
        (["verify", "{run}"], "cannot be read back"),
        (["undo", "{run}", "--yes"], "cannot be taken back"),
        (["schema", "list"], "no schemas"),
        (["forget", "--contact", "k1", "--delete-interactions", "--yes"], "cannot be listed"),
        (["forget", "--contact", "k1", "--delete-interactions", "--yes"], "its Customer API"),
    ],
)
def test_what_mxo_cannot_do_is_refused_in_words(
    project: Project, command: list[str], sentence: str
) -> None:
    project.add(2)
    run_id = project.sync().run["run_id"]

    done = project.connector(*(part.format(run=run_id) for part in command))

    assert done.code == 2, done.said
    assert sentence in done.said


def test_a_person_is_forgotten_here(project: Project) -> None:
    project.add(2)
    project.sync()

    done = project.connector("forget", "--contact", "k1", "--yes")

    assert done.code == 0, done.said


def test_a_run_over_its_limit_is_held_before_its_first_request(project: Project) -> None:
    project.configure(activation="limits: {rows: 2}")
    project.add(3)

    held = project.sync()

    assert (held.code, held.run["status"]) == (1, "held")
    assert project.effects == {}
    assert project.sync("--approve").run["delivered"] == 3


def test_pages_show_it(project: Project) -> None:
    project.add(2)
    project.sync()
    file = project.path / "activations.yaml"

    async def shown(path: str) -> str:
        pages = httpx.ASGITransport(web_app(Service(file, load(file)), None))
        async with httpx.AsyncClient(transport=pages, base_url="http://localhost") as browser:
            answer = await browser.get(path)
            assert answer.status_code == 200
            return answer.text

    page = asyncio.run(shown("/activations/visits"))

    assert "At this destination no schemas are kept" in page
    assert "Touchpoint" in page
    assert SECRET not in page
    assert "v0" in asyncio.run(shown("/rows?activation=visits&key=v0"))


# --- a test send ----------------------------------------------------------------------------------


def test_a_test_that_cannot_be_taken_back_is_sent_only_to_stay(project: Project) -> None:
    project.add(1)

    refused = project.connector("send", "visits", "v0", "--to", "tester", "--yes", "--json")
    kept = project.connector("send", "visits", "v0", "--to", "tester", "--keep", "--yes", "--json")

    assert refused.code == 2
    assert "cannot be taken back" in refused.said
    assert (kept.code, kept.json["kept"]) == (0, True), kept.said
    assert "cannot be read back" in kept.json["not_shown"]
    assert sum(project.effects.values()) == 1
    assert project.sync().code == 0
    assert sum(project.effects.values()) == 2


def test_a_live_view_says_that_nothing_is_shown(project: Project) -> None:
    project.add(1)
    project.sync()

    live = project.connector("explain", "visits", "v0", "--live", "--json").json["live"]

    assert live["row"] is not None
    assert live["body"] is not None
    assert live["interaction"] is None
    assert len(live["notes"]) == 1


def test_a_value_that_was_recorded_under_another_key_goes_as_it_reads_now(project: Project) -> None:
    project.configure(activation="limits: {rows: 1}")
    project.add(3)
    assert project.sync().run["status"] == "held"
    path = project.path / "activations.yaml"
    path.write_text(path.read_text().replace("identifier: customerkey", "identifier: loyaltykey"))

    foreseen = project.connector("preview", "visits", "--json").json
    done = project.sync("--approve")

    assert (foreseen["new"], foreseen["pending"]) == (3, 0)
    assert (done.code, done.run["delivered"], project.counts) == (0, 3, {"delivered": 3})
    assert all("loyaltykey" in str(body) for body in foreseen["requests"])
    project.nothing_twice()
