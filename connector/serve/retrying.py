"""A run that was stopped by something outside is tried again before it is due: after pauses that
grow, and only where that may help without a person."""

import asyncio
import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from connector.basis import dataclass
from connector.basis.log import Log
from connector.rules import clocks
from connector.rules.deed import Document
from connector.rules.due import ByLedger, Since
from connector.rules.errors import ActivationBusy
from connector.rules.interaction import instant_text
from connector.sync.flow import Orders
from connector.sync.result import Result

log = Log(__name__)

LONGEST = timedelta(minutes=12)
"""Before it is spread: with that a quarter of an hour."""
SPREAD = 0.25
"""By which share of it a pause is shorter or longer, so that runs which were stopped together do
not come back together."""
TICK = timedelta(milliseconds=1)


def pause_after(failures: int, first: timedelta, chance: float) -> timedelta:
    """How long is waited after so many failures in a row; `chance`: from 0 to 1."""
    longest = max(first, LONGEST)
    doubled = longest if failures > 30 else min(first * 2 ** (failures - 1), longest)
    return doubled * (1 + SPREAD * (2 * chance - 1))


@dataclass(frozen=True, slots=True)
class Again:
    """A run that is to be tried again: of which activation, with which orders, and since when no
    other run may have begun: else there is nothing to be tried. `left`: the id of a run that
    another process had begun."""

    name: str
    orders: Orders
    since: Since
    left: str | None = None


class Retries:
    """Belongs to the running event loop. `first`: the first pause, 0 for never; `due`: when an
    activation is due anyway; `again`: begins a run."""

    def __init__(
        self,
        first: Callable[[], timedelta],
        due: Callable[[str], datetime | None],
        again: Callable[[Again], None],
    ) -> None:
        self._first, self._due, self._again = first, due, again
        self._failures: dict[str, int] = {}
        self._waiting: dict[str, asyncio.TimerHandle] = {}

    def begun(self, name: str) -> None:
        """A run of `name` begins: it need not be tried any more."""
        if timer := self._waiting.pop(name, None):
            timer.cancel()

    def saw(self, name: str, ended: Result, orders: Orders) -> None:
        """A run has ended with `orders`; where it was stopped, it may be tried again."""
        error = ended.error
        if error is None or not error.retryable:
            self._failures.pop(name, None)
            return
        since = ByLedger(ended.run.started_at + TICK) if ended.run else clocks.wall()
        self._wait(Again(name, orders, since), "busy" if isinstance(error, ActivationBusy) else "")

    def left(self, run: Document, orders: Orders) -> None:
        """The newest run on record, when this process begins: one that ended with another."""
        if run["status"] == "running" or (run["status"] == "stopped" and run["retryable"]):
            began = datetime.fromisoformat(run["started_at"]).astimezone(UTC)
            self._wait(Again(run["activation"], orders, ByLedger(began + TICK), run["run_id"]))

    def stop(self) -> None:
        """Try nothing more."""
        for timer in self._waiting.values():
            timer.cancel()
        self._waiting.clear()

    def _wait(self, again: Again, reason: str = "") -> None:
        name, first = again.name, self._first()
        failures = self._failures[name] = self._failures.get(name, 0) + 1
        self.begun(name)
        if not first:
            return
        pause = pause_after(failures, first, random.random())
        at, due = clocks.wall() + pause, self._due(name)
        if due is not None and due <= at:
            return  # it is tried soon enough
        loop = asyncio.get_running_loop()
        self._waiting[name] = loop.call_later(pause.total_seconds(), self._fire, again)
        more = {"reason": reason} if reason else {}
        log.info("serve.retry", activation=name, failures=failures, at=instant_text(at), **more)

    def _fire(self, again: Again) -> None:
        self._waiting.pop(again.name, None)
        self._again(again)
