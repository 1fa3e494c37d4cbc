"""What a request shows to be let in, and what of it must never be told.

Some of it expires. A new token is fetched before a request waits for its turn, never between its
last look and its first byte; however many requests want one, it is fetched once.
"""

import asyncio
import base64
from collections.abc import Awaitable, Callable, Mapping

from connector.basis import dataclass
from connector.rules import clocks

EARLY = 10.0
"""Seconds before its end at which a token is not used any more."""
MOST_UNTRIED = 2
"""Fresh tokens that are refused one after the other, and no further one is tried."""


class Credentials:
    """What opens an API: headers that stay the same; others have classes of their own."""

    def __init__(self, headers: Mapping[str, str], *secrets: str) -> None:
        self._headers, self._secrets = headers, secrets

    @property
    def secrets(self) -> tuple[str, ...]:
        """All texts in use that nobody else may read."""
        return self._secrets

    @property
    def headers(self) -> Mapping[str, str]:
        """What goes along with a request now."""
        return self._headers

    async def ready(self) -> None:
        """See that `headers` are good for a while. Raises DestinationUnusable."""

    def refused(self, headers: Mapping[str, str]) -> bool:
        """A request with these `headers` was not let in: whether another one may be, with new
        ones."""
        return False

    def accepted(self) -> None:
        """A request with the `headers` of now was let in."""

    async def aclose(self) -> None:
        """Close what they are fetched through."""


def api_key(header: str, key: str) -> Credentials:
    """A key in a header of its own."""
    return Credentials({header: key}, key)


def basic(user: str, password: str) -> Credentials:
    """A name and a password (RFC 7617)."""
    encoded = base64.b64encode(f"{user}:{password}".encode()).decode()
    return Credentials({"Authorization": f"Basic {encoded}"}, password, encoded)


@dataclass(frozen=True, slots=True)
class Token:
    """A token, and how many seconds it is good for."""

    text: str
    seconds: float


class Bearer(Credentials):
    """A token that is fetched, and fetched anew before it expires or when it was refused."""

    def __init__(
        self, fetch: Callable[[], Awaitable[Token]], *secrets: str, early: float = EARLY
    ) -> None:
        """`fetch` raises DestinationUnusable; `secrets`: what it shows to get a token; `early`:
        seconds before its end at which a token is not used any more."""
        super().__init__({}, *secrets)
        self._fetch, self._early = fetch, early
        self._texts: list[str] = []
        self._until = 0.0
        self._untried = 0
        """Tokens fetched since one was let in."""
        self._fetching = asyncio.Lock()

    @property
    def secrets(self) -> tuple[str, ...]:
        """The last two tokens too: an answer to a request may still speak of the one before."""
        return (*self._secrets, *self._texts[-2:])

    @property
    def headers(self) -> Mapping[str, str]:
        """The token, or nothing before there is one."""
        return {"Authorization": f"Bearer {self._texts[-1]}"} if self._texts else {}

    async def ready(self) -> None:
        """Fetch a token unless there is one that lasts."""
        async with self._fetching:
            if clocks.now().monotonic < self._until:
                return
            began, token = clocks.now().monotonic, await self._fetch()
            self._texts = [*self._texts[-1:], token.text]
            self._until = began + max(token.seconds - self._early, token.seconds / 2)
            self._untried += 1

    def refused(self, headers: Mapping[str, str]) -> bool:
        """One that was let in before, or is replaced by now, may just be too old. One that was
        fetched just now may have been ended by somebody who fetched another; the second such in a
        row would be refused again."""
        if headers == self.headers:
            self._until = 0.0
            return self._untried < MOST_UNTRIED
        return True

    def accepted(self) -> None:
        """It is good, for as long as it is."""
        self._untried = 0
