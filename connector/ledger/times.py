"""Times of the ledger, as people and programs read them."""

from datetime import UTC, datetime

from connector.rules.interaction import instant_text


def instant(milliseconds: int | None) -> str | None:
    """A time of the ledger in RFC 3339."""
    if milliseconds is None:
        return None
    return instant_text(datetime.fromtimestamp(milliseconds / 1000, UTC))
