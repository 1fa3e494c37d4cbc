"""The way of a request through a sandbox: let in, made to fail or done, and answered."""

from collections.abc import Callable
from typing import Protocol

from starlette.types import ASGIApp, Receive, Scope, Send

from connector.sandbox.behaviour import Common
from connector.sandbox.exchange import Answer, Request
from connector.sandbox.faults import Dice, Fault
from connector.sandbox.traffic import Received, RequestLog
from connector.sandbox.wire import Wire

HTML_PAGE = b"<!doctype html><title>Service</title><p>The service is not available.</p>"


class Imitation(Protocol):
    """An API as a sandbox imitates it."""

    @property
    def prefixes(self) -> tuple[str, ...]:
        """What the paths of the API begin with; all others are the sandbox's own."""

    @property
    def creates(self) -> tuple[str, ...]:
        """The routes that create; their answers carry an id that a fault may give once more."""

    @property
    def behaviour(self) -> Common:
        """What it does; another one may be set at any time."""

    @property
    def clock(self) -> Callable[[], float]:
        """Seconds since 1970."""

    def date(self) -> str | None:
        """The Date of an answer that is made now."""

    def parse(
        self, method: str, path: str, query: bytes, headers: list[tuple[bytes, bytes]]
    ) -> Request | None:
        """The request without its body, or None for a path that is not of the API."""

    def adopt(self) -> None:
        """Begin the rate anew: the behaviour is another one."""

    def refusal(self, request: Request, now: float) -> Answer | None:
        """The answer to a request that is not let in, None for one that is."""

    def answer_to(self, request: Request) -> Answer:
        """Do what is asked, and say how it went."""

    def nothing_at(self, path: str) -> Answer:
        """The answer where there is no such path."""

    def too_many(self, now: float) -> Answer:
        """The answer to one request too many."""

    def failed(self, status: int) -> Answer:
        """The answer of something that broke."""


def sandbox_app(imitation: Imitation, requests: RequestLog, control: ASGIApp) -> ASGIApp:
    """Return the application that serves an API, and `control` beside it."""
    api, prefixes = Api(imitation, requests), imitation.prefixes

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        # Told apart by hand: a router would cost more than all the rest of a POST.
        if scope["path"].startswith(prefixes):
            await api.serve(scope, Wire(scope, receive, send, imitation.date))
        else:
            await control(scope, receive, send)

    return app


class Api:
    """Lets a request in, does it, and answers it; or fails as the behaviour says."""

    def __init__(self, imitation: Imitation, requests: RequestLog) -> None:
        self._imitation = imitation
        self._requests = requests
        self._given_first: dict[str, tuple[float, Answer]] = {}
        """By route the first answer with an id, and when it was given."""
        self._adopt()

    async def serve(self, scope: Scope, wire: Wire) -> None:
        """Answer one request to the API."""
        method, path = scope["method"], scope["path"]
        request = self._imitation.parse(method, path, scope["query_string"], scope["headers"])
        entry = self._arrived(method, path, scope, request)
        if request is None:
            await self._answer(wire, entry, self._imitation.nothing_at(path))
            return
        request.body = await wire.body()
        self._requests.read(entry, scope["query_string"], request.body)
        if self._behaviour is not self._imitation.behaviour:
            self._adopt()
        answer = self._imitation.refusal(request, entry.time)
        fault = None if answer else self._drawn(request)
        if fault:
            await self._fail(request, wire, entry, fault)
            return
        if answer is None:
            answer = self._imitation.answer_to(request)
            if request.route in self._imitation.creates and answer.status < 300:
                self._given_first.setdefault(request.route, (self._time(), answer))
            await self._delay(wire)
        await self._answer(wire, entry, answer)

    def _adopt(self) -> None:
        """Take up the behaviour of this moment: another one begins its faults and rate anew."""
        self._behaviour = self._imitation.behaviour
        self._imitation.adopt()
        self._dice = Dice(self._behaviour)

    def _arrived(self, method: str, path: str, scope: Scope, request: Request | None) -> Received:
        agent = dict(scope["headers"]).get(b"user-agent", b"").decode("latin-1")
        route = request.route if request else f"{method} ?"
        entry = Received(method, path, route, self._imitation.clock(), agent)
        self._requests.arrived(entry)
        return entry

    async def _fail(self, request: Request, wire: Wire, entry: Received, fault: Fault) -> None:
        """Do, or not, what is asked, and end as the fault has it."""
        answer = Answer(200)
        if fault.work != "skip":
            request.late_by = fault.late_by
            answer = self._imitation.answer_to(request)
            await self._delay(wire)
        match fault.end:
            case "reset" | "hang":
                self._requests.ended(entry, None, fault.name)
                await (wire.reset() if fault.end == "reset" else wire.hang(fault.seconds))
            case "cut":
                self._requests.ended(entry, answer.status, fault.name)
                await wire.cut(answer)
            case _:
                spoilt = self._spoilt(request.route, answer, fault)
                await self._answer(wire, entry, spoilt, fault.name)

    def _spoilt(self, route: str, answer: Answer, fault: Fault) -> Answer:
        match fault.end:
            case "too_many":
                return self._imitation.too_many(self._time())
            case "status":
                return self._imitation.failed(fault.status)
            case "truncate":
                return answer._replace(body=answer.body[: len(answer.body) // 2])
            case "no_id":
                return answer._replace(body=b"{}") if answer.status < 300 else answer
            case "repeat":
                return self._given_first[route][1]
            case "html":
                return Answer(200, HTML_PAGE, b"text/html; charset=utf-8")
            case _:
                return answer

    def _drawn(self, request: Request) -> Fault | None:
        """The fault of this request; none that repeats an id before there is one."""
        fault = self._dice.draw(request.route)
        if fault is None or fault.end != "repeat":
            return fault
        given = self._given_first.get(request.route)
        return fault if given and self._time() - given[0] >= fault.seconds else None

    def _time(self) -> float:
        return self._imitation.clock()

    async def _delay(self, wire: Wire) -> None:
        if self._behaviour.answer_delay:
            await wire.pause(self._behaviour.answer_delay)

    async def _answer(
        self, wire: Wire, entry: Received, answer: Answer, fault: str | None = None
    ) -> None:
        self._requests.ended(entry, answer.status, fault)
        await wire.answer(answer)
