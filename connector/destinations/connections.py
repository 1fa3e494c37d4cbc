"""The wire: connections of our own, on which a request is one write that nothing repeats.

A request that failed may be sent again only where it is known not to have arrived. So it is said by
the place where it failed, not by the kind of its error: whatever happens before the one `write` of
`Connection.ask` is NeverSent, whatever happens from there on is NoAnswer. HTTP/1.1 is RFC 9112,
what its messages mean RFC 9110.
"""

import asyncio
import re
import select
import socket
import ssl
import struct
from contextlib import suppress
from functools import lru_cache
from typing import cast
from urllib.parse import SplitResult, quote, unquote, urlsplit

from connector.destinations.answers import (
    CUT,
    NeverSent,
    NoAnswer,
    Reading,
    Request,
    Response,
)
from connector.destinations.credentials import basic
from connector.destinations.hooks import CalledOff, LastLook
from connector.destinations.reaching import reached
from connector.destinations.routes import Route, usual_certificates
from connector.rules.place import DEFAULT_PORTS, authority

KEEPALIVE = 5.0
"""Seconds an idle connection is kept: shorter than servers do, so that none dies under a POST."""
GOODBYE = 1.0
"""Seconds that a server has to say goodbye, too."""
RESET, FAREWELL = struct.pack("ii", 1, 0), struct.pack("ii", 0, 0)
"""SO_LINGER: whether a closed socket throws away what has not arrived yet, or goes on with it."""
USER_TIMEOUT: int | None = getattr(socket, "TCP_USER_TIMEOUT", None)
LONGEST_COUNTED = 2**31 - 1
"""Milliseconds that the kernel takes for it at most: more than three weeks."""
TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
"""RFC 9110, section 5.6.2."""
VALUE = re.compile(r"[^\x00-\x08\x0a-\x1f\x7f]*")
"""What a value of a header may hold: nothing that ends it (RFC 9110, section 5.5)."""
IN_A_TARGET = "/?:@!$&'()*+,;=-._~%[]"
"""What stands in a request's target as it is (RFC 3986, sections 3.3 and 3.4)."""


class Connection(asyncio.Protocol):
    """One connection: one request at a time, and silence between two of them.

    Unless it is closed as one closes connections, nothing of a request is to arrive once we have
    given it up. The kernel would go on sending what it holds of a closed connection for minutes,
    and of one whose process stands still or is killed; asyncio goes on with what the kernel has not
    taken yet.
    """

    def __init__(self, whole: float, those_open: set["Connection"]) -> None:
        """`whole`: seconds until a request is given up; `those_open`: it is among them as long as
        it is one of them."""
        self._whole, self._those_open = whole, those_open
        self.transport: asyncio.Transport
        self.gone: asyncio.Future[None]
        self.idle_since = 0.0
        self._reading: Reading | None = None
        """The answer that is waited for."""
        self._come: asyncio.Future[None]
        self._until = 0.0
        self._alarm: asyncio.TimerHandle | None = None
        """Looks whether the answer is late; one for many requests, most of which are not."""
        self._poll = select.poll()

    async def ask(
        self, head: bytes, request: Request, until: float, tunnel: bool = False
    ) -> Response:
        """Write a request, `head` and body at once, and read its answer, `until` a time of the
        loop. `tunnel`: it is CONNECT. Raises NoAnswer."""
        loop = asyncio.get_running_loop()
        self._reading = reading = Reading(head_alone=tunnel)
        self._come = loop.create_future()
        self._until = until
        if self._alarm is None or self._alarm.when() > until:
            self._set_alarm()
        try:
            self.transport.write(head + request.content)  # from here on it may arrive
            await self._come
            response = reading.response(request)
        except BaseException as error:
            self.give_up()
            if isinstance(error, Exception) and not isinstance(error, NoAnswer):
                raise NoAnswer("the connection broke") from error
            raise
        if self.transport.get_write_buffer_size():  # answered before it was all written
            self.give_up()
        elif not reading.may_go_on:
            self.hang_up()
        return response

    def is_silent(self) -> bool:
        """It is open, nothing has come, and nothing waits in its socket: no byte, no end. A server
        that gives a connection up may say so by an answer (408), which would be taken for the one
        to the next request (RFC 9112, section 9.5)."""
        return self.is_open() and not self._poll.poll(0)

    def is_open(self) -> bool:
        """Nobody has closed it, as far as the loop knows."""
        return not self.transport.is_closing()

    def hang_up(self) -> None:
        """Close it: both sides have all that they were to have."""
        self._linger(FAREWELL)
        self.transport.close()

    def give_up(self) -> None:
        """Whatever of a request has not arrived yet never will."""
        self._reading = None
        self.transport.abort()

    def passed_on(self) -> None:
        """It is another's from now on, or nobody's."""
        self._those_open.discard(self)
        self.gone.set_result(None)

    # --- what the loop tells --------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.gone = asyncio.get_running_loop().create_future()
        self._those_open.add(self)
        self._poll.register(transport.get_extra_info("socket").fileno(), select.POLLIN)
        self._linger(RESET)
        if USER_TIMEOUT is not None:
            counted = min(max(1, round(self._whole * 1000)), LONGEST_COUNTED)
            self._set(socket.IPPROTO_TCP, USER_TIMEOUT, counted)

    def data_received(self, data: bytes) -> None:
        if self._reading is None:  # nobody has asked
            self.hang_up()
            return
        try:
            self._reading.feed(data)
        except NoAnswer as failure:
            self._fail(failure)
        else:
            self._see_whether_it_is_whole()

    def eof_received(self) -> None:
        if self._reading is None:
            self._linger(FAREWELL)
        else:
            self._reading.end()
            self._see_whether_it_is_whole()

    def connection_lost(self, error: Exception | None) -> None:
        self._fail(NoAnswer("the connection broke" if error else CUT))
        if self._alarm is not None:
            self._alarm.cancel()
        self.passed_on()

    def _see_whether_it_is_whole(self) -> None:
        if self._reading is not None and self._reading.is_whole:
            self._reading = None
            if not self._come.done():
                self._come.set_result(None)

    def _see_whether_it_is_late(self) -> None:
        self._alarm = None
        if self._reading is None:
            return
        if _now() < self._until:  # it is another request than the one for which it was set
            self._set_alarm()
        else:
            self._fail(NoAnswer("no answer within the time-out"))

    def _set_alarm(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        loop = asyncio.get_running_loop()
        self._alarm = loop.call_at(self._until, self._see_whether_it_is_late)

    def _fail(self, failure: NoAnswer) -> None:
        if self._reading is not None and not self._come.done():
            self._come.set_exception(failure)

    def _linger(self, how: bytes) -> None:
        self._set(socket.SOL_SOCKET, socket.SO_LINGER, how)

    def _set(self, level: int, option: int, value: int | bytes) -> None:
        with suppress(OSError):  # it is closed by now
            self.transport.get_extra_info("socket").setsockopt(level, option, value)


class Connections:
    """Connections to one API, as many as there are requests under way, kept for a while after.

    No request is ever repeated: a connection that dies under one is an error, whatever the method.
    """

    def __init__(self, base: str, connect: float, whole: float, route: Route | None = None) -> None:
        """`base`: the url of the API; `connect`: seconds for all of connecting, the look-up of the
        name and the TLS handshake too; `whole`: seconds until the whole answer is there: one that
        trickles in for ever is none; `route`: by which it is reached; None: directly. Belongs to
        the loop in which it is used."""
        url, self._connect, self._whole = urlsplit(base), connect, whole
        self._host, self._port = _host_of(url), _port_of(url)
        self._proxy = urlsplit(route.proxy) if route and route.proxy else None
        self._context = route.context if route else None
        if self._context is None and "https" in (url.scheme, self._proxy and self._proxy.scheme):
            self._context = usual_certificates()
        self._secure = url.scheme == "https"
        self._prefix = url.path
        there = authority(self._host, url.port)
        self._fields: tuple[tuple[str, str], ...] = (("Host", there),)
        if self._proxy and not self._secure:  # it gets the whole url (RFC 9112, section 3.2.2)
            self._prefix = f"http://{there}{url.path}"
            self._fields += _shown_to(self._proxy)
        self._open = set[Connection]()
        self._idle: list[Connection] = []
        """The last one was used last."""
        self._sweeping: asyncio.TimerHandle | None = None
        self._closed = False

    async def exchange(self, request: Request, last_look: LastLook) -> Response:
        """Make `request`, unless the `last_look`, directly before it is written, gives a reason
        against it. Raises CalledOff, NeverSent and NoAnswer."""
        head, now = self._head_of(request), _now()
        until = now + self._whole
        connection = self._lent(now) or await self._connected(until)
        try:
            if why_not := last_look():
                raise CalledOff(why_not)
        except BaseException:
            self._keep(connection)  # nothing was written, so the next one need not make one
            raise
        if not connection.is_open():
            raise NeverSent("could not connect")
        response = await connection.ask(head, request, until)
        self._keep(connection)
        return response

    async def aclose(self) -> None:
        """Close what idles, and from now on whatever comes back. With TLS the server says goodbye,
        too, for which it is given some time."""
        self._closed = True
        if self._sweeping is not None:
            self._sweeping.cancel()
        self._let_go(len(self._idle))
        if leaving := [each for each in self._open if not each.is_open()]:
            await asyncio.wait([each.gone for each in leaving], timeout=GOODBYE)
        if staying := self._open.intersection(leaving):
            for each in staying:
                each.give_up()
            await asyncio.wait([each.gone for each in staying], timeout=GOODBYE)

    # --- what is kept ---------------------------------------------------------------------------

    def _lent(self, now: float) -> Connection | None:
        """The one that was used last, if it is good for another request."""
        oldest = now - KEEPALIVE
        while self._idle:
            connection = self._idle.pop()
            if connection.idle_since > oldest and connection.is_silent():
                return connection
            connection.hang_up()
        return None

    def _keep(self, connection: Connection) -> None:
        if self._closed:
            connection.hang_up()
        elif connection.is_open():
            connection.idle_since = _now()
            self._idle.append(connection)
            if self._sweeping is None:
                self._sweep()

    def _sweep(self) -> None:
        """Close what has idled for long enough, now and again, as long as anything idles."""
        oldest = _now() - KEEPALIVE
        self._let_go(sum(connection.idle_since <= oldest for connection in self._idle))
        again = asyncio.get_running_loop().call_later
        self._sweeping = again(KEEPALIVE, self._sweep) if self._idle else None

    def _let_go(self, number: int) -> None:
        """Of so many that were not used for the longest time."""
        for connection in self._idle[:number]:
            connection.hang_up()
        del self._idle[:number]

    # --- connecting: nothing of a request is written here ---------------------------------------

    async def _connected(self, until: float) -> Connection:
        """A new connection. Raises NeverSent."""
        try:
            async with asyncio.timeout(self._connect):
                return await self._reached(until)
        except NeverSent:
            raise
        except TimeoutError:
            raise NeverSent("connecting took too long") from None
        except ssl.SSLCertVerificationError as error:
            said = "its certificate is not believed; ca_file names more that are"
            raise NeverSent(said) from error
        except Exception as error:
            raise NeverSent("could not connect") from error

    async def _reached(self, until: float) -> Connection:
        if self._proxy is None:
            return await self._opened(self._host, self._port, self._secure)
        secure = self._proxy.scheme == "https"
        connection = await self._opened(_host_of(self._proxy), _port_of(self._proxy), secure)
        if not self._secure:
            return connection
        try:
            return await self._through(connection, until)
        except BaseException:
            connection.give_up()
            raise

    async def _opened(self, host: str, port: int, secure: bool) -> Connection:
        """A connection to whichever address of `host` takes it first."""
        _, connection = await asyncio.get_running_loop().create_connection(
            lambda: Connection(self._whole, self._open),
            sock=await reached(host, port),
            ssl=self._context if secure else None,
            server_hostname=host.rstrip(".") if secure else None,
        )
        return connection

    async def _through(self, tunnel: Connection, until: float) -> Connection:
        """A connection inside of a `tunnel` that the proxy makes (RFC 9110, section 9.3.6)."""
        assert self._proxy is not None
        assert self._context is not None
        target = authority(self._host, self._port)
        fields = _lines((("Host", target), *_shown_to(self._proxy)))
        head = f"CONNECT {target} HTTP/1.1\r\n".encode() + fields + b"\r\n"
        answer = await tunnel.ask(head, Request("CONNECT", ""), until, tunnel=True)
        if not answer.is_success:
            raise NeverSent(f"the proxy says HTTP {answer.status_code}")
        inside, name = Connection(self._whole, self._open), self._host.rstrip(".")
        transport = await asyncio.get_running_loop().start_tls(
            tunnel.transport, inside, self._context, server_hostname=name
        )
        assert transport is not None
        tunnel.passed_on()
        inside.connection_made(transport)
        return inside

    # --- the head of a request ------------------------------------------------------------------

    def _head_of(self, request: Request) -> bytes:
        """Raises ValueError where a header would be more than one."""
        line = f"{request.method} {_target(self._prefix + request.path)} HTTP/1.1\r\n"
        head = line.encode() + _lines(self._fields + request.headers)
        if request.content or request.method != "GET":  # RFC 9110, section 8.6
            head += b"Content-Length: %d\r\n" % len(request.content)
        return head + b"\r\n"


@lru_cache(maxsize=64)
def _target(text: str) -> str:
    """As it stands in the first line: nothing in it ends it."""
    return quote(text if text[:1] not in ("", "?") else f"/{text}", safe=IN_A_TARGET)


@lru_cache(maxsize=16)
def _lines(fields: tuple[tuple[str, str], ...]) -> bytes:
    for name, value in fields:
        if not (TOKEN.fullmatch(name) and VALUE.fullmatch(value)):
            raise ValueError(f"no header of HTTP: {name!r}")
    return "".join(f"{name}: {value}\r\n" for name, value in fields).encode()


def _now() -> float:
    """By the loop's clock, which nobody sets."""
    return asyncio.get_running_loop().time()


def _host_of(url: SplitResult) -> str:
    """As it is looked up, and as a certificate has it."""
    host = url.hostname or ""
    if host.isascii():
        return host
    import idna  # most names need none of its tables

    return idna.encode(host).decode()


def _port_of(url: SplitResult) -> int:
    return url.port or DEFAULT_PORTS[url.scheme]


def _shown_to(proxy: SplitResult) -> tuple[tuple[str, str], ...]:
    """What lets us in at the `proxy` (RFC 9110, section 11.7.2)."""
    if proxy.username is None:
        return ()
    shown = basic(unquote(proxy.username), unquote(proxy.password or ""))
    return (("Proxy-Authorization", shown.headers["Authorization"]),)
