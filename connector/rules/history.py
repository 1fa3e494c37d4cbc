"""What is usual for an activation, by its earlier runs: rows to send, contacts found, a model that
has rows. Pure: the runs are handed in."""

from collections.abc import Iterable, Sequence
from dataclasses import field
from datetime import datetime, tzinfo
from math import comb
from statistics import median

from connector.basis import dataclass

ENOUGH = 10
"""Fewer runs say nothing of what is usual."""
DAYS = 10
"""Days of the same weekday that are looked back on: with many runs a day, all of theirs."""
CHANCE = 1e-4
"""A fall of the match rate that is likelier than this by chance alone is none."""
SURE = 0.99
"""Nobody finds more than this share of contacts reliably: one that is missing proves nothing."""
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


@dataclass(frozen=True, slots=True)
class Usual:
    """A median of so many `runs`; None while they are too few."""

    median: float | None = None
    runs: int = 0

    @classmethod
    def of(cls, figures: Sequence[float]) -> "Usual":
        runs = len(figures)
        return cls(round(median(figures), 4) if runs >= ENOUGH else None, runs)


@dataclass(frozen=True, slots=True)
class History:
    """What earlier runs were like. `weekday`: of the runs that `rows` is about; `with_rows`: runs
    in which the model had rows, 0 where it had none in one of them."""

    rows: Usual = field(default_factory=Usual)
    weekday: str = ""
    match: Usual = field(default_factory=Usual)
    with_rows: int = 0


def usual_rows(
    past: Iterable[tuple[datetime, int]], now: datetime, zone: tzinfo
) -> tuple[Usual, str]:
    """What the runs of the weekday of `now` in `zone` had to send, on the last days of that name,
    and its name. `past`: when a run began, and how many rows it had to send; the newest first.

    Runs with nothing to do say nothing: those every 15 minutes would make nothing usual.
    """
    today = now.astimezone(zone).weekday()
    numbers: list[int] = []
    days = set()
    for began, due in past:
        day = began.astimezone(zone).date()
        if not due or day.weekday() != today:
            continue
        days.add(day)
        if len(days) > DAYS:
            break
        numbers.append(due)
    return Usual.of(numbers), WEEKDAYS[today]


def runs_with_rows(had_rows: Sequence[bool]) -> int:
    """In how many runs the model had rows, if it had some in each since the first that found any;
    else 0: it may well be empty. The newest run comes first."""
    first = len(had_rows)
    while first and not had_rows[first - 1]:  # set up before its source was filled
        first -= 1
    return first if all(had_rows[:first]) else 0


def may_be_chance(found: int, of: int, usual: float) -> bool:
    """Whether so few can well be `found` of so many identifiers where the share is as `usual`."""
    share = min(usual, SURE)
    likely = sum(
        comb(of, number) * share**number * (1 - share) ** (of - number)
        for number in range(found + 1)
    )
    return likely >= CHANCE
