"""How many requests came, how fast, and how they ended."""

from collections import Counter, deque
from threading import Lock
from typing import Any

from connector.basis import dataclass

#: The newest requests that the log keeps one by one; the counts know all of them.
KEPT = 100_000


@dataclass(slots=True)
class Received:
    """One request to the API. Complete before its caller can see a byte of the answer."""

    method: str
    path: str
    route: str  #: without version and id: "GET /interactions/{id}"
    time: float  #: of arrival, seconds since 1970
    user_agent: str
    status: int | None = None  #: None: no answer was sent, or not yet
    fault: str | None = None  #: the switch of the behaviour that made it fail


class RequestLog:
    """What has arrived. Written by the server's thread, read from any."""

    def __init__(self, creates: tuple[str, ...] = ("POST /interactions",)) -> None:
        """`creates`: the routes that create an interaction."""
        self._creates = creates
        self._lock = Lock()
        self.clear()

    def clear(self) -> None:
        """Forget all requests."""
        with self._lock:
            self._entries: deque[Received] = deque(maxlen=KEPT)
            self._outcomes: Counter[tuple[str, str]] = Counter()
            self._arrivals: Counter[str] = Counter()
            self._seconds: Counter[int] = Counter()
            self._last_second: deque[float] = deque()
            self._peak = 0
            self._last: tuple[str, str, bytes] | None = None

    def arrived(self, request: Received) -> None:
        """Note a request that has arrived."""
        with self._lock:
            self._entries.append(request)
            self._arrivals[request.route] += 1
            self._seconds[int(request.time)] += 1
            window = self._last_second
            window.append(request.time)
            while window[0] <= request.time - 1:
                window.popleft()
            self._peak = max(self._peak, len(window))

    def read(self, request: Received, query: bytes, body: bytes) -> None:
        """Note the body of a request, when all of it has arrived."""
        if request.route in self._creates:
            path = f"{request.path}?{query.decode('latin-1')}" if query else request.path
            with self._lock:
                self._last = (request.method, path, body)

    def ended(self, request: Received, status: int | None, fault: str | None = None) -> None:
        """Note how a request ends; None for one that is not answered."""
        with self._lock:
            request.status = status
            request.fault = fault
            self._outcomes[request.route, "none" if status is None else str(status)] += 1

    def entries(self, route: str | None = None) -> list[Received]:
        """Return the newest requests, oldest first, all or those of a route."""
        with self._lock:
            entries = list(self._entries)
        return [each for each in entries if route is None or each.route == route]

    def count(self, route: str | None = None) -> int:
        """Return how many requests have arrived, all or those of a route."""
        with self._lock:
            return self._arrivals.total() if route is None else self._arrivals[route]

    @property
    def posts(self) -> int:
        """How many requests have arrived that create an interaction."""
        return sum(map(self.count, self._creates))

    @property
    def last(self) -> tuple[str, str, bytes] | None:
        """Method, path and body of the last of these."""
        return self._last

    @property
    def by_route(self) -> dict[str, dict[str, int]]:
        """How often each route ended with each status; "none" is for no answer."""
        with self._lock:
            outcomes = sorted(self._outcomes.items())
        table: dict[str, dict[str, int]] = {}
        for (route, status), number in outcomes:
            table.setdefault(route, {})[status] = number
        return table

    @property
    def peak_per_second(self) -> int:
        """The most requests that arrived within any one second."""
        return self._peak

    def seconds_above(self, rate: float) -> int:
        """Return in how many seconds of the clock more than `rate` requests arrived."""
        with self._lock:
            return sum(1 for number in self._seconds.values() if number > rate)

    def report(self, recommended_rate: float) -> dict[str, Any]:
        """Return everything that is counted, as JSON shows it."""
        return {
            "total": self.count(),
            "posts": self.posts,
            "by_route": self.by_route,
            "peak_per_second": self.peak_per_second,
            "recommended_rate": recommended_rate,
            "seconds_above_recommendation": self.seconds_above(recommended_rate),
        }
