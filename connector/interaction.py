"""What is sent about one row, in no API's dialect."""

from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import blake2b


@dataclass(frozen=True, slots=True)
class Interaction:
    """One happening of one contact.

    `contact` is the value of the contact column as text; what kind of identifier it is stands in
    the activation. `created` is an instant in RFC 3339, or None where it is the time of staging.
    `payload` is the JSON object, byte for byte as it will be sent.
    """

    contact: str
    created: str | None
    payload: bytes

    @property
    def digest(self) -> str:
        """16 bytes of BLAKE2b over all of it, in hex: tells a corrected row from an old one."""
        parts = (self.contact.encode(), (self.created or "").encode(), self.payload)
        return blake2b(b"\x00".join(parts), digest_size=16).hexdigest()


@dataclass(frozen=True, slots=True)
class Invalid:
    """A row that cannot become an interaction. `reason` names properties and kinds, no values."""

    reason: str


def instant_text(moment: datetime) -> str:
    """An aware `moment` in UTC with milliseconds, as Engage's own clients write it.

    Microseconds appear only where they are not zero, so that nothing is cut off.
    """
    utc = moment.astimezone(UTC)
    precision = "milliseconds" if utc.microsecond % 1000 == 0 else "microseconds"
    return utc.isoformat(timespec=precision).replace("+00:00", "Z")
