"""What one channel is told, and when: one message for what comes together, nothing twice while it
lasts, silence in quiet hours, and an end to everything that was told.

Pure: whoever asks says what time it is.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Literal
from urllib.parse import quote

from connector.rules.alerting import Alert, Severity
from connector.rules.errors import ConnectorError
from connector.rules.words import Note, counted, span_text

HOUR = timedelta(hours=1)
NEWLINE = "\n"
SHOWN = 20
"""Lines of a message; the rest is counted."""
NAMED = 5
"""Hosts that a message names; and, of what is only counted, activations."""
SEVERITIES: tuple[Severity, ...] = ("warning", "error")


@dataclass(frozen=True, slots=True)
class News:
    """One thing to be told. `about`: the cause, of which the newest counts; `activation`: whose it
    is, None for the whole project; `severity`: how bad it is, or was, when it is `over`."""

    about: str
    activation: str | None
    text: str
    severity: Severity = "error"
    over: bool = False


@dataclass(frozen=True, slots=True)
class Told:
    """`news` that is told, `times` if it has come several times. `again`: a reminder."""

    news: News
    at: datetime
    times: int = 1
    again: bool = False


@dataclass(frozen=True, slots=True)
class Message:
    """What is told at once. `more_at`: when there may be another one, where this is the last that
    the hour lets pass."""

    told: Sequence[Told]
    more_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Failing:
    """An entry of `alerts` that gets no messages: which one, counted from 1, what it is called,
    since when, and why."""

    number: int
    called: str
    since: datetime
    why: str

    @property
    def text(self) -> str:
        """It, in a line."""
        since = f"{self.since:%Y-%m-%d %H:%M} UTC"
        return f"alert {self.number} ({self.called}) gets no messages since {since}: {self.why}"


@dataclass(slots=True)
class Channel:
    """What one entry of `alerts` was told, and what it is to be told."""

    alert: Alert
    standing: dict[str, Told] = field(default_factory=dict)
    """What was told, and lasts."""
    waiting: dict[str, Told] = field(default_factory=dict)
    sent: list[datetime] = field(default_factory=list)
    """When, within the last hour."""
    broken: set[str] = field(default_factory=set)
    """Limits of this entry (`lag`, `nothing_for`) that are passed."""

    def hear(self, news: News, now: datetime) -> None:
        """Something has happened, or is over."""
        about = news.about
        before = self.waiting.pop(about, None)
        known = about in self.standing
        if self._is_minor(news):
            if known and not news.over:  # it was worse, which is over
                self.waiting[about] = Told(replace(news, over=True), now)
            return
        if news.over and before and not before.news.over and not known:
            return  # it came and went before anybody was told
        times = before.times + 1 if before and not (news.over or before.news.over) else 1
        self.waiting[about] = Told(news, now, times)

    def forget(self, about: str) -> None:
        """Nothing more is to be told of `about`, which is no more."""
        self.waiting.pop(about, None)
        self.standing.pop(about, None)
        self.broken.discard(about)

    def take(self, now: datetime, last: bool = False) -> Message | None:
        """The message that is due at `now`, which counts as told; None: none is. `last`: there is
        no later."""
        self._remind(now)
        due = [told for told in self.waiting.values() if not self._is_quiet(told.news, now)]
        self.sent = [at for at in self.sent if timedelta(0) <= now - at < HOUR]
        close = self.sent and now - self.sent[-1] < self.alert.group and not last
        if not due or close or len(self.sent) >= self.alert.at_most:
            return None
        for told in due:
            del self.waiting[told.news.about]
            self.standing.pop(told.news.about, None)
            if not told.news.over:
                self.standing[told.news.about] = replace(told, at=now, times=1, again=False)
        self.sent.append(now)
        is_last = len(self.sent) >= self.alert.at_most
        return Message(due, self.sent[0] + HOUR if is_last else None)

    def _is_minor(self, news: News) -> bool:
        return SEVERITIES.index(news.severity) < SEVERITIES.index(self.alert.severity)

    def _is_quiet(self, news: News, now: datetime) -> bool:
        return self.alert.quiet is not None and self.alert.quiet.keeps(news.severity, now)

    def _remind(self, now: datetime) -> None:
        if (after := self.alert.remind) is None:
            return
        for about, told in self.standing.items():
            if now - told.at >= after and about not in self.waiting:
                self.waiting[about] = Told(told.news, now, again=True)


# --- limits ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Progress:
    """Since when the model of an activation was not read to its end, and since when no row was
    delivered. `read`, `delivered`: whether that was ever so; else it is since it is looked."""

    activation: str
    read_at: datetime
    delivered_at: datetime
    read: bool = True
    delivered: bool = True


def limits(channel: Channel, active: Iterable[Progress], now: datetime) -> Iterator[News]:
    """What is to be told of the limits of `channel`, whose `broken` are brought up to date.
    `active`: the activations that it is told of and that are expected to go on."""
    alert, seen = channel.alert, set[str]()
    for each in active:
        name = each.activation
        for key, limit, since, ever in (
            ("lag", alert.lag, each.read_at, each.read),
            ("nothing_for", alert.nothing_for, each.delivered_at, each.delivered),
        ):
            if limit is None:
                continue
            about = f"{name}: {key}"
            seen.add(about)
            if now - since > limit and about not in channel.broken:
                channel.broken.add(about)
                yield News(about, name, _passed(name, key, limit, ever))
            elif now - since <= limit and about in channel.broken:
                channel.broken.discard(about)
                yield News(about, name, _kept(name, key, limit), over=True)
    for gone in channel.broken - seen:
        channel.forget(gone)


def _passed(name: str, key: str, limit: timedelta, ever: bool) -> str:
    span = span_text(limit)
    if key == "lag":
        return f"{name}: its model was {'' if ever else 'never '}read to its end{_more(ever, span)}"
    return f"{name}: no row was delivered for more than {span}"


def _more(ever: bool, span: str) -> str:
    return f" more than {span} ago" if ever else f", for more than {span} by now"


def _kept(name: str, key: str, limit: timedelta) -> str:
    if key == "lag":
        return f"{name}: its model was read to its end, less than {span_text(limit)} ago"
    return f"{name}: rows are delivered again"


def said(error: ConnectorError) -> str:
    """What stopped something, without row keys."""
    message = error.args[0] if error.args else None
    return message.nameless if isinstance(message, Note) else str(error)


# --- words ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Where:
    """What a message says of where it comes from. `hosts`: of the destinations that it is about;
    `page`: the public address of the page."""

    project: str
    environment: str | None
    hosts: Sequence[str]
    page: str | None = None

    @property
    def called(self) -> str:
        """The project, and which of several it is."""
        return f"{self.project} ({self.environment})" if self.environment else self.project


Mood = Literal["failure", "warning", "success"]
SUBJECT = 100
"""Characters of a title; what it says stands whole in the text."""


@dataclass(frozen=True, slots=True)
class Letter:
    """A message as it goes out. `mood`: how bad the worst of it is, or that all of it is over."""

    title: str
    text: str
    mood: Mood = "warning"


def letter(message: Message, where: Where) -> Letter:
    """`message`, for people. Names no row key."""
    text = worded(message, where)
    title = f"{where.called}: {text.partition(NEWLINE)[0].removeprefix('connector: ')}"
    if len(title) > SUBJECT:
        title = f"{title[:SUBJECT].rpartition(' ')[0]} …"
    open_ = [told.news for told in message.told if not told.news.over]
    if not open_:
        return Letter(title, text, "success")
    worst = any(news.severity == "error" for news in open_)
    return Letter(title, text, "failure" if worst else "warning")


def worded(message: Message, where: Where) -> str:
    """The whole message, for people. Names no row key."""
    lines = list(_lines(message.told))
    if message.more_at:
        at = f"{message.more_at:%H:%M} UTC"
        lines.append(f"So many messages go out within an hour; what comes next is told at {at}.")
    hosts = [*where.hosts[:NAMED], *(["…"] if len(where.hosts) > NAMED else [])]
    lines.append(f"{where.called}, to {', '.join(hosts)}" if hosts else where.called)
    if where.page:
        lines.append(_link(where.page.rstrip("/"), {told.news.activation for told in message.told}))
    return "\n".join(lines)


def _lines(told: Sequence[Told]) -> Iterator[str]:
    if len(told) == 1:
        yield f"connector: {_line(told[0])}"
        return
    names = {each.news.activation for each in told} - {None}
    over = sum(each.news.over for each in told)
    parts = [f"{len(told) - over:,} in trouble"] if len(told) > over else []
    parts += [f"{over:,} over"] if over else []
    of = f" of {counted(len(names), 'activation')}" if names else ""
    yield f"connector: {counted(len(told), 'message')}{of} ({', '.join(parts)}):"
    shown = sorted(told, key=lambda each: each.news.over)
    yield from (f"- {_line(each)}" for each in shown[:SHOWN])
    if left := shown[SHOWN:]:
        some = list(dict.fromkeys(each.news.activation or "the project" for each in left))
        more = " …" if len(some) > NAMED else ""
        yield f"- and {len(left):,} more: {', '.join(some[:NAMED])}{more}"


def _line(told: Told) -> str:
    times = f" ({told.times:,} times)" if told.times > 1 else ""
    return f"{'still: ' if told.again else ''}{told.news.text}{times}"


def _link(page: str, activations: set[str | None]) -> str:
    (one,) = activations if len(activations) == 1 else (None,)
    return f"{page}/activations/{quote(one, safe='')}" if one else f"{page}/"
