"""Which runs go on now, in whatever process, and how long activations were run lately: so that
processes which serve one ledger can take turns."""

from collections.abc import Collection
from datetime import timedelta

from sqlalchemy import select

from connector.basis import dataclass
from connector.ledger.records import milliseconds
from connector.ledger.tables import NOW, chunks, database_time, leases, runs
from connector.ledger.transaction import Reader, transaction

ROWS = runs.c.delivered + runs.c.rejected + runs.c.removed + runs.c.replaced


@dataclass(frozen=True, slots=True)
class Lately:
    """A run of which something lies within the span that was asked for. `seconds`: so much of it,
    by the ledger's clock; `rows`: that came to an end in it, once it has ended."""

    activation: str
    run_id: str
    seconds: float
    rows: int = 0
    goes_on: bool = False


class UnderWay(Reader):
    """The part of the reports that tells it."""

    def lately(self, activations: Collection[str], span: timedelta) -> list[Lately]:
        """The runs of `activations` within the last `span` that have ended, and all that go on, as
        far as their processes are not known to have fallen silent. Names that are recorded under
        an earlier one are not found."""
        found = []
        with transaction(self._engine) as c:
            now = database_time(c)
            since = now - milliseconds(span)
            columns = (runs.c.activation, runs.c.run_id, runs.c.started_at)
            held = select(*columns).where(leases.c.expires_at > NOW)
            for row in c.execute(held.join_from(leases, runs, leases.c.run_id == runs.c.run_id)):
                seconds = max(0, now - max(row.started_at, since)) / 1000
                found.append(Lately(row.activation, row.run_id, seconds, goes_on=True))
            for part in chunks(activations):
                newest = runs.c.started_at > since - milliseconds(span)
                ended = select(*columns, runs.c.finished_at, ROWS.label("rows")).where(
                    runs.c.activation.in_(part), newest, runs.c.finished_at > since
                )
                for name, run_id, began, over, rows in c.execute(ended):
                    found.append(Lately(name, run_id, (over - max(began, since)) / 1000, rows))
        return found
