"""What was asked for is read back, taken back until it starts, forgotten and explained; and a
process that dies leaves nothing that is asked twice."""

import asyncio
import random
import shutil
import sqlite3
import time
from contextlib import closing

import httpx
import pytest

from connector.project.settings import load
from connector.serve.service import Service
from connector.serve.web.server import web_app
from tests.targets import PROVE
from tests.whole.survey_dynamix.conftest import ROWS, Project
from tests.whole.survey_dynamix.test_sync import once_each
from tests.whole.test_crash import killed, until

OWN = pytest.mark.parametrize("own", ["", "external_ref: order_no"])
AN_HOUR = 3600


def synced(project: Project, *arguments: str) -> str:
    """The id of a run that has delivered everything."""
    run = project.sync(*arguments).run
    assert run["delivered"]
    return str(run["run_id"])


# --- verify ---------------------------------------------------------------------------------------


@OWN
@pytest.mark.parametrize("filtering", ["exact", "ignored"])
def test_a_run_is_read_back_as_it_was_sent(project: Project, own: str, filtering: str) -> None:
    project.behave(reference_filter=filtering)
    project.configure(more=own or "description: x")
    run_id = synced(project)

    done = project.connector("verify", run_id, "--json")

    assert (done.code, done.json["checked"], done.json["ok"]) == (0, ROWS, True), done.out


@OWN
def test_what_is_missing_stands_twice_or_is_changed_is_found(project: Project, own: str) -> None:
    project.configure(more=own or "description: x")
    run_id = synced(project)
    store = project.sandbox.store
    first, second, third, *_ = store.interactions()
    store.delete(str(first.id))
    form = {
        "survey_id": "493",
        "survey_type": "email",
        "email": second.email or "",
        "_force_new": "true",
        **second.texts,
        **second.data,
    }
    twin = store.ask(form)
    store.set_data(str(third.id), "storeName", "Lund")

    found = project.connector("verify", run_id, "--json")

    assert found.code == 1
    assert [row["interaction_id"] for row in found.json["missing"]] == [str(first.id)]
    assert [row["also"] for row in found.json["doubled"]] == [[str(twin.id)]]
    (changed,) = found.json["changed"]
    assert (changed["interaction_id"], changed["differs"]) == (str(third.id), ["payload"])


# --- undo -----------------------------------------------------------------------------------------


def test_a_run_is_taken_back_before_anybody_was_asked(project: Project) -> None:
    run_id = synced(project)

    done = project.connector("undo", run_id, "--yes", "--json")

    assert (done.code, done.json["deleted"]) == (0, ROWS), done.out + done.err
    assert "has started cannot be taken back" in " ".join(done.json["notes"])
    assert sum(got.surveys for got in project.got().values()) == 0
    assert project.sync().run["delivered"] == 0  # until a person releases them


def test_what_has_started_stays_and_is_told(project: Project) -> None:
    run_id = synced(project)
    project.sandbox.clock.advance(AN_HOUR)

    done = project.connector("undo", run_id, "--yes", "--json")

    assert done.code == 1
    assert done.json["deleted"] == 0
    assert "it has started" in str(done.json["refused"])
    assert project.counts == {"delivered": ROWS}


@OWN
def test_what_was_taken_back_and_released_is_asked_anew_though_it_is_listed_yet(
    project: Project, own: str
) -> None:
    project.configure(more=own or "description: x")
    run_id = synced(project, "--limit", "3")
    project.behave(listed_after_delete=10 * AN_HOUR)
    assert project.connector("undo", run_id, "--yes").code == 0
    assert project.connector("release", run_id, "--yes").code == 0
    project.behave(listed_after_delete=10 * AN_HOUR, faults={"reset_before": 1})
    assert project.sync("--limit", "3").run["in_doubt"] == 3
    project.behave(listed_after_delete=10 * AN_HOUR)

    done = project.sync("--wait")

    assert done.code == 0, done.out + done.err
    assert project.counts == {"delivered": ROWS}
    once_each(project)


# --- forget ---------------------------------------------------------------------------------------


def test_a_person_is_forgotten_there_and_here(project: Project) -> None:
    synced(project)

    done = project.connector(
        "forget", "--contact", "c3@example.com", "--delete-interactions", "--yes", "--json"
    )

    assert (done.code, done.json["deleted"]) == (0, 1), done.out + done.err
    left = {each.email for each in project.sandbox.store.interactions()}
    assert "c3@example.com" not in left
    assert len(left) == ROWS - 1


def test_a_survey_that_the_person_has_got_is_told(project: Project) -> None:
    synced(project)
    project.sandbox.clock.advance(AN_HOUR)

    done = project.connector(
        "forget", "--contact", "c3@example.com", "--delete-interactions", "--yes", "--json"
    )

    assert done.code == 1
    assert "it has started" in str(done.json["refused"])


def test_a_person_in_capitals_is_forgotten_as_they_are_written(project: Project) -> None:
    project.execute("delete from parcels")
    project.add(77, email="Anna.Berg@Example.com")
    project.behave(faults={"reset_after": 1}, read_back_delay=AN_HOUR)
    assert project.sync().run["in_doubt"] == 1
    project.behave()

    done = project.connector(
        "forget", "--contact", "Anna.Berg@Example.com", "--delete-interactions", "--yes", "--json"
    )

    assert done.code == 1, done.out + done.err  # what is there may be the doubt's
    assert (done.json["forgotten"], done.json["interactions_of_others"]) == (1, 1)


def test_what_cannot_be_listed_by_is_said_in_words(project: Project) -> None:
    synced(project)

    done = project.connector(
        "forget", "--contact", "+46701234567", "--delete-interactions", "--yes"
    )

    assert done.code == 2
    assert "cannot be listed by phone number" in done.said
    assert project.connector("forget", "--contact", "+46701234567", "--yes").code == 0


@pytest.mark.parametrize("command", ["list", "plan", "lint", "export"])
def test_there_are_no_schemas_and_that_is_said_in_words(project: Project, command: str) -> None:
    done = project.connector("schema", command)

    if command == "lint":
        assert done.code in (0, 2)
    else:
        assert done.code == 2, done.said
    assert "Traceback" not in done.said


# --- a person decides -----------------------------------------------------------------------------


def test_the_story_of_a_row_is_told_to_its_end(project: Project) -> None:
    project.behave(faults={"reset_after": 1})
    project.sync("--limit", "1")
    project.behave()
    assert project.sync("--limit", "1", "--wait").code == 0

    story = project.connector("explain", "delivery_survey", "p0", "--json").json

    (stored,) = [i for i in project.sandbox.store.interactions() if i.email == "c0@example.com"]
    assert (story["state"], story["interaction_id"]) == ("delivered", str(stored.id))
    assert story["attempts"][0]["outcome"] == "unknown"


def test_a_doubt_is_settled_by_a_person_where_nothing_can_be_seen(project: Project) -> None:
    project.behave(faults={"reset_after": 1}, read_back_delay=AN_HOUR)
    assert project.sync("--limit", "1").run["in_doubt"] == 1

    done = project.connector("quarantine", "settle", "delivery_survey", "p0", "--delivered")

    assert done.code == 0, done.said
    assert project.counts["delivered"] == 1


def test_a_rejected_row_goes_again_when_a_person_says_so(project: Project) -> None:
    project.execute("delete from parcels")
    project.add(1, 2, email="anna@example.com")
    assert project.sync().code == 1
    project.sandbox.clock.advance(AN_HOUR)

    done = project.connector("quarantine", "retry", "delivery_survey", "--yes")

    assert done.code == 0, done.said
    assert project.sync().run["delivered"] == 1
    once_each(project, 2)


def test_pages_say_what_there_is_and_no_secret(project: Project) -> None:
    synced(project)

    async def shown(*paths: str) -> list[str]:
        pages = httpx.ASGITransport(web_app(Service(project.config, load(project.config)), None))
        async with httpx.AsyncClient(transport=pages, base_url="http://localhost") as browser:
            return [(await browser.get(path)).text for path in paths]

    activation, quarantine, status = asyncio.run(
        shown("/activations/delivery_survey", "/quarantine", "/")
    )

    assert "no schemas are kept" in activation
    assert 'href="/schemas"' not in activation
    for page in (activation, quarantine, status):
        assert "Traceback" not in page
        assert "delivery_survey" in page or page is quarantine


def test_no_secret_and_no_key_to_a_survey_is_kept(project: Project) -> None:
    run_id = synced(project)
    project.connector("verify", run_id)
    uuids = [each.uuid for each in project.sandbox.store.interactions()]

    kept = b"".join(file.read_bytes() for file in project.path.glob("ledger.db*"))

    assert not any(uuid.encode() in kept for uuid in uuids)
    assert b"survey.invalid" not in kept
    assert b"auth_token" not in kept


# --- processes die --------------------------------------------------------------------------------


@OWN
def test_a_row_whose_process_died_on_the_wire_is_found_again(project: Project, own: str) -> None:
    project.configure(timeout="60s", more=own or "description: x")
    project.behave(faults={"hang_after": 1, "hang_seconds": 30})

    process = project.start("sync", "--limit", "1")
    until(lambda: len(project.sandbox.store.interactions()) == 1)
    killed(process)
    project.behave()
    project.configure(timeout="10s")  # found, not waited for
    done = project.sync("--wait")

    assert done.code == 0, done.said
    assert project.counts == {"delivered": ROWS}
    once_each(project)


@pytest.mark.parametrize("seed", range(12) if PROVE else range(1))
def test_a_process_killed_again_and_again_asks_nobody_twice_and_forgets_nobody(
    project: Project, seed: int
) -> None:
    rng, rows = random.Random(seed), 120
    project.execute("delete from parcels")
    project.add(*range(rows))
    lost = {"reset_after": 0.05, "reset_before": 0.05, "status_after": {503: 0.05}}
    project.behave(answer_delay=0.004, faults=lost, seed=seed, read_back_delay=0.1)

    for _ in range(5):
        process, goal = project.start("sync"), project.posts + rng.randrange(1, 30)
        until(lambda p=process, g=goal: project.posts >= g or p.poll() is not None)
        time.sleep(rng.random() * 0.02)  # anywhere between two commits
        killed(process)
    for _ in range(4):
        last = project.sync("--wait")
        if last.code == 0:
            break

    assert last.code == 0, last.said
    assert project.counts == {"delivered": rows}
    once_each(project, rows)


@OWN
def test_rows_that_a_restored_ledger_has_forgotten_are_found_and_asked_no_more(
    project: Project, own: str
) -> None:
    project.configure(more=own or "description: x")
    synced(project, "--limit", "4")
    copy = project.path / "copy.db"
    with (
        closing(sqlite3.connect(project.path / "ledger.db")) as here,
        closing(sqlite3.connect(copy)) as there,
    ):
        here.backup(there)
    synced(project, "--limit", "4")
    for file in project.path.glob("ledger.db-*"):
        file.unlink()
    shutil.copy(copy, project.path / "ledger.db")
    project.sandbox.clock.advance(AN_HOUR)  # all of them have started: no 409 helps

    for _ in range(5):
        last = project.sync("--wait")
        if last.code == 0:
            break

    assert last.code == 0, last.said
    assert project.counts == {"delivered": ROWS}
    once_each(project)


def test_what_a_lost_ledger_has_taken_back_is_not_taken_for_delivered(project: Project) -> None:
    run_id = synced(project)
    project.behave(listed_after_delete=AN_HOUR)
    assert project.connector("undo", run_id, "--yes").code == 0
    for file in project.path.glob("ledger.db*"):
        file.unlink()

    assert project.sync().run["delivered"] == 0
    assert project.counts == {"in_doubt": ROWS}
    project.sandbox.clock.advance(AN_HOUR)
    done = project.sync("--wait")

    assert done.code == 0, done.said
    assert project.counts == {"delivered": ROWS}
    once_each(project)
