"""A changed schema takes the place of the live one, and every interaction is there once again."""

import itertools
import signal
import sqlite3
import subprocess
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import closing
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import duckdb
import pytest
from sqlalchemy import URL

from connector.destinations.answers import Response
from connector.destinations.engage.schemas import Schemas
from connector.ledger import replacing
from connector.ledger.records import Closing, Footing, Run, Seen
from connector.ledger.replacing import Replacements, Step
from connector.project import borrowing, loan
from connector.project.app import App
from connector.project.settings import load
from connector.rules import clocks
from connector.rules.clocks import Moment
from connector.rules.delivery import Accepted
from connector.rules.errors import ActivationBusy
from connector.schemas import replacing as steps
from tests.whole.shop import SCHEMA, Done, Shop, behaving, contact_id
from tests.whole.test_crash import killed, until
from tests.whole.test_schema import changed, deletes, posts, typed_at_a_terminal, with_file

ROWS = 40
LONGER = changed(mood={"type": "string"})


@pytest.fixture
def filled(shop: Shop) -> Shop:
    """A shop with ROWS delivered rows, and a file that has a property more than the schema."""
    shop.configure(settle_after="1s", timeout="3s")
    shop.add_many(ROWS)
    assert shop.sync().run["delivered"] == ROWS
    with_file(shop, LONGER)
    return shop


def replaced(shop: Shop, *arguments: str, number: int = ROWS) -> Done:
    confirm = ("--confirm", f"visit {number}")
    return shop.connector("schema", "replace", "visit", *confirm, "--json", *arguments)


def begun(shop: Shop) -> "subprocess.Popen[str]":
    return shop.start("schema", "replace", "visit", "--confirm", f"visit {ROWS}", "--json")


def step(shop: Shop) -> str | None:
    """Where the newest replacement stands."""
    with closing(sqlite3.connect(shop.ledger_file)) as ledger:
        row = ledger.execute("select step from migrations order by id desc limit 1").fetchone()
    return row and str(row[0])


def counts(shop: Shop) -> dict[str, int]:
    (status,) = shop.connector("status", "--json").json["activations"]
    return {state: n for state, n in status["counts"].items() if n}


def is_new(shop: Shop) -> bool:
    return "mood" in shop.sandbox.engage.schema("visit").json_schema["properties"]


def assert_all_is_there_once(shop: Shop, rows: int = ROWS) -> None:
    """Engage has every row, once, under the new schema; and the activation runs again."""
    assert is_new(shop)
    assert shop.stored == Counter({f"v{i}": 1 for i in range(rows)})
    assert counts(shop) == {"delivered": rows}
    assert step(shop) == "done"
    with closing(sqlite3.connect(shop.ledger_file)) as ledger:
        assert ledger.execute("select count(*) from migrated_rows").fetchone() == (0,)
        assert ledger.execute("select count(*) from pauses").fetchone() == (0,)
    before = shop.posts
    assert shop.sync().code == 0
    assert shop.posts == before


# --- all goes well ------------------------------------------------------------------------------


def test_a_changed_schema_takes_the_place_of_the_live_one_with_all_interactions(
    filled: Shop,
) -> None:
    before = {i.payload["visitId"]: i for i in filled.sandbox.engage.interactions()}
    filled.configure(payload="{visitId: id, productSku: sku, rating: rating, mood: {value: good}}",
                     limits="{rows: 1}")  # fmt: skip

    done = replaced(filled)

    assert done.code == 0, done
    assert (done.json["step"], done.json["rows"]) == ("done", {"delivered": ROWS})
    after = {i.payload["visitId"]: i for i in filled.sandbox.engage.interactions()}
    assert {key: i.created_date for key, i in after.items()} == {
        key: i.created_date for key, i in before.items()
    }
    assert {i.payload["mood"] for i in after.values()} == {"good"}
    assert not {i.id for i in after.values()} & {i.id for i in before.values()}
    assert (deletes(filled), posts(filled)) == (1, 1)
    assert_all_is_there_once(filled)


def test_the_plan_says_what_it_costs_and_does_nothing(filled: Shop) -> None:
    filled.configure(rate=20)
    done = filled.connector("schema", "replace", "visit")

    text = " ".join(done.out.split())
    assert done.code == 2
    assert "mood is added (string)" in text
    assert "every interaction of it, of all contacts: 40 that the ledger knows" in text
    assert "about 2 s" in text
    assert "Automations may start again" in text
    assert f'--confirm "visit {ROWS}"' in done.err
    assert (deletes(filled), step(filled)) == (0, None)


def test_the_plan_tells_whose_interactions_will_be_dated_today(filled: Shop) -> None:
    filled.config.write_text(filled.config.read_text().replace("    created_date: seen_at\n", ""))

    done = filled.connector("schema", "replace", "visit")

    assert "visits: no created_date is mapped" in " ".join(done.out.split())


def test_the_plan_tells_what_keeps_rows_from_being_sent_again_at_once(filled: Shop) -> None:
    filled.configure(more='send: "08:00-20:00"\n    per_contact: {most: 1, every: 1d}')

    text = " ".join(filled.connector("schema", "replace", "visit").out.split())

    assert "visits: sent again only inside the send window." in text
    assert "visits: per_contact holds for what is sent again, too." in text
    assert "missing at Engage until it can" in text


def test_rows_that_were_not_delivered_stay_what_they_are_and_new_ones_wait(filled: Shop) -> None:
    filled.add({"id": "bad", "rating": 9}, {"id": "given-up", "rating": 8})
    filled.sync()
    filled.connector("quarantine", "discard", "visits", "given-up", "--yes")
    filled.add({"id": "new"})

    done = replaced(filled)

    assert done.code == 0, done
    assert "new" not in filled.stored
    assert filled.state("bad") == "invalid"
    assert filled.state("given-up") == "discarded"
    assert filled.sync().run["delivered"] == 1
    assert filled.stored["new"] == 1


def test_the_story_of_a_row_tells_the_replacement(filled: Shop) -> None:
    replaced(filled, "--by", "Ada")

    story = filled.connector("explain", "visits", "v7", "--json").json

    assert [(d["decision"], d["by"], d["was"], d["state"]) for d in story["decisions"]] == [
        ("migrated", "person: Ada", "delivered", "pending")
    ]
    assert [a["outcome"] for a in story["attempts"]] == ["accepted", "accepted"]


def test_a_person_types_the_id_and_the_number_of_a_replacement(filled: Shop) -> None:
    code, shown = typed_at_a_terminal(filled, f"visit {ROWS}", "schema", "replace", "visit")

    assert code == 0, shown
    assert_all_is_there_once(filled)


def test_a_pause_that_a_person_made_outlives_the_replacement(filled: Shop) -> None:
    filled.connector("pause", "visits", "--by", "Ada")

    assert replaced(filled).code == 0

    assert "Ada has paused it" in filled.sync("visits").json["error"]["message"]
    assert filled.connector("resume", "visits").code == 0
    assert_all_is_there_once(filled)


@pytest.mark.parametrize("cancelled", [False, True])
def test_a_pause_that_a_person_makes_meanwhile_outlives_the_replacement(
    filled: Shop, monkeypatch: pytest.MonkeyPatch, cancelled: bool
) -> None:
    died_after(filled, monkeypatch, Step.RECORDED)

    told = filled.connector("pause", "visits", "--by", "Ada", "--json")
    again = filled.connector("pause", "visits", "--by", "Bo", "--json")
    kept = filled.connector("resume", "visits")
    goes_on = ["schema", "replace", "visit", *(["--cancel"] if cancelled else [])]
    ended = filled.connector(*goes_on)

    assert told.json["activations"][0]["paused_by"] == "replacement of the schema visit"
    assert again.json["activations"][0]["paused_by"] == "Ada"
    assert (told.code, kept.code, ended.code) == (0, 2, 0), ended.said
    assert "Ada has paused it" in filled.sync("visits").json["error"]["message"]
    audit = filled.connector("audit", "visits", "--json").json["entries"]
    assert [each["by"] for each in audit if each["what"] == "paused"] == ["Ada"]
    assert filled.connector("resume", "visits").code == 0
    if cancelled:
        assert len(filled.stored) == ROWS
    else:
        assert_all_is_there_once(filled)


def test_a_replacement_on_postgresql(shop: Shop, postgresql_url: URL) -> None:
    shop.configure(ledger=postgresql_url.render_as_string(hide_password=False), settle_after="1s")
    shop.add_many(ROWS)
    shop.sync()
    with_file(shop, LONGER)

    done = replaced(shop)

    assert done.code == 0, done
    assert is_new(shop)
    assert shop.stored == Counter({f"v{i}": 1 for i in range(ROWS)})
    assert counts(shop) == {"delivered": ROWS}
    assert shop.sync().run["delivered"] == 0


# --- refused ------------------------------------------------------------------------------------


def refused(shop: Shop, done: Done, *words: str) -> None:
    assert done.code == 2, done
    message = done.json["error"]["message"]
    assert all(word in message for word in words), message
    assert deletes(shop) == 0
    assert not is_new(shop)
    assert shop.connector("resume", "visits").code == 0


@pytest.mark.parametrize("typed", ["visit", "visit 39", "40", "visit 400", "Visit 40", ""])
def test_nothing_is_replaced_without_the_id_and_the_number(filled: Shop, typed: str) -> None:
    done = filled.connector("schema", "replace", "visit", "--confirm", typed, "--json")

    refused(filled, done, '"visit 40"')


def test_an_unchanged_schema_needs_no_replacement(filled: Shop) -> None:
    with_file(filled, SCHEMA)

    done = replaced(filled)

    assert (done.code, done.json["step"]) == (0, "unchanged")
    assert deletes(filled) == 0


@pytest.mark.parametrize("change", [{"rating": None}, {"rating": {"type": "number"}}])
def test_what_is_not_backward_compatible_is_not_replaced(
    filled: Shop, change: dict[str, Any]
) -> None:
    with_file(filled, changed(**change))

    refused(filled, replaced(filled), "not backward compatible: rating")


def test_rows_that_the_model_has_no_more_are_lost_only_when_their_number_is_said(
    filled: Shop,
) -> None:
    filled.execute("delete from visits where id in ('v3', 'v4')")
    filled.execute("update visits set rating = 9 where id = 'v5'")

    refused(filled, replaced(filled), "3 of 40 rows", "the model has it no more", "--give-up 3")
    refused(filled, replaced(filled, "--give-up", "2"), "3 of 40 rows")
    assert counts(filled) == {"delivered": ROWS}
    done = replaced(filled, "--give-up", "3")

    assert done.code == 0, done
    assert done.json["rows"] == {"delivered": 37, "undone": 3}
    assert set(filled.stored) == {f"v{i}" for i in range(ROWS)} - {"v3", "v4", "v5"}
    story = filled.connector("explain", "visits", "v3", "--json").json
    assert story["state"] == "undone"
    assert "the model has it no more" in story["reason"]
    filled.execute("insert into visits select 'v3', * exclude (id) from visits where id = 'v1'")
    filled.sync("--full")
    assert "v3" not in filled.stored


def test_rows_without_a_newly_required_value_are_found_before_anything_is_deleted(
    filled: Shop,
) -> None:
    content = changed(mood={"type": "string"})
    content["jsonSchema"]["required"] = ["visitId", "mood"]
    with_file(filled, content)

    refused(filled, replaced(filled), 'requires the property "mood"')
    filled.execute("alter table visits add column mood text")
    filled.configure(payload="{visitId: id, mood: mood}")
    refused(filled, replaced(filled), "40 of 40 rows", "mood: required")


def test_rows_in_doubt_are_to_be_settled_first(filled: Shop) -> None:
    filled.configure(settle_after="3m")
    filled.sandbox.behaviour = behaving(faults={"reset_before": 1.0})
    filled.add({"id": "doubt"})
    filled.sync()
    filled.sandbox.behaviour = behaving()

    refused(filled, replaced(filled), "1 row in doubt", "--wait")


def test_a_held_run_is_to_be_let_go_first(filled: Shop) -> None:
    filled.configure(limits="{rows: 1}")
    filled.add({"id": "a"}, {"id": "b"})
    assert filled.sync().run["status"] == "held"

    refused(filled, replaced(filled), "held", "connector approve visits")


def test_rows_that_wait_are_held_against_the_new_schema(filled: Shop) -> None:
    filled.configure(identifier="email")
    filled.add({"id": "w", "contact": "nobody@example.com", "sku": None})
    assert filled.sync().run["waiting"] == 1
    content = changed(mood={"type": "string"})
    content["jsonSchema"]["required"] = ["visitId", "productSku"]
    with_file(filled, content)

    refused(filled, replaced(filled), "1 row pending or waiting", "such as w")


def test_an_activation_that_is_no_longer_configured_is_to_be_put_back(filled: Shop) -> None:
    filled.config.write_text(
        filled.config.read_text().replace("  visits:\n", "  others:\n    renamed_from: false\n")
    )

    done = replaced(filled)

    assert done.code == 2
    assert '"visits" has sent to this schema' in done.json["error"]["message"]
    assert deletes(filled) == 0


def test_rows_under_an_earlier_name_are_to_be_taken_over_first(filled: Shop) -> None:
    filled.configure(name="calls", more="renamed_from: visits")

    done = replaced(filled)

    assert done.code == 2
    assert "`connector sync calls` first" in done.json["error"]["message"]
    assert "Put it back" not in done.json["error"]["message"]
    assert deletes(filled) == 0
    filled.sync()
    assert replaced(filled).code == 0
    assert_all_is_there_once(filled)


def test_a_schema_is_not_replaced_under_a_run(filled: Shop) -> None:
    filled.configure(settle_after="3m")
    filled.add({"id": "slow"})
    filled.sandbox.behaviour = behaving(faults={"hang_before": 1.0, "hang_seconds": 20})
    before = filled.posts
    filled.start("sync")
    until(lambda: filled.posts > before)

    done = replaced(filled)

    # the run's row is in the air: it is told as being in doubt, or the run as being under way
    assert done.code in (2, 3), done
    assert (deletes(filled), step(filled)) == (0, None)


def test_a_deletion_that_the_destination_refuses_changes_nothing(filled: Shop) -> None:
    filled.sandbox.behaviour = behaving(schema_faults={"status_before": {400: 1.0}})

    done = replaced(filled)

    assert done.code == 2
    assert "nothing was deleted" in done.json["error"]["message"]
    assert step(filled) == "cancelled"
    filled.sandbox.behaviour = behaving()
    assert counts(filled) == {"delivered": ROWS}
    assert len(filled.stored) == ROWS
    assert filled.sync("visits").code == 0


def test_a_page_in_place_of_the_schema_is_no_proof_that_it_is_gone(
    filled: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever is in between says 404, too; the list of the schemas still has it."""
    asked, page = Schemas.get, Response(404, content=b"<html>no such page</html>")
    away: list[bool] = []

    async def get(
        self: Schemas, path: str, params: Mapping[str, str] | None = None
    ) -> Response | str:
        return page if away and path.endswith("/visit") else await asked(self, path, params)

    async def delete(work: steps.Replacing) -> None:
        away.append(True)
        await steps._delete(work)

    with monkeypatch.context() as patched:
        patched.setattr(Schemas, "get", get)
        patched.setitem(steps.STEPS, Step.RECORDED, delete)
        done = replaced(filled)
    stood = step(filled)
    again = replaced(filled)

    assert (done.code, stood, deletes(filled)) == (3, "recorded", 1)
    assert "is listed, and not shown by its id" in str(done.json)
    assert again.code == 0, again
    assert_all_is_there_once(filled)


# --- begun and not done -------------------------------------------------------------------------


class Died(BaseException):
    """The process ends here."""


STEPS = [s for s in Step if s not in (Step.PAUSED, Step.DONE, Step.CANCELLED)]


@pytest.mark.parametrize("recorded", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("last", STEPS)
def test_a_replacement_that_died_at_a_step_goes_on_there(
    filled: Shop, monkeypatch: pytest.MonkeyPatch, last: Step, recorded: bool
) -> None:
    real = Replacements.advance

    def advance(self: Replacements, leases: Any, replacement: Any, step: Step, *also: Any) -> Any:
        if step is last and not recorded:
            raise Died
        moved = real(self, leases, replacement, step, *also)
        if step is last:
            raise Died
        return moved

    monkeypatch.setattr(Replacements, "advance", advance)
    with pytest.raises(Died):
        replaced(filled)
    refuses_everything_else(filled)

    monkeypatch.setattr(Replacements, "advance", real)
    done = filled.connector("schema", "replace", "visit", "--json")

    assert done.code == 0, done
    assert deletes(filled) == 1
    assert posts(filled) == 1
    assert_all_is_there_once(filled)


def died_after(shop: Shop, monkeypatch: pytest.MonkeyPatch, last: Step) -> None:
    """Begin a replacement that ends with the process, just after it has reached `last`."""
    real = Replacements.advance

    def advance(self: Replacements, leases: Any, replacement: Any, step: Step, *also: Any) -> Any:
        moved = real(self, leases, replacement, step, *also)
        if step is last:
            raise Died
        return moved

    with monkeypatch.context() as patch:
        patch.setattr(Replacements, "advance", advance)
        with pytest.raises(Died):
            replaced(shop)


@pytest.mark.parametrize("last", [Step.RECORDED, Step.DELETED])
def test_nobody_is_forgotten_of_whom_something_is_recorded_to_be_sent_again(
    filled: Shop, monkeypatch: pytest.MonkeyPatch, last: Step
) -> None:
    """Once the schema is deleted, nothing of them is listed that would tell of those rows."""
    died_after(filled, monkeypatch, last)
    whom = ("forget", "--contact", contact_id(1), "--delete-interactions", "--yes", "--json")

    refused = [filled.connector(*whom), filled.connector("forget", "--contact", "other", "--json")]
    filled.connector("schema", "replace", "visit", "--json")
    done = filled.connector(*whom)

    assert {each.code for each in refused} == {3}
    message = refused[0].json["error"]["message"]
    assert "`connector schema replace visit` goes on with it; forget after that" in message
    assert (done.code, done.json["deleted"] > 0) == (0, True)
    assert contact_id(1) not in {i.contact_id for i in filled.sandbox.engage.interactions()}


def refuses_everything_else(shop: Shop) -> None:
    """Nothing but the replacement touches the rows as long as it is not done."""
    before = shop.posts, deletes(shop)
    named, resumed = shop.sync("visits"), shop.connector("resume", "visits", "--json")
    assert (named.code, resumed.code) == (2, 2)
    assert "`connector schema replace visit`" in named.json["error"]["message"]
    assert shop.sync().json["runs"] == []
    deleted = shop.connector("schema", "delete", "visit", "--confirm", f"visit {ROWS}", "--json")
    assert deleted.code == 2
    app = App(load(shop.config))
    (activation,) = app.activations(["visits"])
    with app.ledger() as ledger, pytest.raises(ActivationBusy, match="kept by the replacement"):
        ledger.begin("visits", app.identity(activation))  # as a run that has seen no pause
    assert shop.connector("quarantine", "discard", "visits", "--all", "--yes").code == 3
    assert (shop.posts, deletes(shop)) == before


@pytest.mark.parametrize("limits", ["{rows: 3, approval: other}", "{rows: 3}"])
def test_its_confirmation_is_the_approval_whoever_else_would_have_to_give_it(
    filled: Shop, limits: str
) -> None:
    filled.configure(limits=limits)

    done = replaced(filled, "--by", "anna")

    assert done.code == 0, done
    assert_all_is_there_once(filled)
    approvals = filled.connector("audit", "--json").json["entries"]
    assert {d["by"] for d in approvals if d["what"].startswith("approv")} == {"anna"}


def test_what_has_to_wait_for_its_turn_is_told_as_that(filled: Shop) -> None:
    filled.configure(more="per_contact: {most: 1, every: 1h}")

    done = replaced(filled)

    assert (done.code, done.json["error"]["kind"]) == (3, "busy"), done
    assert "wait for their turn" in done.json["error"]["message"]
    assert done.json["error"]["retryable"]


def test_a_replacement_that_died_while_rows_are_moved_moves_the_rest(
    filled: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replacing, "TOGETHER", 7)
    real, calls = Replacements.move, []

    def move(self: Replacements, *arguments: Any) -> int | None:
        calls.append(1)
        if len(calls) == 3:
            raise Died
        return real(self, *arguments)

    monkeypatch.setattr(Replacements, "move", move)
    with pytest.raises(Died):
        replaced(filled)
    assert counts(filled) == {"delivered": ROWS - 14, "pending": 14}
    refuses_everything_else(filled)

    assert filled.connector("schema", "replace", "visit").code == 0
    assert_all_is_there_once(filled)


def killed_when(shop: Shop, seen: Callable[[], bool]) -> None:
    """Kill a replacement of its own process when `seen`."""
    process = begun(shop)
    until(lambda: seen() or process.poll() is not None)
    assert process.poll() is None, process.communicate()
    killed(process, signal.SIGKILL)


def goes_on(shop: Shop) -> None:
    shop.sandbox.behaviour = behaving()
    done = shop.connector("schema", "replace", "visit", "--json")
    assert done.code == 0, done
    assert_all_is_there_once(shop)


def test_a_replacement_killed_while_it_records_deletes_nothing_and_goes_on(filled: Shop) -> None:
    text = filled.config.read_text()
    filled.config.write_text(text.replace("lock_timeout: 2s", "lock_timeout: 60s"))
    with duckdb.connect(str(filled.path / "shop.duckdb")):  # a writer, whom the reader waits for
        killed_when(filled, lambda: step(filled) == "paused")
    assert len(filled.stored) == ROWS
    goes_on(filled)


@pytest.mark.parametrize("fault", ["hang_before", "hang_after"])
def test_a_replacement_killed_with_the_deletion_on_the_wire_goes_on(
    filled: Shop, fault: str
) -> None:
    filled.configure(timeout="30s", settle_after="1s")
    filled.sandbox.behaviour = behaving(schema_faults={fault: 1.0, "hang_seconds": 20})
    killed_when(filled, lambda: deletes(filled) == 1)
    assert step(filled) == "deleting"
    filled.configure(timeout="1s")

    goes_on(filled)

    asked = [
        e.time
        for e in filled.sandbox.requests.entries()
        if e.route == "DELETE /interactionschemas/{id}"
    ]
    assert len(asked) == (2 if fault == "hang_before" else 1)
    # no second one as long as the first may arrive: it could delete what was created since
    assert all(later - earlier > 6.5 for earlier, later in itertools.pairwise(asked))


@pytest.mark.parametrize("fault", ["hang_before", "hang_after"])
def test_a_replacement_killed_with_the_creation_on_the_wire_goes_on(
    filled: Shop, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    died_after(filled, monkeypatch, Step.DELETED)
    filled.configure(timeout="30s")
    filled.sandbox.behaviour = behaving(schema_faults={fault: 1.0, "hang_seconds": 20})
    killed_when(filled, lambda: posts(filled) == 1)
    assert step(filled) == "creating"
    filled.configure(timeout="1s")

    goes_on(filled)

    assert deletes(filled) == 1
    assert posts(filled) == (2 if fault == "hang_before" else 1)


def test_a_replacement_killed_while_it_sends_sends_the_rest_and_nothing_twice(filled: Shop) -> None:
    filled.sandbox.behaviour = behaving(answer_delay=0.2)
    filled.configure(concurrency=2)
    before = filled.posts
    killed_when(filled, lambda: filled.posts >= before + 5)
    assert step(filled) == "moved"
    filled.add({"id": "new"})  # and what is new waits, also then
    filled.sandbox.behaviour = behaving()

    done = filled.connector("schema", "replace", "visit", "--json")

    assert done.code == 0, done
    assert filled.stored == Counter({f"v{i}": 1 for i in range(ROWS)})
    assert filled.sync().run["delivered"] == 1


def test_a_schema_that_the_destination_refuses_is_corrected_in_its_file(
    filled: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    died_after(filled, monkeypatch, Step.DELETED)
    filled.sandbox.behaviour = behaving(schema_faults={"status_before": {400: 1.0}})
    refusal = filled.connector("schema", "replace", "visit", "--json")
    assert refusal.code == 2, refusal
    assert "deleted and not created anew" in refusal.json["error"]["message"]
    filled.sandbox.behaviour = behaving()

    with_file(filled, changed(mood={"type": "string"}, rating=None))
    broken = filled.connector("schema", "replace", "visit", "--json")
    assert "not backward compatible" in broken.json["error"]["message"]
    with_file(filled, changed(mood={"type": "string"}, place={"type": "string"}))

    goes_on(filled)

    assert "place" in filled.sandbox.engage.schema("visit").json_schema["properties"]


@pytest.mark.parametrize("author", ["replacement", "migration"])  # the latter in older ledgers
def test_a_replacement_is_cancelled_as_long_as_nothing_is_deleted(
    filled: Shop, monkeypatch: pytest.MonkeyPatch, author: str
) -> None:
    died_after(filled, monkeypatch, Step.RECORDED)
    with filled.ledger_connection() as ledger:
        ledger.execute('update pauses set "by" = ?', [f"{author} of the schema visit"])

    assert filled.connector("schema", "replace", "visit", "--cancel").code == 0

    assert step(filled) == "cancelled"
    assert filled.sync("visits").code == 0
    assert counts(filled) == {"delivered": ROWS}
    again = filled.connector("schema", "replace", "visit", "--cancel", "--json")
    assert "no replacement" in again.json["error"]["message"]


def test_an_interaction_that_is_still_shown_is_not_taken_for_the_new_one(
    filled: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Deleted interactions may be listed for a while; a doubt must not adopt one of them."""
    old = {i.id for i in filled.sandbox.engage.interactions()}
    died_after(filled, monkeypatch, Step.MOVED)

    with App(load(filled.config)).ledger() as ledger:
        assert ledger.owned("visits", old) == old


def test_an_answer_from_before_the_replacement_delivers_nothing(
    filled: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    died_after(filled, monkeypatch, Step.MOVED)
    with closing(sqlite3.connect(filled.ledger_file)) as connection:
        row, run_id = connection.execute("select id, run_id from deliveries limit 1").fetchone()
        (identity,) = connection.execute("select identity from ledgers").fetchone()

    with App(load(filled.config)).ledger() as ledger:
        late = Closing(row, 1, Accepted("an-interaction-that-is-deleted"))
        footing = Footing("visits", 1, Seen(identity, 0, 0))
        run = Run(run_id, "visits", 1, datetime.now(UTC), footing)
        assert ledger.record(run, [late]) == [False]

    assert counts(filled) == {"pending": ROWS}


def test_a_deletion_that_comes_late_after_its_record_is_not_sent(
    filled: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(steps, "SEND_WITHIN", -1.0)
        done = replaced(filled)

    assert (done.code, deletes(filled), step(filled)) == (3, 0, "deleting")
    filled.configure(timeout="1s")
    monkeypatch.setattr(steps, "SEND_WITHIN", 0.5)
    goes_on(filled)


@pytest.mark.parametrize(("clock", "seconds"), [("boot", 60), ("wall", 60), ("wall", -60)], ids=str)
def test_nor_is_one_whose_machine_stood_still_whichever_clock_tells_so(
    filled: Shop, monkeypatch: pytest.MonkeyPatch, clock: str, seconds: float
) -> None:
    """Another host may have deleted and created it meanwhile."""
    real, readings = clocks.now, itertools.count(1)

    def jumping() -> Moment:
        moment = real()
        return moment._replace(**{clock: getattr(moment, clock) + seconds * next(readings)})

    with monkeypatch.context() as patch:
        patch.setattr(loan, "clocks", SimpleNamespace(now=real))  # else nothing is sent at all
        patch.setattr(borrowing, "clocks", SimpleNamespace(now=real))
        patch.setattr(clocks, "now", jumping)
        done = replaced(filled)

    assert (done.code, deletes(filled), step(filled)) == (3, 0, "deleting")


def test_a_deletion_is_not_repeated_because_the_ledgers_clock_has_stepped(
    filled: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first may still arrive, when there is something new to be deleted."""
    filled.configure(timeout="1s")
    filled.sandbox.behaviour = behaving(schema_faults={"reset_before": 1.0})
    monkeypatch.setattr(steps, "SEND_WITHIN", 0.5)
    assert replaced(filled).code == 3
    asked = deletes(filled)
    filled.sandbox.behaviour = behaving()
    with filled.ledger_connection() as ledger:
        ledger.execute("update migrations set asked_at = asked_at - 3600000")
    began = clocks.now()

    goes_on(filled)

    assert (asked, deletes(filled)) == (1, 2)
    assert began.shortest_until(clocks.now()) > 2.5, "timeout, settle_after and half a second"


@pytest.mark.parametrize("last", [Step.RECORDED, Step.DELETING, Step.CREATED])
def test_a_ledger_from_a_backup_of_a_replacement_sends_nothing_twice(
    filled: Shop, monkeypatch: pytest.MonkeyPatch, last: Step
) -> None:
    filled.configure(timeout="1s")
    monkeypatch.setattr(steps, "SEND_WITHIN", 0.5)
    died_after(filled, monkeypatch, last)
    backup = filled.ledger_file.read_bytes()
    assert filled.connector("schema", "replace", "visit").code == 0
    filled.ledger_file.write_bytes(backup)

    done = filled.connector("schema", "replace", "visit", "--json")

    assert done.code == 0, done
    assert deletes(filled) == 1
    assert_all_is_there_once(filled)
