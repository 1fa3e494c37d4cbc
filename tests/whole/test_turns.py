"""How often one contact is told something: the rest waits its turn, and nobody else does."""

from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from connector.sandbox.behaviour import Faults
from connector.sync import deliver
from tests.whole.shop import Shop, behaving, contact_id
from tests.whole.test_crash import killed, until

CAP = "per_contact: {most: 3, every: 1d}"
START = datetime(2026, 11, 2, 8, tzinfo=UTC)
DAY, HOUR = timedelta(days=1), timedelta(hours=1)
Clock = Callable[[datetime], None]


def of_one(shop: Shop, number: int, first: int = 0, contact: int = 1) -> None:
    """So many rows of one contact, in an hour."""
    shop.add(
        *(
            {
                "id": f"c{contact}-{i:02}",
                "seen_at": f"2026-11-01 10:{i:02}:00",
                "contact": contact_id(contact),
            }
            for i in range(first, first + number)
        )
    )


def there(shop: Shop, contact: int = 1) -> list[str]:
    return sorted(key for key in shop.stored if key.startswith(f"c{contact}-"))


def first(number: int, contact: int = 1) -> list[str]:
    return [f"c{contact}-{i:02}" for i in range(number)]


def test_what_is_more_waits_its_turn_oldest_first(shop: Shop, clock: Clock) -> None:
    shop.configure(more=CAP)
    of_one(shop, 10)
    shop.add(*({"id": f"other-{n}", "contact": contact_id(n)} for n in range(2, 8)))
    clock(START)

    done = shop.sync()

    assert (done.code, done.run["status"], done.run["error"]) == (0, "succeeded", None)
    assert (done.run["delivered"], done.run["pending"], done.run["for_turn"]) == (9, 7, 7)
    assert done.run["next_turn"].startswith("2026-11-03T08:0")
    assert there(shop) == first(3)

    for day in range(1, 4):
        clock(START + day * DAY - timedelta(minutes=5))
        assert shop.sync().run["delivered"] == 0
        clock(START + day * DAY + timedelta(minutes=day))
        done = shop.sync()
        assert there(shop) == first(min(10, 3 * day + 3))
    assert (done.run["pending"], done.run["for_turn"], done.run["next_turn"]) == (0, 0, None)
    assert set(shop.stored.values()) == {1}


def test_within_any_time_of_that_length_not_only_within_a_day(shop: Shop, clock: Clock) -> None:
    shop.configure(more=CAP)
    times = [START, START + 20 * HOUR, START + 23 * HOUR]
    for number, at in enumerate(times):
        of_one(shop, 1, first=number)
        clock(at)
        shop.sync()
    of_one(shop, 5, first=3)

    counted = []
    for hours in (23.9, 24.1, 43.9, 44.1, 46.9, 47.1, 48.05, 48.2):
        clock(START + hours * HOUR)
        shop.sync()
        counted.append(len(there(shop)))

    assert counted == [3, 4, 4, 5, 5, 6, 6, 7]
    assert there(shop) == first(7)


def test_what_was_not_stored_uses_up_no_turn_and_stays_first(shop: Shop, clock: Clock) -> None:
    shop.configure(more="per_contact: {most: 2, every: 1d}", limits="{refused: 100%}")
    of_one(shop, 4)
    clock(START)
    shop.sandbox.behaviour = behaving(faults=Faults(too_many=0.6), retry_after=0, seed=4)

    done = shop.sync()

    assert there(shop) == first(2)
    assert (done.run["delivered"], done.run["for_turn"]) == (2, 2)
    shop.sandbox.behaviour = behaving(faults=Faults(status_before={400: 1.0}))
    clock(START + DAY + HOUR)
    assert shop.sync().run["rejected"] == 2
    of_one(shop, 2, first=4)
    shop.sandbox.behaviour = behaving()
    assert shop.sync().run["delivered"] == 2


def test_what_is_in_doubt_has_used_up_its_turn(shop: Shop, clock: Clock) -> None:
    shop.configure(more="per_contact: {most: 1, every: 1d}", timeout="1s")
    of_one(shop, 3)
    clock(START)
    shop.sandbox.behaviour = behaving(faults=Faults(status_after={500: 1.0}))
    shop.sync()
    shop.sandbox.behaviour = behaving()

    again = shop.sync()

    assert again.run["for_turn"] == 2
    assert there(shop) == first(1)


def test_another_cap_counts_at_once(shop: Shop, clock: Clock) -> None:
    shop.configure(more=CAP)
    of_one(shop, 8)
    clock(START)
    shop.sync()
    shop.configure(more="per_contact: {most: 5, every: 1d}")
    assert shop.sync().run["delivered"] == 2
    shop.configure(more="")
    assert shop.sync().run["delivered"] == 3
    assert there(shop) == first(8)


def test_a_short_time_is_waited_for_within_a_run(shop: Shop) -> None:
    shop.configure(more="per_contact: {most: 2, every: 1s}")
    of_one(shop, 5)

    done = shop.sync()

    assert (done.run["delivered"], done.run["for_turn"]) == (5, 0)
    created = sorted(shop.sandbox.engage.interactions(), key=lambda i: i.payload["visitId"])
    assert [i.payload["visitId"] for i in created] == first(5)


def test_a_run_that_dies_has_used_up_the_turns_of_its_attempts(shop: Shop) -> None:
    """The turn is on record with the attempt, before its first byte: no death loses it."""
    shop.configure(more=CAP, concurrency=2, timeout="30s", settle_after="0s")
    of_one(shop, 3)  # nobody waits yet, whose wait would tell of them
    shop.sandbox.behaviour = behaving(faults=Faults(hang_after=1.0, hang_seconds=30))
    process = shop.start("sync")
    until(lambda: len(there(shop)) >= 1)
    killed(process)
    shop.sandbox.behaviour = behaving()
    shop.configure(timeout="1s")  # what was sent is found, not waited for
    of_one(shop, 6, first=3)

    while (done := shop.sync("--wait")).run["in_doubt"]:
        assert len(there(shop)) <= 3
    shop.sync()

    assert (there(shop), done.run["for_turn"]) == (first(3), 6)
    assert set(Counter(shop.stored).values()) == {1}


@pytest.mark.parametrize("identifier", ["contactId", "email"])
def test_it_holds_for_many_rows_of_few_contacts_side_by_side(
    shop: Shop, clock: Clock, identifier: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Page by page, while rows of the page before go on record, and some are turned away."""
    monkeypatch.setattr(deliver, "PAGE", 7)
    shop.configure(more=CAP, identifier=identifier, contact_cache="0")
    shop.sandbox.behaviour = behaving(faults=Faults(too_many=0.3), retry_after=0, seed=3)
    if identifier == "email":
        shop.add_by_email(90, contacts=6)
    else:
        shop.add_many(90)
    clock(START)

    shop.sync()

    of_each = Counter(each.contact_id for each in shop.sandbox.engage.interactions())
    assert set(of_each.values()) == {3}
    assert len(of_each) == (6 if identifier == "email" else 10)


def test_it_is_told_who_waits_and_until_when(shop: Shop, clock: Clock) -> None:
    shop.configure(more=CAP)
    of_one(shop, 5)
    clock(START)

    said = " ".join(shop.connector("sync").out.split())

    assert "2 rows wait for a turn, as their contacts have had" in said
    assert "the first may go at 2026-11-03 08:0" in said
    (status,) = shop.connector("status", "--json").json["activations"]
    assert (status["per_contact"]["most"], status["per_contact"]["wait"]) == (3, 2)
    assert "2 rows wait for a turn" in " ".join(shop.connector("status").out.split())
    story = shop.connector("explain", "visits", "c1-04", "--json").json
    assert "waits for its turn" in story["reason"]


def test_a_preview_tells_how_many_would_wait(shop: Shop, clock: Clock) -> None:
    shop.configure(more=CAP)
    of_one(shop, 2)
    clock(START)
    before = shop.connector("preview", "visits", "--json").json
    shop.sync()
    of_one(shop, 4, first=2)
    of_one(shop, 5, contact=2)

    clock(START + HOUR)
    ahead = shop.connector("preview", "visits", "--json").json
    said = " ".join(shop.connector("preview", "visits").out.split())
    done = shop.sync()
    after = shop.connector("preview", "visits", "--json").json

    assert before["per_contact"] == {"most": 3, "every": "1d", "wait": 0, "next_at": None, "now": 2}
    assert (ahead["per_contact"]["wait"], done.run["for_turn"]) == (5, 5)
    assert ahead["per_contact"]["next_at"].startswith("2026-11-03T08:0")
    assert "4 rows have a turn now, and 5 rows would wait for a turn, since each contact" in said
    assert "9 would be sent, now or in their turn" in said
    assert "what has a turn now takes about" in said
    assert (ahead["new"], ahead["per_contact"]["now"]) == (9, 4)
    assert ahead["estimated_seconds"] <= before["estimated_seconds"] * 2
    assert (after["new"], after["pending"], after["per_contact"]["wait"]) == (0, 5, 5)
    assert (after["per_contact"]["now"], after["estimated_seconds"]) == (0, 0.0)
    assert after["requests"] == []


@pytest.mark.parametrize("mode", ["append", "mirror"])
def test_a_preview_gives_the_turn_to_a_row_that_was_recorded_first(shop: Shop, mode: str) -> None:
    shop.configure(more=f"mode: {mode}\n    per_contact: {{most: 1, every: 1d}}", cursor="")
    shop.add({"id": "old", "rating": 9, "contact": contact_id(1)})
    shop.sync()
    shop.execute("update visits set rating = 3")
    shop.add({"id": "new", "rating": 4, "contact": contact_id(1)})

    shown = shop.connector("preview", "visits", "--json").json["requests"]
    shop.sync()

    assert [request["row_key"] for request in shown] == ["old"]
    assert [*shop.stored] == ["old"]


def test_rows_that_wait_are_none_that_a_run_is_judged_by(shop: Shop, clock: Clock) -> None:
    shop.configure(more=CAP, limits="{rows: 4}")
    for contact in (1, 2):
        of_one(shop, 4, contact=contact)
    clock(START)
    shop.sync("--approve")

    of_one(shop, 3, contact=3)
    done = shop.sync()

    assert (done.run["status"], done.run["delivered"], done.run["for_turn"]) == ("succeeded", 3, 2)


@pytest.mark.parametrize("wrong", ["{most: 0, every: 1d}", "{most: 3}", "{most: 3, every: 0}"])
def test_a_cap_says_how_many_within_what(shop: Shop, wrong: str) -> None:
    shop.configure(more=f"per_contact: {wrong}")

    done = shop.connector("check")

    assert done.code == 2
    assert "most" in done.err or "every" in done.err


def test_what_is_told_ahead_of_rows_without_a_turn_is_what_happens(shop: Shop) -> None:
    shop.configure(more="per_contact: {most: 1, every: 1h}")
    for number in range(6):
        shop.add({"id": f"a{number}", "contact": contact_id(1)})
    assert shop.sync().run["for_turn"] == 5

    def told() -> list[tuple[str, str | None]]:
        check = shop.connector("check", "--json").json["activations"][0]["outlook"]
        preview = shop.connector("preview", "visits", "--json").json["outlook"]
        return [(each["would"], each["because"]) for each in (check, preview)]

    early, none = told(), shop.sync().run["delivered"]
    shop.configure(limits="{rows: 6}")
    for number in range(2, 6):
        shop.add({"id": f"b{number}", "contact": contact_id(number)})
    others, run = told(), shop.sync().run

    assert {would for would, _ in early} == {"send_nothing"}
    assert all("waits for its turn" in str(why) for _, why in early)
    assert none == 0
    assert others == [("send", None)] * 2
    assert (run["status"], run["delivered"]) == ("succeeded", 4)


def test_a_check_foresees_that_all_new_rows_wait_for_their_turn(shop: Shop) -> None:
    shop.configure(more="per_contact: {most: 1, every: 1d}")
    shop.add({"id": "v1"})
    shop.sync()
    shop.add({"id": "v2"})

    (found,) = shop.connector("check", "--json").json["activations"]

    assert found["outlook"]["would"] == "send_nothing"
    assert "turn" in found["outlook"]["because"]
    assert shop.sync().run["delivered"] == 0
