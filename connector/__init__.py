"""Send rows of a data warehouse to Voyado Engage, Survey Dynamix or MXO: never twice, never lost.

What a notebook, a test or an orchestrator needs:

    import connector

    project = connector.open_project("activations.yaml")
    for run in project.sync().runs:
        print(run.activation, run.status, run.delivered)

Each result has a `document()`: what the command of the same name prints under ``--json``. Each
error is a `ConnectorError` with a `kind`, and says whether it is `retryable`. Importing this costs
nothing: each part is loaded by what needs it.
"""

from collections.abc import Coroutine
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from connector.project.app import App
    from connector.project.plan import Plan
    from connector.project.reporting import Reporting
    from connector.project.results import Explanation, Run, Runs, Status
    from connector.rules.errors import ConfigurationError, ConnectorError, StopRun
    from connector.sync.check import Check
    from connector.sync.preview import Forecast

__version__ = "0.1.0"
__all__ = [
    "Check",
    "ConfigurationError",
    "ConnectorError",
    "Explanation",
    "Forecast",
    "Plan",
    "Project",
    "Run",
    "Runs",
    "Status",
    "StopRun",
    "open_project",
    "plan",
]
HOMES = {
    "Check": "sync.check",
    "ConfigurationError": "rules.errors",
    "ConnectorError": "rules.errors",
    "Explanation": "project.results",
    "Forecast": "sync.preview",
    "Plan": "project.plan",
    "Run": "project.results",
    "Runs": "project.results",
    "Status": "project.results",
    "StopRun": "rules.errors",
}
"""Where each name is at home that is loaded when it is asked for."""

T = TypeVar("T")


def open_project(path: str | Path = "activations.yaml") -> "Project":
    """The project that a file configures. The file is read by what is asked of the project."""
    return Project(Path(path))


def plan(path: str | Path = "activations.yaml") -> "Plan":
    """What a file configures: without secrets, without a driver, without a connection."""
    return open_project(path).plan()


class Project:
    """A project, with the commands that programs need. Each raises a ConnectorError where the
    command would end with one."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def plan(self) -> "Plan":
        """What is configured: without secrets, without a driver, without a connection."""
        from connector.project.plan import read_plan

        return read_plan(self.file)

    def check(self, *names: str) -> "Check":
        """Whether a sync of `names`, or of all, would work. Writes nothing, sends nothing."""
        from connector.project import look

        app = self._app()
        return _wait_for(app, look.check(app, app.activations(names), bool(names)))

    def preview(self, name: str, limit: int = 10, offline: bool = False) -> "Forecast":
        """What a sync would do now, with the first `limit` requests. Writes nothing, sends nothing.
        `offline`: the destination is not asked."""
        from connector.project import look

        app = self._app()
        (activation,) = app.activations([name])
        return _wait_for(app, look.preview(app, activation, limit, offline))

    def sync(
        self,
        *names: str,
        limit: int | None = None,
        approve: bool = False,
        wait: bool = False,
        full: bool = False,
        budget: float | None = None,
        tag: str | None = None,
    ) -> "Runs":
        """Send what is new: one run of each of `names`, or of all. What stops a run stands in it;
        Ctrl-C, too, lets it end in order.
        `limit`: most rows; `approve`: let a held run go; `wait`: until its own doubts are settled;
        `full`: read whole models; `budget`: end in order after so many seconds; `tag`: a mark, by
        which `runs` finds them."""
        from datetime import timedelta

        from connector.project import run
        from connector.project.results import Run, Runs
        from connector.sync.flow import Orders
        from connector.sync.progress import Progress
        from connector.sync.result import exit_code

        app = self._app()
        chosen = app.activations(names)
        orders = Orders(limit, approve, wait, full, tag=tag)
        span = None if budget is None else timedelta(seconds=budget)
        with app.ledger() as ledger:
            activations, _ = run.to_run(app, ledger, chosen, names)
            work = run.sync(app, ledger, activations, orders, Progress(), span)
            ended = _wait_for(app, work)
            runs = [Run.of(document) for document in run.run_documents(app, ledger, ended)]
        return Runs(runs, exit_code([end.exit_code() for end in ended]))

    def status(self) -> "Status":
        """Where every activation stands."""
        from connector.project.results import ActivationStatus, Status

        project = self._reporting()
        activations = [ActivationStatus.of(each) for each in project.status()]
        return Status(activations, [need.document for need in project.needs()])

    def runs(
        self, name: str | None = None, limit: int | None = None, tag: str | None = None
    ) -> "Runs":
        """The newest runs, 20 unless there is a `limit`, of one activation or of all; or those with
        a `tag`, and what they have done together."""
        from connector.project.results import Run, Runs

        if tag is not None:
            found = self._reporting().tagged(tag, name, limit)
            return Runs([Run.of(each) for each in found["runs"]], totals=found["totals"])
        limit = 20 if limit is None else limit
        return Runs([Run.of(each) for each in self._reporting().runs(name, limit)])

    def explain(self, name: str, key: str) -> "Explanation":
        """The whole story of one row."""
        from connector.project.results import Explanation

        return Explanation.of(self._reporting().explain(name, key))

    def _reporting(self) -> "Reporting":
        from connector.project.reporting import Reporting
        from connector.project.settings import load

        return Reporting(load(self.file))

    def _app(self) -> "App":
        from connector.project.app import App
        from connector.project.settings import load

        _log_as_libraries_do()
        return App(load(self.file))


def _log_as_libraries_do() -> None:
    """Log to `logging`, unless the program has its own ways with structlog."""
    import structlog

    if not structlog.is_configured():
        structlog.configure(
            processors=[
                structlog.stdlib.filter_by_level,
                structlog.contextvars.merge_contextvars,
                structlog.processors.KeyValueRenderer(key_order=["event"]),
            ],
            wrapper_class=structlog.stdlib.BoundLogger,
            logger_factory=structlog.stdlib.LoggerFactory(),
        )


def _wait_for(app: "App", work: Coroutine[Any, Any, T]) -> T:
    """Run `work` in a thread of its own, since a notebook has an event loop running already. Ctrl-C
    lets it end in order."""
    import asyncio
    from concurrent.futures import ThreadPoolExecutor

    running: list[asyncio.AbstractEventLoop] = []

    async def begin() -> T:
        running.append(asyncio.get_running_loop())
        return await work

    with ThreadPoolExecutor(1, "connector") as thread:
        done = thread.submit(asyncio.run, begin())
        try:
            return done.result()
        except KeyboardInterrupt:
            for loop in running:
                loop.call_soon_threadsafe(app.interruption.ask)
            return done.result()


def __getattr__(name: str) -> Any:
    if name not in HOMES:
        raise AttributeError(f"module 'connector' has no attribute {name!r}")
    return getattr(import_module(f"connector.{HOMES[name]}"), name)
