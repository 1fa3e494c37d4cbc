"""Verifications by schedule: made one after the other, told when something deviates, or no more."""

import asyncio
import time
from collections.abc import Callable, Coroutine
from datetime import datetime, timedelta
from typing import Any

from connector.basis.log import Log
from connector.project.app import App
from connector.project.receipts import amiss
from connector.project.schedule import Clockwork
from connector.project.verifying import Postponed, Verified, verify
from connector.rules.activation import Activation
from connector.rules.errors import ConnectorError, Interrupted, LedgerUnavailable, places
from connector.rules.telling import News, said
from connector.rules.words import rows

log = Log(__name__)

AGAIN = timedelta(minutes=5)
"""After which a verification that could not be made is tried again; or half an interval, if that is
shorter."""


def news(done: Verified) -> News | None:
    """What is to be told of a verification; None when nothing has changed since the one before.
    Holds no personal data."""
    name = done.document["activation"]
    before = {each.delivery_id for each in done.before.deviations} if done.before else set()
    now = {each.delivery_id for each in done.deviations}
    if now - before:
        found = amiss(done.document) or rows(len(now))
        looked = done.document["rows"]
        text = (
            f"{name}: the verification found {found} among {rows(looked)} looked at;"
            f" `connector receipts {name}` names them"
        )
        return News(f"{name}: verified", name, text, "warning")
    if before and not now:
        text = f"{name}: the verification finds nothing amiss any more ({len(before):,} before)"
        return News(f"{name}: verified", name, text, "warning", over=True)
    return None


class Verifier:
    """The verifications of one service. Belongs to the running event loop."""

    def __init__(
        self,
        app: Callable[[], App],
        spawn: Callable[[Coroutine[Any, Any, None]], object],
        say: Callable[[News], None],
    ) -> None:
        """`app`: the project as it is configured now; `spawn`: begins what the service waits for at
        its end; `say`: tells people."""
        self._app, self._spawn, self._say = app, spawn, say
        self._clockwork = Clockwork(self._fire)
        self._one_by_one = asyncio.Lock()
        self._under_way: set[str] = set()
        self._troubled: set[str] = set()
        """Whose last verification could not be made, which was told."""

    def start(self) -> None:
        """Begin to verify."""
        self._clockwork.start()

    def stop(self) -> None:
        """Begin no more; the app's interruption ends what goes on."""
        self._clockwork.stop()

    def next(self, name: str) -> datetime | None:
        """When `name` is verified next; None when it is not by itself."""
        return self._clockwork.next(name)

    async def follow(self) -> None:
        """Verify what is configured now."""
        activations = self._app().settings.project.activations
        chosen = {n: a.verify.schedule for n, a in activations.items() if a.verify and not a.paused}
        last = await asyncio.to_thread(self._last, list(chosen))
        self._clockwork.follow(chosen, last.get)

    def _last(self, names: list[str]) -> dict[str, datetime]:
        with self._app().reports() as reports:
            return {name: each.began for name, each in reports.last_receipts(names).items()}

    def _fire(self, name: str, since: datetime) -> None:
        self._spawn(self._due(name, since))

    async def _due(self, name: str, since: datetime) -> None:
        """The schedule's turn."""
        app = self._app()
        activation = app.settings.project.activations.get(name)
        if activation is None or activation.verify is None or name in self._under_way:
            return
        self._under_way.add(name)
        try:
            while not app.interruption.asked:
                async with self._one_by_one:
                    done = await self._once(app, activation, since)
                if done or not await self._wait(app, name, activation):
                    return
                app, activation = self._app(), self._now(name) or activation
        finally:
            self._under_way.discard(name)

    def _now(self, name: str) -> Activation | None:
        return self._app().settings.project.activations.get(name)

    async def _wait(self, app: App, name: str, activation: Activation) -> bool:
        """Until it may be tried again; False: it is not to be, any more."""
        every = activation.verify.every if activation.verify else None
        until = time.monotonic() + min(AGAIN, every / 2 if every else AGAIN).total_seconds()
        while time.monotonic() < until and not app.interruption.asked:
            await asyncio.sleep(0.2)
        configured = self._now(name)
        return configured is not None and configured.verify is not None and not configured.paused

    async def _once(self, app: App, activation: Activation, since: datetime) -> bool:
        """Try it once; False: it is to be tried again."""
        name = activation.name
        try:
            if by := await asyncio.to_thread(self._paused, app, name):
                log.info("verification.skipped", activation=name, reason=f"it is paused by {by}")
                return True
            done = await verify(app, activation, since)
        except Interrupted:
            return True
        except (Postponed, LedgerUnavailable) as error:
            log.info("verification.postponed", activation=name, reason=str(error))
            return False  # where another process is about it, it has made it then, or has died
        except ConnectorError as error:
            if app.interruption.asked:
                return True
            self._in_trouble(name, error)
            return False
        except Exception as defect:  # a mistake of ours in one must not end the others
            kind = type(defect).__name__
            log.error("serve.unexpected", activation=name, kind=kind, places=places(defect))
            return True
        self._made(name, done)
        return True

    def _paused(self, app: App, name: str) -> str | None:
        with app.reports() as reports:
            return reports.paused_by(name)

    def _in_trouble(self, name: str, error: ConnectorError) -> None:
        log.error("verification.stopped", activation=name, reason=str(error), kind=error.kind)
        if name not in self._troubled:
            self._troubled.add(name)
            text = f"{name}: the verification could not be made: {said(error)}"
            self._say(News(f"{name}: verifying", name, text, "warning"))

    def _made(self, name: str, done: Verified | None) -> None:
        if done is None:
            reason = "another process has made it meanwhile"
            log.info("verification.skipped", activation=name, reason=reason)
            return
        figures = ("result", "rows", "interactions", "missing", "twice", "changed", "not_proven")
        level = "info" if done.document["result"] in ("ok", "nothing") else "warning"
        counts = {figure: done.document[figure] for figure in figures}
        getattr(log, level)("verification.finished", activation=name, **counts)
        if name in self._troubled:
            self._troubled.discard(name)
            text = f"{name}: the verification can be made again"
            self._say(News(f"{name}: verifying", name, text, "warning", over=True))
        if told := news(done):
            self._say(told)
