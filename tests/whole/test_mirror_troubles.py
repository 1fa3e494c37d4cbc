"""Mirrors in trouble: what is edited, what the destination refuses, what cannot be read."""

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import URL

from connector.destinations.engage.client import Engage
from connector.rules.read_back import Absent, Shown, Unread
from connector.sandbox.behaviour import Faults
from connector.sandbox.engage.schemas import parse_schema
from tests.whole.shop import SCHEMA, Shop, behaving
from tests.whole.test_crash import killed, until
from tests.whole.test_mirror import ended_as, first_visits, model, never_two, there
from tests.whole.test_undo import counts, deletions


@pytest.fixture
def mirror(shop: Shop) -> Iterator[Shop]:
    """The shop, with a mirror; and at no time was there more than one interaction of a row."""
    shop.configure(more="mode: mirror", cursor="", settle_after="0s", timeout="1s")
    yield shop
    assert never_two(shop)


def test_an_edit_stays_held_until_somebody_approves_it(mirror: Shop) -> None:
    mirror.add_many(40)
    mirror.sync()
    mirror.configure(payload="{visitId: id, productSku: sku, rating: rating, price: price}")
    mirror.sync()

    again = mirror.sync()
    preview = mirror.connector("preview", "visits", "--json").json

    assert (again.run["status"], deletions(mirror)) == ("held", 0)
    assert "after an edit" in again.run["notes"][0]
    assert preview["outlook"]["would"] == "be_held"
    assert mirror.sync("--approve").run["replaced"] == 40
    assert mirror.sync().run["status"] == "succeeded"


def test_what_a_mirror_left_half_taken_back_is_told_by_the_append_that_it_becomes(
    mirror: Shop,
) -> None:
    model(mirror, a=1, b=2)
    mirror.sync()
    model(mirror, a=5)
    mirror.sandbox.behaviour = behaving(delete_faults=Faults(reset_before=1.0))
    mirror.sync()
    mirror.configure(more="description: No mirror any more")

    told = mirror.sync()
    mirror.sandbox.behaviour = behaving()
    done = mirror.sync()

    assert (told.code, told.run["status"]) == (1, "attention")
    assert "2 rows are to be taken back" in told.run["notes"][0]
    assert (done.code, done.run["notes"], there(mirror)) == (0, [], {"a": 5})


def test_a_deletion_that_rests_since_the_clock_was_ahead_is_asked_for_once_that_is_put_back(
    mirror: Shop,
) -> None:
    """It would rest for as long as that was."""
    mirror.configure(more="mode: mirror", cursor="", settle_after="10m", timeout="1s")
    mirror.sandbox.behaviour = behaving(read_back_delay=3600.0)
    model(mirror, a=1, b=2)
    mirror.sync()
    model(mirror, a=1)
    assert (mirror.sync().run["removed"], deletions(mirror)) == (0, 0)
    mirror.sandbox.behaviour = behaving()
    assert (mirror.sync().run["removed"], deletions(mirror)) == (0, 0)
    with mirror.ledger_connection() as ledger:
        ledger.execute("update changes set due_at = due_at + 86400000")

    done = mirror.sync()

    assert (done.run["removed"], there(mirror)) == (1, {"a": 1})


def test_an_edit_that_is_taken_back_is_held_no_more(mirror: Shop) -> None:
    mirror.add_many(40)
    mirror.sync()
    payload = mirror.options["payload"]
    mirror.configure(payload="{visitId: id, productSku: sku, rating: rating, price: price}")
    mirror.sync()
    mirror.configure(payload=payload)

    done = mirror.sync()

    assert (done.run["status"], deletions(mirror), len(there(mirror))) == ("succeeded", 0, 40)


def test_a_schema_that_makes_all_rows_read_otherwise_is_held(mirror: Shop) -> None:
    mirror.add_many(40)
    mirror.sync()
    rules: dict[str, Any] = SCHEMA["jsonSchema"]
    texts = rules["properties"] | {"rating": {"type": "string", "displayName": "Rating"}}
    changed = parse_schema({**SCHEMA, "jsonSchema": {**rules, "properties": texts}}, 0)
    mirror.sandbox.engage._schemas._by_folded_id["visit"] = changed

    held = mirror.sync(), mirror.sync()

    assert [each.run["status"] for each in held] == ["held", "held"]
    assert "40 of 40 rows" in held[1].run["notes"][0]
    assert "schema" in held[1].run["notes"][0]
    assert deletions(mirror) == 0


def test_a_mirror_without_any_row_key_takes_nothing_back(mirror: Shop) -> None:
    mirror.add_many(4)
    mirror.sync()
    mirror.execute("update visits set id = null")

    done = mirror.sync()

    assert (done.run["status"], deletions(mirror), len(there(mirror))) == ("held", 0, 4)
    assert "no row with a row key" in done.run["notes"][0]


def test_a_whole_story_on_postgresql(shop: Shop, postgresql_url: URL) -> None:
    """Appear, vanish, change, return; held, approved; killed while it takes back."""
    address = postgresql_url.render_as_string(hide_password=False)
    shop.configure(
        more="mode: mirror",
        cursor="",
        settle_after="0s",
        timeout="1s",
        ledger=address,
    )
    model(shop, a=1, b=2)
    shop.sync()
    model(shop, a=5)
    changed = shop.sync().run
    model(shop, a=5, b=2)
    returned = shop.sync().run
    assert (changed["removed"], changed["replaced"], returned["delivered"]) == (1, 1, 1)

    shop.add_many(40)
    shop.sync()
    shop.execute(first_visits(12))
    assert shop.sync().run["status"] == "held"
    assert shop.connector("approve", "visits", "--by", "bert", "--json").code == 0
    assert (shop.sync().run["removed"], len(there(shop))) == (12, 30)

    shop.configure(rate=40, limits="{removed: 100%}")
    shop.execute("update visits set rating = 1 + rating % 5")
    process = shop.start("sync")
    until(lambda: deletions(shop) >= 20)
    killed(process)
    shop.configure(rate=5000)
    until(lambda: shop.sync().run["status"] == "succeeded")
    assert (len(there(shop)), never_two(shop)) == (30, True)
    assert counts(shop)["delivered"] == 30


@pytest.mark.parametrize("status", [400, 409, 422])
def test_what_the_destination_will_not_delete_stays_and_is_told(mirror: Shop, status: int) -> None:
    model(mirror, a=1, b=2, c=3)
    mirror.sync()
    mirror.sandbox.behaviour = behaving(delete_faults=Faults(status_before={status: 1.0}))
    model(mirror, a=5, c=3)

    told = mirror.sync().run

    assert (told["status"], there(mirror)) == ("attention", {"a": 1, "b": 2, "c": 3})
    assert "2 rows are to be taken back" in told["notes"][0]
    mirror.sandbox.behaviour = behaving()
    ended_as(mirror, a=5, c=3)


def test_a_key_that_may_not_delete_stops_the_run_and_loses_nothing(mirror: Shop) -> None:
    model(mirror, a=1, b=2)
    mirror.sync()
    mirror.sandbox.behaviour = behaving(delete_faults=Faults(status_before={403: 1.0}))
    model(mirror, a=5)

    stopped = mirror.sync()

    assert (stopped.code, stopped.run["status"], len(there(mirror))) == (3, "stopped", 2)
    mirror.sandbox.behaviour = behaving()
    ended_as(mirror, a=5)


def test_what_is_not_found_and_shown_all_the_same_is_not_gone(mirror: Shop) -> None:
    model(mirror, a=1, b=2)
    mirror.sync()
    mirror.sandbox.behaviour = behaving(delete_faults=Faults(status_before={404: 1.0}))
    model(mirror, a=5)

    told = mirror.sync().run

    assert (told["removed"], told["replaced"], there(mirror)) == (0, 0, {"a": 1, "b": 2})
    assert "not known yet whether they are gone" in told["notes"][0]
    mirror.sandbox.behaviour = behaving()
    ended_as(mirror, a=5)


def test_limit_bounds_what_is_replaced(mirror: Shop) -> None:
    mirror.configure(limits="{removed: 100%}")
    mirror.add_many(12)
    mirror.sync()
    mirror.execute("update visits set rating = 1 + rating % 5")
    mirror.execute("delete from visits where id = 'v1'")

    done = mirror.sync("--limit", "3")

    assert (done.run["removed"], done.run["replaced"], done.run["delivered"]) == (1, 3, 3)
    assert len(there(mirror)) == 11
    mirror.sync()
    assert counts(mirror) == {"delivered": 11, "removed": 1}


def test_rows_whose_row_key_was_edited_are_refused_with_a_way_that_a_mirror_has(
    mirror: Shop,
) -> None:
    model(mirror, a=1, b=2)
    mirror.sync()
    mirror.configure(row_key="[id, sku]")

    done = mirror.sync()

    assert (done.code, deletions(mirror), len(there(mirror))) == (2, 0, 2)
    assert "row_key was" in done.out
    assert "let it take back all that it has sent" in done.out
    assert "start: now" not in done.out

    mirror.configure(row_key="id", model="select * from visits where false")
    assert mirror.sync().run["status"] == "held"
    assert mirror.connector("approve", "visits").code == 0
    assert mirror.sync().run["removed"] == 2
    anew = "mode: mirror\n    renamed_from: false"
    mirror.configure(name="anew", row_key="[id, sku]", model="select * from visits", more=anew)
    assert mirror.sync().run["delivered"] == 2
    assert mirror.stored == {"a": 1, "b": 1}


def test_a_key_that_stands_in_two_batches_counts_once(
    mirror: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("connector.sync.reading.BATCH", 5)
    mirror.add_many(9)
    mirror.add(*({"id": "v4", "rating": 1 + n % 5} for n in range(9)))

    done = mirror.sync(), mirror.sync()

    assert [run.run["delivered"] for run in done] == [9, 0]
    assert "9 rows repeated a row key (id), such as v4" in done[1].run["notes"][0]


def test_what_is_asked_for_more_than_once_counts_once_for_the_limit(
    mirror: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that could not see at first what it replaces ended as if nothing were left."""
    seen, interaction = set[str](), Engage.interaction

    async def silent_at_first(self: Engage, name: str) -> Shown | Absent | Unread:
        if name in seen:
            return await interaction(self, name)
        seen.add(name)
        return Unread("HTTP 500")

    mirror.configure(settle_after="30s")  # what is younger is looked at first
    model(mirror, a=1, b=1, c=1, d=1)
    mirror.sync()
    model(mirror, a=2, b=2, c=2, d=1)
    monkeypatch.setattr(Engage, "interaction", silent_at_first)

    first = mirror.sync("--limit", "2").run
    rest = mirror.sync("--limit", "2").run

    assert [(run["replaced"], run["done"]) for run in (first, rest)] == [(2, False), (1, True)]
    assert there(mirror) == {"a": 2, "b": 2, "c": 2, "d": 1}


def test_what_is_not_shown_yet_leaves_a_run_not_done(mirror: Shop) -> None:
    mirror.configure(settle_after="10m")  # longer than a run waits
    model(mirror, a=1, b=1)
    mirror.sync()
    mirror.sandbox.behaviour = behaving(read_back_delay=600)
    model(mirror, a=2)

    early = mirror.sync().run
    mirror.sandbox.behaviour = behaving()
    with mirror.ledger_connection() as ledger:
        ledger.execute("update changes set due_at = null")
    late = mirror.sync().run

    assert [(run["removed"], run["replaced"]) for run in (early, late)] == [(0, 0), (1, 1)]
    assert [run["done"] for run in (early, late)] == [False, True]
