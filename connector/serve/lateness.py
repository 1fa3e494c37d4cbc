"""Look whether activations are late, by the limits that alerts name, and whether people have
decided about what waited for them."""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Protocol

from connector.basis.log import Log
from connector.ledger.standing import Standing, since
from connector.project.app import App
from connector.rules import clocks
from connector.rules.delivery import waiting_for_person
from connector.rules.errors import ConnectorError
from connector.rules.needs import notes_of
from connector.rules.telling import Channel, Progress

log = Log(__name__)

LOOK_EVERY = timedelta(minutes=1)
"""Between two looks; more often where a limit is shorter than some minutes."""
SOONEST = timedelta(seconds=1)


class Listening(Protocol):
    """Who is told. `attentive`: how activations stand in which something waited for a person when
    their last run ended; `decided`: nothing does any more, and no run has ended since."""

    @property
    def channels(self) -> Sequence[Channel]: ...
    def attentive(self) -> Mapping[str, object]: ...
    def decided(self, name: str, seen: object) -> None: ...
    def look(self, active: Sequence[Progress], now: datetime) -> None: ...


def pause(limits: list[timedelta]) -> timedelta:
    """How long it is until the next look."""
    return max(SOONEST, min([LOOK_EVERY, *(limit / 4 for limit in limits)]))


class Lateness:
    """Of the activations of one service. Belongs to the running event loop."""

    def __init__(self, app: Callable[[], App], alerts: Listening) -> None:
        self._app, self._alerts = app, alerts
        self._since: dict[str, datetime] = {}
        """Since when an activation is looked at."""
        self._paused: dict[str, datetime] = {}
        """When it was last seen paused; no time before that counts."""

    async def keep_looking(self) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(pause(self._limits()).total_seconds())
            try:
                await self.look(clocks.wall())
            except ConnectorError as error:  # runs tell of a ledger that cannot be read
                log.warning("alert.not_looked", reason=str(error))

    async def look(self, now: datetime) -> None:
        """Once. Raises ConnectorError."""
        if not (channels := self._alerts.channels):
            return
        seen = self._alerts.attentive()
        delivered = any(channel.alert.nothing_for for channel in channels)
        standings, delivered_ago = await asyncio.to_thread(self._read, delivered)
        for name, before in seen.items():
            if (standing := standings.get(name)) and _is_decided(standing):
                self._alerts.decided(name, before)
        self._alerts.look(list(self._active(standings, delivered_ago, now)), now)

    def _names(self) -> list[str]:
        return list(self._app().settings.project.activations)

    def _limits(self) -> list[timedelta]:
        alerts = [channel.alert for channel in self._alerts.channels]
        return [each for alert in alerts for each in (alert.lag, alert.nothing_for) if each]

    def _read(self, delivered: bool) -> tuple[Mapping[str, Standing], Mapping[str, int | None]]:
        with self._app().reports() as reports:
            names, now = self._names(), reports.now()
            newest = reports.last_delivered(names) if delivered else {}
            ago = {name: since(now - at) for name, at in newest.items()}
            return reports.standings(names), ago

    def _active(
        self, standings: Mapping[str, Standing], delivered: Mapping[str, int | None], now: datetime
    ) -> Iterator[Progress]:
        """Those that run by themselves and are not paused. `delivered`: how many milliseconds ago
        each has delivered a row; None where that is not known."""
        for name, activation in self._app().settings.project.activations.items():
            standing = standings.get(name)
            if activation.schedule is None or standing is None:
                continue
            if activation.paused or standing.paused_by is not None:
                self._paused[name] = now
                continue
            yield Progress(
                name,
                self._from(name, standing.read_ago, now),
                self._from(name, delivered.get(name), now),
                standing.read_at is not None,
                name in delivered,
            )

    def _from(self, name: str, ago: int | None, now: datetime) -> datetime:
        """Since when, by the clock that shows `now`."""
        began = self._since.setdefault(name, now)
        if ago is not None:
            began = now - timedelta(milliseconds=ago)
        return max(began, self._paused.get(name, began))


def _is_decided(standing: Standing) -> bool:
    last = standing.last_run
    over = last is not None and last["status"] != "running" and not notes_of(last)
    return over and not standing.is_held and not waiting_for_person(standing.counts)
