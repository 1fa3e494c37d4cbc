"""Which rows a verification reads back: those of one run, or those of an activation, by draw."""

from typing import Protocol

from connector.basis import dataclass
from connector.ledger.records import Delivered
from connector.ledger.reports import Reports
from connector.rules.draw import Draw


class Scope(Protocol):
    """Rows that stand as delivered."""

    @property
    def seed(self) -> str:
        """By what a sample of them is drawn: the same one, the same sample."""

    def rows(self, reports: Reports, until: int, after: int, limit: int) -> list[Delivered]:
        """The next of them, after the delivery with the id `after`, that stand so since `until`
        (milliseconds since 1970) at the latest."""

    def covers(self, row: Delivered) -> bool:
        """Whether a row that was met elsewhere is one of them."""


@dataclass(frozen=True, slots=True)
class OfRun:
    """What one run delivered."""

    run_id: str

    @property
    def seed(self) -> str:
        return self.run_id

    def rows(self, reports: Reports, until: int, after: int, limit: int) -> list[Delivered]:
        return reports.delivered(self.run_id, until, after, limit)

    def covers(self, row: Delivered) -> bool:
        return row.run_id == self.run_id


@dataclass(frozen=True, slots=True)
class Drawn:
    """What was drawn of all that stands as delivered in an activation."""

    activation: str
    draw: Draw

    @property
    def seed(self) -> str:
        return ""

    def rows(self, reports: Reports, until: int, after: int, limit: int) -> list[Delivered]:
        return reports.drawn(self.activation, self.draw, after, limit)

    def covers(self, row: Delivered) -> bool:
        ours = row.activation == self.activation
        return ours and self.draw.takes(row.id, row.changed_at)
