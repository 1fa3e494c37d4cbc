"""The tokens of a sandbox of MXO: made for credentials, and taken for a while."""

import secrets
from typing import Literal

from connector.basis import dataclass


@dataclass(slots=True)
class Token:
    """A token that was made."""

    expires_at: float
    uses_left: int | None


class Tokens:
    """All tokens, by their texts."""

    def __init__(self) -> None:
        self._live: dict[str, Token] = {}
        self.made = 0

    def make(self, now: float, life: float, uses: int | None, old: Literal["live", "die"]) -> str:
        """Return a new token."""
        if old == "die":
            self._live.clear()
        text = secrets.token_urlsafe(24)
        self._live[text] = Token(now + life, uses)
        self.made += 1
        return text

    def takes(self, text: str, now: float) -> bool:
        """Say whether a token is taken, and count its use."""
        token = self._live.get(text)
        if token is None or now >= token.expires_at or token.uses_left == 0:
            return False
        if token.uses_left is not None:
            token.uses_left -= 1
        return True

    def revoke(self) -> None:
        """Take none any more of those that there are."""
        self._live.clear()
