"""Small charts as SVG: what they draw, and what they say to those who do not see them."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta, tzinfo
from itertools import pairwise

from connector.basis import dataclass
from connector.ledger.days import Offsets
from connector.ledger.trends import Past
from connector.rules.walltime import offsets
from connector.rules.words import counted, words

STRIP = 30
"""Runs in a strip."""
HIGH = 18
"""Units of height of a strip and of a sparkline; both are four units wide for each thing."""
TONES = {"succeeded": "good", "attention": "warn", "held": "warn", "stopped": "bad"}
LOWEST = 1.5
"""Of 100, how high the lowest bar is that is not nothing."""
STEPS = (1, 2, 4, 6, 8, 10)
MILLISECOND = timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True)
class Strip:
    """Runs side by side, the newest at the right end: a path for each colour. Those that were not
    well are shorter or have a gap, so that nobody has to tell colours apart."""

    paths: Mapping[str, str]
    text: str
    width: int = STRIP * 4


@dataclass(frozen=True, slots=True)
class Line:
    """A line through values, from the left to the right."""

    path: str
    text: str
    width: int


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar of a chart: where it stands, how high it is of 100, and what it says."""

    place: int
    label: str
    text: str
    height: float

    @property
    def top(self) -> float:
        """How far below the top of the chart it ends."""
        return round(100 - self.height, 1)


@dataclass(frozen=True, slots=True)
class Chart:
    """Bars over time. `ticks`: heights of lines (of 100) with what they say; `text`: the whole in
    a sentence."""

    title: str
    text: str
    bars: Sequence[Bar]
    ticks: Sequence[tuple[float, str]]
    tone: str = ""

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to be seen."""
        return not any(bar.height for bar in self.bars)


def strip(pasts: Sequence[Past]) -> Strip:
    """The newest of `pasts`, which are in the order of time."""
    shown, paths = pasts[-STRIP:], dict[str, str]()
    for place, past in enumerate(shown, STRIP - len(shown)):
        tone, x = TONES.get(past.status, "calm"), place * 4 + 2
        paths[tone] = paths.get(tone, "") + f"M{x} {_drawn(tone)}"
    told = Counter(past.status for past in shown)
    kinds = ", ".join(f"{number} {words(status)}" for status, number in told.most_common())
    return Strip(paths, f"{counted(len(shown), 'run')}: {kinds}" if shown else "no run yet")


def _drawn(tone: str) -> str:
    """How far a line of that colour goes: whole; broken; the lower half."""
    match tone:
        case "good":
            return f"3V{HIGH}"
        case "bad":
            return f"0V{HIGH}"
        case "warn":
            return f"7V{HIGH}"
        case _:
            return f"12V{HIGH}"


def line(values: Sequence[int], text: str) -> Line:
    """A sparkline; its highest point is the highest of `values`."""
    most = max(values, default=0) or 1
    points = [
        f"{4 * x} {HIGH - 1 - round(value / most * (HIGH - 2))}" for x, value in enumerate(values)
    ]
    return Line("M" + "L".join(points), text, max(4 * (len(values) - 1), 4))


def days_until_now(zone: tzinfo, number: int) -> tuple[date, Offsets]:
    """Today by the clocks of `zone`, and how these were set in the last `number` days."""
    now = datetime.now(zone)
    begin = now.astimezone(UTC) - timedelta(days=number + 1)
    set_at = offsets(begin, now, zone)
    return now.date(), [(round(at.timestamp() * 1000), by // MILLISECOND) for at, by in set_at]


def bars(
    title: str,
    values: Sequence[tuple[str, float | None]],
    write: Callable[[float], str],
    tone: str = "",
) -> Chart:
    """A chart of `values`, each with its label; None is no bar. `write`: how a value is told."""
    known = [value for _, value in values if value is not None]
    most = max(known, default=0.0)
    top = _top(most)
    drawn = [
        Bar(place, label, "–" if v is None else write(v), _high(v or 0.0, top))
        for place, (label, v) in enumerate(values)
    ]
    when = next((label for label, value in values if value == most), "")
    text = f"{title}: at most {write(most)}, {when}" if most else f"{title}: nothing"
    ticks = [(0.0, write(0)), (100.0, write(top))]
    if (half := write(top / 2)) not in (write(0), write(top)):
        ticks.insert(1, (50.0, half))
    return Chart(title, text, drawn, ticks if most else [], tone)


def _high(value: float, top: float) -> float:
    """Of 100; whatever is not nothing can be seen."""
    return max(round(value / top * 100, 1), LOWEST) if value else 0.0


@dataclass(frozen=True, slots=True)
class Span:
    """A part of a time line: from where to where, of a thousand, and what it was."""

    name: str
    start: float
    width: float
    text: str


def spans(phases: Sequence[tuple[str, float]], seconds: float) -> list[Span]:
    """What was done one after the other, each until the next, up to `seconds`. What took no time
    that could be seen is left out."""
    found, whole = list[Span](), seconds or 1.0
    for (name, begin), (_, end) in pairwise([*phases, ("", seconds)]):
        width = 1000 * (end - begin) / whole
        if width >= 10 or end - begin >= 0.5:
            text = f"{name}: {took_text(end - begin)}"
            found.append(Span(name, round(1000 * begin / whole, 1), round(width, 1), text))
    return found


def took_text(seconds: float) -> str:
    """How long something took, to the tenth of a second or to the millisecond."""
    return f"{seconds:,.1f} s" if seconds >= 1 else f"{1000 * seconds:.0f} ms"


def _top(most: float) -> float:
    """The next round number that is not below `most`."""
    if most <= 0:
        return 1.0
    size = 1.0
    while size * 10 <= most:
        size *= 10
    while size > most:
        size /= 10
    return next(step * size for step in STEPS if step * size >= most - 1e-9)
