"""The last look at a request, directly before its first byte: whether it may still go out."""

from collections.abc import Callable

LastLook = Callable[[], str | None]
"""Gives the reason why the request must not go out; None: it may."""


class CalledOff(Exception):
    """The last look at a request gave a reason, and not a byte of it was written."""


def nothing_to_see() -> None:
    """The last look at a request that may go out at any time."""
