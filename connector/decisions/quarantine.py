"""Decide about single rows: try them again, say what became of a doubt, or give them up.

Each command holds its activation, so that no run works on the rows at the same moment, and each
decision goes on record with its time and who took it, in the transaction that moves the row.
Nothing is sent from here: a row that becomes pending is sent by the next run.
"""

import asyncio
from collections.abc import Collection, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from shlex import quote

from connector.ledger.decisions import (
    Case,
    Decision,
    Discarded,
    Person,
    Retried,
    SaidAbsent,
    SaidDelivered,
    decision_word,
    state_after,
)
from connector.ledger.records import Run
from connector.ledger.store import Ledger
from connector.rules.delivery import CORRECTABLE, QUARANTINE, State
from connector.rules.errors import ConfigurationError, Interrupted, StaleMove, unknown_key
from connector.rules.interaction import Invalid
from connector.rules.schema import InteractionSchema
from connector.sync.flow import Flow
from connector.sync.preflight import preflight
from connector.sync.read_again import read_again

TOGETHER = 10_000
"""Rows that are decided about in one transaction, and whose bodies are in memory at most. A larger
one would keep the runs of other activations waiting for a SQLite ledger for too long."""
MOST_PROBLEMS = 20
DISCARDABLE = (*QUARANTINE, State.PENDING, State.WAITING)
"""The states of rows that can be given up when they, or their state, are named."""


@dataclass(frozen=True, slots=True)
class Selection:
    """The rows that are meant: those with `keys`; or, without any, those in one of `states` whose
    reason holds `reason`."""

    keys: tuple[str, ...]
    states: tuple[State, ...]
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """What a decision made of one row. `due_at`: before then it is not sent."""

    row_key: str
    decision: str
    was: State
    state: State
    reason: str | None
    interaction_id: str | None = None
    due_at: datetime | None = None


@dataclass(slots=True)
class Decided:
    """What came of it. `missing`: rows that stay as they are, since the model has them no more."""

    activation: str
    person: Person
    rows: list[Row] = field(default_factory=list)
    missing: list[Case] = field(default_factory=list)


# --- which rows ---------------------------------------------------------------------------------


def selected(
    ledger: Ledger, activation: str, selection: Selection, allowed: Collection[State], only: str
) -> list[Case]:
    """The rows that `selection` means. Raises ConfigurationError, naming each key that is not
    recorded or not in one of the states `allowed`; `only` says which those are."""
    if not selection.keys:
        return ledger.cases_in(activation, selection.states, selection.reason)
    keys = list(dict.fromkeys(selection.keys))
    found = ledger.cases(activation, keys)
    problems = [
        unknown_key(activation, key, ledger.similar_keys(activation, key))
        if key not in found
        else f"{_standing(activation, found[key])}; {only}"
        for key in keys
        if key not in found or found[key].state not in allowed
    ]
    if problems:
        raise ConfigurationError(*_shortened(problems))
    return [found[key] for key in keys]


def _standing(activation: str, case: Case) -> str:
    """Where a row stands that was named for something else."""
    return (
        f'"{case.row_key}" '
        + {
            State.PENDING: "is pending: the next sync sends it",
            State.SENDING: "is being sent",
            State.DELIVERED: "was delivered and is never sent again",
            State.INVALID: "is invalid and was not sent",
            State.REJECTED: "was rejected, so nothing of it was stored",
            State.WAITING: "waits for its contact: each sync looks again",
            State.IN_DOUBT: "is in doubt, since it may have arrived: say what became of it with"
            f" `connector quarantine settle {quote(activation)} {quote(case.row_key)}`",
            State.DISCARDED: "was discarded, which is final",
            State.UNDONE: "was taken back",
        }[case.state]
    )


def _shortened(problems: Sequence[str]) -> list[str]:
    more = len(problems) - MOST_PROBLEMS
    return [*problems[:MOST_PROBLEMS], *([f"and {more} more like these"] if more > 0 else [])]


@contextmanager
def _claimed(ledger: Ledger, activation: str) -> Iterator[Run]:
    claim = ledger.claim(activation)
    try:
        yield claim
    finally:
        ledger.let_go(claim)


# --- retry --------------------------------------------------------------------------------------


async def retry(flow: Flow, selection: Selection, person: Person) -> Decided:
    """Map invalid and rejected rows again, as the model and the schema are today.

    They become pending, or invalid with today's reason; those that the model has no more stay as
    they are. Raises ConfigurationError, ActivationBusy, LeaseLost, or what stands in the way of
    reading; then nothing has changed, or whole transactions of TOGETHER rows.
    """
    only = "only invalid and rejected rows can be retried"
    result = Decided(flow.name, person)
    async with flow.leased() as lease:
        cases = await flow.call(selected, flow.ledger, flow.name, selection, CORRECTABLE, only)
        if cases:
            schema = await preflight(flow.activation, flow.destination)
            try:
                await asyncio.to_thread(_map_again, flow, lease, schema, cases, result)
            finally:
                flow.stop.now(Interrupted("interrupted"))  # a thread that still reads is to end
    return result


def _map_again(
    flow: Flow, lease: Run, schema: InteractionSchema, cases: Sequence[Case], result: Decided
) -> None:
    wanted = {case.row_key: case for case in cases}
    found: list[Decision] = []
    with closing(read_again(flow, schema, lease.started_at, wanted)) as rows:
        for key, content in rows:
            found.append(Retried(wanted.pop(key), content))
            if len(found) >= TOGETHER:
                _carry_out(flow.ledger, lease, result, found)
                found = []
    _carry_out(flow.ledger, lease, result, found)
    result.missing = list(wanted.values())


# --- settle -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Arrived:
    """The row's interaction is at the destination, under this id if it is known."""

    interaction_id: str | None


@dataclass(frozen=True, slots=True)
class NeverArrived:
    """It is not there. `settle_after`: how old its attempt must be, since until then its request
    may still be under way."""

    settle_after: timedelta


def settle(
    ledger: Ledger, activation: str, key: str, verdict: Arrived | NeverArrived, person: Person
) -> Decided:
    """End a doubt by what `person` says.

    Raises ConfigurationError for a row that is not in doubt, or an interaction that belongs to
    another row; ActivationBusy, LeaseLost.
    """
    with _claimed(ledger, activation) as claim:
        selection = Selection((key,), ())
        only = "only rows in doubt can be settled"
        (case,) = selected(ledger, activation, selection, (State.IN_DOUBT,), only)
        result = Decided(activation, person)
        _carry_out(ledger, claim, result, [_settlement(case, verdict, claim.started_at)])
    return result


def _settlement(
    case: Case, verdict: Arrived | NeverArrived, now: datetime
) -> SaidDelivered | SaidAbsent:
    match verdict:
        case Arrived(interaction_id):
            return SaidDelivered(case, interaction_id)
        case NeverArrived(settle_after):
            assert case.opened_at is not None  # no doubt without an attempt
            # later than every delay that the request may have, and not at the same moment
            due = case.opened_at + settle_after + timedelta(milliseconds=1)
            return SaidAbsent(case, due if due > now else None)


# --- discard ------------------------------------------------------------------------------------


def discardable(ledger: Ledger, activation: str, selection: Selection) -> list[Case]:
    """The rows that `discard` would give up. Raises ConfigurationError."""
    only = "only rows that are not sent yet, or in doubt, can be discarded"
    return selected(ledger, activation, selection, DISCARDABLE, only)


def discard(
    ledger: Ledger,
    activation: str,
    selection: Selection,
    person: Person,
    shown: Sequence[Case] | None = None,
) -> Decided:
    """Give rows up: they are never sent, and nothing brings them back.

    `shown` is what the person was asked about; when the rows are others now, nothing is changed.
    Raises ConfigurationError, StaleMove, ActivationBusy, LeaseLost.
    """
    result = Decided(activation, person)
    with _claimed(ledger, activation) as claim:
        cases = discardable(ledger, activation, selection)
        if shown is not None and cases != shown:
            raise StaleMove(
                f'"{activation}": the rows have changed since they were shown, so none was'
                " discarded; look at them again"
            )
        _carry_out(ledger, claim, result, [Discarded(c, _why(c, person)) for c in cases])
    return result


def _why(case: Case, person: Person) -> str:
    """The reason of a discarded row: who decided so, and why it was where it was."""
    note = f" ({person.note})" if person.note else ""
    stood = case.state.value.replace("_", " ")
    reason = f": {case.reason}" if case.reason else ""
    may = ", so it may have arrived" if case.state is State.IN_DOUBT else ""
    return f"discarded by {person.name}{note}; it was {stood}{may}{reason}"


# --- all of them --------------------------------------------------------------------------------


def _carry_out(ledger: Ledger, claim: Run, result: Decided, entries: Sequence[Decision]) -> None:
    """Decide, in transactions of at most TOGETHER rows, and note it in `result`."""
    for start in range(0, len(entries), TOGETHER):
        part = entries[start : start + TOGETHER]
        ledger.decide(claim, result.person, part)
        result.rows += [_row(entry) for entry in part]


def _row(entry: Decision) -> Row:
    case, state = entry.case, state_after(entry)
    common = (case.row_key, decision_word(entry), case.state, state)
    match entry:
        case Retried(_, Invalid(reason)) | Discarded(_, reason):
            return Row(*common, reason)
        case Retried():
            return Row(*common, None)
        case SaidDelivered(_, interaction_id):
            return Row(*common, None, interaction_id=interaction_id)
        case SaidAbsent(_, not_before):
            return Row(*common, None, due_at=not_before)
