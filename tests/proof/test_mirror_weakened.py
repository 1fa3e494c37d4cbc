"""Each protection of a mirror is needed, on the real code: a short story breaks without it.

Whenever an interaction is stored it is counted, so that two of one row are seen though one of them
is taken back soon after.
"""

import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any
from unittest import mock

import pytest
from sqlalchemy import delete

from connector.destinations.engage import client
from connector.destinations.engage.client import Engage as Client
from connector.ledger import mirrors, ownership
from connector.ledger.mirrored import Asking, Change, Marked, MirroredRows, changes
from connector.ledger.mirrors import Mirrors
from connector.project.loan import Loan
from connector.rules.delivery import Removed, Unknown
from connector.sandbox.behaviour import Faults
from connector.sandbox.engage.interactions import Interaction, Interactions
from connector.sync import run, taking_back
from connector.sync.mirror import Comparing
from connector.sync.taking_back import NOTHING, TakingBack
from tests.targets import in_short
from tests.whole.conftest import pauses_are_short, sandbox, shop
from tests.whole.shop import Shop, behaving
from tests.whole.test_restore import backup, restore

__all__ = ["pauses_are_short", "sandbox", "shop"]  # fixtures
LATER = 8.0
"""Longer than the wait, and than a run on a slow machine: so late is shown what is hidden."""
LONG_WAIT = 8.6
"""In stories that something happens within the wait: however slow the machine is, it does."""
WITHIN = LONG_WAIT - 1
"""What takes so long is not over when a run looks too early, and is when the wait is over."""
MOST_RUNS = 9
Story = Callable[["Mirror"], None]


class Mirror:
    """A mirror in its shop, and how often there was more than one interaction of a row."""

    def __init__(self, shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
        self.shop, self.twice, self._model = shop, list[str](), dict[str, int]()
        limits = "{removed: 50%}"
        shop.configure(more="mode: mirror", cursor="", timeout="0.6s", settle_after="0.6s",
                       lease="1s", limits=limits)  # fmt: skip
        soon = (timedelta(seconds=0.1),)
        monkeypatch.setattr(taking_back, "PAUSES", soon)
        monkeypatch.setattr(taking_back, "SECOND_LOOK", soon[0])
        store = Interactions._store

        def watched(there: Interactions, interaction: Interaction) -> None:
            store(there, interaction)
            key = interaction.payload["visitId"]
            if [each.payload["visitId"] for each in there.all()].count(key) > 1:
                self.twice.append(key)

        monkeypatch.setattr(Interactions, "_store", watched)

    def has(self, **ratings: int) -> None:
        """The model has these rows now, each with its rating."""
        self._model = ratings
        self.shop.execute("delete from visits")
        self.shop.add(
            *({"id": key, "sku": key, "rating": rating} for key, rating in ratings.items())
        )

    def waits_long(self) -> None:
        """What is not there is believed only after `LONG_WAIT`."""
        self.shop.configure(settle_after="8s")

    def carries_no_key(self) -> None:
        """Its interactions are read back by all that they say."""
        self.shop.configure(payload="{visitId: sku, rating: rating}")

    def behaves(self, **switches: Any) -> None:
        """The destination does so from now on; what no switch may be is taken, too."""
        self.shop.sandbox.behaviour = behaving().model_copy(update=switches)

    def sync(self, *arguments: str) -> Any:
        return self.shop.sync(*arguments).run

    def ends(self) -> None:
        """Raises AssertionError where a row was there twice, or it does not end as the model is,
        with the ledger saying so."""
        for _ in range(MOST_RUNS):
            assert not self.twice, f"two of {self.twice}"
            self.sync("--wait")
            if self._is_exact():
                break
            pause()
        assert not self.twice, f"two of {self.twice}"
        assert self._is_exact(), (self._there(), self._told(), self._model)

    def _is_exact(self) -> bool:
        there = self._there()
        ratings = {key: rating for key, (_, rating) in there.items()}
        return ratings == self._model and self._told() == {k: i for k, (i, _) in there.items()}

    def _there(self) -> dict[str, tuple[str, int]]:
        found = self.shop.sandbox.engage.interactions()
        return {i.payload["visitId"]: (i.id, i.payload["rating"]) for i in found}

    def _told(self) -> dict[str, str]:
        with self.shop.ledger_connection() as ledger:
            rows = "select row_key, interaction_id from deliveries where state = 'delivered'"
            return dict(ledger.execute(rows).fetchall())


def pause() -> None:
    """What is young gets older."""
    subprocess.run(["sleep", "0.25"], check=True)


class Died(BaseException):
    """Nothing that the process was to do is done any more."""


def it_dies_once_it_has_deleted_and_the_row_is_back(mirror: Mirror) -> None:
    mirror.has(a=1, b=2, c=3)
    mirror.sync()
    mirror.has(b=2, c=3)
    deletion = Client.delete

    async def deadly(self: Client, interaction_id: str) -> Any:
        await deletion(self, interaction_id)
        raise Died

    with mock.patch.object(Client, "delete", deadly), pytest.raises(Died):
        mirror.sync()
    mirror.has(a=1, b=2, c=3)


def a_deletion_is_lost(mirror: Mirror) -> None:
    mirror.has(a=1, b=2)
    mirror.sync()
    mirror.has(a=5, b=2)
    mirror.behaves(delete_faults=Faults(status_before={500: 1.0}))
    mirror.sync()
    mirror.behaves()


def what_is_shown_is_deleted_later_than_that_is_said(mirror: Mirror) -> None:
    mirror.behaves(delete_delay=LATER, delete_early_status=200)
    mirror.has(a=1)
    mirror.sync()
    mirror.has(a=5)
    mirror.sync()


def what_is_not_shown_yet_is_said_to_be_deleted(mirror: Mirror) -> None:
    mirror.waits_long()
    mirror.behaves(delete_delay=WITHIN, read_back_delay=WITHIN, delete_early_status=200)
    mirror.has(a=1)
    mirror.sync()
    mirror.has(a=5)
    mirror.sync()


def what_is_not_shown_yet_is_not_found(mirror: Mirror) -> None:
    mirror.waits_long()
    mirror.behaves(delete_delay=WITHIN, read_back_delay=WITHIN)
    mirror.has(a=1, b=2)
    mirror.sync()
    mirror.has(b=2)
    mirror.sync()


def the_ledgers_clock_steps(mirror: Mirror) -> None:
    """It is an hour ahead once the row is sent, so that it looks old."""
    mirror.waits_long()
    mirror.behaves(delete_delay=WITHIN, read_back_delay=WITHIN)
    mirror.has(a=1, b=2)
    mirror.sync()
    with mirror.shop.ledger_connection() as ledger:
        ledger.execute("update attempts set opened_at = opened_at - 3600000")
    mirror.has(b=2)
    mirror.sync()


def a_replaced_row_is_forgotten(mirror: Mirror) -> None:
    mirror.has(a=1, b=2)
    mirror.sync()
    copy = backup(mirror.shop)
    mirror.has(a=5, b=2)
    mirror.sync()
    restore(mirror.shop, copy)


def a_row_that_was_sent_corrected_is_forgotten(mirror: Mirror) -> None:
    """The backup has it pending with another content."""
    mirror.carries_no_key()
    mirror.has(a=1, b=2)
    with mock.patch.object(run, "_deliver", nothing):
        mirror.sync()
    copy = backup(mirror.shop)
    mirror.has(a=5, b=2)
    mirror.sync()
    restore(mirror.shop, copy)


def a_row_was_replaced_and_reads_differently_again(mirror: Mirror) -> None:
    """What a forgotten run has sent of it carries its key, and another content."""
    mirror.has(a=1, b=2)
    mirror.sync()
    copy = backup(mirror.shop)
    mirror.has(a=5, b=2)
    mirror.sync()
    restore(mirror.shop, copy)
    mirror.has(a=3, b=2)


async def nothing(*_: object) -> None:
    """It ends before it has sent anything."""


def a_row_went_and_came_back_and_that_is_forgotten(mirror: Mirror) -> None:
    mirror.has(a=1, b=2, c=3)
    mirror.sync()
    copy = backup(mirror.shop)
    mirror.has(b=2, c=3)
    mirror.sync()
    mirror.has(a=1, b=2, c=3)
    mirror.sync()
    restore(mirror.shop, copy)


def a_forgotten_run_deleted_what_is_shown_still(mirror: Mirror) -> None:
    mirror.waits_long()
    mirror.behaves(listed_after_delete=WITHIN, shown_after_delete=True)
    mirror.has(a=1, b=2, c=3)
    mirror.sync()
    copy = backup(mirror.shop)
    mirror.has(b=2, c=3)
    with mock.patch.object(TakingBack, "_removed", gone_at_once):
        mirror.sync()
    restore(mirror.shop, copy)
    mirror.has(a=1, b=2, c=3)


async def gone_at_once(self: TakingBack, row: Marked, *_: object) -> None:
    """It is not looked whether it is shown still."""
    await self._gone(row, suspect=False)


def most_of_the_model_is_missing_once(mirror: Mirror) -> None:
    whole = {f"r{n}": 1 for n in range(24)}
    mirror.has(**whole)
    mirror.sync()
    first = set(mirror._told().values())
    mirror.has(r0=1)
    mirror.sync()
    mirror.has(**whole)
    mirror.sync()
    assert set(mirror._told().values()) == first, "people got something anew"


def what_was_deleted_is_listed_still(mirror: Mirror) -> None:
    """The row is back, and its request was lost: what is listed of it was deleted."""
    mirror.behaves(listed_after_delete=60)
    mirror.has(a=1, b=2, c=3)
    mirror.sync()
    mirror.has(b=2, c=3)
    mirror.sync()
    mirror.has(a=1, b=2, c=3)
    mirror.behaves(listed_after_delete=60, faults=Faults(reset_before=1.0))
    mirror.sync()
    mirror.behaves(listed_after_delete=60)


def it_stands_still_before_a_deletion(mirror: Mirror, meanwhile: Callable[[], None]) -> None:
    """The process stands still after the record and before the first byte, and others go on."""
    deletion, others = Client.delete, list[int]()

    async def late(self: Client, interaction_id: str) -> Any:
        if not others:
            meanwhile()
            while others.count(0) < 2 and len(others) < MOST_RUNS:
                process = mirror.shop.start("sync", "--wait")
                process.communicate()
                others.append(process.returncode)
                pause()
        return await deletion(self, interaction_id)

    with mock.patch.object(Client, "delete", late):
        mirror.sync()
    assert others, "it did not stand still"


def it_stands_still_and_the_ledger_is_put_back(mirror: Mirror) -> None:
    mirror.has(a=1, b=2, c=3)
    mirror.sync()
    copy = backup(mirror.shop)
    mirror.has(b=2, c=3)

    def put_back() -> None:
        restore(mirror.shop, copy)
        mirror.has(a=1, b=2, c=3)

    it_stands_still_before_a_deletion(mirror, put_back)


def it_stands_still_and_another_one_takes_over(mirror: Mirror) -> None:
    """Its deletion comes when the row has another interaction, which it is not about."""
    mirror.has(a=1, b=2)
    mirror.sync()
    mirror.has(a=5, b=2)

    def silent() -> None:
        subprocess.run(["sleep", "1.2"], check=True)  # longer than its lease

    with mock.patch.object(taking_back, "Deadline", Endless):
        it_stands_still_before_a_deletion(mirror, silent)


class Endless:
    """A deadline that never passes."""

    def __init__(self, *_: object) -> None: ...

    def passed(self) -> None: ...


def _never(_: Client) -> Callable[[], bool]:
    return lambda: False


def _forget(_: Client, stopping: object) -> None: ...


@contextmanager
def without_deadline() -> Iterator[None]:
    """Nor does it have to wait for its part of the rate, which would be over by then, too, and
    leave it the time to hear that the ledger has changed; on a slow machine it would hear it."""
    with (
        mock.patch.object(taking_back, "Deadline", Endless),
        mock.patch.object(Loan, "holds", return_value=True),
        mock.patch.object(Client, "stopping", property(_never, _forget), create=True),
    ):
        yield


STORIES: list[Story] = [
    it_dies_once_it_has_deleted_and_the_row_is_back,
    a_deletion_is_lost,
    what_is_shown_is_deleted_later_than_that_is_said,
    what_is_not_shown_yet_is_said_to_be_deleted,
    what_is_not_shown_yet_is_not_found,
    the_ledgers_clock_steps,
    a_replaced_row_is_forgotten,
    a_row_that_was_sent_corrected_is_forgotten,
    a_row_was_replaced_and_reads_differently_again,
    a_row_went_and_came_back_and_that_is_forgotten,
    a_forgotten_run_deleted_what_is_shown_still,
    most_of_the_model_is_missing_once,
    what_was_deleted_is_listed_still,
    it_stands_still_and_the_ledger_is_put_back,
    it_stands_still_and_another_one_takes_over,
]

# --- what is taken away ---------------------------------------------------------------------------


def each(*patches: AbstractContextManager[Any]) -> AbstractContextManager[Any]:
    stack = ExitStack()
    for patch in patches:
        stack.enter_context(patch)
    return stack


def no_asking_on_record() -> AbstractContextManager[Any]:
    def asked(c: Any, entries: Sequence[Asking], now: int) -> dict[int, bool]:
        return {id(entry): True for entry in entries}

    return mock.patch.object(mirrors, "_asked", asked)


def what_was_asked_for_is_dropped() -> AbstractContextManager[Any]:
    compare, reflect = Comparing._compare_delivered, Mirrors.reflect

    def unasked(self: Comparing, said: Any, before: Any, staged: Any) -> None:
        change: Change | None = before.change and replace(before.change, asked=False)
        compare(self, said, replace(before, change=change), staged)

    def drops(self: Mirrors, run: Any, *given: Any) -> None:
        dropped = given[3] if len(given) > 3 else []
        with self._leased(run) as (c, _):
            c.execute(delete(changes).where(changes.c.delivery_id.in_(dropped)))
        reflect(self, run, *given)

    return each(
        mock.patch.object(Comparing, "_compare_delivered", unasked),
        mock.patch.object(Mirrors, "reflect", drops),
    )


def pending_before_it_is_confirmed() -> AbstractContextManager[Any]:
    async def first(self: TakingBack, row: Marked, *_: Any) -> None:
        await self._gone(row, suspect=False)
        await self.flow.destination.delete(row.interaction_id)

    return mock.patch.object(TakingBack, "_delete", first)


def an_unknown_deletion_believed() -> AbstractContextManager[Any]:
    deletion = Client.delete

    async def believed(self: Client, interaction_id: str) -> Any:
        answer = await deletion(self, interaction_id)
        return Removed(found=True) if isinstance(answer, Unknown) else answer

    return each(
        mock.patch.object(Client, "delete", believed),
        mock.patch.object(TakingBack, "_is_absent", yes),
    )


async def yes(*_: object) -> bool:
    return True


def by_the_ledgers_clock_alone(self: TakingBack, row: Marked) -> timedelta:
    return max(NOTHING, self.flow.settle_after - row.age)


def suspect_rows_sent_at_once() -> AbstractContextManager[Any]:
    way = mirrors._way

    def sure(*given: Any) -> Any:
        how, row = way(*given)
        return mirrors.TAKEN[how.became, False], row

    return mock.patch.object(mirrors, "_way", sure)


WITHOUT: dict[str, tuple[Story, Callable[[], AbstractContextManager[Any]]]] = {
    "a record before a deletion": (
        it_dies_once_it_has_deleted_and_the_row_is_back,
        no_asking_on_record,
    ),
    "a change that stays once it was asked for": (
        it_dies_once_it_has_deleted_and_the_row_is_back,
        what_was_asked_for_is_dropped,
    ),
    "a deletion before the new content is pending": (
        a_deletion_is_lost,
        pending_before_it_is_confirmed,
    ),
    "doubt about a deletion that nobody answered": (
        a_deletion_is_lost,
        an_unknown_deletion_believed,
    ),
    "a look whether it is gone": (
        what_is_shown_is_deleted_later_than_that_is_said,
        lambda: mock.patch.object(TakingBack, "_is_absent", yes),
    ),
    "a look whether a young one is there": (
        what_is_not_shown_yet_is_said_to_be_deleted,
        lambda: mock.patch.object(TakingBack, "_is_shown", yes),
    ),
    "the wait before a 404 is believed": (
        what_is_not_shown_yet_is_not_found,
        lambda: mock.patch.object(TakingBack, "_rest", return_value=NOTHING),
    ),
    "a second clock": (
        the_ledgers_clock_steps,
        lambda: mock.patch.object(TakingBack, "_rest", by_the_ledgers_clock_alone),
    ),
    "a read-back of what a forgotten run may have replaced": (
        a_replaced_row_is_forgotten,
        suspect_rows_sent_at_once,
    ),
    "a read-back of new contents in a ledger from a backup": (
        a_row_that_was_sent_corrected_is_forgotten,
        lambda: mock.patch.object(mirrors, "_restored", return_value=False),
    ),
    "a look at what a found one says": (
        a_row_was_replaced_and_reads_differently_again,
        lambda: mock.patch.object(client, "could_be", return_value=True),
    ),
    "a look at live rows in a ledger from a backup": (
        a_row_went_and_came_back_and_that_is_forgotten,
        lambda: mock.patch.object(MirroredRows, "is_restored", return_value=False),
    ),
    "the wait before what is shown is believed": (
        a_forgotten_run_deleted_what_is_shown_still,
        lambda: mock.patch.object(TakingBack, "_rest", return_value=NOTHING),
    ),
    "a hold": (
        most_of_the_model_is_missing_once,
        lambda: mock.patch.object(run, "mirror_passed_limit", return_value=None),
    ),
    "an owner for what was deleted": (
        what_was_deleted_is_listed_still,
        lambda: mock.patch.object(ownership, "removed", return_value={}),
    ),
    "a deadline between record and deletion": (
        it_stands_still_and_the_ledger_is_put_back,
        without_deadline,
    ),
}
SHORT = slice(-2, None)
"""What `make test` looks at of stories that end well; the others are told in `make prove`."""


@pytest.fixture
def mirror(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> Mirror:
    return Mirror(shop, monkeypatch)


@pytest.mark.parametrize("tell", in_short(STORIES, SHORT), ids=lambda tell: tell.__name__)
def test_the_promise_is_kept_in(mirror: Mirror, tell: Story) -> None:
    told(mirror, tell)


def told(mirror: Mirror, story: Story) -> None:
    """Raises AssertionError where it ends badly."""
    story(mirror)
    mirror.ends()


@pytest.mark.parametrize("what", WITHOUT)
def test_the_promise_is_broken_without(mirror: Mirror, what: str) -> None:
    story, weakened = WITHOUT[what]

    with weakened(), pytest.raises(AssertionError):
        told(mirror, story)
