"""Let a held run go: judge who approves, record it, and tell a run whether it may go on, and begin.

While an activation is held nothing new is read, so what is approved is what was shown: the digest
of the held rows is compared when it is approved, and once more by the run that would let them go.
"""

import asyncio
from dataclasses import replace

from connector.basis import dataclass
from connector.ledger.approvals import Approval, Approving, HeldRun
from connector.ledger.deeds import NOBODY
from connector.ledger.records import Run
from connector.ledger.store import Ledger
from connector.rules import clocks
from connector.rules.approval import CHANGED_SINCE, Digests, drift, plain_name, who_may_not
from connector.rules.dbt.gate import Barred, Look, Taken
from connector.rules.delivery import State
from connector.rules.errors import ApprovalRefused
from connector.rules.grammar import Limits
from connector.rules.hold import Hold
from connector.sync.flow import Running

WHAT_IS_APPROVED = ("counts", "digest", "build")
FILLED = "its model was empty, and has rows again"


@dataclass(frozen=True, slots=True)
class Request:
    """Who approves, and says what; `shown`: the rows that they were shown, where they were; `used`:
    the run that asks lets them go at once; `confirmed`: see Orders."""

    by: str
    note: str | None = None
    shown: Digests | str | None = None
    used: bool = False
    confirmed: bool = False


@dataclass(frozen=True, slots=True)
class Leave:
    """Whether a run may send what is held. `number`: the approval that says so, of `by`; `said`:
    why an approval does not."""

    granted: bool = False
    number: int | None = None
    said: str | None = None
    by: str | None = None


def approve(
    ledger: Ledger, lease: Run, limits: Limits, held: HeldRun, request: Request
) -> Approval:
    """Record that the rows that are `held` may go, under the lease of their activation. Where the
    same person has approved just that, with nothing else to say, it is the approval that stands.

    Raises ApprovalRefused, which is on the audit list then: they are not those that were shown, or
    the person may not approve them."""
    name, why = held.activation, None
    if request.shown and (differs := drift(request.shown, held.rows)):
        why = f"the held rows are not those that were shown any more: {differs}; look at them again"
    askers = held.figures.askers
    another = limits.approval == "other" and not request.confirmed
    why = why or who_may_not(request.by, askers, held.editor, another)
    if why:
        ledger.refuse_approval(name, request.by, why, held.run_id)
        raise ApprovalRefused(f'"{name}" stays held: {why}')
    shown = {"counts": held.counts, "reason": held.reason, "digest": held.rows.digest}
    shown |= {"build": held.figures.about} if held.figures.build else {}
    if not request.used and (standing := ledger.standing_approval(name)):
        same = all(standing.shown.get(part) == shown.get(part) for part in WHAT_IS_APPROVED)
        by_them = plain_name(standing.by) == plain_name(request.by)
        if same and by_them and request.note in (None, standing.note):
            return standing
    what = Approving(
        request.by,
        request.note,
        held.run_id,
        held.rows.digest,
        shown,
        limits.approval_for,
        request.used,
    )
    return ledger.approve(lease, what)


def leave(running: Running, figures: Hold | None) -> Leave:
    """Whether the run may send what is held (`figures`), by an approval that stands, or by one that
    is given with the run itself."""
    flow, orders = running.flow, running.orders
    limits, ledger = flow.activation.limits, flow.ledger
    if figures is None:  # what nobody was shown can only be let go where one person is enough
        return Leave(orders.may_approve(limits.approval))
    held = ledger.held_run(flow.name)
    if held is None:
        return Leave()
    said = None
    for approval in ledger.approvals(flow.name):
        if approval.used_by or approval.void:
            if approval.void == CHANGED_SINCE:  # by a person's deed, before any run could say so
                said = _lets_nothing_go(approval.by, CHANGED_SINCE)
            break
        if (why := _void(approval, held)) is None:
            return Leave(True, approval.id, by=approval.by)
        said = _revoked(ledger, approval.id, approval.by, why)
    if orders.approve:
        by, confirmed = orders.by or NOBODY, orders.confirmed
        request = Request(by, orders.note, orders.shown, used=True, confirmed=confirmed)
        try:
            return Leave(True, approve(ledger, running.run, limits, held, request).id, by=by)
        except ApprovalRefused as refused:
            said = str(refused)
    return Leave(said=said)


async def revoke(running: Running, may_go: Leave) -> Leave:
    """Of a model that had no row when that was approved, and has some: that is not what was shown,
    so the approval lets nothing go, now or later."""
    if may_go.number is None:
        return Leave(said=may_go.said)
    by = may_go.by or NOBODY
    ledger = running.flow.ledger
    said = await running.flow.call(_revoked, ledger, may_go.number, by, FILLED)
    return Leave(said=said)


def _revoked(ledger: Ledger, number: int, by: str, why: str) -> str:
    """The approval lets nothing go any more; that in words."""
    ledger.void_approval(number, why)
    return _lets_nothing_go(by, why)


def _lets_nothing_go(by: str, why: str) -> str:
    return f"the approval of {by} lets nothing go: {why}"


def _void(approval: Approval, held: HeldRun) -> str | None:
    """Why an approval does not hold any more."""
    if approval.expired:
        return "it was not used in time"
    if approval.digest != held.rows.digest:
        return CHANGED_SINCE
    return None


def record_unseen(running: Running, reason: str, figures: Hold) -> None:
    """A run that would have been held was let go before anybody saw it: that is on record, too."""
    flow, orders = running.flow, running.orders
    counts = {"rows": figures.due, "staged": figures.staged, "invalid": figures.invalid}
    rows, _ = flow.ledger.held_rows(flow.name)
    shown = {"counts": counts, "reason": reason, "digest": rows.digest, "unseen": True}
    shown |= {"build": figures.about} if figures.build else {}
    by, run_id = orders.by or NOBODY, running.run.run_id
    what = Approving(by, orders.note, run_id, rows.digest, shown, None, used=True)
    flow.ledger.approve(running.run, what)


# --- what dbt has built --------------------------------------------------------------------------

ANOTHER = "what holds it is not what was approved any more"


async def past_the_gate(running: Running) -> Running | None:
    """The run as it goes on; None when what dbt has built is not to be read, and the run is held:
    before anything is read or asked. That is over by itself once the build is good, and an approval
    lets just that go which stood in the way when it was given. Raises ConfigurationError when what
    dbt says cannot be read."""
    flow = running.flow
    if flow.gate is None:
        return running
    held = await flow.call(flow.ledger.hold, flow.name)
    if held and not (held.build or held.emptied or flow.activation.mirrors):
        return running  # nothing is read: what is held was read from a build that was let in
    before = await flow.call(flow.ledger.known_relation, flow.name)
    look = await asyncio.to_thread(flow.gate.look, before, clocks.wall())
    if look.barred is None:
        return await _in(running, held, look.taken)
    if held and not held.build:
        return await _beside(running, look, look.barred)
    return await _judge(running, held, look, look.barred)


async def _in(running: Running, held: Hold | None, taken: Taken) -> Running:
    """The build is good, whatever it was."""
    flow = running.flow
    if held and held.build:
        await flow.call(flow.ledger.let_go_by, running.run, None)
    await flow.call(flow.ledger.note_relation, running.run, taken)
    return running


async def _judge(running: Running, held: Hold | None, look: Look, barred: Barred) -> Running | None:
    """Held, unless somebody has approved just that."""
    flow = running.flow
    counts = await flow.call(flow.ledger.counts, flow.name)
    due = counts.get(State.PENDING, 0)
    figures = Hold(due, 0, 0, build=barred.reason, about=barred.about)
    said = None
    if held and held.about != barred.about:
        if standing := await flow.call(flow.ledger.standing_approval, flow.name):
            said = await flow.call(_revoked, flow.ledger, standing.id, standing.by, ANOTHER)
        held = None
    may_go = await flow.call(leave, running, held)
    if may_go.granted:
        return await _let_in(running, may_go, look, figures)
    running.tally.notes += [each for each in (said, may_go.said) if each]
    running.tally.notes.append(barred.reason)
    await flow.call(flow.ledger.hold_back, running.run, figures)
    return None


async def _let_in(running: Running, may_go: Leave, look: Look, figures: Hold) -> Running:
    """Approved. What the limits say of the rows is another matter, which nobody has seen yet."""
    flow = running.flow
    flow.progress.approved(flow.name)
    if may_go.number is None:
        await flow.call(record_unseen, running, figures.build, figures)
    await flow.call(flow.ledger.let_go_by, running.run, may_go.number)
    await flow.call(flow.ledger.note_relation, running.run, look.taken)
    return replace(running, orders=replace(running.orders, approve=False))


async def _beside(running: Running, look: Look, barred: Barred) -> Running | None:
    """Something else holds it, too, which would be read anew, and stays as it was shown."""
    flow, orders = running.flow, running.orders
    if orders.may_approve(flow.activation.limits.approval):
        figures = Hold(0, 0, 0, build=barred.reason, about=barred.about)
        await flow.call(record_unseen, running, barred.reason, figures)
        await flow.call(flow.ledger.note_relation, running.run, look.taken)
        flow.progress.approved(flow.name)
        return running
    running.tally.notes.append(barred.reason)
    return None
