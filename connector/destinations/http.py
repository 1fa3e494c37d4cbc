"""HTTP as every destination uses it: one pace, and what an answer means.

Nothing here repeats a request that changes something, unless it may be repeated. No redirect is
followed (the credentials would go along), no proxy but the configured one is used; a request is
never cancelled from our side, since a cancelled one leaves a doubt behind. Only its time-outs end
it.
"""

import asyncio
import re
from base64 import b64encode
from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import copy
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any, Self
from urllib.parse import quote, urlencode

import orjson

from connector.destinations.answers import (
    AnswerTooLarge,
    Failure,
    NeverSent,
    NoAnswer,
    Request,
    Response,
)
from connector.destinations.bodies import Body
from connector.destinations.connections import Connections
from connector.destinations.credentials import Credentials
from connector.destinations.dates import DestinationClock, seconds_of
from connector.destinations.hooks import (
    CalledOff,
    InFlight,
    LastLook,
    Observer,
    SlotOver,
    Stopping,
    TooEarly,
    nothing_to_see,
    uncounted,
    unobserved,
)
from connector.destinations.pacing import Wire, never
from connector.destinations.routes import route_of
from connector.destinations.slots import SlotLook
from connector.rules import clocks
from connector.rules.delivery import NotApplied, Unknown, Withheld
from connector.rules.errors import DestinationUnusable, KeyRefused
from connector.rules.network import Network

CONNECT_TIMEOUT = 10.0
GET_PAUSES = (0.5, 1.0, 2.0)
LONGEST_PAUSE = timedelta(minutes=5)
LONGEST_WORDS = 300
GUID = re.compile(r"\b[0-9a-f]{8}-?([0-9a-f]{4}-?){3}[0-9a-f]{1,12}\b", re.IGNORECASE)
"""The id of a contact, say; also one whose end was cut off."""
DEEPEST = 100
"""Lists and objects in each other that an answer may have."""
WORD_AT_THE_END = re.compile(r"[^\s\"',;:=&?(){}\[\]<>]*$")
LARGEST_ERROR = 1_000_000
SLICE = 0.1
"""Seconds between two looks at whether somebody who pauses is to stop."""
STOPPED = "the run was to stop"

NO_HEADERS: Mapping[str, str] = MappingProxyType({})
Headers = Sequence[tuple[str, str]]

SECONDS = re.compile(r"([0-9]+)([.][0-9]+)?")


class Http:
    """One API under one set of credentials: every request waits for its turn on the wire."""

    def __init__(
        self,
        base: str,
        credentials: Credentials,
        timeout: timedelta,
        wire: Wire,
        user_agent: str = "",
        headers: Mapping[str, str] = NO_HEADERS,
    ) -> None:
        self.base, self.credentials, self.wire = base, credentials, wire
        self.observe: Observer = unobserved
        self.in_flight: InFlight = uncounted
        self.stopping: Stopping = never
        """Asked before each request that may be repeated."""
        self.clock = DestinationClock()
        mine = {"User-Agent": user_agent} if user_agent else {}
        self._headers = {**headers, **mine, "Accept-Encoding": "gzip, deflate"}
        self._whole = timeout.total_seconds()
        # earlier than the whole, or a connection that was never made would leave a doubt
        self._connect = min(CONNECT_TIMEOUT, self._whole / 2)
        self._connections = Connections(base, self._connect, self._whole)

    def go_out(self, network: Network, base: Path) -> None:
        """Go by the proxy and the certificates of `network`, whose files start at `base`; before
        the first request. Raises ConfigurationError."""
        if not network.is_plain:
            route = route_of(network, self.base, base)
            self._connections = Connections(self.base, self._connect, self._whole, route)

    async def aclose(self) -> None:
        """Close every connection."""
        await self._connections.aclose()
        await self.credentials.aclose()
        await self.wire.close()

    def otherwise(
        self, credentials: Credentials | None = None, without: Iterable[str] = ()
    ) -> Self:
        """The same client, to see what becomes of requests with other credentials, or `without`
        some headers. It shares the wire, and is not closed by itself."""
        other = copy(self)
        other.credentials = credentials or self.credentials
        other._headers = {k: v for k, v in self._headers.items() if k not in without}
        return other

    # --- how an API puts things -----------------------------------------------------------------

    def said(self, content: Mapping[str, Any]) -> Iterable[object]:
        """What people should read of the JSON of an error."""
        return ()

    def is_final(self, response: Response) -> bool:
        """Whether asking again will bring the same, though it is a 5xx or 408."""
        return False

    # --- requests that must not be repeated -----------------------------------------------------

    async def once(
        self,
        method: str,
        path: str,
        body: Body | None = None,
        last_look: LastLook = nothing_to_see,
        came_near: bool = False,
        headers: Headers = (),
    ) -> Response | NotApplied | Unknown:
        """Make one request, exactly once, unless the `last_look` gives a reason against it.
        `came_near`: see Wire; `headers`: those that it alone has. Raises DestinationUnusable where
        no credentials can be had."""
        try:
            await self.credentials.ready()
        except BaseException:
            if came_near:
                self.wire.go_away()
            raise
        while True:
            await self.wire.enter(lambda: last_look() is not None, came_near)
            came_near = False
            try:
                if why_not := last_look():
                    return Withheld(f"not sent: {why_not}")
                return await self._send(method, path, body, last_look, headers)
            except SlotOver:
                continue
            except CalledOff as called_off:
                return Withheld(f"not sent: {called_off}")
            except NeverSent as why:
                return NotApplied(f"not sent: {why}")
            except NoAnswer as why:
                return Unknown(f"no answer: {why}")
            finally:
                self.wire.leave()

    # --- requests that may be repeated ----------------------------------------------------------

    async def get(self, path: str, params: Mapping[str, str] | None = None) -> Response | str:
        """GET, patiently. A text says why there is no useful answer; STOPPED, if it was to stop
        before it was asked at all."""
        return await self.ask("GET", path, params)

    async def remove(self, path: str) -> Response | str:
        """DELETE, patiently, of a thing by an id that nothing else will ever have."""
        return await self.ask("DELETE", path)

    async def ask(
        self,
        method: str,
        path: str,
        params: Mapping[str, str] | None = None,
        body: Body | None = None,
    ) -> Response | str:
        """Any request that may be repeated, as `get`."""
        reason, path = "", f"{path}?{urlencode(params)}" if params else path
        for pause in (*GET_PAUSES, None):
            await self.credentials.ready()
            headers = self.credentials.headers
            answer = await self._in_its_turn(method, path, body)
            if isinstance(answer, Response):
                if answer.status_code == 401 and self.credentials.refused(headers):
                    reason = "HTTP 401"
                    continue
                if not self._asks_for_patience(answer):
                    return answer
                reason = f"HTTP {answer.status_code}"
            elif answer is None:
                return self._given_up(reason) if reason else STOPPED
            else:
                reason = str(answer)
                if isinstance(answer, AnswerTooLarge):
                    break
            if pause is not None:
                await self._rest(pause)
        return reason

    async def _in_its_turn(
        self, method: str, path: str, body: Body | None
    ) -> Response | Failure | None:
        """What one request brings; None where it was not made, since it was to stop."""
        while True:
            await self.wire.enter(self.stopping)
            try:
                return None if self.stopping() else await self._send(method, path, body, self._look)
            except SlotOver:
                continue
            except CalledOff:
                return None
            except Failure as failure:
                return failure
            finally:
                self.wire.leave()

    def _given_up(self, reason: str) -> str:
        """Why it was not asked again after an answer that was no use: `reason`."""
        if isinstance(why := self.stopping(), str):
            return f"{reason}; it is too late to ask again: {why}"
        return f"{STOPPED} ({reason})"

    def _look(self) -> str | None:
        return STOPPED if self.stopping() else None

    async def _rest(self, seconds: float) -> None:
        """Pause, or until it is to stop."""
        end = clocks.now().monotonic + seconds
        while not self.stopping() and (left := end - clocks.now().monotonic) > 0:
            await asyncio.sleep(min(left, SLICE))

    def _asks_for_patience(self, answer: Response) -> bool:
        """Whether the same request may well be answered otherwise in a moment."""
        if answer.status_code == 429:
            wait = asked_to_wait(answer)
            self.wire.pacer.slow_down((wait or timedelta(seconds=1)).total_seconds())
            return True
        passing = answer.status_code >= 500 or answer.status_code == 408
        return passing and not self.is_final(answer)

    # --- one request ----------------------------------------------------------------------------

    async def _send(
        self,
        method: str,
        path: str,
        body: Body | None,
        last_look: LastLook,
        more: Headers = (),
    ) -> Response:
        began, ended, answer = clocks.now(), None, "none"
        look = SlotLook(self.wire.pacer, last_look)
        typed = (("Content-Type", body.type),) if body and body.type else ()
        headers = (*self.credentials.headers.items(), *self._headers.items(), *typed, *more)
        self.in_flight(1)
        try:
            request = Request(method, path, headers, body.content if body else b"")
            response = await self._in_time(request, look)
            ended = clocks.now()
            self.clock.saw(response.headers, began, ended)
            answer = str(response.status_code)
            if response.status_code != 401:
                self.credentials.accepted()
            return response
        finally:
            look.close()
            self.in_flight(-1)
            ended = ended or clocks.now()
            self.observe(method, answer, ended.monotonic - began.monotonic)

    async def _in_time(self, request: Request, look: LastLook) -> Response:
        """Make `request` in its slot; where others have left theirs late, so much later."""
        while True:
            try:
                return await self._connections.exchange(request, look)
            except TooEarly as early:
                await asyncio.sleep(early.seconds)

    def words(self, response: Response) -> str:
        """What the destination says in an error, less addresses, long numbers, GUIDs and
        secrets."""
        content = json_of(response) if len(response.content) <= LARGEST_ERROR else None
        if not isinstance(content, dict):
            return f"HTTP {response.status_code}"
        parts = self.said(content)
        said = self.told(": ".join(p.strip() for p in parts if isinstance(p, str) and p.strip()))
        return f"HTTP {response.status_code}: {said}" if said else f"HTTP {response.status_code}"

    def reason(self, response: Response) -> str:
        """The same for people alone, and not to decide by: where it has none of its usual words,
        what else stands in it, but for pages."""
        words = self.words(response)
        if words != f"HTTP {response.status_code}" or len(response.content) > LARGEST_ERROR:
            return words
        content = json_of(response)
        if content is None:
            text = text_of(response)[: 100 * LONGEST_WORDS]
            said = "" if "<" in text else " ".join(text.split())
        else:
            said = "; ".join(_texts_of(content))
        said = self.told(said)
        return f"{words}: {said}" if said else words

    def told(self, said: str) -> str:
        """What somebody else `said`, less addresses, long numbers, GUIDs and secrets."""
        for secret in self.credentials.secrets:
            for written in writings(secret):
                said = said.replace(written, "…")
        more, said = said[LONGEST_WORDS:], printable(said[:LONGEST_WORDS])  # before it is searched
        if more:  # half of an address or of an id is not known for one
            said = WORD_AT_THE_END.sub("…", said)
        said = GUID.sub("…", said)
        said = re.sub(r"\S+@\S+", "…", said)
        return re.sub(r"\+?\d[\d\s-]{5,}\d", "…", said)


TELLING = ("title", "error", "message", "detail", "description", "errors")
"""Keys of an error's JSON under which people are told something (RFC 9457, and as is usual)."""


def _texts_of(content: Any, named: bool = True) -> Iterator[str]:
    """What people are told in an error's JSON. `named`: only under keys that are known to."""
    match content:
        case str():
            yield content
        case list():
            for each in content:
                yield from _texts_of(each, named)
        case dict():
            for key, each in content.items():
                if not named:
                    yield from (f"{key}: {text}" for text in _texts_of(each, named))
                elif str(key).lower() in TELLING:
                    yield from _texts_of(each, str(key).lower() != "errors")


def unanswered(why: str) -> Unknown:
    """What a deletion brought that got no useful answer: see `remove`."""
    return Unknown(why, unasked=why == STOPPED)


def writings(secret: str) -> tuple[str, ...]:
    """How somebody who had it writes a secret: as it is, in an address, in base64."""
    return secret, quote(secret, safe=""), b64encode(secret.encode()).decode().rstrip("=")


def printable(said: str) -> str:
    """`said` without what would do something to a terminal."""
    return "".join(c if c.isprintable() else " " for c in said)


def text_of(response: Response) -> str:
    """The body as text, whatever it says about its encoding: JSON is UTF-8."""
    return response.content.decode(errors="replace")


def json_of(response: Response) -> Any:
    """The body as JSON; None when it is none."""
    return parsed(response.content)


def is_page(response: Response) -> bool:
    """Whether it says something, and not in JSON: most likely somebody in between does."""
    return bool(response.content) and json_of(response) is None


def parsed(text: bytes | str) -> Any:
    """`text` as JSON; None when it is none, or so deep that nobody means it."""
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    marks = ("{", "[") if isinstance(text, str) else (b"{", b"[")
    opened = sum(map(text.count, marks))  # type: ignore[arg-type]
    return None if opened > DEEPEST and _is_too_deep(found) else found


def _is_too_deep(found: Any) -> bool:
    """Whether it would be the end of whoever goes through it by recursion."""
    level = [found]
    for _ in range(DEEPEST):
        level = [
            inner
            for each in level
            for inner in (each.values() if isinstance(each, dict) else each)
            if isinstance(inner, dict | list)
        ]
        if not level:
            return False
    return True


def asked_to_wait(response: Response) -> timedelta | None:
    """The Retry-After of an answer (seconds, or a date by the clock that it comes from, RFC 9110),
    at most five minutes."""
    value = response.headers.get("Retry-After", "").strip()
    if number := SECONDS.fullmatch(value):
        if len(number[1].lstrip("0")) > 6:  # so many that they cannot even be counted
            return LONGEST_PAUSE
        return min(timedelta(seconds=float(value)), LONGEST_PAUSE)
    try:
        until = parsedate_to_datetime(value)
        if until.tzinfo is None:
            until = until.replace(tzinfo=UTC)
        wait = until - _when_made(response)
    except Exception:  # not a date; the parser has many ways to say so
        return None
    return min(max(wait, timedelta(0)), LONGEST_PAUSE)


def _when_made(response: Response) -> datetime:
    """When an answer was made, by its own clock if it says so: ours may be set wrong."""
    said = None if "Age" in response.headers else seconds_of(response.headers.get("Date", ""))
    return datetime.now(UTC) if said is None else datetime.fromtimestamp(said, UTC)


def refuse_redirect(response: Response) -> None:
    """Raises DestinationUnusable for 3xx: the key must not follow to another address."""
    if 300 <= response.status_code < 400:
        raise DestinationUnusable(
            f"the destination answers with a redirect (HTTP {response.status_code}), which is not"
            " followed; is the url right?",
            response.status_code,
        )


def refuse_credentials(response: Response, name: str) -> None:
    """Raises KeyRefused for 401 and 403. `name`: what people call what was shown."""
    if response.status_code in (401, 403):
        raise KeyRefused(
            f"the destination refuses the {name} (HTTP {response.status_code}); is it the right"
            f" {name.split()[-1]} for this url, and may it be used from this address?",
            response.status_code,
        )
