"""Visits go to an MXO in batches, through commands: whatever it does, nothing counts twice, nothing
is told to be delivered that is not, and nothing is lost."""

import re
import signal
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from connector.destinations.port import References
from connector.sandbox.mxo.running import running
from tests.targets import in_short
from tests.whole.mxo_project import SECRET, Project
from tests.whole.test_check import messages

TIME = "created_date: seen_at"
MORE = "batch: {rows: 5}"
ROWS = 18
SOON = {"timeout": "0.7s", "settle_after": "0.7s"}
"""Absence is believed soon; for tests in which it does not matter where an answer is too slow."""


@pytest.fixture
def project(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Project]:
    with running(secret=SECRET) as sandbox:
        project = Project(tmp_path, sandbox, capsys)
        project.configure(mode="batch", time=TIME, more=MORE)
        yield project
        project.close()


def states(project: Project) -> dict[str, str]:
    """By row key, as the ledger has them."""
    with closing(sqlite3.connect(project.path / "ledger.db")) as ledger:
        return dict(ledger.execute("select row_key, state from deliveries"))


def is_true(project: Project) -> None:
    """What the ledger says is what happened."""
    project.nothing_twice()
    effects = project.effects
    for key, state in states(project).items():
        number = effects.get(References("visits").of(key), 0)
        if state == "delivered":
            assert number == 1, f"{key} is told to be delivered, and is not there"
        if state in ("rejected", "pending"):
            assert number == 0, f"{key} is told to be {state}, and is there"


def settled(project: Project, rounds: int = 6) -> dict[str, int]:
    """The counts once there is nothing left that a run could do."""
    for _ in range(rounds):
        project.sync("--wait")
        is_true(project)
        counts = project.counts
        if not counts.keys() & {"pending", "submitted", "sending"}:
            return counts
    return project.counts


def killed_while_sending(project: Project, delay: float = 0.3) -> None:
    """A process that dies when MXO has its first batch, before it is answered."""
    project.behave(answer_delay=delay)
    process = project.start("sync", "--wait")
    known = len(project.sandbox.store.batches())
    while len(project.sandbox.store.batches()) == known and process.poll() is None:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    project.behave()


# --- as it should go ------------------------------------------------------------------------------


def test_rows_are_submitted_until_mxo_says_that_they_are_processed(project: Project) -> None:
    project.behave(process_delay=3600)
    project.add(ROWS)

    first = project.sync()

    assert (first.code, first.run["status"], first.run["submitted"]) == (0, "succeeded", ROWS)
    assert project.counts == {"submitted": ROWS}
    assert project.connector("explain", "visits", "v1", "--json").json["state"] == "submitted"
    assert project.connector("quarantine", "list", "--json").json["rows"] == []

    project.sandbox.finish()
    second = project.sync()

    assert (second.code, second.run["delivered"]) == (0, ROWS), second.said
    assert project.counts == {"delivered": ROWS}
    is_true(project)


@pytest.mark.parametrize("form", ["json", "ndjson"])
def test_a_run_that_waits_stays_until_all_is_known(project: Project, form: str) -> None:
    project.configure(more=f"batch: {{rows: 5, format: {form}}}")
    project.behave(process_delay=1, batch_status=202)
    project.add(ROWS)

    done = project.sync("--wait")

    assert (done.code, done.run["delivered"]) == (0, ROWS), done.said
    batches = project.sandbox.store.batches()
    assert all(len(batch.records) <= 5 for batch in batches)
    assert len(batches) <= 5
    again = project.sync("--wait")
    assert (again.code, len(project.sandbox.store.batches())) == (0, len(batches))


def test_a_preview_shows_the_first_records_and_sends_nothing(project: Project) -> None:
    project.add(ROWS)

    document = project.connector("preview", "visits", "--json").json
    shown = document["requests"]

    assert document["request_count"] == 5  # the very first one carries a single row
    assert "It goes in 5 requests, or a few more." in project.connector("preview", "visits").out
    assert [request["rows"] for request in shown] == [1, 5, 4]
    assert shown[0]["method"] == "POST"
    assert shown[0]["url"].endswith(f"/batchv2/interactions/{project.sandbox.site_key}")
    records = shown[0]["body"]
    assert records[0]["uri"] == "store://pos/visit"
    assert records[0]["timestamp"].startswith("2026-11-01T10:00:00")
    assert project.sandbox.store.batches() == []
    assert project.connector("check").code == 0
    assert project.sandbox.store.batches() == []
    project.sync("--wait")
    batches = [len(batch.records) for batch in project.sandbox.store.batches()]
    assert batches[:2] == [1, 5]
    project.add(ROWS, first=ROWS)
    later = project.connector("preview", "visits", "--json").json["requests"]
    assert later[0]["rows"] == 5


# --- as it may go ---------------------------------------------------------------------------------

ENDS: list[dict[str, Any]] = [
    *({"faults": {fault: 0.4}} for fault in ("reset_before", "reset_after", "too_many")),
    *({"faults": {fault: 0.4}} for fault in ("html_after", "no_id_after")),
    {"faults": {"status_after": {503: 0.4}}},
    {"faults": {"late_commit": 0.4, "late_answer": "reset", "late_by": 0.2}},
    {"faults": {"reset_after": 0.4}, "same_id": "409"},
    {"faults": {"reset_before": 0.4}, "same_id": "ignored"},
    {"faults": {"reset_after": 0.4}, "batch_id_in": "none"},
    {"faults": {"reset_before": 0.4}, "batch_id_in": "none"},
    {"status_faults": {"status": {503: 0.3}}, "error_faults": {"html": 0.3}},
    {"status_delay": 0.4},
    {"process_delay": 0.3, "process_time": 0.3},
    {"crashing": 0.5, "crash_seconds": 0.4, "process_time": 0.2},
    {"token_uses": 3},
    {"bad_customers": ["k3", "k4", "k17"]},
    {"bad_customers": ["k3", "k17"], "errors_by": "index", "errors_form": "ndjson"},
    {"bad_customers": ["k3"], "errors_by": "line", "counts": "records"},
    {"failing": 0.5},
]
"""After which all is known without a person."""
ALIKE: list[dict[str, Any]] = [
    {"faults": {"truncate_after": 0.4}},
    {"faults": {"status_before": {503: 0.4}}},
]
"""As others of them: an answer that cannot be read, and a request that never arrives."""


def named(switches: dict[str, Any]) -> str:
    return re.sub(r"[^a-z0-9_.]+", "-", str(switches).lower()).strip("-")


@pytest.mark.parametrize("switches", in_short(ENDS + ALIKE, slice(len(ENDS))), ids=named)
def test_nothing_counts_twice_and_all_is_known_in_the_end(
    project: Project, switches: dict[str, Any]
) -> None:
    project.configure(**SOON)
    project.add(ROWS)
    project.behave(retry_after=0, **switches)
    for _ in range(2):
        project.sync("--wait")
        is_true(project)
    if "faults" in switches:
        assert any(each.fault for each in project.sandbox.requests.entries("POST /batch"))
    project.behave(**{k: v for k, v in switches.items() if k in ("bad_customers", "same_id")})

    counts = settled(project)

    assert counts.keys() <= {"delivered", "rejected"}, counts
    if "failing" not in switches:
        assert counts.get("rejected", 0) == len(switches.get("bad_customers", ()))


PARKED: list[dict[str, Any]] = [
    *({"own_id": "ignored", "batch_id_in": where} for where in ("body", "header", "none")),
    *(
        {"own_id": "ignored", "batch_id_in": where, "faults": {"reset_after": 0.5}}
        for where in ("body", "none")
    ),
    {"own_id": "ignored", "batch_id_in": "body", "faults": {"reset_before": 0.5}},
    {"bad_customers": ["k3"], "errors_by": "text"},
    {"bad_customers": ["k3", "k4"], "errors_cut": 1},
    {"counts": "missing", "bad_customers": ["k3"]},
    {"kept_for": 0},
    {"kept_for": 0, "faults": {"reset_after": 0.5}},
    {"failing": 1, "counts": "missing"},
]
"""After which a person may have to look; never more than that."""


@pytest.mark.parametrize("switches", PARKED, ids=named)
def test_what_nobody_can_tell_waits_for_a_person(
    project: Project, switches: dict[str, Any]
) -> None:
    project.configure(**SOON)
    project.add(ROWS)
    project.behave(**switches)

    counts = settled(project, rounds=4)

    assert counts.keys() <= {"delivered", "rejected", "in_doubt", "pending", "submitted"}
    assert not counts.get("pending") or "faults" in switches
    for row in project.connector("quarantine", "list", "--json").json["rows"]:
        assert row["reason"]
    before = project.effects
    project.sync("--wait")
    assert project.effects == before or counts.get("pending")
    is_true(project)


def test_a_batch_that_is_refused_for_a_record_goes_again_in_halves(project: Project) -> None:
    project.configure(**SOON)
    project.add(12)
    project.behave(bad_record="refused", bad_customers=["k7"])

    counts = settled(project)

    assert counts == {"delivered": 11, "rejected": 1}
    assert states(project)["v7"] == "rejected"
    is_true(project)


def test_a_batch_that_is_too_large_goes_again_in_halves(project: Project) -> None:
    project.configure(**SOON)
    project.add(12)
    project.behave(most_records=3, too_many_status=413)

    assert settled(project) == {"delivered": 12}
    is_true(project)


def test_why_a_batch_cannot_be_settled_is_told_of_doubts_alone(project: Project) -> None:
    project.add(1)
    project.sync("--wait")
    project.behave(faults={"status_after": {503: 1}}, status_faults={"html": 1})
    project.add(1, 1)

    lost = project.sync().run
    project.behave()
    project.sync("--wait")
    project.behave(status_faults={"html": 1})
    project.add(1, 2)
    submitted = project.sync().run

    (note,) = lost["notes"]
    assert "1 row in doubt cannot be settled" in note
    assert "no status of its batch: HTTP 200" in note
    assert (submitted["notes"], submitted["submitted"], submitted["in_doubt"]) == ([], 1, 0)


def test_a_word_that_nobody_knows_is_under_way(project: Project) -> None:
    project.add(4)
    project.behave(words={"done": "GRILLED"})

    done = project.sync()

    assert (done.code, done.run["submitted"]) == (0, 4), done.said


def test_a_batch_that_nobody_asked_about_for_long_may_be_forgotten(project: Project) -> None:
    project.configure(more=f"{MORE}\n    status_kept: 3.1s")
    project.add(2)
    assert project.sync("--wait").code == 0  # it is known that ids are kept
    project.add(2, first=2)
    killed_while_sending(project)
    project.behave(kept_for=0)
    time.sleep(3.2)

    counts = settled(project, rounds=2)

    assert counts == {"delivered": 2, "in_doubt": 2}
    rows = project.connector("quarantine", "list", "--json").json["rows"]
    assert all("longer than it may remember" in row["reason"] for row in rows), rows
    assert list(project.effects.values()) == [1] * 4


def test_a_batch_that_is_forgotten_sooner_than_its_absence_is_believed_is_not_sent_again(
    project: Project,
) -> None:
    project.add(2)
    assert project.sync("--wait").code == 0  # it is known that ids are kept
    project.add(2, first=2)
    project.behave(kept_for=0, faults={"reset_after": 1})
    project.sync()
    project.behave(kept_for=0)

    counts = settled(project, rounds=2)

    assert counts == {"delivered": 2, "in_doubt": 2}
    rows = project.connector("quarantine", "list", "--json").json["rows"]
    assert all("has not shown yet that it remembers" in row["reason"] for row in rows), rows
    assert list(project.effects.values()) == [1] * 4


def test_that_a_batch_never_came_is_believed_once_a_later_one_is_remembered_for_as_long(
    project: Project,
) -> None:
    """As on a new tenancy, or where runs are a day apart: there is no older one that is known."""
    project.add(1)
    project.behave(faults={"reset_before": 1})
    project.sync()
    project.behave()
    project.add(3, first=1)

    assert settled(project) == {"delivered": 4}


@pytest.mark.parametrize("delay", [0.05, 0.3])
def test_a_killed_process_leaves_nothing_twice_and_nothing_lost(
    project: Project, delay: float
) -> None:
    project.add(ROWS)
    project.sync("--wait")  # it is known that ids are kept
    project.add(ROWS, first=ROWS)
    killed_while_sending(project, delay)

    assert settled(project) == {"delivered": 2 * ROWS}


@pytest.mark.parametrize(
    ("command", "sentence"),
    [
        (["undo", "{run}", "--yes"], "cannot be taken back"),
        (["forget", "--contact", "k1", "--delete-interactions", "--yes"], "cannot be listed"),
    ],
)
def test_what_mxo_cannot_do_is_refused_in_words(
    project: Project, command: list[str], sentence: str
) -> None:
    project.add(2)
    run_id = project.sync("--wait").run["run_id"]

    done = project.connector(*(part.format(run=run_id) for part in command))

    assert done.code == 2, done.said
    assert sentence in done.said


# --- another mode ---------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["single", "offline"])
def test_a_batch_is_asked_about_in_every_mode(project: Project, mode: str) -> None:
    project.behave(process_delay=3600)
    project.add(ROWS)
    project.sync()
    assert project.counts == {"submitted": ROWS}

    project.configure(mode=mode, time="" if mode == "single" else TIME, more="")
    project.add(2, ROWS)
    under_way = project.sync()
    assert (under_way.code, project.counts) == (0, {"submitted": ROWS, "delivered": 2})

    project.sandbox.finish()
    settled = project.sync()

    assert (settled.code, settled.run["delivered"]) == (0, ROWS)
    assert project.counts == {"delivered": ROWS + 2}
    is_true(project)


def test_a_batch_whose_answer_was_lost_is_no_row_that_may_be_sent_again_unasked(
    project: Project,
) -> None:
    project.add(ROWS)
    project.sync("--wait", "--limit", "1")
    project.behave(faults={"reset_after": 1})
    project.sync()
    doubts = project.counts["in_doubt"]

    project.behave()
    project.configure(mode="single", time="", more="", on_unknown="resend")
    done = project.sync("--wait")

    assert doubts > 0
    assert done.run["resent"] == 0
    assert project.counts == {"delivered": ROWS}
    is_true(project)


def test_without_its_workspace_a_batch_is_a_persons_until_it_is_back(project: Project) -> None:
    project.behave(process_delay=3600)
    project.add(3)
    project.sync()
    config = project.path / "activations.yaml"
    project.configure(mode="single", time="", more="")
    whole = config.read_text()
    config.write_text(re.sub(r"workspace_id:.*", "", whole))

    without = project.sync()
    assert (without.code, project.counts) == (1, {"in_doubt": 3})
    told = project.connector("quarantine", "list", "--json").json["rows"]
    assert all("workspace_id" in row["reason"] for row in told)

    config.write_text(whole)
    project.sandbox.finish()
    project.sync("--wait")
    assert project.counts == {"delivered": 3}
    is_true(project)


def test_what_went_without_a_batch_is_never_asked_for_as_one(project: Project) -> None:
    """A list of past interactions has no id that MXO knows: that it finds no batch of that id
    proves nothing."""
    project.configure(mode="offline", more="batch: {rows: 5}")
    project.add(5)
    project.behave(faults={"reset_after": 1})
    project.sync()
    assert project.counts == {"in_doubt": 5}

    project.behave()
    project.configure(mode="batch", more=MORE)
    project.add(3, 5)
    for _ in range(3):
        project.sync("--wait")

    assert project.counts == {"in_doubt": 5, "delivered": 3}
    is_true(project)


# --- verify ---------------------------------------------------------------------------------------


def test_verify_asks_anew_about_the_batches_of_a_run(project: Project) -> None:
    project.behave(process_delay=3600, bad_customers=["k3"])
    project.add(ROWS)
    sent = project.sync().run["run_id"]
    project.sandbox.finish()
    learnt = project.sync().run["run_id"]
    assert project.counts == {"delivered": ROWS - 1, "rejected": 1}

    for run_id in (sent, learnt):
        done = project.connector("verify", run_id, "--json")
        assert done.code == 0, done.said
        document = done.json
        assert (document["ok"], document["rows"], document["checked"]) == (True, ROWS - 1, ROWS)
        assert document["requests"]["not_visible"] == 0
    assert "says of each row what the ledger says" in project.connector("verify", sent).said


def test_a_batch_that_mxo_has_forgotten_is_not_missing(project: Project) -> None:
    project.add(3)
    run_id = project.sync("--wait").run["run_id"]
    project.behave(kept_for=0)

    done = project.connector("verify", run_id, "--json")

    document = done.json
    assert (done.code, document["ok"], document["missing"]) == (1, False, [])
    (gap,) = document["incomplete"]
    assert gap["count"] == 3
    assert "not visible any more" in gap["reason"]
    assert document["requests"]["not_visible"] == document["requests"]["asked"]
    assert "not visible any more" in project.connector("verify", run_id).said


def test_a_row_that_mxo_says_it_turned_down_is_missing(project: Project) -> None:
    project.behave(bad_customers=["k1"])
    project.add(3)
    run_id = project.sync("--wait").run["run_id"]
    with closing(sqlite3.connect(project.path / "ledger.db")) as ledger, ledger:
        ledger.execute("update attempts set outcome = 'submitted' where outcome = 'refused'")
        ledger.execute("drop trigger deliveries_move")
        ledger.execute(
            "update deliveries set state = 'delivered', payload = null, contact = null,"
            " contact_id = null, reason = null where row_key = 'v1'"
        )
    done = project.connector("verify", run_id, "--json")

    (missing,) = done.json["missing"]
    assert (done.code, missing["row_key"], bool(missing["reason"])) == (1, "v1", True)
    assert "turned down there" in project.connector("verify", run_id).said


def test_a_check_tells_that_mxo_was_seen_to_ignore_our_ids(project: Project) -> None:
    project.add(3)
    project.sync("--wait")
    assert "ids of its own" not in project.connector("check").said
    project.behave(own_id="ignored")
    project.add(3, 3)
    project.sync("--wait")

    checked = project.connector("check")

    assert checked.code == 0
    assert "give requests ids of its own instead of ours" in checked.said
    assert "batch.rows" in checked.said


def test_a_check_tells_that_a_page_answers_where_mxo_should(project: Project) -> None:
    assert "answers with a page" not in project.connector("check").said
    project.behave(error_body="html")
    config = project.path / "activations.yaml"
    config.write_text(config.read_text().replace(project.sandbox.site_key, "ANOTHER"))

    told = messages(project.connector("check", "--json"), "advice")

    assert "answers with a page" in told
    assert "the site key ANOTHER" in told


def test_a_story_ends_with_what_was_processed_also_after_a_doubt(project: Project) -> None:
    project.behave(process_time=3600)
    project.add(1)
    project.sync()
    project.behave(process_time=3600, faults={"reset_after": 1.0})
    project.add(1, 1)
    project.sync()
    project.sandbox.finish()
    project.sync()

    story = project.connector("explain", "visits", "v1", "--json").json["story"]
    assert [each["state"] for each in story] == ["in_doubt", "submitted", "delivered"]
    assert "processed" in story[-1]["what"]
