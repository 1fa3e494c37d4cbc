"""A held run is let go by name: what was shown, once, by who may; and it is on the list."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from connector.decisions import approve as deciding
from connector.destinations.engage.client import Engage
from connector.project.app import App
from connector.project.settings import load
from connector.rules.approval import what_goes
from connector.rules.delivery import LookUp, NotApplied
from connector.sandbox.behaviour import Faults
from connector.sync.approving import Request, approve
from tests.whole.shop import SCHEMA, Shop, behaving, contact_id


@pytest.fixture
def held(shop: Shop) -> Shop:
    shop.configure(limits="{rows: 2}")
    shop.add_many(4)
    assert shop.sync("--by", "anna").run["status"] == "held"
    return shop


def audit(shop: Shop) -> list[tuple[str, str]]:
    entries = shop.connector("audit", "--json").json["entries"]
    return [(entry["by"], entry["what"]) for entry in reversed(entries)]


def others(shop: Shop) -> None:
    shop.configure(limits="{rows: 2, approval: other}")


def approved(shop: Shop, *options: str, code: int = 0) -> dict[str, Any]:
    done = shop.connector("approve", "visits", "--yes", "--json", *options)
    assert done.code == code, done.err
    document: dict[str, Any] = done.json
    return document


def test_the_next_run_of_whoever_lets_exactly_the_approved_rows_go(held: Shop) -> None:
    document = approved(held, "--by", "bert", "--note", "the campaign")
    held.add_many(1, first=4)
    run = held.sync("--by", "carl").run

    assert (document["by"], document["note"]) == ("bert", "the campaign")
    assert document["counts"] == {"rows": 4, "staged": 4, "invalid": 0, "rejected": 0}
    assert (run["status"], run["delivered"], run["by"]) == ("succeeded", 4, "carl")
    assert run["done"] is False  # it read nothing, so there may be more
    again = held.sync().run
    assert (again["delivered"], again["done"]) == (1, True)
    assert audit(held) == [("bert", "approved")]


def test_what_an_approved_run_has_left_stays_approved(held: Shop) -> None:
    """Whatever ended it: the rows are those that were shown."""
    approved(held, "--by", "bert", "--note", "the campaign")
    held.add_many(3, first=4)

    first = held.sync("--limit", "1").run
    shown = held.connector("status", "--json").json["activations"][0]["hold"]["approval"]
    rest = held.sync().run

    assert (first["status"], first["delivered"], first["pending"]) == ("succeeded", 1, 3)
    assert (shown["by"], shown["note"], shown["counts"]["rows"]) == ("bert", "the campaign", 3)
    assert (rest["status"], rest["delivered"], rest["pending"]) == ("succeeded", 3, 0)
    assert held.sync().run["status"] == "held"  # three that nobody was shown
    assert held.stored == Counter(f"v{i}" for i in range(4))
    assert audit(held) == [("bert", "approved")]


def test_a_run_that_is_let_go_unseen_and_stopped_goes_on_with_its_rows(shop: Shop) -> None:
    shop.configure(limits="{rows: 2}")
    shop.add_many(300)
    shop.sandbox.behaviour = behaving(faults=Faults(status_after={500: 1.0}))

    stopped = shop.sync("--approve", "--by", "bert")
    shop.sandbox.behaviour = behaving()
    rest = shop.sync().run

    assert (stopped.code, stopped.run["kind"]) == (3, "destination")
    assert (rest["status"], rest["pending"], rest["in_doubt"]) == ("succeeded", 0, 0)
    assert shop.stored == Counter(f"v{i}" for i in range(300))


def test_what_was_held_and_is_within_the_limits_by_now_is_held_no_more(held: Shop) -> None:
    approved(held)
    held.sync("--limit", "3")
    assert held.connector("status", "--json").json["activations"][0]["held"] is None
    held.add_many(1, first=4)
    assert held.sync().run["delivered"] == 2


def test_what_is_new_is_left_to_the_run_after_the_one_that_is_approved(held: Shop) -> None:
    approved(held, "--by", "bert")
    held.add_many(3, first=100)

    shown = " ".join(held.connector("preview", "visits").out.split())
    document = held.connector("preview", "visits", "--json").json
    checked = held.connector("check", "--json").json["activations"][0]["outlook"]

    assert "4 would be sent 4 of them recorded before" in shown
    print(shown)
    assert "3 new, and left to the run after" in shown
    assert "3 rows that are new are left to the run after" in document["outlook"]["notes"][-1]
    assert (document["read"], document["already_recorded"], document["new"]) == (0, 0, 3)
    assert (document["new"], document["pending"], document["outlook"]["left"]) == (3, 4, 3)
    assert checked == document["outlook"]
    assert held.sync().run["delivered"] == 4
    assert held.connector("preview", "visits", "--json").json["outlook"]["left"] == 0


def test_a_preview_of_an_approved_run_counts_nothing_that_it_does_not_read(held: Shop) -> None:
    before = held.connector("preview", "visits", "--json").json["estimated_seconds"]
    approved(held, "--by", "bert")
    held.add_many(500, first=100)
    held.add({"id": "bad", "rating": 9}, {"id": None})

    document = held.connector("preview", "visits", "--json").json

    assert (document["outlook"]["left"], document["pending"]) == (500, 4)
    assert [document[name] for name in ("invalid", "rejected", "without_key")] == [0, 0, 0]
    assert (document["reasons"], len(document["requests"])) == ([], 4)
    assert document["estimated_seconds"] == before
    run = held.sync().run
    assert [run[name] for name in ("delivered", "invalid")] == [4, 0]


def test_what_is_not_held_cannot_be_approved(shop: Shop) -> None:
    shop.add_many(1)
    shop.sync()

    document = approved(shop, code=2)

    assert document["error"]["kind"] == "configuration"


@pytest.mark.parametrize("name", ["anna", " ANNA ", "Anna"])
def test_who_asked_for_the_run_may_not_approve_it_where_another_must(held: Shop, name: str) -> None:
    others(held)

    refused = approved(held, "--by", name, code=1)
    again = held.sync("--approve", "--by", name)

    assert refused["error"]["kind"] == "held"
    assert "anna" in refused["error"]["message"].casefold()
    assert (again.code, again.run["status"], held.posts) == (1, "held", 0)
    assert [what for _, what in audit(held)] == ["approval_refused"] * 2
    assert held.sync("--approve", "--by", "bert").run["delivered"] == 4


def test_a_run_that_nobody_was_shown_cannot_be_approved_alone(shop: Shop) -> None:
    shop.configure(limits="{rows: 2, approval: other}")
    shop.add_many(4)

    done = shop.sync("--approve", "--by", "anna")

    assert (done.run["status"], shop.posts) == ("held", 0)


def test_who_is_nobody_may_not_approve_where_another_must(held: Shop) -> None:
    others(held)

    assert approved(held, "--by", "schedule", code=1)
    assert held.posts == 0


def test_a_run_by_somebody_else_does_not_clear_who_asked_first(held: Shop) -> None:
    others(held)
    held.sync("--by", "bert")

    assert approved(held, "--by", "anna", code=1)


def test_who_asked_for_the_run_that_took_up_an_edit_may_not_approve(shop: Shop) -> None:
    shop.add_many(1)
    shop.sync("--by", "carl")
    shop.configure(limits="{rows: 2, approval: other}", payload="{visitId: id}")
    shop.add_many(4, first=1)
    shop.sync("--by", "anna", "--limit", "9")

    refused = approved(shop, "--by", "anna", code=1)

    assert refused["error"]["kind"] == "held"
    entries = shop.connector("audit", "visits", "--json").json["entries"]
    (edit,) = [entry for entry in entries if entry["what"] == "edited"]
    assert (edit["by"], edit["details"]["parts"]) == ("anna", ["payload"])


def test_who_edited_last_may_not_approve_under_another_name_either(shop: Shop) -> None:
    shop.add_many(1)
    shop.sync("--by", "carl")
    limits = "{rows: 2, approval: other}"
    shop.configure(limits=limits, payload="{visitId: id}")
    shop.add_many(1, first=1)
    assert shop.sync("--by", "anna").run["delivered"] == 1
    shop.configure(name="calls", more="renamed_from: visits")
    shop.add_many(4, first=2)
    assert shop.sync("--by", "bert").run["status"] == "held"

    codes = [shop.connector("approve", "calls", "--by", who).code for who in ("anna", "carl")]

    assert codes == [1, 0]


def test_what_has_changed_since_it_was_approved_is_not_let_go(held: Shop) -> None:
    approved(held, "--by", "bert")
    held.connector("quarantine", "discard", "visits", "v0", "--yes")

    (told,) = held.connector("status", "--json").json["activations"]
    run = held.sync().run

    assert told["hold"]["approval"] is None
    assert [need["kind"] for need in told["needs"]] == ["held"]
    assert (run["status"], held.posts) == ("held", 0)
    assert any("have changed since" in note for note in run["notes"])
    approved(held, "--by", "bert")
    assert held.sync().run["delivered"] == 3


def test_what_was_released_since_it_was_approved_is_not_let_go(shop: Shop) -> None:
    shop.add_many(2)
    sent = str(shop.sync().run["run_id"])
    shop.connector("undo", sent, "--yes")
    shop.configure(limits="{rows: 2}")
    shop.add_many(4, first=2)
    assert shop.sync().run["status"] == "held"
    approved(shop, "--by", "bert")

    assert shop.connector("release", sent, "--yes").code == 0
    (told,) = shop.connector("status", "--json").json["activations"]

    assert told["hold"]["approval"] is None
    assert (shop.sync().run["status"], shop.posts) == ("held", 2)
    approved(shop, "--by", "bert")
    assert shop.sync().run["delivered"] == 6


@pytest.mark.parametrize("theirs", [0, 5])
def test_what_was_forgotten_of_a_mirror_since_it_was_approved_is_not_let_go(
    shop: Shop, theirs: int
) -> None:
    """A row whose contact is forgotten, or that reads as theirs now, is not replaced any more."""
    shop.configure(more="mode: mirror", cursor="")
    shop.add_many(5)
    shop.sync()
    shop.configure(limits="{rows: 2}")
    shop.execute(f"update visits set contact = '{contact_id(5)}' where id = 'v0'")
    shop.execute("update visits set rating = 1 + rating % 5")
    assert shop.sync().run["status"] == "held"
    approved(shop, "--by", "bert")

    name = contact_id(theirs)
    done = shop.connector("forget", "--contact", name, "--delete-interactions", "--yes", "--json")
    (told,) = shop.connector("status", "--json").json["activations"]

    assert done.code == 0
    assert told["hold"]["approval"] is None


def test_an_approval_that_was_not_used_in_time_is_void(held: Shop) -> None:
    approved(held, "--by", "bert")
    with held.ledger_connection() as ledger:
        ledger.execute("update approvals set expires_at = 1")

    run = held.sync().run

    assert (run["status"], held.posts) == ("held", 0)
    assert any("not used in time" in note for note in run["notes"])


def test_a_held_run_is_approved_by_a_plan_that_holds_no_key(held: Shop) -> None:
    plan = Path(held.path, "plan.json")
    written = held.connector("approve", "visits", "--out", str(plan), "--json")
    content = json.loads(plan.read_text())

    assert written.code == 0
    assert content["counts"]["rows"] == 4
    assert not any(f'"v{number}' in plan.read_text() for number in range(4))
    done = held.connector("approve", "--plan", str(plan), "--by", "bert", "--json")
    assert (done.code, done.json["by"]) == (0, "bert")
    assert held.sync().run["delivered"] == 4


def test_drift_since_a_plan_was_written_refuses_and_says_how_much(held: Shop) -> None:
    plan = Path(held.path, "plan.json")
    held.connector("approve", "visits", "--out", str(plan))
    held.connector("quarantine", "discard", "visits", "v0", "--yes")

    done = held.connector("approve", "--plan", str(plan), "--by", "bert", "--json")

    assert (done.code, done.json["error"]["kind"]) == (1, "held")
    assert "1 fewer" in done.json["error"]["message"]
    assert held.sync().run["status"] == "held"


@pytest.mark.parametrize("ending", ["csv", "jsonl"])
def test_the_list_is_narrowed_down_and_written_as_a_file(held: Shop, ending: str) -> None:
    held.connector("pause", "visits", "--by", "anna")
    held.connector("resume", "visits", "--by", "bert")
    file = Path(held.path, f"list.{ending}")

    held.connector("audit", "--out", str(file))
    none = held.connector("audit", "--since", "2999-01-01", "--json").json["entries"]
    wrong = held.connector("audit", "--since", "yesterday", "--json")

    assert [name in file.read_text() for name in ("paused", "resumed", "anna", "bert")] == [
        True
    ] * 4
    assert (none, wrong.code) == ([], 2)
    assert audit(held) == [("anna", "paused"), ("bert", "resumed")]


def test_the_list_can_only_be_added_to(held: Shop) -> None:
    held.connector("pause", "visits", "--by", "anna")
    for change in ("update audit set by = 'bert'", "delete from audit"):
        with (
            pytest.raises(Exception, match="only added to"),
            held.ledger_connection() as ledger,
        ):
            ledger.execute(change)

    assert audit(held) == [("anna", "paused")]


def test_a_plan_that_was_edited_approves_nothing(held: Shop) -> None:
    plan = Path(held.path, "plan.json")
    held.connector("approve", "visits", "--out", str(plan))
    content = json.loads(plan.read_text())
    plan.write_text(json.dumps(content | {"reason": "held: 1 row"}))

    done = held.connector("approve", "--plan", str(plan), "--by", "bert", "--json")

    assert (done.code, done.json["error"]["kind"]) == (1, "held")
    assert audit(held) == [("bert", "approval_refused")]


def test_without_a_terminal_to_ask_at_naming_the_activation_is_the_decision(held: Shop) -> None:
    assert held.connector("approve", "visits", "--by", "bert", "--json").code == 0
    assert held.sync().run["delivered"] == 4


@pytest.mark.parametrize(
    ("arguments", "file"),
    [
        (("visits", "--out"), "visits.plan.json"),
        (("visits", "--out", "--note", "soon"), "visits.plan.json"),
        (("--plan", "held.json", "--out"), "held.json"),
        (("visits", "--plan", "held.json", "--out", "--json"), "held.json"),
    ],
)
def test_a_bare_out_writes_the_plan(
    held: Shop, arguments: tuple[str, ...], file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(held.path)

    written = held.connector("approve", *arguments)

    assert (written.code, audit(held)) == (0, [])
    assert json.loads(Path(file).read_text())["counts"]["rows"] == 4
    done = held.connector("approve", "--plan", file, "--by", "bert", "--json")
    assert (done.code, done.json["by"]) == (0, "bert")


def test_a_bare_out_without_a_name_says_that_nothing_is_held(shop: Shop) -> None:
    done = shop.connector("approve", "--out")

    assert (done.code, "nothing is held" in done.err) == (2, True)


def test_what_is_approved_already_is_told_until_it_is_used(held: Shop) -> None:
    before = held.connector("status", "--json").json["activations"][0]["hold"]
    approved(held, "--by", "bert", "--note", "the campaign")
    hold = held.connector("status", "--json").json["activations"][0]["hold"]
    status = held.connector("status").out
    preview = held.connector("preview", "visits", "--json").json["outlook"]
    again = approved(held, "--by", "carl")
    checked = held.connector("check")
    held.sync()

    assert (before["due"], before["asked_by"], before["approval"]) == (4, ["anna"], None)
    assert (hold["approval"]["by"], hold["approval"]["note"]) == ("bert", "the campaign")
    assert "approved by bert" in status
    assert "(the campaign), until " in status
    assert preview["would"] == "send"
    assert "approved by bert until " in preview["notes"][0]
    assert "(4 rows sent)" in preview["notes"][0]
    assert again["by"] == "carl"
    assert checked.code == 0
    assert held.connector("status", "--json").json["activations"][0]["hold"] is None


def test_an_approval_of_rows_that_have_changed_since_lets_nothing_go(held: Shop) -> None:
    approved(held, "--by", "bert")
    held.connector("quarantine", "discard", "visits", "v0", "--yes")

    outlook = held.connector("preview", "visits", "--json").json["outlook"]

    assert (outlook["would"], held.sync().run["status"]) == ("be_held", "held")


def test_what_a_mirror_would_do_is_approved_in_its_own_words(shop: Shop) -> None:
    shop.configure(more="mode: mirror", cursor="", settle_after="0s", timeout="1s")
    shop.add_many(20)
    shop.sync()
    shop.execute("delete from visits where id in (select id from visits order by id limit 15)")
    shop.sync("--by", "anna")

    shown = shop.connector("approve", "visits", "--by", "bert").out
    outlook = shop.connector("preview", "visits", "--json").json["outlook"]
    run = shop.sync().run

    assert "15  of them would be taken back" in shown
    assert "does exactly this: 15 rows taken back." in shown
    assert (outlook["would"], "(15 rows taken back)" in outlook["notes"][0]) == ("send", True)
    assert (run["status"], run["removed"]) == ("succeeded", 15)


def test_a_preview_tells_what_an_approval_lets_go_of_a_mirror_and_what_it_leaves(
    shop: Shop,
) -> None:
    shop.configure(more="mode: mirror", cursor="", settle_after="0s", timeout="1s")
    shop.add_many(20)
    shop.sync()
    shop.execute("delete from visits where id in (select id from visits order by id limit 12)")
    shop.sync("--by", "anna")
    approved(shop, "--by", "bert")
    shop.execute("delete from visits where id = (select max(id) from visits)")
    shop.execute("update visits set rating = rating + 1 where id = (select max(id) from visits)")
    shop.add({"id": "new"})
    sets = ("new", "removed", "replaced", "already_recorded")

    ahead = shop.connector("preview", "visits", "--json").json
    run = shop.sync().run
    after = shop.connector("preview", "visits", "--json").json

    assert [ahead[name] for name in sets] == [0, 12, 0, 6]
    assert any("2 rows are left to the run after" in note for note in ahead["notes"])
    assert [run[name] for name in ("delivered", "removed", "replaced")] == [0, 12, 0]
    assert [after[name] for name in sets] == [1, 1, 1, 6]


@pytest.mark.parametrize(
    ("counts", "told"),
    [
        ({"rows": 4}, "4 rows sent"),
        ({"rows": 1, "removed": 1}, "1 row taken back"),
        (
            {"rows": 9, "removed": 3, "replaced": 2},
            "3 rows taken back, 2 taken back and sent anew, 4 sent",
        ),
        ({"rows": 0}, "0 rows sent"),
    ],
)
def test_what_an_approval_lets_happen_is_in_words(counts: dict[str, int], told: str) -> None:
    assert what_goes(counts) == told


def test_who_must_be_another_is_told_how_to_approve(held: Shop) -> None:
    others(held)

    told = held.connector("preview", "visits", "--json").json["outlook"]["because"]

    assert "`connector approve` by somebody else than who asked for it lets exactly these" in told
    assert "sync --approve" not in told


# --- a hold without rows -------------------------------------------------------------------------


def discard(shop: Shop, *which: str) -> None:
    done = shop.connector("quarantine", "discard", "visits", *which, "--yes", "--json")
    assert done.code == 0, done.err


def outlooks(shop: Shop) -> list[tuple[str, int]]:
    """What `preview` and `check` say of the next run, and how many rows a preview would send."""
    preview = shop.connector("preview", "visits", "--json").json
    checked = shop.connector("check", "--json").json["activations"][0]["outlook"]
    sends = preview["new"] + preview["pending"]
    return [(preview["outlook"]["would"], sends), (checked["would"], sends)]


def test_a_hold_whose_rows_were_all_discarded_is_over_and_the_next_run_reads(held: Shop) -> None:
    held.add_many(2, first=4)

    discard(held, "--state", "pending")
    status = held.connector("status", "--json").json["activations"][0]
    said = outlooks(held)
    approving = approved(held, code=2)
    run = held.sync().run

    assert (status["held"], status["hold"], status["needs"]) == (None, None, [])
    assert status["state"] == "succeeded"
    assert said == [("send", 2), ("send", 2)]
    assert "nothing is held" in approving["error"]["message"]
    assert (run["status"], run["read"] > 0, run["delivered"]) == ("succeeded", True, 2)
    assert run["done"] is True
    assert held.stored == Counter(["v4", "v5"])


def test_what_a_run_reads_after_such_a_hold_is_judged_anew(held: Shop) -> None:
    approved(held, "--by", "bert")
    held.add_many(3, first=4)

    discard(held, *(f"v{i}" for i in range(4)))
    said = outlooks(held)
    run = held.sync("--by", "carl").run

    assert said == [("be_held", 3), ("be_held", 3)]
    assert (run["status"], run["staged"], held.posts) == ("held", 3, 0)
    others(held)
    assert approved(held, "--by", "anna")["by"] == "anna"  # who asked for what is given up
    newest = held.connector("approve", "visits", "--yes", "--by", "anna", "--json").json
    assert newest["counts"]["rows"] == 3


def test_a_hold_for_invalid_rows_alone_is_over_when_these_are_discarded(shop: Shop) -> None:
    shop.configure(limits="{refused: 10%}")
    shop.add({"id": "bad", "rating": 9}, {"id": "worse", "rating": 9})
    first = shop.sync().run["status"]
    shop.add({"id": "v0"}, {"id": "v1"})

    discard(shop, "bad")
    one_is_left = [would for would, _ in outlooks(shop)]
    discard(shop, "worse")
    said = outlooks(shop)
    run = shop.sync().run

    assert (first, one_is_left) == ("held", ["be_held", "be_held"])
    assert said == [("send", 2), ("send", 2)]
    assert (run["status"], run["delivered"]) == ("succeeded", 2)


def test_a_hold_is_over_when_all_of_its_rows_are_forgotten(shop: Shop) -> None:
    shop.configure(limits="{rows: 1}")
    shop.add({"id": "v0"}, {"id": "v1"})
    assert shop.sync().run["status"] == "held"
    shop.execute("delete from visits")
    shop.add({"id": "v2", "seen_at": "2026-11-02 10:00:00", "contact": contact_id(2)})

    done = shop.connector("forget", "--contact", contact_id(1), "--yes", "--json")
    run = shop.sync().run

    assert done.code == 0, done.err
    assert (run["status"], run["delivered"], shop.stored) == ("succeeded", 1, Counter(["v2"]))


# --- what stands in the way ----------------------------------------------------------------------


def test_who_approves_is_told_why_no_run_would_begin(held: Shop) -> None:
    held.sandbox.engage.add_schema({**SCHEMA, "id": "visit_v2"})
    held.configure(schema="visit_v2")

    shown = " ".join(held.connector("approve", "visits", "--yes", "--by", "bert").out.split())
    document = approved(held, "--by", "bert")
    status = " ".join(held.connector("status").out.split())
    run = held.sync()

    (why,) = document["in_the_way"]
    assert "previous_schema_id: visit" in why
    assert why == run.run["error"]
    assert f"No run begins before this is mended: {why}" in shown
    assert "the next run" not in shown.split("Approved by")[1]
    assert "a run lets it go, once one begins" in status
    assert run.code == 2


def test_who_approves_what_is_paused_is_told_so(held: Shop) -> None:
    held.connector("pause", "visits", "--by", "carl")
    (why,) = approved(held)["in_the_way"]
    held.connector("resume", "visits")

    assert "carl has paused it; `connector resume visits`" in why
    assert approved(held)["in_the_way"] == []


# --- twice ---------------------------------------------------------------------------------------


def test_who_approves_the_same_twice_has_approved_it_once(held: Shop) -> None:
    first = approved(held, "--by", "bert", "--note", "the campaign")
    again = approved(held, "--by", "Bert ", "--note", "the campaign")
    told = held.connector("approve", "visits", "--yes", "--by", "bert")
    plan = held.path / "held.json"
    held.connector("approve", "visits", "--out", str(plan))
    planned = held.connector("approve", "--plan", str(plan), "--by", "bert", "--json")

    assert (again["approval"], again["already"]) == (first["approval"], True)
    assert (first["already"], again["expires_at"]) == (False, first["expires_at"])
    assert (told.code, planned.code, planned.json["already"]) == (0, 0, True)
    assert "visits is approved already: by bert, " in told.said
    assert "Nothing else was recorded." in told.said
    assert audit(held) == [("bert", "approved")]
    assert held.sync().run["delivered"] == 4


def test_what_another_person_or_another_note_says_of_it_is_put_on_record(held: Shop) -> None:
    for by, note in (("bert", "first"), ("bert", "second"), ("carl", "second")):
        assert approved(held, "--by", by, "--note", note)["already"] is False

    assert audit(held) == [("bert", "approved"), ("bert", "approved"), ("carl", "approved")]
    assert held.sync().run["delivered"] == 4


def test_an_approval_that_has_run_out_is_given_anew_by_the_same_person(held: Shop) -> None:
    first = approved(held, "--by", "bert")
    with held.ledger_connection() as ledger:
        ledger.execute("update approvals set expires_at = 1")

    again = approved(held, "--by", "bert")

    assert (again["already"], again["approval"] > first["approval"]) == (False, True)
    assert held.sync().run["delivered"] == 4


# --- two at the same moment ----------------------------------------------------------------------


@pytest.mark.parametrize("when", ["as the other has the lease", "before the other lets go"])
def test_who_approves_what_another_has_just_approved_is_told_by_whom(
    held: Shop, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    """The other one comes between what this one was shown and what it records."""
    look, told = deciding.Approve.plan, list[str]()

    async def shown_before(deed: deciding.Approve) -> deciding.Held:
        plan = await look(deed)
        if deed.person.name == "bert":
            with deed.app.ledger() as ledger:
                lease = ledger.take_lease("visits")
                request = Request("anna", "first")
                approve(ledger, lease, deed.activation.limits, plan.run, request)
                if when.startswith("before"):
                    ledger.let_go(lease)
            told.append("anna")
        return plan

    monkeypatch.setattr(deciding.Approve, "plan", shown_before)
    document = approved(held, "--by", "bert")
    monkeypatch.undo()

    assert told == ["anna"]
    assert (document["by"], document["note"], document["already"]) == ("anna", "first", True)
    assert audit(held) == [("anna", "approved")]


def test_who_approves_what_a_run_has_let_go_meanwhile_is_told_who_had_approved_it(
    held: Shop,
) -> None:
    approved(held, "--by", "anna")
    run_id = held.sync().run["run_id"]

    error = approved(held, "--by", "bert", code=2)["error"]

    assert error["message"].startswith('nothing is held of "visits"')
    assert "by anna at " in error["message"]
    assert error["message"].endswith(f"was used by run {run_id}")


def test_what_a_run_has_left_as_it_was_is_approved_again(held: Shop) -> None:
    """It was killed before its first request, and the same rows are held again."""
    first = approved(held, "--by", "anna")
    with held.ledger_connection() as ledger:
        ledger.execute("update approvals set used_by = 'killed', used_at = at")
    assert held.sync().run["status"] == "held"

    again = approved(held, "--by", "bert")
    run = held.sync().run

    assert (again["digest"], again["already"], again["by"]) == (first["digest"], False, "bert")
    assert again["approval"] > first["approval"]
    assert (run["status"], run["delivered"]) == ("succeeded", 4)
    assert audit(held) == [("anna", "approved"), ("bert", "approved")]


def test_who_approves_beside_another_command_is_told_of_that(
    held: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deciding, "PATIENCE", 0.0)
    with App(load(held.config)).ledger() as ledger:
        lease = ledger.take_lease("visits")
        busy = approved(held, "--by", "bert", code=3)
        ledger.let_go(lease)

    assert busy["error"]["kind"] == "busy"


# --- under another name -------------------------------------------------------------------------


def test_what_lets_a_held_run_go_names_the_activation_as_it_is_called_now(held: Shop) -> None:
    held.configure(name="calls", more="renamed_from: visits")
    wrong, right = "sync visits", "`connector sync calls --approve`"

    (status,) = held.connector("status", "--json").json["activations"]
    (need,) = status["needs"]
    told = [
        status["held"],
        need["text"],
        *status["last_run"]["notes"],
        *(
            held.connector(*command).said
            for command in (
                ("status",),
                ("runs",),
                ("explain", "calls", "v0"),
                ("explain", "visits", "v0"),
                ("check",),
                ("preview", "calls"),
            )
        ),
    ]

    assert [each for each in told if wrong in each or right not in each] == []
    assert need["command"] == "connector sync calls"  # nothing is approved before one has run
    assert held.sync("--approve").run["delivered"] == 4


def test_the_same_after_a_run_has_taken_the_rows_over_and_was_stopped(held: Shop) -> None:
    held.configure(name="calls", more="renamed_from: visits", key="wrong")
    assert held.sync().code == 3

    (status,) = held.connector("status", "--json").json["activations"]

    assert "sync visits" not in status["held"]
    assert "`connector sync calls --approve`" in status["held"]
    assert status["needs"][0]["command"] == "connector approve calls"


def test_the_command_that_gives_held_rows_up_finds_them_under_their_earlier_name(
    shop: Shop,
) -> None:
    shop.configure(limits="{older_than: 1h}")
    shop.add_many(4)
    assert shop.sync().run["status"] == "held"
    shop.configure(name="calls", more="renamed_from: visits")

    held = shop.connector("status", "--json").json["activations"][0]["held"]

    assert "`connector sync calls --approve`" in held
    assert "`connector quarantine discard visits --state pending`" in held
    up = ("quarantine", "discard", "visits", "--state", "pending", "--yes")
    assert shop.connector(*up).code == 0


def test_a_row_that_each_run_tries_in_vain_keeps_no_other_from_being_read(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Left by a run that was let go, it would be held again, and approved, for as long."""
    looked_up = Engage.look_up

    async def look_up(self: Engage, contact: str, how: Any) -> LookUp:
        if contact == "c5@example.com":
            return NotApplied("HTTP 500", 500)
        return await looked_up(self, contact, how)

    monkeypatch.setattr(Engage, "look_up", look_up)
    shop.configure(limits="{refused: 5%}", identifier="email")
    ratings = {i: 9 if i == 0 else 3 for i in range(10)}
    shop.add(
        *({"id": f"v{i}", "contact": f"c{i}@example.com", "rating": r} for i, r in ratings.items())
    )
    assert shop.sync().run["status"] == "held"
    approved(shop)
    shop.add({"id": "new", "contact": "c1@example.com"})

    runs = [shop.sync().run, shop.sync().run]

    assert [(run["delivered"], run["pending"]) for run in runs] == [(8, 1), (1, 1)]
    assert shop.stored["new"] == 1
