"""`explain --live`: a row as the warehouse has it now beside what the destination shows of it."""

from typing import Any

import pytest

from tests.whole.shop import Done, Shop, contact_id
from tests.whole.test_send import at


def live(shop: Shop, *more: str, key: str = "v1") -> Done:
    return shop.connector("explain", "visits", key, "--live", "--json", *more)


def differences(done: Done) -> dict[str, Any]:
    """Those properties that are not the same."""
    return {d["property"]: d for d in done.json["live"]["differences"] if not d["same"]}


@pytest.fixture
def sent(shop: Shop) -> Shop:
    shop.configure(identifier="email")
    shop.add({"id": "v1", "contact": "c1@example.com", "sku": "sku-secret"})
    assert shop.sync().code == 0
    return shop


def changed_there(shop: Shop, **payload: Any) -> None:
    (stored,) = shop.sandbox.engage.interactions()
    stored.payload.update(payload)


def test_a_row_that_stands_as_it_was_sent_shows_no_difference(sent: Shop) -> None:
    done = live(sent, "--show-values")

    found = done.json["live"]
    assert done.code == 0, done
    assert differences(done) == {}
    assert found["row"]["sku"] == "sku-secret"
    assert found["body"]["payload"]["productSku"] == "sku-secret"
    assert found["interaction"]["payload"] == found["body"]["payload"]
    assert found["interaction"]["id"] == done.json["interaction_id"]
    assert found["body"]["contactId"] == contact_id(1)
    assert done.json["story"]


def test_what_was_changed_there_is_shown_and_called_so(sent: Shop) -> None:
    changed_there(sent, rating=1)

    (found,) = differences(live(sent, "--show-values")).values()

    assert (found["property"], found["ours"], found["theirs"]) == ("rating", 4, 1)
    assert found["why"] == "changed at the destination"


def test_a_number_that_is_kept_as_a_text_is_no_difference(sent: Shop) -> None:
    changed_there(sent, rating="4")
    same = differences(live(sent))
    changed_there(sent, rating="5")

    (found,) = differences(live(sent, "--show-values")).values()

    assert same == {}
    assert (found["ours"], found["theirs"], found["why"]) == (4, "5", "changed at the destination")


def test_what_was_changed_in_the_warehouse_since_is_called_so(sent: Shop) -> None:
    sent.execute("update visits set rating = 2, seen_at = timestamp '2026-11-02 11:00:00'")

    found = differences(live(sent, "--show-values"))

    assert {name: d["why"] for name, d in found.items()} == dict.fromkeys(
        ["rating", "createdDate"], "changed in the warehouse since"
    )
    assert (found["rating"]["ours"], found["rating"]["theirs"]) == (2, 4)


def test_what_is_missing_there_is_shown(sent: Shop) -> None:
    (stored,) = sent.sandbox.engage.interactions()
    del stored.payload["productSku"]

    (found,) = differences(live(sent)).values()

    assert (found["property"], found["theirs"], found["why"]) == (
        "productSku",
        None,
        "missing there",
    )


def test_values_are_masked_and_a_difference_is_seen_all_the_same(sent: Shop) -> None:
    changed_there(sent, productSku="sku-other")

    masked, shown = live(sent), live(sent, "--show-values")
    told = sent.connector("explain", "visits", "v1", "--live")

    for text in (masked.out, told.out):
        for secret in ("sku-secret", "sku-other", contact_id(1), "c1@example.com"):
            assert secret not in text
    assert masked.json["live"]["masked"] is True
    assert list(differences(masked)) == ["productSku"]
    assert "productSku" in told.out
    assert "changed at the destination" in told.out
    assert "sku-other" in shown.out


def test_nothing_of_it_is_stored_nor_sent(sent: Shop) -> None:
    before, posts = sent.ledger_file.read_bytes(), sent.posts

    live(sent, "--show-values")

    assert sent.ledger_file.read_bytes() == before
    assert sent.posts == posts


def test_a_row_that_the_model_has_no_more(sent: Shop) -> None:
    sent.execute("delete from visits")

    found = live(sent).json["live"]

    assert (found["row"], found["body"]) == (None, None)
    assert found["interaction"] is not None
    assert found["notes"] == ["The model has no such row now."]


def test_an_interaction_that_is_gone(sent: Shop) -> None:
    sent.connector("send", "visits", "v1", "--to", contact_id(5), "--yes")
    assert not at(sent, contact_id(5))
    (stored,) = sent.sandbox.engage.interactions()
    sent.sandbox.engage.remove_interaction(stored.id)

    found = live(sent).json["live"]

    assert found["interaction"] is None
    assert found["notes"] == ["The destination has no interaction with its id any more."]


def test_a_row_that_was_not_sent_and_becomes_no_interaction(shop: Shop) -> None:
    shop.add({"id": "v1", "rating": 9})
    shop.sync()

    found = live(shop).json["live"]

    first, second = found["notes"]
    assert first.startswith("The row becomes no interaction now: rating: ")
    assert second == "No interaction of it is known there: it is invalid."
    assert found["row"] is not None


def test_the_value_that_is_wrong_stands_beside_the_line_that_maps_it(shop: Shop) -> None:
    shop.add({"id": "v1", "rating": 9})
    shop.sync()

    (wrong,) = live(shop).json["live"]["wrong"]

    assert wrong["said"] == "rating: 9 is more than the maximum 5"
    assert (wrong["part"], wrong["column"]) == ("rating", "rating")
    line = shop.config.read_text().splitlines()[wrong["line"] - 1]
    assert "rating: rating" in line


def test_a_value_that_may_be_personal_is_masked_where_it_is_wrong(shop: Shop) -> None:
    secret = "Anna Andersson at anna"
    shop.add({"id": "v1", "contact": secret})
    shop.sync()

    masked = shop.connector("explain", "visits", "v1", "--live")
    shown = shop.connector("explain", "visits", "v1", "--live", "--show-values")

    assert secret not in masked.out + masked.err
    assert secret in shown.out


def test_without_live_nothing_is_asked(sent: Shop) -> None:
    asked = sent.sandbox.requests.count()

    done = sent.connector("explain", "visits", "v1", "--json")
    refused = sent.connector("explain", "visits", "v1", "--show-values")

    assert "live" not in done.json
    assert refused.code == 2
    assert sent.sandbox.requests.count() == asked
