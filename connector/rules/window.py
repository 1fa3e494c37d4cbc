"""Send windows: whether rows may be sent at a moment, and when that changes next.

Pure. A window is what the clocks of a zone show: on the named days, from one time of day until
another. Where clocks are put back an hour is shown twice, and the window is open in both; an hour
that they skip is not shown, so a window that lies in it whole does not open on that day.
"""

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from connector.basis import dataclass
from connector.rules.activation import Activation
from connector.rules.grammar import DAYS, EVERY_DAY, MINUTES, WHOLE_DAY, Span
from connector.rules.walltime import change, offset

FURTHEST = 16
"""Days in which the next opening is looked for: a week, and another where the clocks skip it."""
ANY_TIME = "at any time"
FOR_WINDOW = "it waits for the send window"
"""Why a row is where it is whose contact is known already, outside of the window."""


@dataclass(frozen=True, slots=True)
class Window:
    """When an activation may send. `spans`: times of day; each begins on one of `days`, and goes on
    into the next day where it passes midnight."""

    spans: tuple[Span, ...]
    days: frozenset[int]
    zone: ZoneInfo

    def is_open(self, now: datetime) -> bool:
        """Whether a row may be sent at `now`."""
        shown = now.astimezone(self.zone)
        minute, day = shown.hour * 60 + shown.minute, shown.weekday()
        today = any(begins <= minute < ends for begins, ends in self.spans)
        since_yesterday = any(minute + MINUTES < ends for _, ends in self.spans)
        return (today and day in self.days) or (since_yesterday and (day - 1) % 7 in self.days)

    def opens_at(self, now: datetime) -> datetime | None:
        """When it opens next after `now`, while it is closed; None where it is open, or does not
        open within two weeks."""
        return None if self.is_open(now) else self._next(now, opened=True)

    def closes_at(self, now: datetime) -> datetime | None:
        """When it closes next after `now`, while it is open; None where it is closed, or does not
        close within two weeks."""
        return self._next(now, opened=False) if self.is_open(now) else None

    def opened_at(self, now: datetime) -> datetime | None:
        """Since when it is open at `now`; None where it is closed, or has been open for weeks."""
        if not self.is_open(now):
            return None
        edges = self._edges(now, -FURTHEST)
        openings = (
            edge for edge in edges if edge <= now and not self.is_open(edge - timedelta(seconds=1))
        )
        return max((edge for edge in openings if self.is_open(edge)), default=None)

    def _next(self, now: datetime, opened: bool) -> datetime | None:
        edges = (edge for edge in self._edges(now, FURTHEST) if edge > now)
        return min((edge for edge in edges if self.is_open(edge) is opened), default=None)

    def _edges(self, now: datetime, days: int) -> Iterator[datetime]:
        """All moments at which it may open or close, within so many days of `now`."""
        today = now.astimezone(self.zone).date()
        minutes = {minute % MINUTES for span in self.spans for minute in span} | {0}
        for step in range(min(days, 0) - 1, max(days, 0) + 2):
            try:
                day = today + timedelta(days=step)
                yield from self._shown(day, minutes)
            except OverflowError:  # the calendar ends
                continue

    def _shown(self, day: date, minutes: set[int]) -> Iterator[datetime]:
        """When clocks show one of `minutes` on `day`, and when they are set."""
        for minute in minutes:
            wall = datetime.combine(day, time(minute // 60, minute % 60), self.zone)
            yield from {wall.replace(fold=fold).astimezone(UTC) for fold in (0, 1)}
        noon = datetime.combine(day, time(12), self.zone).astimezone(UTC)
        before = noon - timedelta(days=1)
        if offset(before, self.zone) != offset(noon, self.zone):
            yield change(before, noon, self.zone)


def window_text(window: Window) -> str:
    """When it is open, as it is written in activations.yaml, and by whose clocks."""
    if window.spans == WHOLE_DAY and window.days == EVERY_DAY:
        return ANY_TIME
    spans = ", ".join(f"{_clock(begins)}-{_clock(ends)}" for begins, ends in window.spans)
    return f"{_days_text(window.days)} {spans} ({window.zone.key})"


def _clock(minute: int) -> str:
    shown = minute if minute == MINUTES else minute % MINUTES
    return f"{shown // 60:02}:{shown % 60:02}"


def _days_text(days: frozenset[int]) -> str:
    """`mon-fri`, `mon, wed`, or `sat-mon` for days that go on over Sunday."""
    if days == EVERY_DAY:
        return "every day"
    parts = []
    for first in (day for day in sorted(days) if (day - 1) % 7 not in days):
        last = next(day for day in range(first, first + 7) if (day + 1) % 7 not in days) % 7
        parts.append(DAYS[first] if first == last else f"{DAYS[first]}-{DAYS[last]}")
    return ", ".join(parts)


def window_of(activation: Activation, warehouse: ZoneInfo | None) -> Window | None:
    """When rows of `activation` may be sent; None: at any time. `warehouse`: what times without a
    zone mean there. Raises ValueError where no zone is said anywhere: the settings refuse that."""
    send, schedule = activation.send, activation.schedule
    if send is None:
        return None
    zones = (send.timezone, schedule.timezone if schedule else None, warehouse)
    zone = next((zone for zone in zones if zone), None)
    if zone is None:
        raise ValueError(
            "whose clocks are meant is not said; add a timezone such as Europe/Stockholm, here, to"
            " the schedule or to the warehouse"
        )
    return Window(send.between, send.days, zone)
