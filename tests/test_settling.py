"""Settling counts rows in doubt against interactions; what has changed meanwhile is not counted."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
from sqlalchemy import Engine

from connector.destinations.dates import DestinationClock
from connector.destinations.engage import ContactMapping, Identifier
from connector.destinations.engage.client import Engage
from connector.ledger.store import Ledger
from connector.rules.activation import Contact
from connector.rules.delivery import Accepted, Unknown
from connector.rules.read_back import Absent, Here, ReadBack, Stored, TurnedDown, Verdict
from connector.sync.lookup import Contacts
from connector.sync.settle import Settling
from connector.sync.settled import Settled
from tests.factories import a_running, a_schema
from tests.ledger.factories import (
    SECRET,
    a_row,
    begun,
    closing,
    doubted,
    expire_lease,
    forget_holder,
    only,
    select,
    sent,
    staged,
    states,
    stored,
)

LONG_AGO = timedelta(seconds=-1)
"""A wait that every doubt has outlived."""


OWN_ID = ContactMapping(column="c", identifier=Identifier.CONTACT_ID)


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


class Verdicts(Engage):
    """Says of every doubt what a row's text says."""

    concurrency, clock = 1, DestinationClock()  # type: ignore[assignment]

    def __init__(self, **verdicts: Verdict) -> None:
        self._verdicts = verdicts

    async def settle(
        self, activation: Any, doubts: Any, owned: Any, besides: Any = ()
    ) -> dict[int, Verdict]:
        return {
            doubt.item.delivery_id: self._verdicts[orjson.loads(doubt.item.payload)["text"]]
            for doubt in doubts
        }


@pytest.mark.parametrize(
    ("verdict", "state", "word"),
    [
        (Here("i-1"), "delivered", "found"),
        (Here(None, how="assumed"), "delivered", "assumed"),
        (Absent(), "pending", "absent"),
        (Absent(how="resent"), "pending", "resent"),
        (TurnedDown("record 3 has no such customer"), "rejected", "turned_down"),
    ],
    ids=str,
)
def test_a_doubt_ends_as_the_destination_says_and_its_story_says_how(
    engine: Engine, ledger: Ledger, verdict: Verdict, state: str, word: str
) -> None:
    doubted(ledger, staged(ledger, a_row("r1", "one")), "r1")
    expire_lease(engine)
    forget_holder(engine)
    run = begun(ledger)

    settled = settle(ledger, run, Verdicts(one=verdict), Contact(column="c"))

    assert states(engine) == {"r1": state}
    assert (settled.delivered, settled.absent, settled.rejected) == tuple(
        int(state == each) for each in ("delivered", "pending", "rejected")
    )
    (told,) = select(engine, "select decision, was, state from decisions")
    assert tuple(told) == (word, "in_doubt", state)
    if state == "rejected":
        assert "no such customer" in stored(engine).reason
        assert only(engine, "select rejected from runs where run_id = :id", id=run.run_id)[0] == 1


async def nobody(_: object) -> Any:
    """What nobody is to ask."""
    raise AssertionError


def settle(ledger: Ledger, run: Any, destination: Any, how: Contact = OWN_ID) -> Settled:
    """One round of settling by `run`."""
    contacts = Contacts(how, nobody, nobody)

    async def settle_once() -> Settled:
        running = a_running(ledger, run, destination, LONG_AGO, contacts, payload={"text": "text"})
        return await Settling(running).settle()

    return asyncio.run(settle_once())
