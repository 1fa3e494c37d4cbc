"""What every destination over HTTP has, to be inherited: its wire, its pace, and how it stops."""

from copy import copy
from typing import Self

import httpx

from connector.destinations.credentials import Credentials
from connector.destinations.dates import DestinationClock
from connector.destinations.hooks import Observer, Stopping
from connector.destinations.http import (
    PLAIN,
    Dialect,
    Http,
    refuse_credentials,
    refuse_redirect,
)
from connector.destinations.pacing import Wire, never
from connector.destinations.port import Wiring
from connector.destinations.settings import DestinationSettings
from connector.rules.errors import DestinationUnusable


class Api:
    """One API under one set of credentials. Belongs to the event loop in which it is used."""

    def __init__(
        self,
        base: str,
        settings: DestinationSettings,
        credentials: Credentials,
        wiring: Wiring,
        dialect: Dialect = PLAIN,
    ) -> None:
        """`base`: the url that every path is added to."""
        self.concurrency, self.pacer = settings.concurrency, wiring.pacer
        self.base = base.rstrip("/")
        self._secret_word = settings.secret_word
        self._wire = Wire(settings.concurrency, wiring.pacer)
        self.http = Http(
            self.base, credentials, settings.timeout, self._wire, settings.user_agent, dialect
        )
        self._stopping: Stopping = never

    def heeding(self, stopping: Stopping) -> Self:
        """The same client for somebody who may be asked to stop: what may be repeated is not begun
        any more then, and no further page is asked for."""
        before, mine = self._stopping, copy(self)
        mine._stopping = lambda: stopping() or before()
        return mine

    def observed_by(self, observer: Observer) -> None:
        """Tell `observer` of every request from now on."""
        self.http.observe = observer

    async def aclose(self) -> None:
        """Close every connection."""
        await self.http.aclose()

    @property
    def clock(self) -> DestinationClock:
        """What time it is there, as far as its answers tell."""
        return self.http.clock

    async def come_near(self, stopping: Stopping) -> None:
        """Wait for leave to put a parcel on record, or until `stopping`. It is sent then, or it
        goes away."""
        await self._wire.come_near(stopping)

    def go_away(self) -> None:
        """A parcel that came near will not be sent."""
        self._wire.go_away()

    def call_off(self) -> None:
        """Whoever is to stop does not wait any more."""
        self._wire.call_off()

    async def get(self, path: str, params: dict[str, str] | None = None) -> httpx.Response | str:
        """GET, patiently, until it is to stop; a text says why there is no useful answer."""
        return await self.http.get(path, params, self._stopping)

    async def remove(self, path: str) -> httpx.Response | str:
        """DELETE, patiently, of a thing by an id that nothing else will ever have."""
        return await self.http.remove(path, self._stopping)

    def words(self, response: httpx.Response) -> str:
        """What it says in an error, without secrets."""
        return self.http.words(response)

    def refuse_all(self, response: httpx.Response) -> None:
        """Raises DestinationUnusable for an answer that every request would get: a redirect, or
        credentials that are refused."""
        refuse_redirect(response)
        refuse_credentials(response, self._secret_word)

    def useful(self, answer: httpx.Response | str) -> httpx.Response:
        """`answer`, if there is one. Raises DestinationUnusable."""
        if isinstance(answer, str):
            raise DestinationUnusable(f"the destination {self.base} gives no answer: {answer}")
        self.refuse_all(answer)
        return answer
