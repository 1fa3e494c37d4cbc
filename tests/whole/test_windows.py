"""Send windows on real parts: nothing goes outside, nothing is lost, and it is told until when."""

import re
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from connector.rules import clocks
from connector.rules.clocks import Moment
from tests.whole.shop import Shop, contact_id

NOW = clocks.now
SEND = 'send: {between: "08:00-20:00", timezone: Europe/Stockholm}'
NIGHT, DAY = datetime(2026, 6, 1, 21, tzinfo=UTC), datetime(2026, 6, 2, 9, tzinfo=UTC)
OPENS = "2026-06-02T06:00:00"


def test_rows_outside_the_window_stay_pending_and_go_when_it_is_open(
    shop: Shop, clock: Callable[[datetime], None]
) -> None:
    shop.configure(more=SEND)
    shop.add_many(20)
    clock(NIGHT)

    night = shop.sync()

    assert (night.code, night.run["status"], night.run["error"]) == (0, "succeeded", None)
    assert (night.run["staged"], night.run["delivered"], night.run["pending"]) == (20, 0, 20)
    assert night.run["for_window"] == 20
    assert night.run["next_window"].startswith(OPENS)
    assert shop.posts == 0

    clock(DAY)
    day = shop.sync()
    assert (day.code, day.run["delivered"], day.run["next_window"]) == (0, 20, None)
    assert shop.stored == Counter(f"v{i}" for i in range(20))


def test_it_is_told_until_when_nothing_goes(shop: Shop, clock: Callable[[datetime], None]) -> None:
    shop.configure(more=SEND)
    clock(NIGHT)
    assert "nothing is sent outside the window, which opens at 2026-06-02 06:00:00Z" in told(
        shop.connector("sync").out
    )
    shop.add_many(3)
    would = shop.connector("preview", "visits", "--json").json["outlook"]
    assert would["would"] == "send_nothing"
    assert "outside its send window" in would["because"]
    shown = told(shop.connector("preview", "visits").out)
    assert "3 would be sent, once the window opens" in shown
    assert "Nothing would be sent now: it is outside its send window, which opens at 2026" in shown
    assert "There is nothing to send" not in shown
    assert "3 rows wait for the window, which opens at 2026-06-02 06:00:00Z" in told(
        shop.connector("sync").out
    )
    (status,) = shop.connector("status", "--json").json["activations"]
    assert status["window"]["open"] is False
    assert status["window"]["opens_at"].startswith(OPENS)
    assert "nothing is sent until 2026-06-02 06:00:00Z" in told(shop.connector("status").out)
    clock(DAY)
    (status,) = shop.connector("status", "--json").json["activations"]
    assert (status["window"]["open"], status["window"]["opens_at"]) == (True, None)
    assert status["window"]["closes_at"].startswith("2026-06-02T18:00:00")


@pytest.mark.parametrize("seen", [True, False])
def test_what_is_approved_outside_the_window_goes_when_it_is_open(
    shop: Shop, clock: Callable[[datetime], None], seen: bool
) -> None:
    shop.configure(more=SEND, limits="{rows: 2}")
    shop.add_many(4)
    clock(NIGHT)
    if seen:
        assert shop.sync().run["status"] == "held"
        shop.connector("approve", "visits", "--yes")

    nights = [shop.sync(*([] if seen else ["--approve"])), shop.sync()]

    assert [(night.code, night.run["delivered"]) for night in nights] == [(0, 0), (0, 0)]
    assert [night.run["for_window"] for night in nights] == [4, 4]
    with shop.ledger_connection() as ledger:  # each night's runs write no more of them
        assert ledger.execute("select count(*) from approvals").fetchall() == [(1,)]
    clock(DAY)
    assert shop.sync().run["delivered"] == 4
    assert shop.connector("status", "--json").json["activations"][0]["held"] is None


def test_new_rows_of_a_mirror_that_are_approved_outside_its_window_go_when_it_is_open(
    shop: Shop, clock: Callable[[datetime], None]
) -> None:
    clock(DAY)
    mirror = f"mode: mirror\n    {SEND}"
    shop.configure(more=mirror, cursor="", limits="{rows: 2}")
    shop.add_many(2)
    shop.sync()
    clock(NIGHT)
    shop.add_many(4, first=2)
    assert shop.sync().run["status"] == "held"
    shop.connector("approve", "visits", "--yes")

    nights = [shop.sync(), shop.sync()]
    shop.add_many(3, first=6)
    clock(DAY)
    day, next_day = shop.sync().run, shop.sync().run

    assert [(night.code, night.run["delivered"]) for night in nights] == [(0, 0), (0, 0)]
    assert (day["status"], day["delivered"]) == ("succeeded", 4)
    assert (next_day["status"], next_day["pending"]) == ("held", 3)  # that nobody was shown
    assert shop.stored == Counter(f"v{i}" for i in range(6))


def test_what_a_mirror_is_let_replace_outside_its_window_is_replaced_when_it_is_open(
    shop: Shop, clock: Callable[[datetime], None]
) -> None:
    clock(DAY)
    mirror = f"mode: mirror\n    {SEND}"
    shop.configure(more=mirror, cursor="")
    shop.add_many(6)
    shop.sync()
    shop.configure(limits="{rows: 3}")
    clock(NIGHT)
    shop.execute("delete from visits where id = 'v0'")
    shop.execute("update visits set rating = rating % 5 + 1")
    assert shop.sync().run["status"] == "held"
    shop.connector("approve", "visits", "--yes")

    nights = [shop.sync().run, shop.sync().run]
    shown = shop.connector("preview", "visits", "--json").json["outlook"]["notes"][0]
    shop.add_many(1, first=6)
    clock(DAY)
    day, next_day = shop.sync().run, shop.sync().run

    assert [(night["removed"], night["replaced"]) for night in nights] == [(1, 0), (0, 0)]
    assert "does exactly what was shown (5 rows taken back and sent anew)" in shown
    assert (day["status"], day["replaced"], day["delivered"]) == ("succeeded", 5, 5)
    assert (next_day["status"], next_day["delivered"]) == ("succeeded", 1)


def told(text: str) -> str:
    return re.sub(r"\s+", " ", text)


def test_a_run_that_lasts_into_the_night_rests(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """The window closes while rows are being sent: what is on record goes, the others wait."""
    shop.configure(more=SEND, concurrency=2, rate=200)
    shop.add_many(60)
    closes = datetime(2026, 6, 1, 18, tzinfo=UTC).timestamp()
    ahead = closes - NOW().wall - 0.001

    def now() -> Moment:
        moment = NOW()
        late = 1.0 if shop.posts >= 10 else -3600.0
        return moment._replace(wall=moment.wall + ahead + late)

    monkeypatch.setattr(clocks, "now", now)
    done = shop.sync()

    assert (done.code, done.run["status"]) == (0, "succeeded")
    assert 0 < done.run["delivered"] < 60
    assert done.run["delivered"] + done.run["pending"] == 60
    assert 0 < done.run["for_window"] <= done.run["pending"]  # those of the jump rest beside
    assert sum(shop.stored.values()) == done.run["delivered"]


def test_contacts_are_looked_up_outside_the_window_once(
    shop: Shop, clock: Callable[[datetime], None]
) -> None:
    shop.configure(more=SEND, identifier="email", contact_cache="0")
    shop.add_by_email(6, contacts=3)
    shop.add({"id": "x", "contact": "nobody@example.com"})
    clock(NIGHT)

    night = shop.sync()

    assert (night.code, night.run["waiting"], night.run["pending"]) == (0, 1, 6)
    looked_up = shop.look_ups
    again = shop.sync()
    assert (again.run["for_window"], shop.posts) == (6, 0)
    assert shop.look_ups - looked_up <= 1  # who is unknown may be there by now
    clock(DAY)
    assert shop.sync().run["delivered"] == 6


def test_a_window_needs_a_zone(shop: Shop) -> None:
    config = shop.config.read_text()
    config = config.replace(", timezone: Europe/Stockholm, lock", ", lock")
    config = config.replace("description: Visits", 'send: {between: "08:00-20:00"}')
    shop.config.write_text(config)

    done = shop.connector("check")

    assert done.code == 2
    assert "whose clocks are meant is not said" in told(done.out + done.err)
    assert re.search(r"activations.yaml:\d+:\d+", done.out + done.err)


@pytest.mark.parametrize(
    "wrong", ["{between: 8-20}", "{days: someday}", "{timezone: UTC}", "{beetween: 08:00-20:00}"]
)
def test_what_is_no_window_is_refused_where_it_stands(shop: Shop, wrong: str) -> None:
    shop.configure(more=f"send: {wrong}")
    done = shop.connector("check")
    assert done.code == 2
    assert re.search(r"activations.yaml:\d+:\d+", done.out + done.err)


def test_a_mirror_takes_back_what_is_gone_at_night_and_replaces_by_day(
    shop: Shop, clock: Callable[[datetime], None]
) -> None:
    """A row that was taken back to be replaced would be missing until the morning."""
    shop.configure(more=f"mode: mirror\n    {SEND}", cursor="", settle_after="0s", timeout="1s")
    clock(DAY)
    shop.add({"id": "a", "rating": 1}, {"id": "b", "rating": 2}, {"id": "c", "rating": 3})
    assert shop.sync().run["delivered"] == 3
    clock(NIGHT)
    shop.execute("delete from visits where id = 'b'")
    shop.execute("update visits set rating = 5 where id = 'a'")

    night = shop.sync()

    assert (night.code, night.run["removed"], night.run["replaced"]) == (0, 1, 0)
    assert (night.run["for_window"], night.run["done"]) == (1, True)
    assert ratings(shop) == {"a": 1, "c": 3}
    clock(DAY)
    day = shop.sync()
    assert (day.run["replaced"], day.run["delivered"], day.run["for_window"]) == (1, 1, 0)
    assert ratings(shop) == {"a": 5, "c": 3}


def ratings(shop: Shop) -> dict[str, int]:
    return {i.payload["visitId"]: i.payload["rating"] for i in shop.sandbox.engage.interactions()}


def test_a_contact_that_appears_while_the_window_is_closed_is_sent_when_it_opens(
    shop: Shop, clock: Callable[[datetime], None]
) -> None:
    shop.configure(more=SEND, identifier="email", contact_cache="0")
    shop.add({"id": "x", "contact": "new@example.com"})
    clock(DAY - timedelta(days=1))
    assert shop.sync().run["waiting"] == 1
    shop.sandbox.engage.add_contact({"contactId": contact_id(99), "email": "new@example.com"})
    with shop.ledger_connection() as ledger:
        ledger.execute("update deliveries set due_at = 1")
    clock(NIGHT)

    night = shop.sync()

    assert (night.code, night.run["error"], night.run["for_window"]) == (0, None, 1)
    assert shop.posts == 0
    clock(DAY)
    assert shop.sync().run["delivered"] == 1


def test_runs_say_what_they_left_for_the_window(
    shop: Shop, clock: Callable[[datetime], None]
) -> None:
    """Afterwards, too; what an earlier run left is over, and told in its document alone."""
    shop.configure(more=SEND)
    shop.add_many(20)
    clock(NIGHT)
    night = shop.sync().run
    resting = shop.connector("runs", "--json").json["runs"][0]
    shown = " ".join(shop.connector("runs").out.split())
    clock(DAY)
    shop.sync()

    day, before = shop.connector("runs", "--json").json["runs"]

    waits = ("next_window", "for_window", "next_turn", "for_turn")
    assert [resting[name] for name in waits] == [night[name] for name in waits]
    assert [before[name] for name in waits] == [night[name] for name in waits]
    assert [day[name] for name in waits] == [None, 0, None, 0]
    assert f"{night['run_id']} visits: 20 rows wait for the window, which opens at 2026" in shown
    assert "wait for the window" not in shop.connector("runs").out
