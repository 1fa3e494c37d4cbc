"""What each row of a batch means to the ledger.

Shared by staging, which records the answer, and previewing, which only tells it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from datetime import datetime
from typing import Any

from connector.basis import dataclass
from connector.ledger.records import Known, Staged
from connector.rules.activation import Activation
from connector.rules.contacts import KNOWN_OTHERWISE
from connector.rules.delivery import CORRECTABLE, FIRST_STATES, State
from connector.rules.interaction import Interaction, Invalid
from connector.rules.values import PLACED, has_place
from connector.sync.reading import Plan

Row = Sequence[Any]
Content = Interaction | Invalid
JUST_STAGED = (*FIRST_STATES, *CORRECTABLE)
"""The states of rows that this run has recorded; one that a read-back moved has another."""


@dataclass(slots=True)
class Sorted:
    """A batch of rows, sorted by what they mean to the ledger."""

    new: list[Staged] = field(default_factory=list)
    corrected: list[tuple[Known, Staged]] = field(default_factory=list)
    already: int = 0
    repeated: list[str] = field(default_factory=list)
    without_key: int = 0
    cursors: list[Any] = field(default_factory=list)
    """The cursors of the rows that have a place in the order, in that order."""
    read: int = 0


def sort_out(
    rows: Sequence[Row],
    plan: Plan,
    known: Mapping[str, Known],
    run_id: str | None,
    keys: Sequence[str | None] | None = None,
    content: Callable[[Row], Content] | None = None,
) -> Sorted:
    """What each of `rows` means, given what is `known` under their `keys`. `content`: what says
    what a row is, if not the plan's mapper."""
    keys = plan.mapper.keys(rows) if keys is None else keys
    content = content or contents(plan)
    batch, seen, history = Sorted(read=len(rows)), set[str](), plan.history
    if plan.scan.cursor:
        place = plan.scan.columns.index(plan.scan.cursor)
        found = [row[place] for row in rows]
        batch.cursors = [at for at in found if type(at) in PLACED or has_place(at)]
    for key, row in zip(keys, rows, strict=True):
        if key is None:
            batch.without_key += 1
            continue
        before = known.get(key)
        if key in seen or (before and before.run_id == run_id and before.state in JUST_STAGED):
            batch.repeated.append(key)
        elif before is None:
            batch.new.append(Staged(key, content(row), history))
        elif before.state in CORRECTABLE and differs(now := content(row), before):
            batch.corrected.append((before, Staged(key, now)))
        else:
            batch.already += 1
        seen.add(key)
    return batch


def contents(plan: Plan, digests: bool = True) -> Callable[[Row], Content]:
    """What says what a row is: the interaction, or why there is none, or none any more. Without
    `digests`, for whom they are of no use."""
    mapper = plan.mapper.with_digest if digests else plan.mapper.without_digest
    if type(plan.activation).too_late is Activation.too_late:
        return mapper
    return lambda row: in_time(mapper(row), plan.activation, plan.source.now)


def content_of(row: Row, plan: Plan) -> Content:
    """The interaction of `row`; or why there is none, or none any more."""
    return in_time(plan.mapper(row), plan.activation, plan.source.now)


def in_time(content: Content, activation: Activation, now: datetime) -> Content:
    """`content`; or why it is not sent any more."""
    if isinstance(content, Interaction):
        created = datetime.fromisoformat(content.created) if content.created else None
        if reason := activation.too_late(created, now):
            return Invalid(reason)
    return content


def differs(content: Interaction | Invalid, before: Known) -> bool:
    """Whether a row reads otherwise than it is recorded."""
    if isinstance(content, Invalid):
        return content.reason != before.reason
    if before.state is State.REJECTED and (before.reason or "").startswith(KNOWN_OTHERWISE):
        return True
    if content.digest != before.digest:
        return True
    # the digest knows neither the contact nor how a value is written, which a destination may mind
    return before.payload is not None and (before.contact, before.payload) != (
        content.contact,
        content.payload.decode(),
    )
