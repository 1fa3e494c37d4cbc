"""The sandbox as an ASGI application: Engage under /api, a page and controls beside it."""

from starlette.types import ASGIApp, Receive, Scope, Send

from connector.sandbox.api import Answer, Request, answer_to, parse_request, plain_error, refused
from connector.sandbox.control import control_app
from connector.sandbox.engage import Engage
from connector.sandbox.errors import EngageError
from connector.sandbox.faults import Dice, Fault
from connector.sandbox.gate import Gate, too_many
from connector.sandbox.traffic import Received, RequestLog
from connector.sandbox.wire import Wire

HTML_PAGE = b"<!doctype html><title>Service</title><p>The service is not available.</p>"


def sandbox_app(engage: Engage, requests: RequestLog, api_key: str) -> ASGIApp:
    """Return the application that serves this Engage and logs to `requests`."""
    api = Api(engage, requests, api_key)
    control = control_app(engage, requests)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        # Told apart by hand: a router would cost more than all the rest of a POST.
        if scope["path"].startswith("/api/"):
            await api.serve(scope, Wire(scope, receive, send, engage.date))
        else:
            await control(scope, receive, send)

    return app


class Api:
    """Lets a request in, does it, and answers it; or fails as the behaviour says."""

    def __init__(self, engage: Engage, requests: RequestLog, api_key: str) -> None:
        self._engage = engage
        self._requests = requests
        self._api_key = api_key
        self._given_first: tuple[float, Answer] | None = None
        """The first answer with an id, and when it was given."""
        self._adopt()

    async def serve(self, scope: Scope, wire: Wire) -> None:
        """Answer one request to /api."""
        method, path = scope["method"], scope["path"]
        request = parse_request(method, path, scope["query_string"], scope["headers"])
        entry = self._arrived(method, path, scope, request)
        if request is None:
            await self._answer(wire, entry, plain_error(404, f"There is nothing at '{path}'."))
            return
        request.body = await wire.body()
        if self._behaviour is not self._engage.behaviour:
            self._adopt()
        answer = self._gate.refusal(request, entry.time)
        fault = None if answer else self._drawn(request)
        if fault:
            await self._fail(request, wire, entry, fault)
            return
        if answer is None:
            answer = answer_to(self._engage, request)
            if request.route == "POST /interactions" and answer.status < 300:
                self._given_first = self._given_first or (self._time(), answer)
            await self._delay(wire)
        await self._answer(wire, entry, answer)

    def _adopt(self) -> None:
        """Take up the behaviour of this moment: another one begins its faults and rate anew."""
        self._behaviour = self._engage.behaviour
        self._gate = Gate(self._api_key, self._behaviour, self._engage.clock())
        self._dice = Dice(self._behaviour)

    def _arrived(self, method: str, path: str, scope: Scope, request: Request | None) -> Received:
        agent = dict(scope["headers"]).get(b"user-agent", b"").decode("latin-1")
        route = request.route if request else f"{method} ?"
        entry = Received(method, path, route, self._engage.clock(), agent)
        self._requests.arrived(entry)
        return entry

    async def _fail(self, request: Request, wire: Wire, entry: Received, fault: Fault) -> None:
        """Do, or not, what is asked, and end as the fault has it."""
        answer = Answer(200)
        if fault.work != "skip":
            request.late_by = fault.late_by
            answer = answer_to(self._engage, request)
            await self._delay(wire)
        match fault.end:
            case "reset" | "hang":
                self._requests.ended(entry, None, fault.name)
                await (wire.reset() if fault.end == "reset" else wire.hang(fault.seconds))
            case "cut":
                self._requests.ended(entry, answer.status, fault.name)
                await wire.cut(answer)
            case _:
                await self._answer(wire, entry, self._spoilt(answer, fault), fault.name)

    def _spoilt(self, answer: Answer, fault: Fault) -> Answer:
        match fault.end:
            case "too_many":
                return too_many(self._behaviour, self._engage.clock())
            case "status":
                error = EngageError(fault.status, "InternalError", "An error has occurred.")
                return refused(error, self._behaviour)
            case "truncate":
                return answer._replace(body=answer.body[: len(answer.body) // 2])
            case "no_id":
                return answer._replace(body=b"{}") if answer.status < 300 else answer
            case "repeat":
                assert self._given_first is not None
                return self._given_first[1]
            case "html":
                return Answer(200, HTML_PAGE, b"text/html; charset=utf-8")
            case _:
                return answer

    def _drawn(self, request: Request) -> Fault | None:
        """The fault of this request; none that repeats an id before there is one."""
        fault = self._dice.draw(request.route)
        if fault is None or fault.end != "repeat":
            return fault
        given, least = self._given_first, self._behaviour.faults.repeat_older_than
        known = given is not None and self._time() - given[0] >= least
        return fault if known and request.route == "POST /interactions" else None

    def _time(self) -> float:
        return self._engage.clock()

    async def _delay(self, wire: Wire) -> None:
        if self._behaviour.answer_delay:
            await wire.pause(self._behaviour.answer_delay)

    async def _answer(
        self, wire: Wire, entry: Received, answer: Answer, fault: str | None = None
    ) -> None:
        self._requests.ended(entry, answer.status, fault)
        await wire.answer(answer)
