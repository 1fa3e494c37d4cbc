"""A doubt is absent when two clocks agree on that, on both databases, whichever clock steps."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Engine

from connector.destinations.engage import ContactMapping, Identifier
from connector.destinations.engage.client import Engage
from connector.ledger.records import Run
from connector.ledger.store import Ledger
from connector.rules import clocks
from connector.rules.clocks import Moment
from connector.rules.delivery import Accepted, Found, Unknown
from connector.rules.read_back import ReadBack
from connector.sync.lookup import Contacts
from connector.sync.settle import Settling
from connector.sync.settled import Settled
from tests.factories import a_running, a_schema
from tests.ledger.factories import (
    CONTACT_ID,
    attempts,
    closing,
    due,
    execute,
    opening,
    staged,
    states,
)
from tests.test_settling import nobody

WAIT = timedelta(seconds=240)
HERE, ELSEWHERE = 11, 22
"""Boots of two machines."""
OPENED_AT, THERE_AT = 5_000_000, 1_800_000_000_000
HOUR = 3600


async def still_the_same(contact: str) -> Found:
    return Found(CONTACT_ID)


class Empty(Engage):
    """A destination that has nothing, perhaps because it shows nothing yet. `there`: its time."""

    concurrency = 1
    clock: Any = None
    live = {"productReview": a_schema(text="string")}  # noqa: RUF012

    def __init__(self, there: int | None) -> None:
        self.clock, self._there = self, there

    def earliest(self, moment: Moment) -> int | None:
        return self._there

    async def read_back(self, contact_id: str, schema_id: str) -> ReadBack:
        return ReadBack([], None)


class Story:
    """A doubt, and what the clocks say of its age."""

    def __init__(self, engine: Engine, ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
        self.engine, self.ledger, self._patch = engine, ledger, monkeypatch
        self.run: Run = staged(ledger, "r1")

    def doubt(self, boot: int | None = HERE, destination: bool = True) -> None:
        """Send the row and hear nothing. `destination`: whether its clock is known."""
        known = None if boot is None else OPENED_AT
        there = THERE_AT if destination else None
        plain = opening(due(self.ledger)["r1"])
        opened = replace(plain, boot=boot, boot_at=known, destination_at=there)
        self.ledger.record(self.run, [opened])
        self.ledger.record(self.run, [closing(opened, Unknown("no answer"))])

    def database_says(self, seconds: float) -> None:
        """The attempt is so old by the ledger's clock."""
        (attempt,) = attempts(self.engine)
        shift = attempt.opened_at - self._now() + round(seconds * 1000)
        execute(self.engine, f"update attempts set opened_at = opened_at - ({shift})")

    def _now(self) -> int:
        from connector.ledger.tables import database_time

        with self.engine.begin() as c:
            return database_time(c)

    def settle(self, boot_says: float, destination_says: float | None, boot: int = HERE) -> Settled:
        """One round; the doubt's age in seconds by the other two clocks."""
        moment = Moment(0, OPENED_AT / 1000 + boot_says, 0)
        self._patch.setattr(clocks, "now", lambda: moment)
        self._patch.setattr(clocks, "boot", lambda: boot)
        there = None if destination_says is None else THERE_AT + round(destination_says * 1000)

        how = ContactMapping(column="c", identifier=Identifier.EMAIL)
        contacts = Contacts(how, still_the_same, nobody)

        async def settle_once() -> Settled:
            running = a_running(
                self.ledger, self.run, Empty(there), WAIT, contacts, payload={"text": "text"}
            )
            return await Settling(running).settle()

        return asyncio.run(settle_once())

    @property
    def state(self) -> str:
        return states(self.engine)["r1"]


@pytest.fixture
def story(engine: Engine, ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> Story:
    return Story(engine, ledger, monkeypatch)


@pytest.mark.parametrize(
    ("database", "boot", "destination", "state"),
    [
        (3, 3, 3, "in_doubt"),
        (241, 241, 241, "pending"),
        (HOUR, 3, 3, "in_doubt"),
        (HOUR, 3, None, "in_doubt"),
        (HOUR, 3, -HOUR, "in_doubt"),
        (HOUR, 3, HOUR, "in_doubt"),
        (3, 3, HOUR, "in_doubt"),
        (HOUR, 241, None, "pending"),
        (-HOUR, 241, 241, "pending"),
        (-HOUR, 241, None, "in_doubt"),
        (-HOUR, 481, None, "pending"),
        (241, 241, -HOUR, "pending"),
        (241, 241, 0, "pending"),
        (3, 241, None, "in_doubt"),
    ],
)
def test_on_the_machine_that_sent_it(
    story: Story, database: float, boot: float, destination: float | None, state: str
) -> None:
    story.doubt()
    story.database_says(database)

    settled = story.settle(boot, destination)

    assert story.state == state
    assert (settled.next_in is None) == (state == "pending")


@pytest.mark.parametrize(
    ("database", "destination", "state"),
    [
        (3, 3, "in_doubt"),
        (241, 241, "pending"),
        (HOUR, 3, "in_doubt"),
        (3, HOUR, "in_doubt"),
        (HOUR, None, "in_doubt"),
        (HOUR, -HOUR, "in_doubt"),
        (-HOUR, HOUR, "in_doubt"),
    ],
)
@pytest.mark.parametrize("boot", [ELSEWHERE, None])
def test_on_another_machine_or_after_a_restart_of_this_one(
    story: Story, database: float, destination: float | None, state: str, boot: int | None
) -> None:
    """None: the ledger is from a time in which no attempt had two more clocks."""
    story.doubt(boot=boot)
    story.database_says(database)

    story.settle(99999, destination)

    assert story.state == state


def test_without_a_second_clock_it_is_seen_absent_twice_with_the_wait_between(
    story: Story,
) -> None:
    story.doubt(boot=ELSEWHERE, destination=False)
    story.database_says(HOUR)

    first = story.settle(boot_says=1000, destination_says=None)
    seen = [story.state]
    for later in (1001, 1239, 1240):
        story.settle(boot_says=later, destination_says=None)
        seen.append(story.state)
    story.settle(boot_says=1241, destination_says=None)

    assert first.next_in == WAIT
    assert seen == ["in_doubt"] * 4
    assert story.state == "pending"


def test_looks_on_two_machines_are_not_taken_for_two_of_one(story: Story) -> None:
    story.doubt(boot=ELSEWHERE, destination=False)
    story.database_says(HOUR)

    story.settle(boot_says=1000, destination_says=None)
    story.settle(boot_says=2000, destination_says=None, boot=33)

    assert story.state == "in_doubt"


def test_a_machine_that_was_put_back_to_a_snapshot_begins_to_count_anew(story: Story) -> None:
    story.doubt(destination=False)
    story.database_says(HOUR)

    story.settle(boot_says=-1000, destination_says=None)
    story.settle(boot_says=-900, destination_says=None)
    early = story.state
    story.settle(boot_says=-700, destination_says=None)

    assert (early, story.state) == ("in_doubt", "pending")


def test_after_a_restore_no_clock_of_an_attempt_is_believed(story: Story) -> None:
    """The last attempt that the ledger knows of may not be the last that was made."""
    story.doubt()
    story.ledger.distrust()
    (attempt,) = attempts(story.engine)

    assert (attempt.boot, attempt.boot_at, attempt.destination_at) == (None, None, None)


def test_what_is_not_in_doubt_keeps_no_clocks(story: Story) -> None:
    plain = opening(due(story.ledger)["r1"])
    opened = replace(plain, boot=HERE, boot_at=OPENED_AT, destination_at=THERE_AT)
    story.ledger.record(story.run, [opened])
    (open_attempt,) = attempts(story.engine)
    story.ledger.record(story.run, [closing(opened, Accepted("i-1", 201))])
    (closed,) = attempts(story.engine)

    assert (open_attempt.boot, open_attempt.boot_at) == (HERE, OPENED_AT)
    assert open_attempt.destination_at == THERE_AT
    assert (closed.boot, closed.boot_at, closed.destination_at) == (None, None, None)
