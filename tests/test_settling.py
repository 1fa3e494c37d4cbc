"""Settling counts rows in doubt against interactions; what has changed meanwhile is not counted."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Engine

from connector.destinations.dates import DestinationClock
from connector.destinations.engage import ContactMapping, Identifier
from connector.destinations.engage.client import Engage
from connector.ledger.store import Ledger
from connector.rules.delivery import Accepted, Unknown
from connector.rules.read_back import ReadBack, Stored
from connector.sync.lookup import Contacts
from connector.sync.settle import Settling
from tests.factories import a_running, a_schema
from tests.ledger.factories import (
    SECRET,
    begun,
    closing,
    expire_lease,
    forget_holder,
    sent,
    staged,
    states,
    stored,
)

LONG_AGO = timedelta(seconds=-1)
"""A wait that every doubt has outlived."""


class Destination(Engage):
    """Shows interactions that all look the same, and lets something happen meanwhile."""

    concurrency, clock = 1, DestinationClock()  # type: ignore[assignment]
    live = {"productReview": a_schema(text="string")}  # noqa: RUF012

    def __init__(self, created: datetime, meanwhile: Callable[[], object], *ids: str) -> None:
        self._meanwhile = meanwhile
        self._stored = [Stored(i, created, {"text": SECRET}) for i in ids]

    async def read_back(self, contact_id: str, schema_id: str) -> ReadBack:
        self._meanwhile()
        return ReadBack(self._stored, None)


def test_an_answer_that_comes_while_doubts_are_counted_makes_no_row_absent(
    engine: Engine, ledger: Ledger
) -> None:
    """Two equal events, both stored. One is answered late, by the run that was replaced: what is
    left at the destination belongs to the other one, which must not be sent again."""
    old = staged(ledger, "answered", "unanswered")
    sends = sent(ledger, old, "answered", "unanswered")
    ledger.record(old, [closing(sends["unanswered"], Unknown("no answer"))])
    expire_lease(engine)
    forget_holder(engine)
    new = begun(ledger)
    created = datetime.fromisoformat(stored(engine, "answered").created_date).astimezone(UTC)
    late = closing(sends["answered"], Accepted("i-answered", 201))
    destination = Destination(
        created, lambda: ledger.record(old, [late]), "i-answered", "i-unanswered"
    )

    settle(ledger, new, destination)
    assert states(engine) == {"answered": "delivered", "unanswered": "in_doubt"}

    settle(ledger, new, destination)
    assert states(engine) == {"answered": "delivered", "unanswered": "delivered"}
    assert stored(engine, "unanswered").interaction_id == "i-unanswered"


async def nobody(_: object) -> Any:
    """What nobody is to ask."""
    raise AssertionError


def settle(ledger: Ledger, run: Any, destination: Any) -> None:
    """One round of settling by `run`."""

    how = ContactMapping(column="c", identifier=Identifier.CONTACT_ID)
    contacts = Contacts(how, nobody, nobody)

    async def settle_once() -> None:
        running = a_running(ledger, run, destination, LONG_AGO, contacts, payload={"text": "text"})
        await Settling(running).settle()

    asyncio.run(settle_once())
