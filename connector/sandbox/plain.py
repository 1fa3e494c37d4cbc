"""What APIs that refuse with a message alone have in common, as sandboxes imitate them."""

from collections.abc import Callable, Mapping
from typing import Any, Generic, Literal, Protocol, TypeVar

from pydantic import Field

from connector.sandbox.behaviour import Common
from connector.sandbox.exchange import Answer, Refusal, Request, json_answer
from connector.sandbox.gate import TokenBucket, retry_after

HTML = b"<!doctype html><title>Error</title><h1>Something went wrong</h1>"


class PlainBehaviour(Common):
    """The switches of such an API, beside those of any."""

    error_body: Literal["json", "empty", "html"] = Field(
        default="json", description="what an error carries"
    )


class Store(Protocol):
    """What a sandbox keeps, as far as its API needs it here."""

    @property
    def behaviour(self) -> PlainBehaviour:
        """What it does; another one may be set at any time."""

    @property
    def clock(self) -> Callable[[], float]:
        """Seconds since 1970."""

    def date(self) -> str | None:
        """The Date of an answer that is made now."""


S = TypeVar("S", bound=Store)


class PlainApi(Generic[S]):
    """An API as the way of a request through a sandbox needs it (`connector.sandbox.app`), but for
    its paths and whom it lets in."""

    def __init__(self, store: S, handlers: Mapping[str, Callable[[S, Request], Answer]]) -> None:
        """`handlers`: by route, what does what is asked."""
        self._store, self._handlers = store, handlers
        self.date = store.date
        self.adopt()

    @property
    def behaviour(self) -> PlainBehaviour:
        return self._store.behaviour

    @property
    def clock(self) -> Callable[[], float]:
        return self._store.clock

    def adopt(self) -> None:
        rate = self.behaviour.hard_rate
        self._bucket = TokenBucket(rate, self.clock()) if rate else None

    def is_one_too_many(self, now: float) -> bool:
        """Count a request, and say whether the rate does not let it pass."""
        return self._bucket is not None and not self._bucket.take(now)

    def answer_to(self, request: Request) -> Answer:
        handler = self._handlers.get(request.route)
        try:
            if handler is None:
                template = request.route.removeprefix(request.method)
                known = any(route.endswith(template) for route in self._handlers)
                raise Refusal(405 if known else 404, "not_allowed", "There is no such call")
            return handler(self._store, request)
        except Refusal as error:
            return self.refused(error.status, error.message)

    def nothing_at(self, path: str) -> Answer:
        return self.refused(404, "There is nothing here")

    def too_many(self, now: float) -> Answer:
        answer = self.refused(429, "Too many requests")
        if self.behaviour.too_many_body == "empty":
            answer = Answer(429)
        return answer._replace(headers=retry_after(self.behaviour, now))

    def failed(self, status: int) -> Answer:
        return self.refused(status, "Something went wrong")

    def refused(self, status: int, message: str) -> Answer:
        """Return the answer that carries a refusal."""
        match self.behaviour.error_body:
            case "empty":
                return Answer(status)
            case "html":
                return Answer(status, HTML, b"text/html; charset=utf-8")
            case _:
                return json_answer(self.error(status, message), status)

    def error(self, status: int, message: str) -> Mapping[str, Any]:
        """Return what the JSON of an error says."""
        return {"message": message}
