"""The clock of a sandbox: real time, and what a test or a person has added to it."""

import math
import time
from collections.abc import Callable
from threading import Lock
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from connector.sandbox.control import problem, told


class Clock:
    """Seconds since 1970, which can be advanced and never go back."""

    def __init__(self, real: Callable[[], float] = time.time) -> None:
        self.real = real
        """The time without what was added. The Date of answers is of this one: who calls cannot be
        advanced."""
        self._added = 0.0
        self._lock = Lock()

    def __call__(self) -> float:
        return self.real() + self._added

    def advance(self, seconds: float) -> None:
        """Let so many seconds pass at once. Raises ValueError for less than none."""
        if not (seconds >= 0 and math.isfinite(seconds)):
            raise ValueError("a clock advances by a number of seconds, 0 or more")
        with self._lock:
            self._added += seconds


def clock_routes(clock: Clock) -> list[Route]:
    """Return the control routes that show a clock and advance it."""

    async def show(_: Request) -> Response:
        """GET /sandbox/clock: seconds since 1970."""
        return told({"now": clock()})

    async def advance(request: Request) -> Response:
        """POST /sandbox/clock: `{"advance": 3600}`."""
        try:
            clock.advance(_seconds(orjson.loads(await request.body())))
        except ValueError as error:
            return problem(422, str(error))
        return await show(request)

    return [
        Route("/sandbox/clock", show),
        Route("/sandbox/clock", advance, methods=["POST"]),
    ]


def _seconds(given: Any) -> float:
    seconds = given.get("advance") if isinstance(given, dict) else None
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        raise ValueError("the body must be an object with advance, a number of seconds")
    return seconds
