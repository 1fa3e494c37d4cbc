"""The wire under httpx: aiohttp's connections, and what their failures prove.

httpx's own pool looks at all its requests and connections at every event, and falls from 1,350
requests a second to 154 when 64 are under way (encode/httpx#3215). aiohttp's does not. What is kept
of httpx are its requests, its answers and its errors; nothing above this module knows of another.
"""

import select
import socket
import struct
from contextlib import suppress
from contextvars import ContextVar
from functools import lru_cache
from typing import Any

import aiohttp
import httpx
from multidict import CIMultiDict
from yarl import URL

from connector.destinations.answers import bounded, unpacked
from connector.destinations.hooks import CalledOff, LastLook, nothing_to_see
from connector.destinations.routes import NoWay, Route

KEEPALIVE = 5.0
"""Seconds an idle connection is kept: shorter than servers do, so that none dies under a POST."""
RESET, FAREWELL = struct.pack("ii", 1, 0), struct.pack("ii", 0, 0)
"""SO_LINGER: whether a closed socket throws away what has not arrived yet, or goes on with it."""
USER_TIMEOUT: int | None = getattr(socket, "TCP_USER_TIMEOUT", None)


class Under:
    """What is known of a request that is under way: the `transport` once there is one."""

    def __init__(self, last_look: LastLook, whole: float) -> None:
        """`whole`: seconds until it is given up."""
        self.last_look, self._whole = last_look, max(1, round(whole * 1000))
        self.transport: Any = None

    def look(self) -> None:
        """Directly before a byte is written. Raises CalledOff."""
        if why_not := self.last_look():
            raise CalledOff(why_not)

    def begins(self, transport: Any) -> None:
        """From now on nothing of it is to arrive once we have given it up.

        The kernel would go on sending what it holds of a closed connection for minutes, and of
        one whose process stands still; asyncio goes on with what the kernel has not taken yet.
        """
        self.transport = transport
        _set(transport, socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        if USER_TIMEOUT is not None:
            _set(transport, socket.IPPROTO_TCP, USER_TIMEOUT, self._whole)

    def given_up(self) -> None:
        """Whatever of it has not arrived yet never will."""
        if self.transport is not None:
            self.transport.abort()


UNDER: ContextVar[Under] = ContextVar("under")


def _set(transport: Any, level: int, option: int, value: int | bytes) -> None:
    with suppress(OSError):  # it is closed by now
        transport.get_extra_info("socket").setsockopt(level, option, value)


class Request(aiohttp.ClientRequest):
    """A request that is looked at once more when its connection is there: to make one can take
    longer than a request may lie about."""

    async def send(self, conn: Any) -> aiohttp.ClientResponse:
        """Its head is written here, and all of it where there is no body."""
        under = UNDER.get()
        try:
            under.look()
        except CalledOff:
            conn.release()  # nothing was written, so the next one need not make a connection
            raise
        under.begins(conn.transport)
        return await super().send(conn)

    async def write_bytes(self, writer: Any, conn: Any, *rest: Any) -> None:
        """Its head and its body are written here, in a task of its own that came to its turn."""
        try:
            UNDER.get().look()
        except CalledOff as called_off:
            conn.protocol.set_exception(called_off)
        else:
            await super().write_bytes(writer, conn, *rest)


class Pool(aiohttp.TCPConnector):
    """A pool that lends no connection on which something lies that nobody has asked for.

    aiohttp would take such bytes (a proxy's 408 as it gives the connection up, an answer sent
    twice) for the answer to the next request. What idles in it is closed with a farewell.
    """

    async def _get(self, *args: Any) -> Any:
        while (connection := await super()._get(*args)) is not None:
            if _silent(connection):
                break
            connection.close()
        return connection

    def _release(self, key: Any, protocol: Any, *, should_close: bool = False) -> None:
        if not (should_close or protocol.should_close):  # the whole answer has come
            _set(protocol.transport, socket.SOL_SOCKET, socket.SO_LINGER, FAREWELL)
        super()._release(key, protocol, should_close=should_close)


def _silent(connection: Any) -> bool:
    """Nothing has come, and nothing waits in the socket: no byte, no end."""
    if connection.protocol.should_close:
        return False
    poll = select.poll()
    poll.register(connection.transport.get_extra_info("socket"), select.POLLIN)
    return not poll.poll(0)


class Connections(httpx.AsyncBaseTransport):
    """Keep-alive connections, as many as there are requests under way.

    No request is ever repeated: a connection that dies under one is an error, whatever the method.
    Raises httpx.ConnectError and httpx.ConnectTimeout only where not a byte of the request was
    written; every other error may have come after the last.
    """

    def __init__(self, secure: bool, route: Route | None = None) -> None:
        """`route`: by which all is reached; None: directly."""
        usual = httpx.create_ssl_context() if secure and route is None else None
        self._verify = route.context if route else usual
        self._proxy = route.proxy if route else None
        self._session: aiohttp.ClientSession | None = None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        session = self._session or self._open()
        spans = request.extensions["timeout"]
        under = Under(request.extensions.get("last_look") or nothing_to_see, spans["read"])
        UNDER.set(under)
        try:
            async with session.request(
                request.method,
                URL(str(request.url), encoded=True),
                headers=_headers(tuple(request.headers.raw)),
                data=request.content or None,
                allow_redirects=False,
                proxy=self._proxy,
                timeout=_timeout(spans["connect"], spans["read"]),
            ) as response:
                whole = await bounded(response.content.iter_any())
            content = unpacked(whole, response.headers.getall("Content-Encoding", ()))
            heads = [h for h in response.raw_headers if h[0].lower() != b"content-encoding"]
            return httpx.Response(response.status, headers=heads, content=content)
        except BaseException as error:
            under.given_up()
            if isinstance(error, httpx.DecodingError):
                error.request = request
                raise
            if isinstance(error, CalledOff) or not isinstance(error, Exception):
                raise
            # whatever is wrong with an answer, it is one that cannot be used, and no defect of ours
            raise _as_httpx(error, request) from error

    async def aclose(self) -> None:
        if self._session is not None:
            await self._session.close()

    def _open(self) -> aiohttp.ClientSession:
        """A session belongs to the event loop that runs when it is made."""
        self._session = session = aiohttp.ClientSession(
            connector=Pool(limit=0, keepalive_timeout=KEEPALIVE, ssl=self._verify or True),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,  # httpx does it
            skip_auto_headers=("Accept", "Accept-Encoding", "Content-Type", "User-Agent"),
            trust_env=False,
            request_class=Request,
        )
        # aiohttp would send a GET or a DELETE once more when a kept connection dies under it; what
        # is repeated, and when, is decided above
        session._retry_connection = False
        return session


@lru_cache(maxsize=16)
def _headers(raw: tuple[tuple[bytes, bytes], ...]) -> CIMultiDict[str]:
    return CIMultiDict((name.decode("ascii"), value.decode()) for name, value in raw)


@lru_cache(maxsize=16)
def _timeout(connect: float, whole: float) -> aiohttp.ClientTimeout:
    """Until the whole answer is there: an answer that trickles in for ever is none. `connect` is
    for all of connecting, the look-up of the name and the TLS handshake too."""
    return aiohttp.ClientTimeout(total=whole, connect=connect)


def _as_httpx(error: Exception, request: httpx.Request) -> httpx.RequestError:
    """The error of httpx that says the same, and no more than is known."""
    match error:
        # the first four come from making a connection alone: only they prove that nothing was sent
        case aiohttp.ClientHttpProxyError(status=status):
            return NoWay(f"the proxy says HTTP {status}", request=request)  # and makes no tunnel
        case aiohttp.ClientConnectorCertificateError():
            said = "its certificate is not believed; ca_file names more that are"
            return NoWay(said, request=request)
        case aiohttp.ConnectionTimeoutError():
            kind: type[httpx.RequestError] = httpx.ConnectTimeout
        case aiohttp.ClientConnectorError():
            kind = httpx.ConnectError
        case TimeoutError():
            kind = httpx.ReadTimeout
        case aiohttp.ServerDisconnectedError() | aiohttp.ClientPayloadError():
            kind = httpx.RemoteProtocolError
        case aiohttp.ClientResponseError():
            kind = httpx.RemoteProtocolError
        case aiohttp.ClientOSError() | OSError():
            kind = httpx.ReadError
        case _:
            kind = httpx.RequestError
    return kind(str(error) or type(error).__name__, request=request)
