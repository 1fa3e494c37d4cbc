"""What a mirror took back: `verify` looks for it, `undo` says that it does not bring it back."""

import pytest

from connector.sandbox.behaviour import ReadFaults
from connector.sandbox.engage.interactions import Interaction
from tests.whole.shop import Shop, behaving
from tests.whole.test_mirror import model, there
from tests.whole.test_undo import deletions, undo
from tests.whole.test_verify import verified


@pytest.fixture
def mirror(shop: Shop) -> Shop:
    shop.configure(more="mode: mirror", cursor="", settle_after="0s", timeout="1s")
    return shop


def taken_back(mirror: Shop) -> tuple[str, dict[str, Interaction]]:
    """A run that removed `a` and replaced `b`, and what was there before it."""
    model(mirror, a=1, b=2, c=3)
    mirror.sync()
    before = {i.payload["visitId"]: i for i in mirror.sandbox.engage.interactions()}
    model(mirror, b=5, c=3)
    run = mirror.sync().run
    assert (run["removed"], run["replaced"], run["delivered"]) == (1, 1, 1)
    return run["run_id"], before


def put_back(mirror: Shop, interaction: Interaction) -> None:
    """The destination shows what it has said that it deleted."""
    engage = mirror.sandbox.engage
    engage._interactions.add(interaction, engage.clock())


def test_what_is_gone_is_looked_for_and_told(mirror: Shop) -> None:
    run_id, _ = taken_back(mirror)

    done = verified(mirror, run_id)
    shown = mirror.connector("verify", run_id)

    assert (done.code, done.json["ok"]) == (0, True)
    assert done.json["taken_back"] == {"rows": 2, "checked": 2}
    assert done.json["still_there"] == []
    assert shown.code == 0
    assert "2 interactions taken back by it, 2 looked for" in shown.out
    assert "and what was taken back is gone" in shown.out


def test_what_is_there_again_is_a_finding(mirror: Shop) -> None:
    run_id, before = taken_back(mirror)
    put_back(mirror, before["a"])
    put_back(mirror, before["b"])

    done = verified(mirror, run_id)
    shown = mirror.connector("verify", run_id)

    assert (done.code, done.json["ok"], done.json["doubled"]) == (1, False, [])
    assert done.json["still_there"] == [
        {"row_key": key, "interaction_id": before[key].id, "taken_back": why, "recent": False}
        for key, why in (("a", "removed"), ("b", "replaced"))
    ]
    assert shown.code == 1
    assert "2 taken back, and still there" in shown.out
    assert before["a"].id in shown.out
    assert "delete them at the destination" in shown.out


def test_what_went_just_now_may_only_be_shown_still(mirror: Shop) -> None:
    run_id, before = taken_back(mirror)
    put_back(mirror, before["a"])
    mirror.configure(settle_after="3m")

    done = verified(mirror, run_id)

    assert [each["recent"] for each in done.json["still_there"]] == [True]
    assert "may only be shown still" in mirror.connector("verify", run_id).out


def test_a_run_answers_for_what_it_took_back_itself(mirror: Shop) -> None:
    """Also when the row is back since, and has another interaction."""
    run_id, before = taken_back(mirror)
    model(mirror, a=1, b=5, c=3)
    later = mirror.sync().run["run_id"]

    assert verified(mirror, run_id).json["taken_back"]["checked"] == 2
    assert verified(mirror, later).json["taken_back"]["rows"] == 0
    put_back(mirror, before["a"])
    (still,) = verified(mirror, run_id).json["still_there"]
    assert still["interaction_id"] == before["a"].id
    assert verified(mirror, later).code == 0


def test_a_sample_looks_for_one_at_least(mirror: Shop) -> None:
    run_id, _ = taken_back(mirror)

    done = verified(mirror, run_id, "--sample", "0.1%")

    assert done.json["taken_back"] == {"rows": 2, "checked": 1}


def test_what_cannot_be_read_is_not_proven(mirror: Shop) -> None:
    run_id, _ = taken_back(mirror)
    mirror.sandbox.behaviour = behaving(read_faults=ReadFaults(html=1.0))

    done = verified(mirror, run_id)

    assert (done.code, done.json["taken_back"]["checked"]) == (1, 0)
    assert sum(gap["count"] for gap in done.json["incomplete"]) >= 3


def test_a_row_that_was_forgotten_is_looked_for_no_more(mirror: Shop) -> None:
    """The ledger does not know any more what it was; so it cannot be asked for."""
    run_id, _ = taken_back(mirror)
    with mirror.ledger_connection() as ledger:
        ledger.execute("update decisions set reason = null where decision = 'removed'")

    assert verified(mirror, run_id).json["taken_back"] == {"rows": 1, "checked": 1}


# --- a destination that says that it deleted and did not ----------------------------------------


def test_a_deletion_that_deletes_nothing_is_not_believed(
    mirror: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """2xx, and the interaction is shown as before: so nothing is sent anew beside it."""
    model(mirror, a=1, b=2)
    mirror.sync()
    monkeypatch.setattr(mirror.sandbox.engage, "remove_interaction", lambda _: 204)
    model(mirror, b=5)

    done = mirror.sync()

    assert (done.run["removed"], done.run["replaced"], done.run["delivered"]) == (0, 0, 0)
    assert (done.code, there(mirror)) == (1, {"a": 1, "b": 2})
    assert "not known yet whether they are gone" in done.run["notes"][0]
    assert verified(mirror, done.run["run_id"]).json["taken_back"]["rows"] == 0
    asked = deletions(mirror)
    monkeypatch.undo()

    again = mirror.sync()

    assert (again.run["removed"], again.run["replaced"], there(mirror)) == (1, 1, {"b": 5})
    assert deletions(mirror) == asked + 2


def test_a_deletion_that_only_hides_is_found_by_verify_and_not_repeated(mirror: Shop) -> None:
    """Once it was not shown it counts as gone: the mirror does not look again, `verify` does."""
    run_id, before = taken_back(mirror)
    put_back(mirror, before["a"])

    again = mirror.sync()

    assert (again.code, deletions(mirror)) == (0, 2)
    assert verified(mirror, run_id).code == 1


# --- undo ---------------------------------------------------------------------------------------


def test_a_row_whose_interaction_somebody_has_deleted_says_why_it_is_looked_for(
    mirror: Shop,
) -> None:
    model(mirror, a=1)
    mirror.sync()
    (sent,) = mirror.sandbox.engage.interactions()
    mirror.sandbox.engage.remove_interaction(sent.id)

    model(mirror, a=2)
    mirror.sync("--wait")
    mirror.sync("--wait")

    story = mirror.connector("explain", "visits", "a", "--json").json
    reasons = [attempt["reason"] for attempt in story["attempts"]]
    assert len(there(mirror)) == 1
    assert "its interaction was not there any more when it was to be taken back" in str(reasons)


def test_undo_says_what_it_does_not_bring_back(mirror: Shop) -> None:
    run_id, _ = taken_back(mirror)

    plan = mirror.connector("undo", run_id, "--dry-run")
    planned = mirror.connector("undo", run_id, "--dry-run", "--json").json
    first = mirror.connector("runs", "--json").json["runs"][-1]["run_id"]
    of_the_first = mirror.connector("undo", first, "--dry-run", "--json").json["standing"]
    done = undo(mirror, run_id)

    assert plan.code == 0
    for said in (" ".join(plan.out.split()), " ".join(planned["notes"])):
        assert "took 1 interaction back whose rows the model had no more" in said
        assert "A sync sends each of these rows that the model has again" in said
        assert f"connector release {run_id}" in said
    assert planned["not_brought_back"] == {"removed": 1, "replaced": 1}
    told = [of_the_first[name] for name in ("delivered", "removed", "sent_again")]
    assert told == [1, 1, 1]
    assert (done.code, done.json["undone"], there(mirror)) == (0, 1, {"c": 3})
    assert done.json["not_brought_back"] == {"removed": 1, "replaced": 1}


def test_what_undo_says_to_do_brings_all_of_it_back(mirror: Shop) -> None:
    run_id, _ = taken_back(mirror)
    undo(mirror, run_id)
    model(mirror, a=1, b=2, c=3)

    assert mirror.connector("release", run_id, "--yes", "--json").json["released"] == 1
    mirror.sync()

    assert there(mirror) == {"a": 1, "b": 2, "c": 3}


def test_a_run_that_only_took_back_has_nothing_to_undo_and_says_why(mirror: Shop) -> None:
    model(mirror, a=1, b=2)
    first = mirror.sync().run["run_id"]
    model(mirror, b=2)
    run_id = mirror.sync().run["run_id"]

    plan = mirror.connector("undo", run_id)

    assert plan.code == 0
    assert "brings none of them back" in " ".join(plan.out.split())
    assert "There is nothing to be taken back" in plan.out
    standing = mirror.connector("undo", first, "--dry-run", "--json").json["standing"]
    assert (standing["delivered"], standing["removed"]) == (1, 1)


def test_a_run_that_is_no_mirrors_has_nothing_to_say_of_it(shop: Shop) -> None:
    shop.add_many(2)
    run_id = shop.sync().run["run_id"]

    planned = shop.connector("undo", run_id, "--dry-run", "--json").json

    assert planned["not_brought_back"] == {"removed": 0, "replaced": 0}
    assert not any("back whose rows" in note for note in planned["notes"])


def test_a_row_that_was_removed_cannot_be_settled_and_says_so(mirror: Shop) -> None:
    taken_back(mirror)

    done = mirror.connector("quarantine", "settle", "visits", "a", "--not-delivered")

    assert done.code == 2
    assert "the model has it no more" in done.err
