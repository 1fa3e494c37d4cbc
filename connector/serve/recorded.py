"""What a service asks the ledger before it begins a run, or ends: what has happened there already,
in this process or in another one."""

from collections.abc import Callable, Iterable
from datetime import datetime

from connector.ledger.deeds import SCHEDULE
from connector.ledger.records import moment
from connector.project.app import App
from connector.rules import clocks
from connector.rules.activation import Activation
from connector.rules.deed import Document
from connector.rules.delivery import State
from connector.rules.due import APART, ByLedger, Since, by_other_clock
from connector.rules.errors import LedgerUnavailable

DBT = "dbt"
"""Who asked for a run that a job of dbt began."""
TAKEN = "another process has run it meanwhile"


class Recorded:
    """Answers of the ledger. `app`: the project as it is configured now."""

    def __init__(self, app: Callable[[], App]) -> None:
        self._app = app

    def needless(self, activation: Activation, since: Since | None) -> str | None:
        """Why no run is needed, whose turn by the schedule came at `since`; None: it is needed."""
        try:
            with self._app().reports() as reports:
                paused = reports.paused_by(activation.name)
                begun = reports.last_began(activation.name) if since else None
                now, here = moment(reports.now() if since else 0), clocks.wall()
        except LedgerUnavailable:
            return None  # the run is stopped by it, which is told and counted
        if activation.paused:
            return "it is paused"
        if paused:
            return f"it is paused by {paused}"
        if since is None or begun is None:
            return None
        if isinstance(since, datetime):
            exact = by_other_clock(activation.schedule, since, here, now)
            # the ledger counts whole milliseconds
            since = ByLedger(exact.replace(microsecond=exact.microsecond // 1000 * 1000))
        # a run that began later than now began before the clock was put back
        return TAKEN if since.at <= begun <= now + APART else None

    def is_sending(self, names: Iterable[str]) -> bool:
        """Whether an attempt of a run is open; each is on record before its first byte."""
        try:
            with self._app().reports() as reports:
                return any(reports.counts(name)[State.SENDING] for name in names)
        except LedgerUnavailable:
            return True  # nobody knows: rather wait

    def ended_well(self, run_id: str) -> bool:
        """Whether a run that another process had begun needed no help."""
        try:
            with self._app().reports() as reports:
                left = reports.run(run_id)
        except LedgerUnavailable:
            return False
        return left is not None and left["status"] not in ("running", "stopped")

    def left_behind(self) -> list[Document]:
        """The newest runs of activations with a schedule, where a service had begun them."""
        activations = self._app().settings.project.activations.values()
        names = [each.name for each in activations if each.schedule and not each.paused]
        with self._app().reports() as reports:
            newest = {name: each.last_run for name, each in reports.standings(names).items()}
        # under the name that it has now, whatever it was called then
        told = [run and {**run, "activation": name} for name, run in newest.items()]
        return [run for run in told if run and run["by"] in (SCHEDULE, DBT)]

    def last_began(self, names: Iterable[str]) -> dict[str, datetime | None]:
        """When the newest run of each began that was to read its model."""
        with self._app().reports() as reports:
            return reports.last_began_of(list(names))
