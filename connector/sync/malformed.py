"""Rows whose identifier no contact can have, rejected before a run is judged: so they are among
the refused ones that hold it, before its first request."""

from collections.abc import Iterator, Sequence

from connector.basis.log import Log
from connector.ledger.records import Delivery, SetAside
from connector.ledger.spans import has_touched
from connector.rules.delivery import Malformed, State
from connector.sync.flow import Running

log = Log(__name__)

PAGE = 2000


def reject_malformed(running: Running) -> None:
    """Reject those that the run has read, where that may hold it. Else they are rejected when their
    turn comes."""
    flow, tally, after = running.flow, running.tally, 0
    if flow.activation.limits.refused is None or not has_touched(running.run):
        return
    while page := flow.ledger.read_by(running.run, after, PAGE):
        after = page[-1].id
        entries = list(_entries(running, page))
        written = flow.ledger.record(running.run, entries) if entries else []
        for entry, done in zip(entries, written, strict=True):
            if done is True:
                tally.rejected += 1
                row = {"row_key": entry.delivery.row_key, "reason": entry.reason}
                log.warning("delivery.rejected", **row)


def _entries(running: Running, page: Sequence[Delivery]) -> Iterator[SetAside]:
    for row in page:
        found = None if row.suspect else running.contacts.at_once(row.contact)
        if isinstance(found, Malformed):
            yield SetAside(row, State.REJECTED, found.reason)
