"""Where in the configuration stands what is wrong with a row in quarantine."""

from typing import Any

from tests.whole.shop import Shop
from tests.whole.test_serve import started

SECRET = "not-to-be-shown@example"


def spoilt(shop: Shop) -> None:
    """Rows that break the schema, and one whose contact is no contact."""
    shop.configure(
        payload="\n      visitId: id\n      rating: rating\n      productSku: {value: x}"
    )
    shop.add(
        {"id": "v1", "rating": 9},
        {"id": "v2", "contact": SECRET},
        {"id": "v3", "rating": 8, "seen_at": None},
    )
    assert shop.sync().code == 1


def line_of(shop: Shop, text: str) -> int:
    lines = shop.config.read_text().splitlines()
    return next(number for number, line in enumerate(lines, 1) if text in line)


def mapped(shop: Shop, part: str, column: str, text: str) -> dict[str, Any]:
    place = {"file": str(shop.config), "line": line_of(shop, text)}
    return {"part": part, "column": column, **place}


def test_a_reason_leads_to_the_line_that_maps_the_property(shop: Shop) -> None:
    spoilt(shop)
    rating = mapped(shop, "rating", "rating", "rating: rating")
    contact = mapped(shop, "contact", "contact", "contact: {column")

    listed = shop.connector("quarantine", "list", "--json").json
    found = {row["row_key"]: row["mapped"] for row in listed["rows"]}

    assert found["v1"] == [rating]
    assert found["v2"] == [contact]
    assert shop.connector("explain", "visits", "v1", "--json").json["mapped"] == [rating]
    assert [rating] in [group["mapped"] for group in listed["groups"]]


def test_it_is_told_at_the_terminal_and_on_the_pages_without_a_value(shop: Shop) -> None:
    spoilt(shop)
    told = f"rating is the column rating: {shop.config}:{line_of(shop, 'rating: rating')}"
    served = started(shop)
    pages = [
        served.get("/quarantine").text,
        served.get("/rows?activation=visits&key=v1").text,
        served.get("/rows?activation=visits&key=v2").text,
    ]
    listed = shop.connector("quarantine", "list").out
    explained = shop.connector("explain", "visits", "v1").out

    assert told in " ".join(explained.split())
    assert told in " ".join(listed.split())
    assert "visits: rating is the column rating" in listed
    for page in pages[:2]:
        assert f"activations.yaml:{line_of(shop, 'rating: rating')}" in page
    assert f"activations.yaml:{line_of(shop, 'contact: {column')}" in pages[2]
    assert not any(SECRET in text for text in (*pages, listed, explained))
    assert served.end() == 0


def test_what_is_no_mistake_of_a_mapping_leads_nowhere(shop: Shop) -> None:
    shop.add({"id": "v1"})
    shop.sync()

    assert shop.connector("explain", "visits", "v1", "--json").json["mapped"] == []
