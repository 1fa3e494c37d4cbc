"""HTTP as every destination uses it: one client, one pace, and what an answer means.

Nothing here repeats a POST. The client follows no redirect (the key would go along), reads no
proxy settings, and has no retries; a request is never cancelled from our side, since a cancelled
one leaves a doubt behind. Only httpx's own time-outs end it.
"""

import asyncio
import re
import ssl
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import httpx
import orjson

from connector.delivery import NotApplied, Unknown
from connector.destinations.pacing import Pacer
from connector.errors import DestinationUnusable

NEVER_SENT = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.UnsupportedProtocol,
)
"""Raised before the first byte of a request; every other failure may have come after the last."""

CONNECT_TIMEOUT = 10.0
KEEPALIVE = 5.0
"""Seconds an idle connection is kept: shorter than servers do, so that none dies under a POST."""
GET_PAUSES = (0.5, 1.0, 2.0)
LONGEST_PAUSE = timedelta(minutes=5)
LONGEST_WORDS = 300
LARGEST_ERROR = 100_000


Observer = Callable[[str, str, float], None]
"""Told each request: its method, the status of its answer ("none" without one) and the seconds."""


class Lanes(httpx.AsyncBaseTransport):
    """One connection a lane, the warmest lane first.

    httpx's own pool looks at all its requests and connections at every event, and falls from 1,350
    requests a second to 154 when 64 are under way (encode/httpx#3215); a pool of one does not.
    """

    def __init__(self, secure: bool) -> None:
        self._verify: ssl.SSLContext | bool = httpx.create_ssl_context() if secure else False
        self._idle: list[httpx.AsyncHTTPTransport] = []
        self._all: list[httpx.AsyncHTTPTransport] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        lane = self._idle.pop() if self._idle else self._new_lane()
        try:
            response = await lane.handle_async_request(request)
            await response.aread()
            return response
        finally:
            self._idle.append(lane)

    async def aclose(self) -> None:
        for lane in self._all:
            await lane.aclose()

    def _new_lane(self) -> httpx.AsyncHTTPTransport:
        limits = httpx.Limits(
            max_connections=1, max_keepalive_connections=1, keepalive_expiry=KEEPALIVE
        )
        lane = httpx.AsyncHTTPTransport(verify=self._verify, limits=limits, retries=0)
        self._all.append(lane)
        return lane


class Http:
    """One API under one key: every request waits for the pacer's slot."""

    def __init__(
        self, url: str, headers: dict[str, str], timeout: timedelta, pacer: Pacer, secret: str
    ) -> None:
        self.pacer = pacer
        self.observe: Observer = _unobserved
        self._secret = secret
        seconds = timeout.total_seconds()
        self._client = httpx.AsyncClient(
            base_url=url,
            headers=headers,
            timeout=httpx.Timeout(seconds, connect=min(CONNECT_TIMEOUT, seconds)),
            transport=Lanes(secure=url.startswith("https:")),
            follow_redirects=False,
            trust_env=False,
        )

    async def aclose(self) -> None:
        """Close every connection."""
        await self._client.aclose()

    async def post(self, path: str, body: bytes) -> httpx.Response | NotApplied | Unknown:
        """POST `body` exactly once, now. The caller has waited for the pacer's slot."""
        began = time.monotonic()
        answer = "none"
        try:
            response = await self._client.post(path, content=body, headers=JSON)
            answer = str(response.status_code)
            return response
        except NEVER_SENT as error:
            return NotApplied(f"not sent: {failure(error)}")
        except httpx.HTTPError as error:
            return Unknown(f"no answer: {failure(error)}")
        finally:
            self.observe("POST", answer, time.monotonic() - began)

    async def delete(self, path: str) -> httpx.Response | NotApplied | Unknown:
        """DELETE exactly once, now. The caller has waited for the pacer's slot."""
        try:
            return await self._client.delete(path)
        except NEVER_SENT as error:
            return NotApplied(f"not sent: {failure(error)}")
        except httpx.HTTPError as error:
            return Unknown(f"no answer: {failure(error)}")

    async def get(self, path: str, params: dict[str, str] | None = None) -> httpx.Response | str:
        """GET, patiently; safe to repeat. A text says why there is no useful answer."""
        return await self._patiently("GET", path, params)

    async def remove(self, path: str) -> httpx.Response | str:
        """DELETE, patiently, of a thing by an id that nothing else will ever have."""
        return await self._patiently("DELETE", path, None)

    async def _patiently(
        self, method: str, path: str, params: dict[str, str] | None
    ) -> httpx.Response | str:
        reason = ""
        for pause in (*GET_PAUSES, None):
            await self.pacer.slot()
            began = time.monotonic()
            try:
                response = await self._client.request(method, path, params=params)
            except httpx.HTTPError as error:
                self.observe("GET", "none", time.monotonic() - began)
                reason = failure(error)
            else:
                self.observe("GET", str(response.status_code), time.monotonic() - began)
                if response.status_code == 429:
                    wait = asked_to_wait(response)
                    self.pacer.slow_down((wait or timedelta(seconds=1)).total_seconds())
                elif response.status_code < 500 and response.status_code != 408:
                    return response
                if "InvalidSystemConfiguration" in response.text:
                    return response
                reason = f"HTTP {response.status_code}"
            if pause is not None:
                await asyncio.sleep(pause)
        return reason

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
        said = re.sub(r"\S+@\S+", "…", said)
        said = re.sub(r"\+?\d[\d\s-]{5,}\d", "…", said)
        return f"HTTP {response.status_code}: {said}" if said else f"HTTP {response.status_code}"


JSON = {"Content-Type": "application/json"}


def _unobserved(method: str, answer: str, seconds: float) -> None:
    pass


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
        case httpx.ReadTimeout():
            return "no answer within the time-out"
        case httpx.WriteTimeout():
            return "the request could not be written within the time-out"
        case httpx.RemoteProtocolError():
            return "the connection was closed before the whole answer came"
        case httpx.NetworkError():
            return "the connection broke"
        case _:
            return type(error).__name__


def asked_to_wait(response: httpx.Response) -> timedelta | None:
    """The Retry-After of an answer (seconds or a date, RFC 9110), at most five minutes."""
    value = response.headers.get("Retry-After", "").strip()
    if re.fullmatch(r"\d+(\.\d+)?", value):
        return min(timedelta(seconds=float(value)), LONGEST_PAUSE)
    try:
        until = parsedate_to_datetime(value)
    except ValueError:
        return None
    if until.tzinfo is None:
        until = until.replace(tzinfo=UTC)
    return min(max(until - datetime.now(UTC), timedelta(0)), LONGEST_PAUSE)


def refuse_redirect(response: httpx.Response) -> None:
    """Raises DestinationUnusable for 3xx: the key must not follow to another address."""
    if 300 <= response.status_code < 400:
        raise DestinationUnusable(
            f"the destination answers with a redirect (HTTP {response.status_code}), which is not"
            " followed; is the url right?",
            response.status_code,
        )


def refuse_key(response: httpx.Response) -> None:
    """Raises DestinationUnusable for 401 and 403."""
    if response.status_code in (401, 403):
        raise DestinationUnusable(
            f"the destination refuses the API key (HTTP {response.status_code}); is it the right"
            " key for this url, and may it be used from this address?",
            response.status_code,
        )
