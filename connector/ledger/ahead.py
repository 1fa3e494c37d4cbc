"""What was recorded while the ledger's clock was ahead, and is later than now since that was put
back: nothing rests, waits or lasts for as long as that was."""

from typing import Any

AHEAD = 30_000
"""Milliseconds by which the ledger's clock may be set back, and nothing comes of it."""


def is_ahead(at: Any, now: Any) -> Any:
    """Whether, or the condition that, a time at which something was recorded is still to come."""
    return at > now + AHEAD
