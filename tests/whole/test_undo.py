"""Taking back what a run sent: by stored ids, resumable, and never to be sent again by itself."""

import os
import pty
import signal
import sqlite3
import subprocess
from collections import Counter
from contextlib import closing
from typing import Any

import pytest
from sqlalchemy import URL

from connector.sandbox.behaviour import Faults
from tests.whole.shop import Done, Shop, behaving, contact_id
from tests.whole.test_crash import killed, until
from tests.whole.test_restore import SOON, backup, restore, settled

DELETE = "DELETE /interactions/{id}"
LOOK = "GET /interactions/{id}"


def deletions(shop: Shop) -> int:
    return shop.sandbox.requests.count(DELETE)


def counts(shop: Shop) -> dict[str, int]:
    (document,) = shop.connector("status", "--json").json["activations"]
    return {state: number for state, number in document["counts"].items() if number}


def a_run(shop: Shop, rows: int) -> str:
    """A run that has sent `rows` new rows."""
    shop.add_many(rows)
    return str(shop.sync().run["run_id"])


def undo(shop: Shop, run_id: str, *arguments: str) -> Done:
    """`connector undo --yes --json`."""
    return shop.connector("undo", run_id, "--yes", "--json", *arguments)


def nothing_is_sent(shop: Shop) -> bool:
    before = shop.posts
    assert shop.sync().code == 0
    return shop.posts == before


@pytest.fixture(params=["sqlite", "postgresql"])
def anywhere(shop: Shop, request: pytest.FixtureRequest) -> Shop:
    """The shop, with a ledger in SQLite and in PostgreSQL."""
    if request.param == "postgresql":
        url: URL = request.getfixturevalue("postgresql_url")
        shop.configure(ledger=url.render_as_string(hide_password=False))
    return shop


# --- taking back --------------------------------------------------------------------------------


def test_a_run_is_taken_back_and_no_sync_sends_it_again(anywhere: Shop) -> None:
    shop = anywhere
    run_id = a_run(shop, 500)

    done = undo(shop, run_id)

    assert (done.code, done.json["status"]) == (0, "succeeded")
    told = {name: done.json[name] for name in ("rows", "contacts", "already_gone", "undone")}
    assert told == {"rows": 500, "contacts": 10, "already_gone": 0, "undone": 500}
    assert not shop.stored
    assert counts(shop) == {"undone": 500}
    assert nothing_is_sent(shop)


def test_an_undo_that_was_killed_goes_on_where_it_stopped(anywhere: Shop) -> None:
    shop = anywhere
    run_id = a_run(shop, 500)
    shop.sandbox.behaviour = behaving(answer_delay=0.02)

    process = shop.start("undo", run_id, "--yes", "--no-look")
    until(lambda: deletions(shop) >= 250)
    killed(process)
    shop.sandbox.behaviour = behaving()
    half = counts(shop)
    done = undo(shop, run_id)

    assert half["delivered"] > 0
    assert half["undone"] > 0
    assert (done.code, done.json["undone"]) == (0, half["delivered"])
    assert counts(shop) == {"undone": 500}
    assert not shop.stored
    assert nothing_is_sent(shop)


def test_undoing_twice_does_nothing_the_second_time(shop: Shop) -> None:
    run_id = a_run(shop, 20)
    undo(shop, run_id)
    before = shop.sandbox.requests.count()

    again = undo(shop, run_id)

    assert again.code == 0
    assert (again.json["rows"], again.json["undone"]) == (0, 0)
    assert again.json["standing"]["undone"] == 20
    assert shop.sandbox.requests.count() == before


def test_only_what_that_run_sent_is_taken_back(shop: Shop) -> None:
    first = a_run(shop, 10)
    shop.add_many(10, first=10)
    shop.sync()

    undo(shop, first)

    assert shop.stored == Counter(f"v{i}" for i in range(10, 20))


def test_a_row_that_a_later_run_found_belongs_to_the_run_that_sent_it(shop: Shop) -> None:
    shop.sandbox.behaviour = behaving(faults=Faults(reset_after=1.0), read_back_delay=60)
    shop.add({"id": "v1"})
    first = shop.sync().run
    assert first["in_doubt"] == 1
    doubtful = shop.connector("undo", first["run_id"], "--dry-run")
    shop.sandbox.behaviour = behaving()
    second = shop.sync().run
    assert second["delivered"] == 1

    of_the_second = undo(shop, second["run_id"])
    of_the_first = undo(shop, first["run_id"])

    assert "in doubt and may have arrived" in doubtful.out
    assert of_the_second.json["rows"] == 0
    assert of_the_first.json["undone"] == 1
    assert not shop.stored


def test_what_somebody_else_deleted_counts_as_taken_back(shop: Shop) -> None:
    run_id = a_run(shop, 50)
    for interaction in shop.sandbox.engage.interactions()[10:17]:
        shop.sandbox.engage.remove_interaction(interaction.id)

    plan = shop.connector("undo", run_id, "--dry-run", "--json")
    done = undo(shop, run_id)

    assert (plan.json["rows"], plan.json["already_gone"]) == (50, 7)
    assert done.code == 0
    assert (done.json["deleted"], done.json["were_gone"]) == (43, 7)
    assert (done.json["undone"], done.json["not_found"]) == (50, 0)
    assert counts(shop) == {"undone": 50}


def test_many_rows_are_taken_back_without_asking_for_each_first(shop: Shop) -> None:
    run_id = a_run(shop, 1200)

    done = undo(shop, run_id)

    assert (done.json["contacts"], done.json["looked_at"]) == (None, 0)
    assert shop.sandbox.requests.count(LOOK) == 0
    assert done.json["undone"] == 1200
    assert not shop.stored


def test_who_took_it_back_and_when_is_on_record(shop: Shop) -> None:
    run_id = a_run(shop, 1)
    id_before = shop.sandbox.engage.interactions()[0].id

    undo(shop, run_id, "--by", "Anna  from\tcare")

    story = shop.connector("explain", "visits", "v0", "--json").json
    assert (story["state"], story["interaction_id"]) == ("undone", id_before)
    (decision,) = story["decisions"]
    assert (decision["by"], decision["decision"]) == ("person: Anna from care", "deleted")
    assert (decision["was"], decision["state"]) == ("delivered", "undone")
    told = " ".join(shop.connector("explain", "visits", "v0").out.split())
    assert "deleted person: Anna from care" in told


def test_a_row_without_an_id_cannot_be_taken_back(shop: Shop) -> None:
    run_id = a_run(shop, 3)
    with closing(sqlite3.connect(shop.ledger_file)) as ledger, ledger:
        ledger.execute("update deliveries set interaction_id = null where row_key = 'v1'")

    done = undo(shop, run_id)

    assert (done.json["rows"], done.json["undone"]) == (2, 2)
    assert done.json["standing"]["without_id"] == 1
    assert "without an interaction's id" in " ".join(done.json["notes"])
    assert set(shop.stored) == {"v1"}


def test_a_run_of_an_activation_that_is_configured_no_more_can_be_undone(shop: Shop) -> None:
    run_id = a_run(shop, 5)
    shop.config.write_text(shop.config.read_text().replace("  visits:", "  others:"))

    done = undo(shop, run_id)

    assert (done.code, done.json["undone"]) == (0, 5)
    assert not shop.stored


# --- the plan and the question ------------------------------------------------------------------


def test_the_plan_says_what_would_be_taken_back_and_what_cannot(shop: Shop) -> None:
    run_id = a_run(shop, 30)

    done = shop.connector("undo", run_id, "--dry-run")

    assert done.code == 0
    assert "30  interactions to be deleted" in done.out
    assert "10  contacts" in done.out
    assert "Mails already sent stay sent" in done.out
    assert deletions(shop) == 0
    assert counts(shop) == {"delivered": 30}


@pytest.mark.parametrize("document", [True, False])
def test_without_a_terminal_nothing_is_deleted_unless_yes_is_said(
    shop: Shop, document: bool
) -> None:
    run_id = a_run(shop, 5)

    process = shop.start("undo", run_id, *(["--json"] if document else []))
    out, err = process.communicate(input="y\n", timeout=30)

    assert process.returncode == 2
    assert "--yes" in err
    assert ('"status": "planned"' if document else "5  interactions") in out
    assert deletions(shop) == 0
    assert len(shop.stored) == 5


def asked(shop: Shop, *arguments: str) -> tuple["subprocess.Popen[str]", int]:
    """A command that can ask at a terminal, and the terminal to answer at."""
    ours, theirs = pty.openpty()
    process = shop.start_at(*arguments, stdin=theirs, stderr=subprocess.STDOUT)
    os.close(theirs)
    return process, ours


def answered(shop: Shop, answer: str, *arguments: str) -> tuple[int, str]:
    """The exit code and the output of a command whose question is answered at a terminal."""
    process, terminal = asked(shop, *arguments)
    os.write(terminal, answer.encode())
    try:
        out, _ = process.communicate(timeout=60)
    finally:
        process.kill()
        os.close(terminal)
    return process.returncode, out


def test_a_person_is_shown_the_plan_and_asked(shop: Shop) -> None:
    run_id = a_run(shop, 5)

    declined = answered(shop, "n\n", "undo", run_id)
    kept = len(shop.stored)
    code, out = answered(shop, "y\n", "undo", run_id)

    assert declined[0] == 130
    assert "nothing was changed" in declined[1]
    assert kept == 5
    assert code == 0
    assert out.index("5  interactions to be deleted") < out.index("Delete 5 interactions at")
    assert "5 rows taken back (5 deleted)" in out
    assert not shop.stored


def test_more_than_was_shown_is_not_deleted(shop: Shop) -> None:
    """While the question stands, a sync finds interactions of the run that were in doubt."""
    shop.sandbox.behaviour = behaving(faults=Faults(reset_after=0.5), read_back_delay=600)
    run_id = a_run(shop, 20)
    assert 0 < counts(shop)["delivered"] < 20
    shop.sandbox.behaviour = behaving()

    process, terminal = asked(shop, "undo", run_id)
    assert process.stdout is not None
    plan = iter(process.stdout.readline, "")
    assert any("This takes about" in line for line in plan)
    shop.sync()
    os.write(terminal, b"y\n")
    out, _ = process.communicate(timeout=60)
    os.close(terminal)

    assert process.returncode == 3
    assert "20 rows could be taken back now" in out
    assert deletions(shop) == 0
    assert len(shop.stored) == 20


def test_a_run_that_is_not_there_is_named_with_those_that_are(shop: Shop) -> None:
    nothing = shop.connector("undo", "1ng2qs7qr6", "--yes")
    run_id = a_run(shop, 1)
    other = shop.connector("undo", run_id[:-1] + "?", "--yes")

    assert (nothing.code, other.code) == (2, 2)
    assert "there was no run yet" in nothing.err
    assert f'did you mean "{run_id}"?' in other.err


def test_rows_that_are_still_to_be_sent_are_told(shop: Shop) -> None:
    shop.add_many(10)
    run_id = str(shop.sync("--limit", "10").run["run_id"])
    shop.configure(limits="{rows: 2}")
    shop.add_many(5, first=10)
    held = shop.sync().run

    plan = shop.connector("undo", held["run_id"], "--dry-run")

    assert "5 rows are recorded for this run and not sent" in plan.out
    assert "not sent" not in shop.connector("undo", run_id, "--dry-run").out


# --- what stays undone --------------------------------------------------------------------------


@pytest.mark.parametrize("cursor", ["cursor: {column: seen_at, overlap: 1h}", ""])
def test_undone_rows_are_not_sent_again_whatever_changes(shop: Shop, cursor: str) -> None:
    shop.configure(cursor=cursor)
    run_id = a_run(shop, 20)
    undo(shop, run_id)

    shop.execute("update visits set rating = 1, seen_at = seen_at + interval 5 days")
    edited_rows = nothing_is_sent(shop)
    shop.configure(payload="{visitId: id, price: price}")
    edited_mapping = nothing_is_sent(shop)
    shop.configure(model="select * from visits where true", start="2026-01-01T00:00:00Z",
                   cursor="cursor: {column: seen_at, overlap: 30d}")  # fmt: skip
    edited_model = nothing_is_sent(shop)

    assert (edited_rows, edited_mapping, edited_model) == (True, True, True)
    assert counts(shop) == {"undone": 20}
    shop.add({"id": "new", "seen_at": "2026-11-20 10:00:00"})
    shop.sync()
    assert shop.stored == {"new": 1}


def test_a_released_run_is_sent_once_more_as_the_model_is_today(anywhere: Shop) -> None:
    shop = anywhere
    run_id = a_run(shop, 500)
    undo(shop, run_id)
    shop.execute("update visits set rating = 2")

    released = shop.connector("release", run_id, "--yes", "--json")
    posts = shop.posts
    sent = shop.sync()

    assert (released.code, released.json["released"]) == (0, 500)
    standing = released.json["standing"]
    assert (standing["undone"], standing["delivered"]) == (0, 0)
    assert sent.run["delivered"] == 500
    assert shop.posts == posts + 500
    assert shop.stored == Counter(f"v{i}" for i in range(500))
    assert {i.payload["rating"] for i in shop.sandbox.engage.interactions()} == {2}
    story = shop.connector("explain", "visits", "v1", "--json").json
    assert [attempt["number"] for attempt in story["attempts"]] == [1, 2]
    assert [d["decision"] for d in story["decisions"]] == ["deleted", "released"]
    assert nothing_is_sent(shop)


def test_what_was_released_and_sent_belongs_to_the_new_run(shop: Shop) -> None:
    first = a_run(shop, 5)
    undo(shop, first)
    shop.connector("release", first, "--yes")
    second = str(shop.sync().run["run_id"])

    of_the_first = undo(shop, first)
    of_the_second = undo(shop, second)

    assert of_the_first.json["rows"] == 0
    assert of_the_second.json["undone"] == 5
    assert not shop.stored


def test_single_rows_can_be_released(shop: Shop) -> None:
    run_id = a_run(shop, 10)
    undo(shop, run_id)

    wrong = shop.connector("release", run_id, "v3", "nothing", "--yes")
    done = shop.connector("release", run_id, "v3", "v7", "--yes", "--json")
    shop.sync()

    assert wrong.code == 2
    assert "can be released: nothing" in wrong.err
    assert done.json["released"] == 2
    assert shop.stored == {"v3": 1, "v7": 1}
    assert counts(shop) == {"delivered": 2, "undone": 8}


def test_what_the_model_has_no_more_or_what_is_invalid_now_stays_undone(shop: Shop) -> None:
    run_id = a_run(shop, 10)
    undo(shop, run_id)
    shop.execute("delete from visits where id = 'v3'")
    shop.execute("update visits set rating = 9 where id = 'v4'")

    done = shop.connector("release", run_id, "--yes", "--json")
    shop.sync()

    assert (done.code, done.json["released"]) == (1, 8)
    assert done.json["missing"] == ["v3"]
    assert [row["row_key"] for row in done.json["invalid"]] == ["v4"]
    assert (shop.state("v3"), shop.state("v4")) == ("undone", "undone")
    assert len(shop.stored) == 8


def test_a_release_is_asked_about_too(shop: Shop) -> None:
    run_id = a_run(shop, 3)
    undo(shop, run_id)

    nobody = shop.connector("release", run_id)
    declined = answered(shop, "n\n", "release", run_id)
    agreed = answered(shop, "y\n", "release", run_id)

    assert (nobody.code, declined[0], agreed[0]) == (2, 130, 0)
    assert "3 rows released" in agreed[1]
    assert counts(shop) == {"pending": 3}


def test_a_run_under_an_earlier_name_is_released_once_it_is_taken_over(shop: Shop) -> None:
    run_id = a_run(shop, 3)
    undo(shop, run_id)
    shop.configure(name="calls", more="renamed_from: visits")

    early = shop.connector("release", run_id, "--yes")

    assert early.code == 2
    assert "`connector sync calls` first" in early.err
    shop.sync()
    assert shop.connector("release", run_id, "--yes").code == 0
    assert shop.sync().run["delivered"] == 3


# --- what was not found, and is young -----------------------------------------------------------


def test_what_is_not_found_moments_after_it_was_sent_is_asked_for_again(shop: Shop) -> None:
    """The destination may show it late: then it would stay there for good, and nobody knew."""
    shop.sandbox.behaviour = behaving(delete_delay=2, read_back_delay=2)
    run_id = a_run(shop, 3)

    first = undo(shop, run_id)
    until(lambda: not behind(shop, 2))
    released = shop.connector("release", run_id, "--yes", "--json")
    second = undo(shop, run_id)

    assert (first.code, first.json["undone"], first.json["not_found"]) == (0, 3, 3)
    assert "they may yet appear" in " ".join(first.json["notes"])
    assert "None of the interactions is to be seen" not in " ".join(first.json["notes"])
    assert released.json["rows"] == 0  # it could be sent twice
    assert (second.json["undone"], second.json["reappeared"]) == (0, 3)
    assert not shop.stored
    assert counts(shop) == {"undone": 3}
    assert second.json["standing"]["not_found"] == 0
    assert nothing_is_sent(shop)


def behind(shop: Shop, seconds: float) -> bool:
    """Whether something was stored less than so many seconds ago."""
    now = shop.sandbox.engage.clock()
    return any(now - i.stored_at <= seconds for i in shop.sandbox.engage.interactions())


def test_what_is_still_not_there_later_is_gone(shop: Shop) -> None:
    shop.configure(timeout="1s", settle_after="0s")
    run_id = a_run(shop, 1)
    shop.sandbox.engage.remove_interaction(shop.sandbox.engage.interactions()[0].id)

    young = undo(shop, run_id)
    until(lambda: undo(shop, run_id).json["standing"]["not_found"] == 0)

    assert young.json["not_found"] + young.json["were_gone"] == 1
    assert counts(shop) == {"undone": 1}
    assert shop.connector("release", run_id, "--dry-run", "--json").json["rows"] == 1


def test_a_plan_that_sees_nothing_warns_of_another_engage(shop: Shop) -> None:
    run_id = a_run(shop, 4)
    for interaction in shop.sandbox.engage.interactions():
        shop.sandbox.engage.remove_interaction(interaction.id)

    plan = shop.connector("undo", run_id, "--dry-run")

    assert "None of the interactions is to be seen" in plan.out


# --- what goes wrong ----------------------------------------------------------------------------


def test_a_refused_key_stops_it_before_anything_is_recorded(shop: Shop) -> None:
    run_id = a_run(shop, 10)
    shop.config.write_text(shop.config.read_text().replace("api_key: sandbox", "api_key: old"))

    looked = undo(shop, run_id)
    not_looked = undo(shop, run_id, "--no-look")

    assert (looked.code, not_looked.code) == (3, 3)
    assert looked.json["error"]["kind"] == "key_refused"
    assert not_looked.json["status"] == "stopped"
    assert "refuses the API key" in not_looked.json["error"]
    assert counts(shop) == {"delivered": 10}


@pytest.mark.parametrize(
    "faults",
    [
        {"too_many": 0.3},
        {"status_before": {500: 0.2, 503: 0.2}},
        {"reset_after": 0.2, "status_after": {500: 0.2}},
    ],
    ids=["429", "5xx", "lost answers"],
)
def test_deletions_are_repeated_until_they_have_their_answer(
    shop: Shop, faults: dict[str, Any]
) -> None:
    run_id = a_run(shop, 40)
    shop.sandbox.behaviour = behaving(delete_faults=Faults(**faults), seed=3, retry_after=0)

    done = undo(shop, run_id, "--no-look")

    assert (done.code, done.json["undone"]) == (0, 40), done.json
    assert not shop.stored
    assert counts(shop) == {"undone": 40}


def test_a_destination_that_gives_no_answer_is_given_up_and_gone_back_to(shop: Shop) -> None:
    shop.configure(concurrency=32)
    run_id = a_run(shop, 100)
    shop.sandbox.behaviour = behaving(delete_faults=Faults(status_before={500: 1.0}))

    stopped = undo(shop, run_id, "--no-look")
    asked = deletions(shop)
    shop.sandbox.behaviour = behaving()
    done = undo(shop, run_id)

    assert (stopped.code, stopped.json["status"]) == (3, "stopped")
    assert "20 requests in a row" in stopped.json["error"]
    assert asked < 100 * 4
    assert stopped.json["standing"]["delivered"] == 100
    assert done.json["undone"] == 100


def test_what_the_destination_will_not_delete_stays_delivered_and_is_told(shop: Shop) -> None:
    run_id = a_run(shop, 30)
    shop.sandbox.behaviour = behaving(delete_faults=Faults(status_before={400: 0.3}), seed=2)

    done = undo(shop, run_id, "--no-look")

    refused = {row["row_key"] for row in done.json["refused"]}
    assert (done.code, done.json["status"]) == (1, "attention")
    assert refused == set(shop.stored)
    assert 0 < len(refused) < 30
    assert counts(shop) == {"delivered": len(refused), "undone": 30 - len(refused)}
    assert "HTTP 400" in done.json["refused"][0]["reason"]


def test_a_destination_without_deletions_stops_it(shop: Shop) -> None:
    run_id = a_run(shop, 30)
    shop.sandbox.behaviour = behaving(delete_faults=Faults(status_before={405: 1.0}))

    done = undo(shop, run_id, "--no-look")

    assert done.code == 3
    assert deletions(shop) <= 16
    assert counts(shop) == {"delivered": 30}


def test_nothing_is_deleted_while_a_run_goes_on(shop: Shop) -> None:
    run_id = a_run(shop, 10)
    shop.sandbox.behaviour = behaving(answer_delay=0.3)
    shop.add_many(100, first=10)

    process = shop.start("sync")
    until(lambda: shop.posts >= 11)
    done = undo(shop, run_id, "--no-look")
    released = shop.connector("release", run_id, "--yes")
    process.communicate(timeout=60)

    assert done.code == 3
    assert done.json["error"]["kind"] == "busy"
    assert "held by run" in done.json["error"]["message"]
    assert released.code == 0  # there is nothing to release
    assert deletions(shop) == 0


def test_no_run_begins_while_something_is_taken_back(shop: Shop) -> None:
    run_id = a_run(shop, 200)
    shop.sandbox.behaviour = behaving(answer_delay=0.3)

    process = shop.start("undo", run_id, "--yes", "--no-look")
    until(lambda: deletions(shop) >= 1)
    refused = shop.sync()
    second = undo(shop, run_id, "--no-look")
    process.communicate(timeout=60)

    assert (refused.code, second.code) == (3, 3)
    assert "held by a command given by hand" in refused.run["error"]
    assert process.returncode == 0
    assert nothing_is_sent(shop)


def test_an_interrupted_undo_records_what_is_under_way(shop: Shop) -> None:
    run_id = a_run(shop, 200)
    shop.sandbox.behaviour = behaving(answer_delay=0.3)

    process = shop.start("undo", run_id, "--yes", "--no-look", "--json")
    until(lambda: deletions(shop) >= 16)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=60)
    shop.sandbox.behaviour = behaving()
    half = counts(shop)

    assert process.returncode == 130
    assert '"status": "stopped"' in out
    assert half["delivered"] == len(shop.stored)
    assert undo(shop, run_id).json["undone"] == half["delivered"]


def test_a_run_that_died_is_buried_before_its_rows_are_taken_back(shop: Shop) -> None:
    shop.sandbox.behaviour = behaving(answer_delay=0.3)
    shop.add_many(400)
    process = shop.start("sync")
    until(lambda: shop.posts >= 40)
    killed(process)
    shop.sandbox.behaviour = behaving()
    (run,) = shop.connector("runs", "--json").json["runs"]

    shown = shop.connector("undo", run["run_id"], "--dry-run", "--json").json["standing"]
    done = undo(shop, run["run_id"])

    standing = done.json["standing"]
    doubts, unsent = standing["in_doubt"], standing["unsent"]
    # what was on the wire may have arrived: nobody is told before that it was not sent
    assert (shown["in_doubt"], shown["unsent"]) == (doubts, unsent)
    assert done.code == 0
    assert done.json["undone"] > 0
    assert (standing["delivered"], standing["undone"]) == (0, done.json["undone"])
    assert standing["in_doubt"] > 0
    assert standing["unsent"] > 0


def test_a_ledger_from_a_backup_is_noticed_by_an_undo_too(shop: Shop) -> None:
    """It counts a generation: that must not hide that the ledger is behind."""
    shop.configure(**SOON)
    first = a_run(shop, 30)
    copy = backup(shop)
    shop.add_many(20, first=30)
    shop.sync()
    restore(shop, copy)
    shop.sandbox.behaviour = behaving(answer_delay=0.5)

    done = undo(shop, first, "--no-look")
    shop.sandbox.behaviour = behaving()
    settled(shop)

    assert "put back from a backup" in " ".join(done.json["notes"])
    assert shop.posts == 50
    assert shop.stored == Counter(f"v{i}" for i in range(30, 50))


def test_no_contact_is_in_what_is_said(shop: Shop) -> None:
    shop.configure(identifier="email")
    shop.add({"id": "v1", "contact": "c1@example.com"})
    run_id = str(shop.sync().run["run_id"])

    said = [
        shop.connector("--verbose", "undo", run_id, "--yes"),
        shop.connector("--verbose", "release", run_id, "--yes"),
    ]

    text = "".join(done.out + done.err for done in said)
    assert "example.com" not in text
    assert contact_id(1) not in text
