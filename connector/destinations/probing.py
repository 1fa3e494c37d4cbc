"""Requests by which a destination is measured: each made once, timed, and shown without secrets."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from connector.destinations.answers import Response
from connector.destinations.bodies import Body
from connector.destinations.dates import seconds_of
from connector.destinations.hooks import LastLook, nothing_to_see
from connector.destinations.http import Http, asked_to_wait, json_of
from connector.rules.delivery import NotApplied, Unknown
from connector.rules.probing import Evidence

LEAST_PAUSE, LARGEST_PAUSE, GROWTH = 0.05, 5.0, 0.1
"""Seconds between two looks at something that is waited for: a tenth of what was waited already."""
TRIES = 6
SHORTEST = 0.5
"""Seconds within which a thing that is there at the first look counts as there at once."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """A request and its answer. `status` None: there was none, and `why`; `sent` and `came` are
    seconds of a clock that nobody sets."""

    method: str
    path: str
    sent: float
    came: float
    status: int | None = None
    content: Any = None
    why: str = ""
    unsent: bool = False

    @property
    def succeeded(self) -> bool:
        return self.status is not None and 200 <= self.status < 300

    @property
    def refused(self) -> bool:
        """The destination says that it will not have this."""
        return self.status is not None and 400 <= self.status < 500

    def shown(self, **more: Any) -> Evidence:
        """What may be shown of it."""
        said = {"why": self.why} if self.why else {}
        return {"method": self.method, "path": self.path, "status": self.status, **said, **more}


@dataclass(slots=True)
class Asker:
    """Makes requests, each at most as often as it may be made, and sees when they were answered.

    `hide`: texts that are not to be shown, and what stands for each.
    """

    client: Http
    hide: Mapping[str, str] = field(default_factory=dict)
    skew: tuple[float, float] | None = None
    """Between which seconds the destination's clock is ahead of ours, as far as its answers say."""
    dates: int = 0

    async def ask(self, method: str, path: str, client: Http | None = None) -> Exchange:
        """A request that may be repeated: until there is an answer that says something."""
        for left in range(TRIES - 1, -1, -1):
            exchange = await self.once(method, path, client=client)
            passing = exchange.status is None or exchange.status == 429 or exchange.status >= 500
            if not passing or not left:
                return exchange
            await asyncio.sleep(0.2 * (TRIES - left))
        raise AssertionError("unreachable")

    async def once(
        self,
        method: str,
        path: str,
        body: Body | None = None,
        last_look: LastLook = nothing_to_see,
        client: Http | None = None,
        came_near: bool = False,
    ) -> Exchange:
        """One request, once."""
        began = [time.monotonic(), time.time()]

        def look() -> str | None:
            began[:] = time.monotonic(), time.time()
            return last_look()

        client = client or self.client
        answer = await client.once(method, path, body, look, came_near)
        exchange = Exchange(method, self.shown(path), began[0], time.monotonic())
        match answer:
            case Response():
                self._saw(answer, began[1])
                if answer.status_code == 429:
                    wait = asked_to_wait(answer)
                    client.wire.pacer.slow_down(wait.total_seconds() if wait else 1.0)
                words = "" if answer.is_success else client.words(answer)
                said = words.partition(": ")[2]
                status = answer.status_code
                return replace(
                    exchange, status=status, content=json_of(answer), why=self.shown(said)
                )
            case NotApplied(reason):
                return replace(exchange, why=reason, unsent=True)
            case Unknown(reason):
                return replace(exchange, why=reason)

    def shown(self, text: str) -> str:
        """`text` without what is hidden."""
        for secret, name in self.hide.items():
            text = text.replace(secret, name)
        return text

    def _saw(self, response: Response, sent: float) -> None:
        """A Date lies between the request and its answer; it has no fractions."""
        date = seconds_of(response.headers.get("Date", ""))
        if date is None or "Age" in response.headers:
            return
        self.dates += 1
        least, most = date - time.time(), date + 1 - sent
        if self.skew is not None:
            least, most = max(least, self.skew[0]), min(most, self.skew[1])
        self.skew = least, most


def pause_after(waited: float) -> float:
    """Seconds until the next look at what was waited for so long already."""
    return min(max(LEAST_PAUSE, GROWTH * waited), LARGEST_PAUSE)


def lasted(sent: float, first: bool, seen: float) -> float:
    """How many seconds something took that began with a request `sent`, and was over when it was
    `seen`; `first`: at the first look. Never less than it took."""
    span = seen - sent
    return 0.0 if first and span < SHORTEST else round(span, 2)
