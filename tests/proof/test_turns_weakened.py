"""Each part of a cap is needed, on the real code: a short story breaks without it.

What the destination holds is judged by when it was stored: never more of one contact than the cap
allows, within any time of its length.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from typing import Any
from unittest import mock

import pytest

from connector.destinations.engage.client import Engage as Client
from connector.ledger import attempts, moving, turns
from connector.ledger.records import Opening
from connector.rules.delivery import State, Unknown
from connector.sandbox.behaviour import Faults
from connector.sandbox.engage.interactions import utc
from connector.sync import deliver
from connector.sync import turns as taking_turns
from connector.sync.taking_back import TakingBack
from connector.sync.turns import TakingTurns
from tests.proof.truth import Often
from tests.whole.conftest import pauses_are_short, sandbox, shop
from tests.whole.shop import Shop, behaving
from tests.whole.test_turns import first, of_one, there

__all__ = ["pauses_are_short", "sandbox", "shop"]  # fixtures
EVERY = 3.0
ONCE = "per_contact: {most: 1, every: 3s}"
ONE_A_DAY = "per_contact: {most: 1, every: 1d}"
LONG = 1.5
"""Seconds that a request takes: less than EVERY, and far more than anything else does."""
Story = Callable[[Shop], None]


class Died(BaseException):
    """Nothing that the process was to do is done any more."""


def dies(shop: Shop, after: float = 0.0) -> None:
    """A run whose first request is sent only `after` so many seconds on record; when it was
    answered, the process dies."""
    send = Client.send

    async def deadly(self: Client, *given: Any) -> Any:
        await asyncio.sleep(after)
        await send(self, *given)
        raise Died

    with mock.patch.object(Client, "send", deadly), pytest.raises(Died):
        shop.sync()


def ends(shop: Shop, rows: int) -> None:
    """Raises AssertionError where anything was sent too soon, or is not sent in the end."""
    for _ in range(6):
        shop.sync("--wait")
        if there(shop) == first(rows):
            break
    told = [
        {"contactId": each.contact_id, "storedAt": utc(each.stored_at)}
        for each in shop.sandbox.engage.interactions()
    ]
    assert list(Often(1, EVERY).passed(told)) == []
    assert there(shop) == first(rows)
    assert set(shop.stored.values()) <= {1}


def it_dies_once_it_has_sent(shop: Shop) -> None:
    shop.configure(more=ONCE)
    of_one(shop, 1)
    dies(shop)
    of_one(shop, 1, first=1)
    ends(shop, 2)


def it_dies_long_after_its_record(shop: Shop) -> None:
    shop.configure(more=ONCE)
    of_one(shop, 1)
    dies(shop, after=LONG)
    of_one(shop, 1, first=1)
    ends(shop, 2)


def a_request_is_long_under_way(shop: Shop) -> None:
    shop.configure(more=ONCE)
    of_one(shop, 1)
    send = Client.send

    async def late(self: Client, *given: Any) -> Any:
        await asyncio.sleep(LONG)
        return await send(self, *given)

    with mock.patch.object(Client, "send", late):
        shop.sync()
    of_one(shop, 1, first=1)
    ends(shop, 2)


def an_answer_is_lost(shop: Shop) -> None:
    shop.configure(more=ONCE, settle_after="4s", timeout="1s")
    of_one(shop, 2)
    shop.sandbox.behaviour = behaving(faults=Faults(status_after={500: 1.0}))
    shop.sync("--limit", "1")
    shop.sandbox.behaviour = behaving()
    ends(shop, 2)


def a_request_is_turned_away(shop: Shop) -> None:
    """And could go at once: its contact was told nothing."""
    shop.configure(more=ONE_A_DAY)
    of_one(shop, 1)
    shop.sandbox.behaviour = behaving(faults=Faults(too_many=1.0), retry_after=200)
    shop.sync()
    shop.sandbox.behaviour = behaving()
    with shop.ledger_connection() as ledger:
        ledger.execute("update deliveries set due_at = 1")
        ledger.execute("update rates set slowed_until = 0")
    ends(shop, 1)


def rows_of_one_come_page_by_page(shop: Shop) -> None:
    """The second is decided about when the first is not on record yet, and comes to be on record
    meanwhile."""
    shop.configure(more=ONCE)
    of_one(shop, 2)
    lines = TakingTurns._lines

    async def slow(self: TakingTurns, *given: Any) -> Any:
        await asyncio.sleep(0.5)
        return await lines(self, *given)

    with (
        mock.patch.object(deliver, "PAGE", 1),
        mock.patch.object(TakingTurns, "_lines", slow),
    ):
        ends(shop, 2)


def a_mirrors_row_changes(shop: Shop) -> None:
    """It is there at the end of each run, as it was or as it is."""
    shop.configure(more=f"mode: mirror\n    {ONE_A_DAY}", cursor="", limits="{replaced: 100%}")
    of_one(shop, 1)
    shop.sync()
    shop.execute("update visits set rating = 1")
    ends(shop, 1)


STORIES: list[Story] = [
    it_dies_once_it_has_sent,
    it_dies_long_after_its_record,
    a_request_is_long_under_way,
    an_answer_is_lost,
    a_request_is_turned_away,
    rows_of_one_come_page_by_page,
    a_mirrors_row_changes,
]

# --- what is taken away ---------------------------------------------------------------------------


def each(*patches: AbstractContextManager[Any]) -> AbstractContextManager[Any]:
    stack = ExitStack()
    for patch in patches:
        stack.enter_context(patch)
    return stack


def a_turn_only_after_the_answer() -> AbstractContextManager[Any]:
    take, close = turns.take_turns, turns.set_turns
    opened = dict[int, tuple[str, Opening]]()

    def not_yet(c: Any, activation: str, entries: Sequence[Any]) -> None:
        opened.update({e.delivery.id: (activation, e) for e in entries if isinstance(e, Opening)})
        take(c, activation, [e for e in entries if not isinstance(e, Opening)])

    def then(c: Any, closings: Sequence[Any]) -> None:
        for closing in closings:
            activation, opening = opened.pop(closing.delivery_id)
            take(c, activation, [opening])
        close(c, closings)

    return each(
        mock.patch.object(attempts, "take_turns", not_yet),
        mock.patch.object(attempts, "set_turns", then),
    )


def nothing(*_: Any) -> None:
    """It is not done."""


def those_let_go_are_not_counted() -> AbstractContextManager[Any]:
    return mock.patch.object(taking_turns, "Counter", return_value=Counter())


async def all_may(*_: Any) -> tuple[()]:
    return ()


WITHOUT: dict[str, tuple[Story, Callable[[], AbstractContextManager[Any]]]] = {
    "a turn in the transaction that opens the attempt": (
        it_dies_once_it_has_sent,
        a_turn_only_after_the_answer,
    ),
    "a turn that counts from when a death was found": (
        it_dies_long_after_its_record,
        lambda: mock.patch.object(attempts, "bury_turns", nothing),
    ),
    "a turn that counts from the answer": (
        a_request_is_long_under_way,
        lambda: mock.patch.object(attempts, "set_turns", nothing),
    ),
    "a turn that a doubt has used up": (
        an_answer_is_lost,
        lambda: each(
            mock.patch.object(moving, "NOT_STORED", (*moving.NOT_STORED, State.IN_DOUBT)),
            mock.patch.object(turns, "Refused", Unknown),
        ),
    ),
    "a turn that is given back where nothing is stored": (
        a_request_is_turned_away,
        lambda: mock.patch.object(moving, "give_back_turns", nothing),
    ),
    "those that were let go and are not on record yet": (
        rows_of_one_come_page_by_page,
        those_let_go_are_not_counted,
    ),
    "a look whether a row that is replaced may go": (
        a_mirrors_row_changes,
        lambda: mock.patch.object(TakingBack, "_late", all_may),
    ),
}


@pytest.mark.parametrize("tell", STORIES, ids=lambda tell: tell.__name__)
def test_the_promise_is_kept_in(shop: Shop, tell: Story) -> None:
    tell(shop)


@pytest.mark.parametrize("what", WITHOUT)
def test_the_promise_is_broken_without(shop: Shop, what: str) -> None:
    tell, weakened = WITHOUT[what]

    with weakened(), pytest.raises(AssertionError):
        tell(shop)
