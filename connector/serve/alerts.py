"""Tell people when an activation's state changes, when it has recovered, and when it is late."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from datetime import datetime
from urllib.parse import urlsplit

from connector.basis import dataclass
from connector.basis.log import Log
from connector.ledger.reports import Reports
from connector.project.apprised import unreachable
from connector.project.settings import Settings
from connector.rules import clocks
from connector.rules.alerting import Alert, Severity
from connector.rules.delivery import State, waiting_for_person
from connector.rules.errors import ConnectorError, places
from connector.rules.selection import is_chosen
from connector.rules.telling import (
    Channel,
    Failing,
    Letter,
    Message,
    News,
    Progress,
    Where,
    letter,
    limits,
    said,
)
from connector.rules.words import nameless, settle_from, words
from connector.sync.result import Result

log = Log(__name__)

LOOK_EVERY = 0.5
"""Seconds between two looks at what is to be told: what comes in between is one message."""
LAST_WORDS = 5.0
"""Seconds that messages to people are waited for at the end."""
NOTHING_GOES_ON = ("stopped", "held")

Send = Callable[[Alert, Letter], Awaitable[str | None]]


@dataclass(frozen=True, slots=True)
class Before:
    """How the run before ended, and whether it left something new for a person."""

    status: str = "succeeded"
    left: bool = False


def message(ended: Result, before: Before) -> News | None:
    """What is to be told after a run; None when nothing has changed since the run before it.

    An activation in which something waits for a person stays *attention* until nothing does. When a
    run leaves more there, after one that left nothing, that is news, too. Holds no personal data,
    and no row key, which may be an address.
    """
    now, name, more = ended.status, ended.activation, bool(ended.left) and not before.left
    if now == before.status and not (now == "attention" and more):
        return None
    if now == "succeeded":
        return recovered(name, before)
    return News(name, name, f"{name}: {_what(ended, now)}", _severity(now))


def recovered(name: str, before: Before) -> News:
    """That what was told of an activation is over."""
    text = f"{name} has recovered (it was {before.status})"
    return News(name, name, text, _severity(before.status), over=True)


def _severity(status: str) -> Severity:
    return "error" if status in NOTHING_GOES_ON else "warning"


def _what(ended: Result, status: str) -> str:
    if ended.error is not None:
        return f"stopped: {said(ended.error)}"
    notes = [nameless(note) for note in ended.tally.notes]
    if status == "held":
        return notes[-1]
    counts, young = dict(ended.waits), ended.tally.too_young
    if young and (counts[State.IN_DOUBT] - young, sum(counts.values())) == (0, young) and not notes:
        return settle_from(young, str(ended.tally.next_settling))
    waiting = ", ".join(f"{number:,} {words(state)}" for state, number in counts.items())
    return f"something waits for a person ({waiting or '; '.join(notes)})"


def not_taken_over(error: ConnectorError) -> News:
    """That the changed configuration has a mistake."""
    text = f"the changed configuration is not taken over: {error}"
    return News("configuration", None, text)


TAKEN_OVER = News(
    "configuration", None, "the configuration is valid again and taken over", over=True
)


class Alerts:
    """What is told of the runs of one service: to each channel in the order in which things
    happened, and to none of them later because another one fails."""

    def __init__(
        self, settings: Callable[[], Settings], send: Send, count: Callable[[str, str], None]
    ) -> None:
        """`settings`: as they are now; `send`: gives back why a letter is lost; `count`: told of
        each message, by channel, what became of it."""
        self._settings, self._do_send, self._count = settings, send, count
        self._before: dict[str, Before] = {}
        self._configured: Sequence[Alert] = ()
        self._channels: list[Channel] = []
        self._sending: dict[int, asyncio.Task[None]] = {}
        self._failing: dict[str, Failing] = {}
        """By address."""
        self._has_changed = asyncio.Event()

    def remember(self, ledger: Callable[[], AbstractContextManager[Reports]]) -> None:
        """Note what was told of each activation before this process began: that something waits for
        a person. A run that was just cut off is told again if it was more than that. Channels that
        nobody is reached by are logged: in a thread, since apprise takes long to import."""
        _ = self.channels
        with ledger() as reports:
            standings = reports.standings(list(self._settings().project.activations))
        for name, standing in standings.items():
            status = standing.last_run["status"] if standing.last_run else None
            if status in ("attention", "held"):
                self._before[name] = Before(status, left=True)
            elif waiting_for_person(standing.counts):
                self._before[name] = Before("attention", left=True)

    def run_ended(self, ended: Result) -> None:
        """Tell what has changed since the run before."""
        if news := message(ended, self._before.get(ended.activation, Before())):
            self.say(news)
        self._before[ended.activation] = Before(ended.status, bool(ended.left))

    def attentive(self) -> Mapping[str, object]:
        """How each activation stands in which something waited for a person when its last run
        ended."""
        return {name: each for name, each in self._before.items() if each.status == "attention"}

    def decided(self, name: str, seen: object) -> None:
        """Nothing waits for a person any more in an activation that stood as `seen`: that is told,
        unless a run has ended since."""
        if (before := self._before.get(name)) is seen and before:
            self.say(recovered(name, before))
            self._before[name] = Before()

    def say(self, news: News) -> None:
        """Tell whoever is to be told of it, soon."""
        now = clocks.wall()
        for channel in self._of(news.activation):
            channel.hear(news, now)

    def look(self, active: Sequence[Progress], now: datetime) -> None:
        """Hold how far activations are against the limits of each channel."""
        for channel in self.channels:
            theirs = [each for each in active if self._hears(channel, each.activation)]
            for news in limits(channel, theirs, now):
                channel.hear(news, now)

    @property
    def channels(self) -> list[Channel]:
        """As they are configured now; each keeps what it was told when its rules change."""
        alerts = self._settings().project.alerts
        if alerts is not self._configured:
            earlier = {each.alert.address: each for each in self._channels}
            self._configured, self._channels = alerts, []
            for alert in alerts:
                channel = earlier.pop(alert.address, None) or Channel(alert)
                channel.alert = alert
                self._channels.append(channel)
            there = {alert.address for alert in alerts}
            self._failing = {key: each for key, each in self._failing.items() if key in there}
            for number, alert in enumerate(alerts, start=1):
                if why := unreachable(alert):
                    log.error("alert.unreachable", alert=f"{number} {alert.called}", reason=why)
                    self._became(alert, number, why)
        return self._channels

    @property
    def failing(self) -> list[Failing]:
        """The channels that get no messages now."""
        return sorted(self._failing.values(), key=lambda each: each.number)

    async def changed_within(self, seconds: float) -> None:
        """Wait until another channel fails, or fails no more; at most so long."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._has_changed.wait(), seconds)
        self._has_changed.clear()

    def _became(self, alert: Alert, number: int, why: str | None) -> None:
        """A message to `alert` was lost, or may not go at all; None: one has got there."""
        before = self._failing.get(alert.address)
        if why is None:
            self._failing.pop(alert.address, None)
        else:
            since = before.since if before else clocks.wall()
            self._failing[alert.address] = Failing(number, alert.called, since, why)
        if self._failing.get(alert.address) != before:
            self._has_changed.set()

    def _of(self, activation: str | None) -> list[Channel]:
        """Who is told of an activation; of the project itself, those who are told of all, or
        everybody where nobody is."""
        if activation is not None:
            return [each for each in self.channels if self._hears(each, activation)]
        return [each for each in self.channels if not each.alert.activations] or self.channels

    def _hears(self, channel: Channel, name: str) -> bool:
        chosen, known = channel.alert.activations, self._settings().project.activations
        return not chosen or is_chosen(chosen, name, known.get(name))

    async def keep_telling(self) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(LOOK_EVERY)
            self._tell()

    def _tell(self, last: bool = False) -> None:
        """Begin to send what is due, one message at a time to each."""
        for number, channel in enumerate(self.channels, start=1):
            if (under_way := self._sending.get(id(channel))) and not under_way.done():
                continue
            if due := channel.take(clocks.wall(), last):
                sending = self._send(channel.alert, number, due)
                self._sending[id(channel)] = asyncio.create_task(sending)

    async def _send(self, alert: Alert, number: int, due: Message) -> None:
        called = f"{number} {'webhook' if alert.webhook else 'apprise'}"
        try:
            why = await self._do_send(alert, letter(due, self._where(due)))
        except Exception as defect:  # a mistake of ours, or of what apprise loads
            kind = type(defect).__name__
            log.error("serve.unexpected", alert=called, kind=kind, places=places(defect))
            why = f"unexpected {kind}; see the log"
        self._became(alert, number, why)
        self._count(called, "lost" if why else "sent")

    def _where(self, due: Message) -> Where:
        settings = self._settings()
        project = settings.project
        names = [told.news.activation for told in due.told]
        return Where(
            settings.name, project.environment, list(_hosts(settings, names)), project.serve.url
        )

    async def last_words(self) -> None:
        """Begin to send what is left, and wait for what is being sent, but not for long."""
        self._tell(last=True)
        if under_way := [task for task in self._sending.values() if not task.done()]:
            await asyncio.wait(under_way, timeout=LAST_WORDS)


def _hosts(settings: Settings, activations: Iterable[str | None]) -> Iterator[str]:
    """Where rows of `activations` go; of the project itself, or of what is configured no more, all
    that there is."""
    project, chosen = settings.project, dict[str, None]()
    for name in activations:
        known = project.activations.get(name or "")
        there = [project.destination_of(known)] if known else list(project.destinations)
        chosen |= dict.fromkeys(there)
    hosts = dict[str, None]()
    for destination in chosen:
        address = project.destinations[destination].place.address
        with suppress(ValueError):
            hosts |= {urlsplit(address).hostname or address: None}
    yield from hosts
