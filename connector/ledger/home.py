"""What is recorded of an activation itself."""

import json
from dataclasses import field
from typing import Any

from connector.basis import dataclass
from connector.ledger.records import Edition, Remembered, stored_remembered, stored_watermark
from connector.rules.hold import Hold
from connector.rules.watermark import Watermark


@dataclass(frozen=True, slots=True)
class Home:
    """What is recorded of an activation itself. `begun`: some run has read the whole model;
    `edition`: how it was written when its model was last read to the end; `hold`: the figures of
    the run that waits for approval."""

    mark: Watermark = Watermark()
    begun: bool = False
    edition: Edition = field(default_factory=dict)
    hold: Hold | None = None
    remembered: Remembered = Remembered()

    def edited(self, now: Edition) -> list[str]:
        """Which parts of an activation are written in another way than at its last reading."""
        was = self.edition
        names = now.keys() | was.keys() if was else ()
        return sorted(name for name in names if was.get(name) != now.get(name))


def home_of(row: Any) -> Home:
    """What the row of an activation says of it."""
    return Home(
        mark=stored_watermark(row),
        begun=row.begun_at is not None,
        edition=json.loads(row.edition) if row.edition else {},
        hold=Hold.of(row.held) if row.held else None,
        remembered=stored_remembered(row),
    )
