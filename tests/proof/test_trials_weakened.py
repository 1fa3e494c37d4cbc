"""A test send that is killed beside a row in doubt takes nothing from it; and each part of that is
needed: without it a row is lost, or stands twice.

Real processes and real HTTP. The row goes to the very contact that the test goes to, so that
nothing tells their interactions apart; the row's request is late, or lost, or its answer is.
"""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from unittest import mock

import pytest

from connector.ledger import ownership
from connector.ledger.trials import Trials
from connector.sandbox.behaviour import Faults
from connector.sync.settle import Settling
from tests.whole.conftest import pauses_are_short, sandbox, shop
from tests.whole.shop import Shop, behaving, contact_id
from tests.whole.test_crash import killed, until

__all__ = ["pauses_are_short", "sandbox", "shop"]  # fixtures
TESTER = contact_id(5)
WAIT = 5.0
"""Timeout and settle_after together."""
BEGUN_LATER, LATE = 4.0, 4.5
"""So long after a test a row is sent to the same contact; and so late that request arrives: sooner
than WAIT, and later than the test may be believed absent."""


def behaves(shop: Shop, **faults: float | str) -> None:
    shop.sandbox.behaviour = behaving(faults=Faults.model_validate(faults))


def a_row(shop: Shop) -> None:
    shop.configure(timeout="1s", settle_after="4s", lease="2s")
    shop.add({"id": "v1", "contact": TESTER})


def there(shop: Shop) -> list[str]:
    return [each.id for each in shop.sandbox.engage.interactions()]


def a_test_is_killed(shop: Shop, condition: Callable[[], bool]) -> None:
    process = shop.start("send", "visits", "v1", "--to", TESTER, "--yes")
    until(lambda: condition() or process.poll() is not None)
    killed(process)


def cleans_up(shop: Shop) -> None:
    behaves(shop)
    shop.connector("send", "visits", "v1", "--to", TESTER, "--yes", "--json")


def is_quiet(shop: Shop) -> None:
    """Until nothing is in doubt any more."""
    until(lambda: shop.sync().run["in_doubt"] == 0 and not shop.sync().run["pending"])


def row_that_comes_late(shop: Shop) -> None:
    """A test is stored and killed; then the row is sent, lost sight of, and arrives late. Whoever
    takes the test's interaction for the row's has two in the end."""
    a_row(shop)
    behaves(shop, hang_after=1.0, hang_seconds=30)
    a_test_is_killed(shop, lambda: len(there(shop)) == 1)
    time.sleep(BEGUN_LATER)
    behaves(shop, late_commit=1.0, late_by=LATE, late_answer="reset")
    shop.sync()
    arrives = time.monotonic() + LATE
    behaves(shop)
    shop.sync()
    cleans_up(shop)
    until(lambda: time.monotonic() > arrives)
    is_quiet(shop)


def a_test_that_was_answered(shop: Shop) -> None:
    """The row was never stored; the test was, and is killed before it is taken back."""
    a_row(shop)
    behaves(shop, reset_before=1.0)
    assert shop.sync().run["in_doubt"] == 1
    shop.sandbox.behaviour = behaving(read_back_delay=1.0)
    a_test_is_killed(shop, lambda: len(there(shop)) == 1 and is_known(shop))
    shop.sandbox.behaviour = behaving()
    time.sleep(1.0)  # until what the test has made is listed
    shop.sync()
    cleans_up(shop)
    is_quiet(shop)


def is_known(shop: Shop) -> bool:
    with shop.ledger_connection() as c:
        return c.execute("select count(interaction_id) from trials").fetchone() == (1,)


def row_whose_answer_was_lost(shop: Shop) -> None:
    """The row is stored, and nobody knows; the test never got there. Whoever takes the row's
    interaction for the test's deletes it, and the row is sent once more."""
    a_row(shop)
    shop.sandbox.behaviour = behaving(
        faults=Faults.model_validate({"reset_after": 1.0}), read_back_delay=60
    )
    assert shop.sync().run["in_doubt"] == 1
    (first,) = there(shop)
    posts = shop.posts
    behaves(shop, hang_before=1.0, hang_seconds=30)
    a_test_is_killed(shop, lambda: shop.posts > posts)
    cleans_up(shop)
    is_quiet(shop)
    assert there(shop) == [first], "it was deleted, and sent again"


def each(*patches: AbstractContextManager[object]) -> AbstractContextManager[object]:
    stack = ExitStack()
    for patch in patches:
        stack.enter_context(patch)
    return stack


STORIES = {
    "a row that comes late": row_that_comes_late,
    "a test that was answered": a_test_that_was_answered,
    "a row whose answer was lost": row_whose_answer_was_lost,
}
WITHOUT: dict[str, tuple[str, Callable[[], AbstractContextManager[object]]]] = {
    "nothing said of a row beside an open test": (
        "a row that comes late",
        lambda: each(mock.patch.object(Settling, "_beside", return_value=False)),
    ),
    "an owner for what a test has made": (
        "a test that was answered",
        lambda: each(
            mock.patch.object(ownership, "of_trials", return_value=set()),
            mock.patch.object(Trials, "is_a_rows", return_value=False),
        ),
    ),
    "rows that are counted before tests": (
        "a row whose answer was lost",
        lambda: each(mock.patch.object(Trials, "_unsettled", return_value=[])),
    ),
}


def told(shop: Shop, story: str) -> None:
    """Raises AssertionError where a row is lost, or stands twice."""
    STORIES[story](shop)
    assert shop.stored == {"v1": 1}
    assert shop.state("v1") == "delivered"
    with shop.ledger_connection() as c:
        states = c.execute("select distinct state from trials where state = 'open'").fetchall()
    assert states == [], "a test is left"


@pytest.mark.parametrize("story", STORIES)
def test_the_promise_is_kept_in(shop: Shop, story: str) -> None:
    told(shop, story)


@pytest.mark.parametrize("what", WITHOUT)
def test_the_promise_is_broken_without(shop: Shop, what: str) -> None:
    story, weakened = WITHOUT[what]

    with weakened(), pytest.raises(AssertionError):
        told(shop, story)
