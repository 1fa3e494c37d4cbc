"""HTTP as every destination uses it: one pace, and what an answer means.

Nothing here repeats a POST. No redirect is followed (the key would go along), no proxy settings are
read; a request is never cancelled from our side, since a cancelled one leaves a doubt behind. Only
its time-outs end it.
"""

import asyncio
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import Any

import httpx
import orjson

from connector.destinations.answers import LARGEST_ANSWER, AnswerTooLarge
from connector.destinations.dates import DestinationClock
from connector.destinations.pacing import Wire, never
from connector.rules import clocks
from connector.rules.delivery import NotApplied, Unknown, Withheld
from connector.rules.errors import DestinationUnusable, KeyRefused

NEVER_SENT = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.UnsupportedProtocol,
)
"""Raised before the first byte of a request; every other failure may have come after the last."""


class CalledOff(Exception):
    """The last look at a request gave a reason, and not a byte of it was written."""


CONNECT_TIMEOUT = 10.0
GET_PAUSES = (0.5, 1.0, 2.0)
LONGEST_PAUSE = timedelta(minutes=5)
LONGEST_WORDS = 300
LARGEST_ERROR = 100_000
SLICE = 0.1
"""Seconds between two looks at whether somebody who pauses is to stop."""
STOPPED = "the run was to stop"

Observer = Callable[[str, str, float], None]
"""Told each request: its method, the status of its answer ("none" without one) and the seconds."""
Stopping = Callable[[], bool]
"""Whether somebody has asked to stop: then nothing that may be repeated is begun any more."""
SECONDS = re.compile(r"([0-9]+)([.][0-9]+)?")
LastLook = Callable[[], str | None]
"""Asked directly before the first byte; gives the reason why the request must not go out."""


class Http:
    """One API under one key: every request waits for its turn on the wire."""

    def __init__(
        self,
        url: str,
        headers: dict[str, str],
        timeout: timedelta,
        wire: Wire,
        secret: str,
    ) -> None:
        self._wire = wire
        self.observe: Observer = _unobserved
        self.clock = DestinationClock()
        self._secret = secret
        self._url = url
        self._headers = httpx.Headers({**headers, "Accept-Encoding": "gzip, deflate"})
        self._posting = httpx.Headers({**self._headers, "Content-Type": "application/json"})
        seconds = timeout.total_seconds()
        # earlier than the whole, or a connection that was never made would leave a doubt
        spans = httpx.Timeout(seconds, connect=min(CONNECT_TIMEOUT, seconds / 2)).as_dict()
        self._extensions: dict[str, Any] = {"timeout": spans}
        from connector.destinations.connections import Connections  # a tenth of a second

        self._connections = Connections(secure=url.startswith("https:"))

    async def aclose(self) -> None:
        """Close every connection."""
        await self._connections.aclose()

    async def post(
        self,
        path: str,
        body: bytes,
        last_look: LastLook = lambda: None,
        came_near: bool = False,
    ) -> httpx.Response | NotApplied | Unknown:
        """POST `body` exactly once. `came_near`: see Wire."""
        url, headers = self._url + path, self._posting
        return await self._once("POST", url, headers, body, last_look, came_near)

    async def delete(
        self, path: str, last_look: LastLook = lambda: None
    ) -> httpx.Response | NotApplied | Unknown:
        """DELETE exactly once."""
        return await self._once("DELETE", self._url + path, self._headers, None, last_look)

    async def get(
        self, path: str, params: dict[str, str] | None = None, stopping: Stopping = never
    ) -> httpx.Response | str:
        """GET, patiently; safe to repeat. A text says why there is no useful answer; STOPPED, if
        it was to stop before there was one."""
        return await self._patiently("GET", path, params, stopping)

    async def remove(self, path: str, stopping: Stopping = never) -> httpx.Response | str:
        """DELETE, patiently, of a thing by an id that nothing else will ever have."""
        return await self._patiently("DELETE", path, None, stopping)

    async def _patiently(
        self, method: str, path: str, params: dict[str, str] | None, stopping: Stopping
    ) -> httpx.Response | str:
        reason, url = "", httpx.URL(self._url + path, params=params)
        for pause in (*GET_PAUSES, None):
            answer = await self._in_its_turn(method, url, stopping)
            if isinstance(answer, httpx.Response):
                if not self._asks_for_patience(answer):
                    return answer
                reason = f"HTTP {answer.status_code}"
            elif answer is None:
                return STOPPED
            else:
                reason = failure(answer)
                if isinstance(answer, AnswerTooLarge):
                    break
            if pause is not None:
                await _rest(pause, stopping)
        return reason

    async def _in_its_turn(
        self, method: str, url: httpx.URL, stopping: Stopping
    ) -> httpx.Response | httpx.HTTPError | None:
        """What one request brings; None where it was not made, since it was to stop."""
        await self._wire.enter(stopping)
        try:
            return None if stopping() else await self._send(method, url, self._headers)
        except httpx.HTTPError as error:
            return error
        finally:
            self._wire.leave()

    def _asks_for_patience(self, answer: httpx.Response) -> bool:
        """Whether the same request may well be answered otherwise in a moment."""
        if answer.status_code == 429:
            wait = asked_to_wait(answer)
            self._wire.pacer.slow_down((wait or timedelta(seconds=1)).total_seconds())
            return True
        passing = answer.status_code >= 500 or answer.status_code == 408
        return passing and b"InvalidSystemConfiguration" not in answer.content

    async def _once(
        self,
        method: str,
        url: str,
        headers: httpx.Headers,
        body: bytes | None,
        last_look: LastLook,
        came_near: bool = False,
    ) -> httpx.Response | NotApplied | Unknown:
        await self._wire.enter(lambda: last_look() is not None, came_near)
        try:
            if why_not := last_look():
                return Withheld(f"not sent: {why_not}")
            return await self._send(method, _parsed(url), headers, body, last_look)
        except CalledOff as why_not:
            return Withheld(f"not sent: {why_not}")
        except NEVER_SENT as error:
            return NotApplied(f"not sent: {failure(error)}")
        except httpx.HTTPError as error:
            return Unknown(f"no answer: {failure(error)}")
        finally:
            self._wire.leave()

    async def _send(
        self,
        method: str,
        url: httpx.URL,
        headers: httpx.Headers,
        body: bytes | None = None,
        last_look: LastLook | None = None,
    ) -> httpx.Response:
        """One request, straight to the connections: what httpx's client would add to it (cookies,
        authentication, redirects) is not wanted, and costs more than all the rest."""
        began, answer = clocks.now(), "none"
        extensions = {**self._extensions, "last_look": last_look} if last_look else self._extensions
        try:
            content = httpx.ByteStream(body or b"")
            request = httpx.Request(
                method, url, headers=headers, stream=content, extensions=extensions
            )
            request.read()
            response = await self._connections.handle_async_request(request)
            self.clock.saw(response.headers, began, clocks.now())
            answer = str(response.status_code)
            return response
        finally:
            self.observe(method, answer, clocks.now().monotonic - began.monotonic)

    def words(self, response: httpx.Response) -> str:
        """What the destination says in an error, less addresses, long numbers and the key."""
        content = json_of(response) if len(response.content) <= LARGEST_ERROR else None
        if not isinstance(content, dict):
            return f"HTTP {response.status_code}"
        fields = {str(k).lower(): v for k, v in content.items()}
        parts = [fields.get("errorcode"), fields.get("message"), fields.get("detail")]
        errors = fields.get("validationerrors")
        if isinstance(errors, list):
            parts += [e.get("errorDescription") for e in errors if isinstance(e, dict)]
        said = ": ".join(p.strip() for p in parts if isinstance(p, str) and p.strip())
        said = said.replace(self._secret, "…")[:LONGEST_WORDS]  # cut before it is searched
        said = printable(said)
        said = re.sub(r"\S+@\S+", "…", said)
        said = re.sub(r"\+?\d[\d\s-]{5,}\d", "…", said)
        return f"HTTP {response.status_code}: {said}" if said else f"HTTP {response.status_code}"


_parsed = lru_cache(maxsize=16)(httpx.URL)


def _unobserved(method: str, answer: str, seconds: float) -> None:
    pass


def printable(said: str) -> str:
    """`said` without what would do something to a terminal."""
    return "".join(c if c.isprintable() else " " for c in said)


def text_of(response: httpx.Response) -> str:
    """The body as text, whatever it says about its encoding: JSON is UTF-8."""
    return response.content.decode(errors="replace")


def json_of(response: httpx.Response) -> Any:
    """The body as JSON; None when it is none."""
    try:
        return orjson.loads(response.content)
    except orjson.JSONDecodeError:
        return None


def failure(error: httpx.HTTPError) -> str:
    """What went wrong on the wire, for people."""
    match error:
        case httpx.ConnectTimeout():
            return "connecting took too long"
        case httpx.ConnectError():
            return "could not connect"
        case AnswerTooLarge():
            return f"the answer is larger than {LARGEST_ANSWER >> 20} MiB"
        case httpx.DecodingError():
            return "the answer is packed in a way that cannot be unpacked"
        case httpx.ReadTimeout():
            return "no answer within the time-out"
        case httpx.WriteTimeout():
            return "the request could not be written within the time-out"
        case httpx.RemoteProtocolError():
            return "the connection was closed before the whole answer came"
        case httpx.NetworkError():
            return "the connection broke"
        case _:
            return "an answer that cannot be read"


def asked_to_wait(response: httpx.Response) -> timedelta | None:
    """The Retry-After of an answer (seconds or a date, RFC 9110), at most five minutes."""
    value = response.headers.get("Retry-After", "").strip()
    if number := SECONDS.fullmatch(value):
        if len(number[1].lstrip("0")) > 6:  # so many that they cannot even be counted
            return LONGEST_PAUSE
        return min(timedelta(seconds=float(value)), LONGEST_PAUSE)
    try:
        until = parsedate_to_datetime(value)
        if until.tzinfo is None:
            until = until.replace(tzinfo=UTC)
        wait = until - datetime.now(UTC)
    except Exception:  # not a date; the parser has many ways to say so
        return None
    return min(max(wait, timedelta(0)), LONGEST_PAUSE)


async def _rest(seconds: float, stopping: Stopping) -> None:
    """Pause, or until `stopping`."""
    end = clocks.now().monotonic + seconds
    while not stopping() and (left := end - clocks.now().monotonic) > 0:
        await asyncio.sleep(min(left, SLICE))


def refuse_redirect(response: httpx.Response) -> None:
    """Raises DestinationUnusable for 3xx: the key must not follow to another address."""
    if 300 <= response.status_code < 400:
        raise DestinationUnusable(
            f"the destination answers with a redirect (HTTP {response.status_code}), which is not"
            " followed; is the url right?",
            response.status_code,
        )


def refuse_key(response: httpx.Response) -> None:
    """Raises KeyRefused for 401 and 403."""
    if response.status_code in (401, 403):
        raise KeyRefused(
            f"the destination refuses the API key (HTTP {response.status_code}); is it the right"
            " key for this url, and may it be used from this address?",
            response.status_code,
        )
