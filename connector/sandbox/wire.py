"""One connection as a fault sees it: answers, and all the ways of not answering."""

import asyncio
import contextlib
import socket
import struct
from asyncio import Transport
from collections.abc import Callable
from typing import Any

from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from connector.sandbox.exchange import Answer

#: On, with no time to linger: closing such a socket sends a reset instead of a farewell.
RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class OpenProtocol(HttpToolsProtocol):
    """Shows each request the transport that it came over, as `scope["state"]["transport"]`."""

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        self.app_state: dict[str, Any] = {"transport": transport}
        # Head and body are two writes: without this, the second waits 40 ms for an acknowledgement.
        sock = transport.get_extra_info("socket")
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        super().connection_made(transport)


class Wire:
    """Ends one request. Exactly one of `answer`, `cut`, `reset` and `hang` is to be called."""

    def __init__(
        self, scope: Scope, receive: Receive, send: Send, date: Callable[[], str | None]
    ) -> None:
        """`date`: what an answer says when it was made."""
        self._date = date
        self._transport: Transport = scope["state"]["transport"]
        self._receive = receive
        self._send = send

    async def body(self) -> bytes:
        """Return the body of the request, when all of it has arrived."""
        message = await self._receive()
        body: bytes = message.get("body", b"")
        while message.get("more_body"):
            message = await self._receive()
            body += message.get("body", b"")
        return body

    async def answer(self, answer: Answer) -> None:
        """Send a whole answer."""
        await self._start(answer)
        await self._send({"type": "http.response.body", "body": answer.body})

    async def cut(self, answer: Answer) -> None:
        """Send the head and half of the body, and close."""
        await self._start(answer)
        half = answer.body[: len(answer.body) // 2]
        await self._send({"type": "http.response.body", "body": half, "more_body": True})
        self._transport.close()
        await self._until_gone()

    async def reset(self) -> None:
        """Reset the connection, so that the caller reads ECONNRESET."""
        sock = self._transport.get_extra_info("socket")
        with contextlib.suppress(OSError):  # the caller may be gone, and the socket closed
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
        self._transport.abort()
        await self._until_gone()

    async def hang(self, seconds: float) -> None:
        """Say nothing until the caller gives up, or so many seconds; then close."""
        await self.pause(seconds)
        self._transport.abort()
        await self._until_gone()

    async def pause(self, seconds: float) -> None:
        """Wait so many seconds, or until the caller is gone."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._until_gone()

    async def _start(self, answer: Answer) -> None:
        headers = [(b"content-type", answer.content_type), *answer.headers]
        if date := self._date():
            headers.append((b"date", date.encode()))
        if answer.status != 204:
            headers.append((b"content-length", b"%d" % len(answer.body)))
        await self._send(
            {"type": "http.response.start", "status": answer.status, "headers": headers}
        )

    async def _until_gone(self) -> None:
        # Returning before uvicorn knows that the caller is gone would make it answer with a 500.
        while (await self._receive())["type"] != "http.disconnect":
            pass
