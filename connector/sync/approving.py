"""Let a held run go: judge who approves, record it, and tell a run whether it may go on.

While an activation is held nothing new is read, so what is approved is what was shown: the digest
of the held rows is compared when it is approved, and once more by the run that would let them go.
"""

from dataclasses import dataclass

from connector.ledger.approvals import Approval, Approving, HeldRun
from connector.ledger.deeds import NOBODY
from connector.ledger.records import Run
from connector.ledger.store import Ledger
from connector.rules.approval import Digests, drift, who_may_not
from connector.rules.errors import ApprovalRefused
from connector.rules.grammar import Limits
from connector.rules.hold import Hold
from connector.sync.flow import Running


@dataclass(frozen=True, slots=True)
class Request:
    """Who approves, and says what; `shown`: the rows that they were shown, where they were; `used`:
    the run that asks lets them go at once."""

    by: str
    note: str | None = None
    shown: Digests | None = None
    used: bool = False


@dataclass(frozen=True, slots=True)
class Leave:
    """Whether a run may send what is held. `number`: the approval that says so; `said`: why an
    approval does not."""

    granted: bool = False
    number: int | None = None
    said: str | None = None


def approve(
    ledger: Ledger, lease: Run, limits: Limits, held: HeldRun, request: Request
) -> Approval:
    """Record that the rows that are `held` may go, under the lease of their activation.

    Raises ApprovalRefused, which is on the audit list then: they are not those that were shown, or
    the person may not approve them."""
    name, why = held.activation, None
    if request.shown and (differs := drift(request.shown, held.rows)):
        why = f"the held rows are not those that were shown any more: {differs}; look at them again"
    askers = held.figures.askers
    why = why or who_may_not(request.by, askers, held.editor, limits.approval == "other")
    if why:
        ledger.refuse_approval(name, request.by, why, held.run_id)
        raise ApprovalRefused(f'"{name}" stays held: {why}')
    shown = {"counts": held.counts, "reason": held.reason, "digest": held.rows.digest}
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
        return Leave(orders.approve and limits.approval != "other")
    held = ledger.held_run(flow.name)
    if held is None:
        return Leave()
    said = None
    for approval in ledger.approvals(flow.name):
        if approval.used_by or approval.void:
            break
        if (why := _void(approval, held)) is None:
            return Leave(True, approval.id)
        ledger.void_approval(approval.id, why)
        said = f"the approval of {approval.by} lets nothing go: {why}"
    if orders.approve:
        request = Request(orders.by or NOBODY, orders.note, used=True)
        try:
            return Leave(True, approve(ledger, running.run, limits, held, request).id)
        except ApprovalRefused as refused:
            said = str(refused)
    return Leave(said=said)


def _void(approval: Approval, held: HeldRun) -> str | None:
    """Why an approval does not hold any more."""
    if approval.expired:
        return "it was not used in time"
    if approval.digest != held.rows.digest:
        return "the held rows have changed since"
    return None


def record_unseen(running: Running, reason: str, figures: Hold) -> None:
    """A run that would have been held was let go before anybody saw it: that is on record, too."""
    flow, orders = running.flow, running.orders
    counts = {"rows": figures.due, "staged": figures.staged, "invalid": figures.invalid}
    rows, _ = flow.ledger.held_rows(flow.name)
    shown = {"counts": counts, "reason": reason, "digest": rows.digest, "unseen": True}
    by, run_id = orders.by or NOBODY, running.run.run_id
    what = Approving(by, orders.note, run_id, rows.digest, shown, None, used=True)
    flow.ledger.approve(running.run, what)
