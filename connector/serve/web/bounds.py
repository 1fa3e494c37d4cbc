"""Bounds on what anybody who reaches the port can cost: connections, time and bytes.

The pages share their process with the runs. Whoever opens connections without end, or sends a
request byte by byte, must take nothing from them.
"""

import asyncio
from typing import cast

from starlette.requests import Request
from uvicorn.protocols.http.h11_impl import H11Protocol

try:
    import resource
except ImportError:  # Windows, which has no such bound
    resource = None  # type: ignore[assignment]

REQUEST_WITHIN = 15.0
"""Seconds for a whole request, from its connection or from the last answer on."""
ANSWER_WITHIN = 120.0
"""Seconds for an answer to be made and taken: a preview may wait for its warehouse."""
MOST_CONNECTIONS = 200
MOST_AT_ONCE = 32
"""Connections that are taken on before the first of them is looked at."""
MOST_OF_A_BODY = 1024 * 1024
"""Bytes of a form: far more than the pages send."""
MOST_OF_A_WEBHOOK = 256 * 1024
"""Bytes: far more than one contact takes, or a job of dbt."""
MOST_OF_A_HEAD = 32 * 1024
"""Bytes of a request's head."""


def most_connections() -> int:
    """A quarter of the descriptors that the process may have; the runs need the rest."""
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0] if resource else -1
    return MOST_CONNECTIONS if soft < 0 else max(4, min(MOST_CONNECTIONS, soft // 4))


async def body_within(request: Request) -> bytes | None:
    """What was sent; None where that is too long for a webhook."""
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > MOST_OF_A_WEBHOOK:
            return None
    return bytes(body)


class Bounded(H11Protocol):
    """A connection that is closed when it takes too long, or when there are too many."""

    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Count it; where there are too many, one that has asked for nothing yet must go."""
        super().connection_made(transport)
        self._end_after(REQUEST_WITHIN)
        open_ones = [c for c in cast("set[Bounded]", self.connections) if not c.is_ending]
        if len(open_ones) > most_connections():
            idle = (c for c in open_ones if c is not self and c.is_idle)
            min(idle, key=lambda c: c.ends_at, default=self).transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """It needs no deadline any more."""
        self._end_after(None)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Once the request is whole, the time for its answer begins."""
        waited = self.is_idle
        super().data_received(data)
        if waited and not self.is_idle:
            self._end_after(ANSWER_WITHIN)

    def on_response_complete(self) -> None:
        """The time for the next request begins; what is left of this one has no more than that."""
        super().on_response_complete()
        self._end_after(REQUEST_WITHIN if self.is_idle else ANSWER_WITHIN)

    @property
    def is_idle(self) -> bool:
        """Whether no whole request is being answered."""
        return self.cycle is None or self.cycle.more_body or self.cycle.response_complete

    @property
    def is_ending(self) -> bool:
        """Whether it is closed already, though not gone yet."""
        return self.transport.is_closing()

    @property
    def ends_at(self) -> float:
        """When it is closed, by the loop's clock."""
        return self._deadline.when() if self._deadline else 0.0

    def _end_after(self, seconds: float | None) -> None:
        if self._deadline:
            self._deadline.cancel()
            self._deadline = None
        if seconds is not None:
            self._deadline = self.loop.call_later(seconds, self.transport.abort)
