"""A cap beside what else there is: schedules, new names, batches, mirrors, persons who are
forgotten, and runs that are taken back."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import pytest

from connector.destinations.port import References
from connector.sandbox.behaviour import Faults
from connector.sandbox.mxo.running import running
from tests.whole.mxo_project import SECRET, Project
from tests.whole.shop import Shop, behaving, contact_id
from tests.whole.test_forget import bytes_of_the_ledger, forget
from tests.whole.test_mxo_batches import killed_while_sending
from tests.whole.test_serve import Served, started, until
from tests.whole.test_turns import CAP, DAY, HOUR, START, Clock, first, of_one, there
from tests.whole.test_undo import undo

ONE = "per_contact: {most: 1, every: 1d}"
NEVER = 'schedule: {cron: "0 3 1 1 *"}'
"""Once a year."""


# --- serve ----------------------------------------------------------------------------------------


def a_day_later(shop: Shop, left: timedelta) -> None:
    """All that was, was a day earlier, but for so much."""
    earlier = round((DAY - left).total_seconds() * 1000)
    with shop.ledger_connection() as ledger:
        ledger.execute("update turns set at = at - ?", [earlier])
        ledger.execute("update runs set started_at = started_at - ?", [earlier])


def runs(shop: Shop) -> int:
    return len(shop.connector("runs", "--json").json["runs"])


def test_a_row_goes_by_itself_when_its_turn_comes(shop: Shop) -> None:
    """However far away the schedule's next time is; and rows that wait still begin nothing."""
    shop.configure(more=f"{ONE}\n    {NEVER}")
    of_one(shop, 3)
    shop.sync()
    a_day_later(shop, left=timedelta(seconds=5))
    served = started(shop)
    until(lambda: there(shop) == first(2))

    until(lambda: served.status["last_run"]["status"] == "succeeded")
    at_rest(served)
    assert (there(shop), runs(shop)) == (first(2), 2)
    assert served.end() == 0


def at_rest(served: Served) -> None:
    """It has looked at the turns more than once since."""
    until(lambda: served.status["running"] is None)
    with pytest.raises(AssertionError):
        until(lambda: served.status["running"] is not None, seconds=7)


def test_a_short_cap_needs_no_schedule(shop: Shop) -> None:
    shop.configure(more="per_contact: {most: 1, every: 3s}")
    of_one(shop, 3)
    served = started(shop)

    assert served.post("/api/sync/visits").status_code == 202
    until(lambda: there(shop) == first(3))

    assert served.end() == 0
    times = [each.stored_at for each in shop.sandbox.engage.interactions()]
    assert all(later - at > 2.9 for at, later in pairwise(sorted(times)))


# --- new names ------------------------------------------------------------------------------------


def test_under_another_name_it_is_the_same_activation(shop: Shop, clock: Clock) -> None:
    shop.configure(more=CAP)
    of_one(shop, 6)
    clock(START)
    assert shop.sync().run["for_turn"] == 3

    shop.configure(name="stays", more=f"renamed_from: visits\n    {CAP}")
    clock(START + HOUR)
    done = shop.sync()

    assert (done.run["delivered"], done.run["for_turn"]) == (0, 3)
    clock(START + DAY + HOUR)
    assert shop.sync().run["delivered"] == 3


def test_who_waits_is_told_under_another_name_before_any_run_of_it(
    shop: Shop, clock: Clock
) -> None:
    shop.configure(more=CAP)
    of_one(shop, 6)
    clock(START)
    until = shop.sync().run["next_turn"]

    shop.configure(name="stays", more=f"renamed_from: visits\n    {CAP}")
    clock(START + HOUR)
    (status,) = shop.connector("status", "--json").json["activations"]
    would = shop.connector("preview", "stays", "--json").json

    assert (status["name"], status["per_contact"]["wait"]) == ("stays", 3)
    assert status["per_contact"]["next_at"] == until
    assert would["per_contact"]["wait"] == 3
    assert would["outlook"]["would"] == "send_nothing"


# --- mirrors --------------------------------------------------------------------------------------


def a_mirror(shop: Shop, cap: str, **options: str) -> None:
    shop.configure(more=f"mode: mirror\n    {cap}", cursor="", settle_after="0s", timeout="1s",
                   limits="{removed: 100%, replaced: 100%}", **options)  # fmt: skip


def ratings(shop: Shop) -> dict[str, int]:
    return {i.payload["visitId"]: i.payload["rating"] for i in shop.sandbox.engage.interactions()}


def test_a_row_is_replaced_only_when_its_contact_has_a_turn(shop: Shop, clock: Clock) -> None:
    """One that was taken back, and then had to wait, would be missing for a day."""
    a_mirror(shop, ONE)
    shop.add({"id": "a", "rating": 1}, {"id": "b", "rating": 2, "contact": contact_id(2)})
    shop.add({"id": "gone", "contact": contact_id(3)})
    clock(START)
    assert shop.sync().run["delivered"] == 3
    shop.execute("update visits set rating = 5 where id = 'a'")
    shop.execute("delete from visits where id = 'gone'")

    clock(START + HOUR)
    early = shop.sync()

    assert (early.code, early.run["replaced"], early.run["removed"]) == (0, 0, 1)
    assert (early.run["for_turn"], early.run["done"]) == (1, True)
    assert "1 row waits for a turn" in shop.connector("sync").out
    (status,) = shop.connector("status", "--json").json["activations"]
    assert status["per_contact"]["wait"] == 1
    assert status["per_contact"]["next_at"] == early.run["next_turn"]
    story = shop.connector("explain", "visits", "a", "--json").json
    assert story["change"]["turn_at"] == early.run["next_turn"]
    assert "not before its contact has a turn" in shop.connector("explain", "visits", "a").out
    assert shop.connector("preview", "visits", "--json").json["requests"] == []
    assert "window" not in shop.connector("preview", "visits").out
    assert ratings(shop) == {"a": 1, "b": 2}
    clock(START + DAY + HOUR)
    late = shop.sync()
    assert (late.run["replaced"], late.run["delivered"], late.run["for_turn"]) == (1, 1, 0)
    assert ratings(shop) == {"a": 5, "b": 2}
    shop.execute("update visits set rating = 3 where id = 'a'")
    assert shop.sync().run["replaced"] == 0, "what was replaced counts anew"
    shop.execute("update visits set rating = 5 where id = 'a'")
    assert shop.sync().run["for_turn"] == 0, "it is as it was sent"


def test_of_several_rows_of_a_contact_as_many_are_replaced_as_there_are_turns(
    shop: Shop, clock: Clock
) -> None:
    a_mirror(shop, CAP, identifier="email")
    rows = [{"id": f"r{n}", "rating": 1, "contact": "c1@example.com"} for n in range(2)]
    shop.add(*rows)
    clock(START)
    shop.sync()
    shop.execute("update visits set rating = 5")

    clock(START + HOUR)
    assert shop.sync().run["replaced"] == 1
    assert shop.sync().run["replaced"] == 0

    assert ratings(shop) == {"r0": 5, "r1": 1}
    clock(START + DAY + timedelta(minutes=5))
    assert shop.sync().run["replaced"] == 1
    assert ratings(shop) == {"r0": 5, "r1": 5}


def test_no_row_is_replaced_while_an_older_one_takes_the_turn(shop: Shop, clock: Clock) -> None:
    """One that is back goes first: the other would be missing for a day."""
    a_mirror(shop, ONE)
    back = "insert into visits select * replace ('back' as id) from visits where id = 'other'"
    shop.add({"id": "back", "rating": 1})
    clock(START)
    shop.sync()
    shop.add({"id": "other", "rating": 1})
    clock(START + DAY + HOUR)
    shop.sync()
    shop.execute("delete from visits where id = 'back'")
    clock(START + 3 * DAY)
    assert shop.sync().run["removed"] == 1
    shop.execute(back)
    shop.execute("update visits set rating = 5")

    first = shop.sync().run
    assert (first["delivered"], first["replaced"], first["for_turn"]) == (1, 0, 1)
    assert ratings(shop) == {"back": 5, "other": 1}
    clock(START + 4 * DAY + HOUR)
    assert shop.sync().run["replaced"] == 1
    assert ratings(shop) == {"back": 5, "other": 5}


def test_a_preview_shows_the_requests_of_what_has_a_turn(shop: Shop, clock: Clock) -> None:
    a_mirror(shop, ONE)
    shop.add({"id": "a", "rating": 1})
    clock(START)
    shop.sync()
    shop.execute("update visits set rating = 5")
    shop.add({"id": "b", "contact": contact_id(2)}, {"id": "c", "contact": contact_id(2)})

    shown = shop.connector("preview", "visits", "--json").json["requests"]
    done = shop.sync()

    assert [(each["method"], each["row_key"]) for each in shown] == [("POST", "b")]
    assert (done.run["delivered"], done.run["for_turn"]) == (1, 2)
    assert set(ratings(shop)) == {"a", "b"}


def test_what_waits_to_be_replaced_is_not_counted_for_the_limit_of_rows(
    shop: Shop, clock: Clock
) -> None:
    a_mirror(shop, ONE)
    shop.add(*({"id": f"r{n}", "rating": 1, "contact": contact_id(n + 1)} for n in range(3)))
    clock(START)
    shop.sync()
    shop.execute("update visits set rating = 5")
    assert shop.sync().run["for_turn"] == 3
    shop.configure(more=f"mode: mirror\n    {ONE}", cursor="", settle_after="0s", timeout="1s",
                   limits="{rows: 2, removed: 100%, replaced: 100%}")  # fmt: skip

    assert shop.sync().run["status"] == "succeeded"
    clock(START + DAY + HOUR)
    assert shop.sync().run["status"] == "held", "now they would go"


def outlooks(shop: Shop) -> list[str]:
    """What preview and check say that the next run would do."""
    preview = shop.connector("preview", "visits", "--json").json
    checked = shop.connector("check", "--json").json["activations"][0]
    return [each["outlook"]["would"] for each in (preview, checked)]


def discard(shop: Shop, *keys: str) -> None:
    for key in keys:
        assert shop.connector("quarantine", "discard", "visits", key, "--yes").code == 0


def test_who_waits_for_a_turn_does_not_keep_held_what_is_within_the_limits_by_now(
    shop: Shop,
) -> None:
    shop.configure(limits="{rows: 3}", more=ONE)
    shop.add(*({"id": f"v{n}", "contact": contact_id(1)} for n in range(3)))
    shop.sync()
    shop.add(*({"id": f"w{n}", "contact": contact_id(2 + n)} for n in range(5)))
    assert shop.sync().run["status"] == "held"
    discard(shop, "w0", "w1")

    foreseen, done = outlooks(shop), shop.sync().run

    assert foreseen == ["send", "send"]
    assert (done["status"], done["delivered"], done["for_turn"]) == ("succeeded", 3, 2)


def test_nor_a_mirror_of_which_too_many_rows_were_rejected(shop: Shop) -> None:
    mirror = f"mode: mirror\n    {ONE}"
    shop.configure(limits="{rows: 3, refused: 20%}", more=mirror, cursor="", concurrency=1, rate=50)
    shop.add(*({"id": f"v{n}", "contact": contact_id(1)} for n in range(3)))
    shop.sync()
    shop.add({"id": "w0", "contact": contact_id(99)})  # whom nobody knows
    shop.add(*({"id": f"w{n}", "contact": contact_id(1 + n)} for n in (1, 2)))
    assert shop.sync().run["status"] == "held"
    discard(shop, "w0")

    foreseen, done = outlooks(shop), shop.sync().run

    assert foreseen == ["send", "send"]
    assert (done["status"], done["delivered"], done["for_turn"]) == ("succeeded", 2, 2)


def test_a_row_that_is_about_somebody_else_now_takes_a_turn_of_theirs(
    shop: Shop, clock: Clock
) -> None:
    a_mirror(shop, ONE, identifier="email")
    shop.add({"id": "a", "contact": "c1@example.com"})
    clock(START)
    shop.sync()
    shop.execute("update visits set contact = 'c2@example.com'")

    assert shop.sync().run["replaced"] == 1
    shop.execute("update visits set contact = 'c2@example.com', rating = 5")
    assert shop.sync().run["replaced"] == 0


def test_a_row_that_was_asked_to_go_waits_for_its_turn_and_is_not_lost(
    shop: Shop, clock: Clock
) -> None:
    """The cap was made tighter between its deletion and its send."""
    a_mirror(shop, "per_contact: {most: 2, every: 1d}")
    shop.add({"id": "a", "rating": 1})
    clock(START)
    shop.sync()
    shop.execute("update visits set rating = 5")
    shop.sandbox.behaviour = behaving(faults=Faults(too_many=1.0), retry_after=200)
    assert shop.sync().run["replaced"] == 1
    shop.sandbox.behaviour = behaving()
    a_mirror(shop, ONE)
    with shop.ledger_connection() as ledger:
        ledger.execute("update deliveries set due_at = 1")
        ledger.execute("update rates set slowed_until = 0")

    early = shop.sync()

    assert (early.run["delivered"], early.run["for_turn"]) == (0, 1)
    clock(START + DAY + HOUR)
    shop.sync()
    assert ratings(shop) == {"a": 5}


# --- batches --------------------------------------------------------------------------------------


@pytest.fixture
def batches(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Project]:
    with running(secret=SECRET) as sandbox:
        project = Project(tmp_path, sandbox, capsys)
        project.configure(mode="batch", time="created_date: seen_at", more="batch: {rows: 5}")
        yield project
        project.close()


def visits_of(project: Project, *customers: str) -> None:
    """A visit of each of them, in this order."""
    with closing(sqlite3.connect(project.path / "w.db")) as warehouse, warehouse:
        (known,) = warehouse.execute("select count(*) from visits").fetchone()
        warehouse.executemany(
            "insert into visits values (?, ?, ?, 1, 4.5)",
            [
                (f"v{known + n:02}", f"2026-11-01 10:{known + n:02}:00", customer)
                for n, customer in enumerate(customers)
            ],
        )


def took_effect(project: Project) -> set[str]:
    names = {References("visits").of(f"v{n:02}"): f"v{n:02}" for n in range(60)}
    return {names[reference] for reference, number in project.effects.items() if number}


def settled(project: Project) -> None:
    for _ in range(6):
        project.sync("--wait")
        project.nothing_twice()
        if not project.counts.keys() & {"submitted", "sending", "in_doubt"}:
            return
    raise AssertionError(project.counts)


def test_a_batch_never_holds_more_of_a_contact_than_its_turns(
    batches: Project, clock: Clock
) -> None:
    batches.configure(activation="per_contact: {most: 2, every: 1d}")
    visits_of(batches, *"aaaaabaaacabca")
    clock(START)

    settled(batches)

    assert took_effect(batches) == {"v00", "v01", "v05", "v09", "v11", "v12"}
    assert batches.counts == {"delivered": 6, "pending": 8}
    for day in range(1, 5):
        clock(START + day * DAY + timedelta(minutes=day))
        settled(batches)
        assert len(took_effect(batches)) == min(6 + 2 * day, 14)


def test_a_batch_in_doubt_has_used_up_the_turns_of_all_its_rows(
    batches: Project, clock: Clock
) -> None:
    batches.configure(activation=ONE)
    visits_of(batches, *"aaabb")
    clock(START)
    killed_while_sending(batches)
    visits_of(batches, *"ab")

    settled(batches)
    batches.sync()

    assert took_effect(batches) == {"v00", "v03"}
    assert batches.counts == {"delivered": 2, "pending": 5}


def test_a_batch_that_got_lost_goes_again_and_no_row_is_forgotten_under_a_tighter_cap(
    batches: Project, clock: Clock
) -> None:
    batches.configure(activation="per_contact: {most: 2, every: 1d}")
    visits_of(batches, *"ab")  # from the first answer on batches are known by their ids
    clock(START - 2 * DAY)
    settled(batches)
    visits_of(batches, *"aabbc")
    clock(START)
    batches.behave(faults=Faults(reset_before=1.0))
    batches.sync()
    assert len(took_effect(batches)) == 2
    batches.behave()
    batches.configure(activation=ONE)

    settled(batches)

    assert took_effect(batches) == {"v00", "v01", "v02", "v04", "v06"}
    clock(START + DAY + HOUR)
    settled(batches)
    assert batches.counts == {"delivered": 7}


# --- persons who are forgotten, and what is taken back --------------------------------------------


def turns(shop: Shop) -> int:
    with shop.ledger_connection() as ledger:
        (number,) = ledger.execute("select count(*) from turns").fetchone()
        return int(number)


def test_nothing_is_left_of_when_a_forgotten_person_was_told_something(
    shop: Shop, clock: Clock
) -> None:
    shop.configure(more=CAP)
    of_one(shop, 6)
    of_one(shop, 5, contact=2)
    clock(START)
    shop.sync()
    assert turns(shop) == 11
    with shop.ledger_connection() as ledger:
        (theirs,) = ledger.execute(
            "select turns.contact from turns join deliveries on id = delivery_id"
            " where row_key = 'c1-00'"
        ).fetchone()

    done = forget(shop, "--contact", contact_id(1))

    assert done.code == 0
    assert turns(shop) == 5
    assert theirs.encode() not in bytes_of_the_ledger(shop)
    clock(START + DAY + HOUR)
    again = shop.sync()
    assert (again.run["delivered"], again.run["for_turn"]) == (2, 0)
    assert (there(shop), there(shop, 2)) == (first(3), first(5, 2))


def test_what_is_taken_back_has_been_sent_all_the_same(shop: Shop, clock: Clock) -> None:
    shop.configure(more=CAP)
    of_one(shop, 5)
    clock(START)
    run = shop.sync().run

    assert undo(shop, run["run_id"]).json["undone"] == 3
    clock(START + HOUR)
    early = shop.sync()

    assert (early.run["delivered"], early.run["for_turn"], there(shop)) == (0, 2, [])
    clock(START + DAY + HOUR)
    assert shop.sync().run["delivered"] == 2
    assert there(shop) == ["c1-03", "c1-04"]
