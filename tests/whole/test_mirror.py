"""A mirror: one interaction for each row that the model has now, never two."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from connector.sandbox.behaviour import Faults
from connector.sync import deliver
from tests.whole.shop import Shop, behaving, contact_id
from tests.whole.test_crash import killed, until
from tests.whole.test_restore import backup, restore
from tests.whole.test_undo import counts, deletions


@pytest.fixture
def mirror(shop: Shop) -> Iterator[Shop]:
    """The shop, with a mirror; and at no time was there more than one interaction of a row."""
    shop.configure(more="mode: mirror", cursor="", settle_after="0s", timeout="1s")
    yield shop
    assert never_two(shop)


def never_two(shop: Shop) -> bool:
    return all(number == 1 for number in shop.stored.values())


def model(shop: Shop, **ratings: int) -> None:
    """The model has these visits now, each with its rating."""
    shop.execute("delete from visits")
    if ratings:
        shop.add(*({"id": key, "rating": rating} for key, rating in ratings.items()))


def there(shop: Shop) -> dict[str, Any]:
    """By visit, the rating that the destination has."""
    found = shop.sandbox.engage.interactions()
    assert len({i.payload["visitId"] for i in found}) == len(found)
    return {i.payload["visitId"]: i.payload["rating"] for i in found}


def test_what_appears_is_sent_and_nothing_else_happens(mirror: Shop) -> None:
    model(mirror, a=1, b=2)
    mirror.sync()

    again = mirror.sync()

    assert there(mirror) == {"a": 1, "b": 2}
    assert (mirror.posts, deletions(mirror)) == (2, 0)
    assert (again.code, again.run["read"], again.run["delivered"]) == (0, 2, 0)


def test_what_vanishes_is_taken_back(mirror: Shop) -> None:
    model(mirror, a=1, b=2)
    mirror.sync()
    model(mirror, a=1)

    done = mirror.sync()

    assert there(mirror) == {"a": 1}
    assert (done.code, done.run["removed"], done.run["replaced"]) == (0, 1, 0)
    assert counts(mirror) == {"delivered": 1, "removed": 1}
    assert mirror.state("b") == "removed"


def test_what_cannot_be_sent_as_it_reads_now_is_taken_back_and_counts_as_invalid(
    mirror: Shop,
) -> None:
    model(mirror, a=1, b=2, c=3)
    mirror.sync()
    model(mirror, a=1, b=9, c=9)
    foreseen = mirror.connector("preview", "visits", "--json").json

    done = mirror.sync("--fail-on", "new")

    assert (foreseen["invalid"], foreseen["replaced"]) == (2, 2)
    assert (done.code, done.run["invalid"], done.run["replaced"]) == (1, 2, 2)
    assert there(mirror) == {"a": 1}
    assert counts(mirror) == {"delivered": 1, "invalid": 2}


def test_what_changes_is_taken_back_and_sent_anew(mirror: Shop) -> None:
    model(mirror, a=1, b=2)
    mirror.sync()
    model(mirror, a=5, b=2)

    done = mirror.sync()

    assert there(mirror) == {"a": 5, "b": 2}
    assert (done.code, done.run["removed"], done.run["replaced"]) == (0, 0, 1)
    assert (done.run["delivered"], mirror.posts, deletions(mirror)) == (1, 3, 1)
    assert mirror.sync().run["delivered"] == 0


def test_a_row_that_was_replaced_often_rests_no_longer_than_any_other_when_slowed_down(
    mirror: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was sent of it before says nothing of how busy the destination is."""
    for turn in range(7):
        model(mirror, a=1 + turn % 5)
        assert mirror.sync().run["delivered"] == 1
    model(mirror, a=5)
    mirror.sandbox.behaviour = behaving(faults=Faults(too_many=1.0))
    monkeypatch.setattr(deliver, "PATIENCE", timedelta(0))

    rests = list[float]()
    for status in ("succeeded", "stopped"):  # the first has taken something back
        done = mirror.sync()
        assert (done.run["status"], done.run["pending"]) == (status, 1)
        with mirror.ledger_connection() as ledger:
            ((rest,),) = ledger.execute("select due_at - changed_at from deliveries").fetchall()
            ledger.execute("update deliveries set due_at = changed_at")
        rests.append(rest / 1000)

    assert 10 <= rests[0] < 13
    assert 30 <= rests[1] < 38
    mirror.sandbox.behaviour = behaving()
    assert mirror.sync().run["delivered"] == 1


def test_a_row_that_is_about_somebody_else_now_has_changed(mirror: Shop) -> None:
    model(mirror, a=1)
    mirror.sync()
    mirror.execute(f"update visits set contact = '{contact_id(2)}'")

    assert mirror.sync().run["replaced"] == 1

    (interaction,) = mirror.sandbox.engage.interactions()
    assert interaction.contact_id == contact_id(2)


def test_what_comes_back_is_sent_again(mirror: Shop) -> None:
    model(mirror, a=1, b=2)
    mirror.sync()
    model(mirror, b=2)
    mirror.sync()
    model(mirror, a=1, b=2)

    done = mirror.sync()

    assert there(mirror) == {"a": 1, "b": 2}
    assert (done.code, done.run["delivered"], mirror.state("a")) == (0, 1, "delivered")


def test_a_changed_row_may_be_kept(mirror: Shop) -> None:
    mirror.configure(more="mode: mirror\n    on_change: keep")
    model(mirror, a=1, b=2)
    mirror.sync()
    model(mirror, a=5)

    done = mirror.sync()

    assert there(mirror) == {"a": 1}
    assert (done.code, done.run["removed"], done.run["replaced"]) == (0, 1, 0)


def test_an_empty_model_takes_nothing_back(mirror: Shop) -> None:
    model(mirror, a=1, b=2)
    mirror.sync()
    model(mirror)

    done = mirror.sync()

    assert (done.code, done.run["status"]) == (1, "held")
    (note,) = done.run["notes"]
    assert "no row at all, and 2 are live" in note
    assert "such as a, b" in note
    assert (deletions(mirror), there(mirror)) == (0, {"a": 1, "b": 2})


def test_a_held_mirror_goes_on_by_itself_when_its_model_is_back(mirror: Shop) -> None:
    model(mirror, a=1, b=2)
    mirror.sync()
    model(mirror)
    mirror.sync()
    model(mirror, a=1, c=3)

    done = mirror.sync()

    assert (done.code, done.run["status"]) == (0, "succeeded")
    assert there(mirror) == {"a": 1, "c": 3}


def test_an_emptied_model_that_is_approved_is_emptied_there(mirror: Shop) -> None:
    model(mirror, a=1, b=2)
    mirror.sync()
    model(mirror)
    mirror.sync()

    done = mirror.sync("--approve")

    assert (done.code, done.run["removed"], there(mirror)) == (0, 2, {})


def test_a_much_smaller_model_is_held_with_figures(mirror: Shop) -> None:
    mirror.add_many(40)
    mirror.sync()
    mirror.execute("delete from visits where id in (select id from visits order by id limit 12)")
    before = mirror.posts
    mirror.add({"id": "new"})

    done = mirror.sync()

    assert done.run["status"] == "held"
    assert "12 of 40 rows that are live at the destination are not in" in done.run["notes"][0]
    assert (deletions(mirror), mirror.posts) == (0, before)


def first_visits(number: int) -> str:
    """Delete the first visits."""
    some = f"select id from visits order by id limit {number}"
    return f"delete from visits where id in ({some})"


@pytest.mark.parametrize("by_command", [False, True])
def test_exactly_what_was_held_goes_and_the_next_run_is_judged(
    mirror: Shop, by_command: bool
) -> None:
    mirror.add_many(60)
    mirror.sync()
    mirror.execute(first_visits(12))
    mirror.sync()
    mirror.execute(first_visits(14))
    mirror.add({"id": "new"})
    if by_command:
        assert mirror.connector("approve", "visits", "--by", "bert", "--json").code == 0

    second = mirror.sync(*([] if by_command else ["--approve"]))
    assert (second.code, second.run["removed"], len(there(mirror))) == (0, 12, 48)

    third = mirror.sync()
    assert third.run["status"] == "held"
    assert "14 of 48 rows that are live at the destination are" in third.run["notes"][0]
    fourth = mirror.sync("--approve")
    assert (fourth.run["removed"], len(there(mirror)), "new" in there(mirror)) == (14, 35, True)


@pytest.mark.parametrize("limits", ["{rows: 3}", "{older_than: 1d}"])
def test_what_an_approved_run_has_not_replaced_stays_approved(mirror: Shop, limits: str) -> None:
    keys = "abcdef"
    model(mirror, **dict.fromkeys(keys, 1))
    mirror.sync()
    mirror.configure(limits=limits)
    model(mirror, **dict.fromkeys(keys, 2))
    assert mirror.sync().run["status"] == "held"

    first = mirror.sync("--approve", "--limit", "2").run
    rest = mirror.sync().run

    assert (first["replaced"], first["done"]) == (2, False)
    assert (rest["status"], rest["replaced"]) == ("succeeded", 4)
    assert there(mirror) == dict.fromkeys(keys, 2)
    assert mirror.connector("status", "--json").json["activations"][0]["held"] is None


def test_a_row_that_is_back_when_its_removal_is_approved_stays(mirror: Shop) -> None:
    mirror.add_many(40)
    mirror.sync()
    mirror.execute("create table kept as select * from visits order by id limit 2")
    mirror.execute(first_visits(12))
    mirror.sync()
    mirror.execute("insert into visits select * from kept")

    done = mirror.sync("--approve")

    assert (done.run["removed"], len(there(mirror))) == (10, 30)


def test_a_mirror_is_not_approved_by_who_asked_for_its_run(mirror: Shop) -> None:
    mirror.configure(more="mode: mirror", limits="{approval: other}")
    mirror.add_many(40)
    mirror.sync("--by", "anna")
    mirror.execute(first_visits(12))
    mirror.sync("--by", "anna")

    refused = mirror.sync("--approve", "--by", "anna")
    assert (refused.run["status"], len(there(mirror))) == ("held", 40)
    assert any("anna" in note for note in refused.run["notes"])

    assert mirror.sync("--approve", "--by", "bert").run["removed"] == 12


def test_an_edit_that_changes_every_row_is_held(mirror: Shop) -> None:
    mirror.add_many(40)
    mirror.sync()
    mirror.configure(payload="{visitId: id, productSku: sku, rating: rating, price: price}")

    done = mirror.sync()

    assert done.run["status"] == "held"
    assert "40 of 40 rows" in done.run["notes"][0]
    assert deletions(mirror) == 0


def test_an_append_that_becomes_a_mirror_sends_nothing_again(shop: Shop) -> None:
    shop.configure(settle_after="0s", timeout="1s")
    model(shop, a=1, b=2, c=3)
    shop.sync()
    shop.configure(more="mode: mirror", cursor="")
    model(shop, a=1, b=5)

    done = shop.sync()

    assert there(shop) == {"a": 1, "b": 5}
    assert (done.run["removed"], done.run["replaced"], shop.posts) == (1, 1, 4)
    assert shop.sync().run["delivered"] == 0


def test_a_mirror_that_becomes_an_append_sends_no_removed_row_again(mirror: Shop) -> None:
    model(mirror, a=1, b=2)
    mirror.sync()
    model(mirror, a=1)
    mirror.sync()
    mirror.configure(more="description: No mirror any more")
    model(mirror, a=1, b=2)

    done = mirror.sync()

    assert (done.run["delivered"], mirror.state("b")) == (0, "removed")


def test_a_mirror_that_is_killed_while_it_takes_back_ends_as_the_model(mirror: Shop) -> None:
    mirror.configure(limits="{removed: 100%}", rate=40)
    mirror.add_many(30)
    mirror.sync()
    mirror.execute("update visits set rating = 1 + rating % 5")
    mirror.execute("delete from visits where id in ('v1', 'v2', 'v3')")
    process = mirror.start("sync")
    until(lambda: deletions(mirror) >= 5)
    killed(process)

    done = mirror.sync()

    assert done.run["status"] == "succeeded", done.run
    assert len(there(mirror)) == 27
    assert counts(mirror) == {"delivered": 27, "removed": 3}


def test_a_run_that_was_undone_stays_undone(mirror: Shop) -> None:
    model(mirror, a=1, b=2)
    run_id = mirror.sync().run["run_id"]
    mirror.connector("undo", run_id, "--yes", "--json")

    done = mirror.sync()

    assert (done.code, there(mirror)) == (0, {})
    assert counts(mirror) == {"undone": 2}
    assert deletions(mirror) == 2


def test_a_duplicated_key_does_not_flip(mirror: Shop) -> None:
    mirror.add({"id": "a", "rating": 1}, {"id": "a", "rating": 2})
    mirror.sync()
    first = there(mirror)

    for _ in range(3):
        mirror.sync()

    assert (there(mirror), mirror.posts) == (first, 1)


def test_a_deletion_whose_answer_is_lost_is_carried_through(mirror: Shop) -> None:
    model(mirror, a=1, b=2)
    mirror.sync()
    model(mirror, a=5)
    mirror.sandbox.behaviour = behaving(delete_faults=Faults(reset_after=0.9), seed=7)
    ended_as(mirror, a=5)


def test_a_row_that_is_back_as_it_was_goes_anew_when_its_deletion_was_asked_for(
    mirror: Shop,
) -> None:
    model(mirror, a=1, b=2)
    mirror.sync()
    model(mirror, b=2)
    mirror.sandbox.behaviour = behaving(delete_faults=Faults(status_after={500: 1.0}))
    stopped = mirror.sync()
    mirror.sandbox.behaviour = behaving()
    model(mirror, a=1, b=2)

    assert "a" not in there(mirror)
    assert stopped.run["status"] != "succeeded"
    ended_as(mirror, a=1, b=2)


def test_what_is_not_shown_yet_is_not_taken_for_gone(mirror: Shop) -> None:
    mirror.configure(settle_after="2s", timeout="1s")
    mirror.sandbox.behaviour = behaving(delete_delay=2, read_back_delay=2)
    model(mirror, a=1)
    mirror.sync()
    model(mirror, a=5)
    mirror.sync()

    ended_as(mirror, a=5)


def test_a_restored_ledger_sends_nothing_twice(mirror: Shop) -> None:
    model(mirror, a=1, b=2, c=3)
    mirror.sync()
    copy = backup(mirror)
    model(mirror, a=5, b=2, d=4)
    mirror.sync()
    restore(mirror, copy)

    mirror.sync()
    ended_as(mirror, a=5, b=2, d=4)


def ended_as(shop: Shop, **ratings: int) -> None:
    """Runs that follow leave the destination as the model is, and at no time two of a row."""

    def as_the_model() -> bool:
        shop.sync()
        return there(shop) == ratings

    until(as_the_model)


def test_an_empty_model_is_approved_by_name_with_what_it_would_take_back(mirror: Shop) -> None:
    model(mirror, a=1, b=2)
    mirror.sync()
    model(mirror)
    mirror.sync()

    assert mirror.connector("check", "--json").code == 1
    assert mirror.connector("approve", "visits", "--out", str(mirror.path / "plan.json")).code == 0
    shown = mirror.connector("approve", "visits", "--by", "bert", "--json").json
    done = mirror.sync()

    assert (shown["counts"]["rows"], shown["counts"]["removed"]) == (2, 2)
    assert (done.run["removed"], there(mirror)) == (2, {})


@pytest.mark.parametrize(
    ("back", "why"),
    [
        (1, "39 of 40 rows that are live at the destination are not in the model any more"),
        (39, "1 invalid of 1 rows"),
    ],
    ids=["a part of it is back", "one that is new cannot be sent"],
)
def test_a_model_that_is_empty_no_more_is_not_what_was_approved(
    mirror: Shop, back: int, why: str
) -> None:
    mirror.configure(limits="{refused: 60%}")
    mirror.add_many(40)
    mirror.sync()
    model(mirror)
    mirror.sync()
    assert mirror.connector("approve", "visits", "--by", "bert").code == 0
    mirror.add_many(back)
    mirror.add({"id": "bad", "rating": 9})

    foreseen = mirror.connector("preview", "visits", "--json").json["outlook"]
    done = mirror.sync()
    (stands,) = mirror.connector("status", "--json").json["activations"]

    assert (foreseen["would"], done.run["status"]) == ("be_held", "held")
    revoked = "the approval of bert lets nothing go: its model was empty, and has rows again"
    assert [revoked, f"held: {foreseen['because']}"] == done.run["notes"]
    assert why in foreseen["because"]
    assert stands["hold"]["approval"] is None
    assert "held" in [need["kind"] for need in stands["needs"]]
    assert (deletions(mirror), len(there(mirror))) == (0, 40)


def test_a_mirror_held_for_rows_that_are_gone_again_goes_on_by_itself(mirror: Shop) -> None:
    mirror.configure(more="mode: mirror", limits="{rows: 5}")
    model(mirror, a=1)
    mirror.sync()
    mirror.add_many(9)
    assert mirror.sync().run["status"] == "held"
    model(mirror, a=1, b=2)

    done = mirror.sync()

    assert (done.run["status"], there(mirror)) == ("succeeded", {"a": 1, "b": 2})


@pytest.mark.parametrize("contact", ["null", f"'{contact_id(99)}'"])
def test_a_join_that_failed_takes_nothing_back(mirror: Shop, contact: str) -> None:
    mirror.add_many(40)
    mirror.sync()
    mirror.execute(f"update visits set contact = {contact}")

    foreseen = mirror.connector("preview", "visits", "--json").json["outlook"]
    done = mirror.sync()

    assert [f"held: {foreseen['because']}"] == done.run["notes"]
    assert (done.run["status"], deletions(mirror), len(there(mirror))) == ("held", 0, 40)
    assert "held: 40 of 40 rows" in done.run["notes"][0]
    assert "cannot be sent as they read now, or are about another contact" in done.run["notes"][0]


def test_forgetting_a_person_leaves_nothing_of_them_beside_a_row(mirror: Shop) -> None:
    """The row of another person reads as if it were theirs now; that is held."""
    mirror.add_many(40)
    mirror.sync()
    mirror.execute(
        f"update visits set contact = '{contact_id(9)}' where contact <> '{contact_id(9)}'"
    )
    mirror.sync()

    done = mirror.connector("forget", "--contact", contact_id(9), "--yes", "--json")

    assert done.code == 0, done.err
    assert contact_id(9).encode() not in mirror.ledger_file.read_bytes()
