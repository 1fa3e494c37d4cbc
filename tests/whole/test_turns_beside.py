"""A cap beside what else there is: schedules, new names, batches, mirrors, persons who are
forgotten, and runs that are taken back."""

from datetime import timedelta
from itertools import pairwise

import pytest

from tests.whole.shop import Shop
from tests.whole.test_serve import Served, started, until
from tests.whole.test_turns import CAP, DAY, HOUR, START, Clock, clock, first, of_one, there

__all__ = ["clock"]  # a fixture
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
