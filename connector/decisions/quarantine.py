"""Say what became of a row in doubt, or give rows up.

Each decision has the lease of its activation, so that no run works on the rows at the same moment,
and goes on record with its time and who took it, in the transaction that moves the row. Nothing is
sent from here.
"""

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import ClassVar

from connector.basis import dataclass
from connector.decisions.deciding import (
    Allowed,
    Decided,
    Selection,
    changed,
    decide,
    select,
    taken_over,
)
from connector.ledger.attempts import DIED
from connector.ledger.decisions import Case, Decision, Discarded, Person, SaidAbsent, SaidDelivered
from connector.ledger.records import Run
from connector.ledger.store import Ledger
from connector.project.app import App
from connector.rules.activation import Activation
from connector.rules.deed import Agree, Document, Intention
from connector.rules.delivery import QUARANTINE, State
from connector.rules.words import are, by_state, may_have_arrived, words

DISCARDABLE = Allowed(
    (*QUARANTINE, State.PENDING, State.WAITING),
    "only rows that are not sent yet, or in doubt, can be discarded",
)
"""Rows that can be given up when they, or their state, are named."""
PLANNABLE = Allowed((*DISCARDABLE.states, State.SENDING), DISCARDABLE.only)
"""Those, and what is on the wire: whether its run lives, or died and has left it in doubt, is known
to who has the lease."""
IN_DOUBT = Allowed((State.IN_DOUBT,), "only rows in doubt can be settled")


# --- settle -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Arrived:
    """The row's interaction is at the destination, under this id if it is known."""

    interaction_id: str | None = None


@dataclass(frozen=True, slots=True)
class NeverArrived:
    """It is not there. Its request may still be under way, until its attempt is old enough."""


@dataclass(frozen=True, slots=True)
class Settle:
    """A deed: end a doubt by what a person says."""

    app: App
    activation: Activation
    key: str
    verdict: Arrived | NeverArrived
    person: Person

    async def plan(self) -> Intention:
        """What is to be said of which row."""
        was = "was delivered" if isinstance(self.verdict, Arrived) else "was not delivered"
        return Intention(Agree(f'You looked at the destination, and "{self.key}" {was}?'))

    async def do(self, plan: Intention, agreed: bool) -> Decided:
        """Say it. Raises ConfigurationError for a row that is not in doubt, or an interaction that
        belongs to another row; ActivationBusy, LeaseLost."""
        name = self.activation.name

        def choose(ledger: Ledger, lease: Run) -> list[Decision]:
            taken_over(self.app, ledger, name)
            (case,) = select(ledger, name, Selection((self.key,)), IN_DOUBT)
            if isinstance(self.verdict, Arrived):
                return [SaidDelivered(case, self.verdict.interaction_id)]
            assert case.opened_at is not None  # no doubt without an attempt
            destination = self.app.settings.project.destination_of(self.activation)
            # later than every delay that the request may have, and not at the same moment
            wait = self.app.settle_after(destination) + timedelta(milliseconds=1)
            due = case.opened_at + wait
            return [SaidAbsent(case, due if due > lease.started_at else None)]

        return await asyncio.to_thread(decide, self.app, name, self.person, choose)


# --- discard ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Discarding:
    """The rows that are about to be given up."""

    activation: str
    cases: Sequence[Case]
    empty: ClassVar[bool] = False
    """Also where there is no such row, it is told as what came of it."""
    exit_code: ClassVar[int] = 0

    @property
    def question(self) -> Agree | None:
        """Which rows they are, and whether they are to be given up."""
        if not self.cases:
            return None
        states = Counter(case.state for case in self.cases)
        which = by_state(dict(states.most_common()))
        doubts = may_have_arrived(states[State.IN_DOUBT], len(self.cases))
        return Agree(
            f"{are(len(self.cases))} to be discarded ({which}), for good: never sent.{doubts}"
            " Discard them?"
        )

    def document(self) -> Document:
        rows = [{"row_key": case.row_key, "state": case.state} for case in self.cases]
        return {"activation": self.activation, "rows": rows}


@dataclass(frozen=True, slots=True)
class Discard:
    """A deed: give rows up, also those of an activation that the ledger alone knows. They are never
    sent, and nothing brings them back."""

    app: App
    activation: str
    selection: Selection
    person: Person

    async def plan(self) -> Discarding:
        """Which rows. Raises ConfigurationError."""
        name = self.activation

        def read() -> Discarding:
            with self.app.ledger() as ledger:
                taken_over(self.app, ledger, name)
                return Discarding(name, _seen(ledger, name, self.selection))

        return await asyncio.to_thread(read)

    async def do(self, plan: Discarding, agreed: bool) -> Decided:
        """Give them up. Raises ConfigurationError, StaleMove, ActivationBusy, LeaseLost."""
        name, person = self.activation, self.person

        def choose(ledger: Ledger, lease: Run) -> list[Decision]:
            cases = select(ledger, name, self.selection, DISCARDABLE)
            if agreed and plan.cases != cases:
                raise changed(name, "none was discarded")
            return [Discarded(case, _why(case, person)) for case in cases]

        return await asyncio.to_thread(decide, self.app, name, person, choose)


def _seen(ledger: Ledger, activation: str, selection: Selection) -> list[Case]:
    """The rows that `selection` means, as they stand once the lease is taken: it is had only when
    no run lives, and what dead ones had on the wire is in doubt then."""
    found = select(ledger, activation, selection, PLANNABLE)
    # where a person saw so many rows, it is for them to look again
    if not selection.keys and selection.count is None and State.IN_DOUBT in selection.states:
        if (selection.reason or "").lower() in DIED.lower():
            found += ledger.cases_in(activation, (State.SENDING,), key=selection.holding)
        found.sort(key=lambda case: case.delivery_id)
    return [
        replace(case, state=State.IN_DOUBT, reason=DIED) if case.state is State.SENDING else case
        for case in found
    ]


def _why(case: Case, person: Person) -> str:
    """The reason of a discarded row: who decided so, and why it was where it was."""
    note = f" ({person.note})" if person.note else ""
    reason = f": {case.reason}" if case.reason else ""
    may = ", so it may have arrived" if case.state is State.IN_DOUBT else ""
    return f"discarded by {person.name}{note}; it was {words(case.state)}{may}{reason}"
