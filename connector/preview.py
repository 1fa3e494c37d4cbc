"""What a sync would do now, told without doing any of it.

Another function than the sync, and one without a ledger to write to: it reads the model, the
reports on the ledger if there is one, and the destination's schema and contacts. It sends no POST.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from connector.activation import Activation, Identifier
from connector.delivery import Found, Missing, NotApplied, Refused
from connector.destinations.engage import Engage, body_of
from connector.interaction import Interaction, Invalid, instant_text
from connector.ledger.records import Staged
from connector.ledger.reports import Reports
from connector.reading import keys_of, plan, sort_out
from connector.schema import InteractionSchema
from connector.warehouse import Reader


@dataclass(slots=True)
class Preview:
    """Counts of rows by what would become of them, and the first few of those to be sent."""

    activation: str
    read: int = 0
    new: int = 0
    already_recorded: int = 0
    invalid: int = 0
    repeated: int = 0
    without_key: int = 0
    history: int = 0
    pending: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)
    shown: list[tuple[str, Interaction]] = field(default_factory=list)

    def count_reason(self, reason: str, row_key: str) -> None:
        """One more row with `reason`; the first one is the example."""
        self.reasons[reason] += 1
        self.examples.setdefault(reason, row_key)

    def estimated_seconds(self, rate: float, look_ups: bool) -> float:
        """How long sending would take at `rate` requests a second. Every row may need a look-up,
        since how many contacts are distinct is known only once they were looked up."""
        requests = (self.new + self.pending) * (2 if look_ups else 1)
        return round(requests / rate, 1)


@dataclass(frozen=True, slots=True)
class Sample:
    """A request that a sync would send: exactly this body. `contact_id` None: not looked up."""

    row_key: str
    body: bytes


def preview(
    activation: Activation,
    schema: InteractionSchema | None,
    reader: Reader,
    reports: Reports,
    zone: ZoneInfo | None,
    now: datetime,
    show: int,
) -> Preview:
    """Count what a sync would do with each row of the model, and keep `show` rows to be sent.

    `schema` None: the destination was not asked, so nothing is checked against it.
    """
    reading = plan(activation, schema, reader, reports, zone, now)
    result = Preview(activation.name)
    seen: set[str] = set()
    for rows in reading.rows(reader):
        known = reports.known(activation.name, keys_of(rows, reading))
        batch = sort_out(rows, reading, known, None)
        result.read += batch.read
        result.already_recorded += batch.already
        result.without_key += batch.without_key
        result.repeated += len(batch.repeated)
        staged = [*batch.new, *(corrected for _, corrected in batch.corrected)]
        _count(staged, seen, result, show)
    result.pending = reports.counts(activation.name)["pending"]
    return result


def _count(staged: Sequence[Staged], seen: set[str], result: Preview, show: int) -> None:
    for row in staged:
        if row.row_key in seen:
            result.repeated += 1
            continue
        seen.add(row.row_key)
        match row.content:
            case _ if row.history:
                result.history += 1
            case Invalid(reason):
                result.invalid += 1
                result.count_reason(reason, row.row_key)
            case Interaction() as interaction:
                result.new += 1
                if len(result.shown) < show:
                    result.shown.append((row.row_key, interaction))


async def samples(
    result: Preview, activation: Activation, schema_id: str, engage: Engage | None
) -> list[Sample]:
    """The requests for the rows that `result` shows, contacts looked up (by GET).

    Rows whose contact is not found are counted among the reasons instead. Without `engage`, a
    contact that would have to be looked up stands as null.
    """
    requests = []
    for row_key, interaction in result.shown:
        contact_id: str | None = None
        if engage is not None:
            match await engage.prepare(interaction.contact, activation.contact):
                case Found(contact_id):
                    pass
                case Missing(reason) | Refused(reason) | NotApplied(reason):
                    result.count_reason(reason, row_key)
                    continue
        elif activation.contact.identifier is Identifier.CONTACT_ID:
            contact_id = interaction.contact
        requests.append(Sample(row_key, _body(contact_id, schema_id, interaction)))
    return requests


def _body(contact_id: str | None, schema_id: str, interaction: Interaction) -> bytes:
    created = interaction.created or instant_text(datetime.now(UTC).replace(microsecond=0))
    body = body_of(contact_id or "", schema_id, created, interaction.payload.decode())
    return body if contact_id else body.replace(b'"contactId":""', b'"contactId":null', 1)
