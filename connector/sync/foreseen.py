"""The ledger as the next run finds it, where that first rejects rows which are not sent as they are
recorded: for those who tell what a run would do."""

from collections.abc import Collection, Container, Iterator
from dataclasses import replace
from datetime import timedelta

from connector.ledger.approvals import Approval
from connector.ledger.known_by import otherwise, was_known_by
from connector.ledger.mirrored import Mirrored, Present, has_lost_its_rows
from connector.ledger.questions import Resting
from connector.ledger.records import Identity, Known
from connector.ledger.reports import Reports
from connector.ledger.transaction import repeated, transaction
from connector.rules.delivery import TO_BE_SENT, State
from connector.rules.hold import Hold
from connector.rules.turns import Cap, Waiting
from connector.rules.words import are

UNSENT = frozenset(TO_BE_SENT)
NOTE = (
    "{rows} not sent as recorded: contacts were known by {was} then, and are by {now} now. What a"
    " run reads again goes as it reads now; the rest is rejected until `connector quarantine retry`"
    " reads it anew"
)


class Foreseen(Reports):
    """Answers about an activation of which no row is sent as it is recorded."""

    note = _reason = ""
    """What a person should know of these rows; why each of them is rejected."""

    @classmethod
    def of(cls, reports: Reports, activation: str, identity: Identity) -> Reports:
        """Those of `reports`, where the rows of `activation` are sent as they are recorded."""
        home = reports._home(activation)
        reason = None if home is None else otherwise(identity, home)
        counts = reports.counts(activation) if reason else {}
        if not reason or not (number := sum(counts[state] for state in TO_BE_SENT)):
            return reports
        found = cls(reports._engine, reports._earlier)
        found._reason = reason
        was, now = was_known_by(home)[0], identity.known_by[0]
        found.note = NOTE.format(rows=are(number), was=was, now=now)
        return found

    def counts(self, activation: str) -> dict[str, int]:
        counts = super().counts(activation)
        moved = sum(counts[state] for state in TO_BE_SENT)
        none = dict.fromkeys((state.value for state in TO_BE_SENT), 0)
        return {**counts, **none, State.REJECTED.value: counts[State.REJECTED] + moved}

    def known(self, activation: str, keys: Collection[str]) -> dict[str, Known]:
        found = super().known(activation, keys)
        return {key: self._rejected(known) for key, known in found.items()}

    def mirrored(self, activation: str, keys: Collection[str]) -> dict[str, Mirrored]:
        found = super().mirrored(activation, keys)
        return {key: replace(row, known=self._rejected(row.known)) for key, row in found.items()}

    def present(
        self, activation: str, after: int, until: int, but: Container[int] = ()
    ) -> tuple[list[Present], int]:
        page, end = super().present(activation, after, until, but)
        return [replace(r, state=State.REJECTED) if r.state in UNSENT else r for r in page], end

    def to_be_sent(self, activation: str) -> Iterator[tuple[str, str, str, bool]]:
        return iter(())

    def first_to_be_sent(
        self, activation: str, number: int, cap: Cap | None
    ) -> list[tuple[int, str, str, str, str]]:
        return []

    def resting(self, activation: str, span: timedelta = timedelta(0)) -> Resting:
        return Resting()

    def resting_before(self, activation: str, span: timedelta) -> Resting:
        return Resting()

    def waiting_for_turn(self, activation: str, cap: Cap) -> Waiting:
        there = super().waiting_for_turn(activation, cap)
        return replace(there, number=there.replaced)

    @repeated
    def hold(self, activation: str) -> Hold | None:
        with transaction(self._engine) as c:
            lost = has_lost_its_rows(c, self._name(activation), rejected=True)
        return None if lost else super().hold(activation)

    def standing_approval(self, activation: str) -> Approval | None:
        return None  # the rows that it was of are not to be sent any more

    def _rejected(self, known: Known) -> Known:
        if known.state not in UNSENT:
            return known
        return known._replace(state=State.REJECTED, reason=self._reason)
