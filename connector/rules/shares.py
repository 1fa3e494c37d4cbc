"""How the rate of one API key is divided among the processes that want it now.

Pure. Each process asks for its part again and again, and hears what it may send from then on. At
every moment the parts that are lent are no more than the rate, whatever becomes of a process.
"""

from collections.abc import Sequence
from math import ceil, floor

from connector.basis import dataclass
from connector.rules.clocks import Moment

LENT = 2.0
"""Seconds for which a part is lent, by the clock of whoever keeps the accounts."""
USED = LENT - 0.05
"""Seconds for which it is used, by the borrower's clocks, from before the question: less, so that
clocks which do not tick quite alike change nothing."""
BEAT = 0.5
"""Seconds between two questions of one process."""
MOST_KEPT_BACK = 0.03
GROWTH_PER_SECOND = 1.05
SLOWEST = 0.1
ONE_WAVE = 1.0
"""Seconds within which all "busy" counts as one."""
ENOUGH = 0.25
"""Who sends so much of its part may well want more."""
BESIDE, SLOWEST_BESIDE = 0.02, 0.5
"""What whoever takes no part may send beside others: this much of the rate, or so many a second."""
ROOM, STEP = 1.25, 1.25
"""What somebody sends who wants no more is taken for this much more, in steps."""


@dataclass(frozen=True, slots=True)
class Part:
    """What one process has of a key, and how much it wants, in requests a second."""

    wants: float
    share: float


@dataclass(frozen=True, slots=True)
class Share:
    """What was lent: so many requests a second, from before the question on; nothing `not_before`
    that second of a clock that nobody sets."""

    rate: float
    since: Moment
    not_before: float = 0.0

    def is_over(self, now: Moment) -> bool:
        """By whichever clock that is first: the process may have stood still, or the machine."""
        return self.since.longest_until(now) > USED


def wish(limit: float, share: float, sent: float) -> float:
    """How much somebody wants who has `sent` so much lately, of a `share`; all in requests a
    second. Whoever has used it up wants as much as there is."""
    if sent >= ENOUGH * share:
        return limit
    steps = 1.0
    while steps < sent * ROOM + 1:
        steps *= STEP
    return min(steps, limit)


def divided(total: float, wants: Sequence[float]) -> list[float]:
    """What each gets: what it wants, where that is less than an even part; what is left evenly
    among the others; and what nobody wants evenly among all who want anything."""
    found, left = [0.0] * len(wants), total
    order = sorted(range(len(wants)), key=wants.__getitem__)
    for number, each in enumerate(order):
        found[each] = min(wants[each], left / (len(order) - number))
        left -= found[each]
    wanting = [each for each, wanted in enumerate(wants) if wanted > 0]
    return [
        part + (left / len(wanting) if each in wanting else 0.0) for each, part in enumerate(found)
    ]


def is_whole(rate: float, processes: int) -> bool:
    """Whether so many are lent whole requests a second each, as far as there is one for each. Each
    keeps its own pace, and any second may begin just before a request of each of them: who may send
    6.5 a second sends 7 in some, and three of them 21."""
    return 1 < processes <= floor(rate) - floor(_kept_back(rate, processes))


def lendable(rate: float, processes: int) -> float:
    """How much of a `rate` is lent to so many."""
    kept = _kept_back(rate, processes)
    return floor(rate) - floor(kept) if is_whole(rate, processes) else rate - kept


def _kept_back(rate: float, processes: int) -> float:
    """How much of it is lent to nobody. What is on its way may be late, and not all of it equally:
    half a request is kept back for every one but the first."""
    return min((processes - 1) / 2, MOST_KEPT_BACK * rate)


def next_share(rate: float, mine: Part, others: Sequence[Part]) -> float:
    """What may be lent now to whoever uses `mine.share` until it hears of it. More only where
    nobody else has it; less at once, though it is another's only once it is known to be heard.
    Whole requests, where there are enough; what is left over is whoever's asks first."""
    if not mine.wants:
        return 0.0
    wanting = [other for other in others if other.wants > 0]
    processes = 1 + len(wanting)
    whole, total = is_whole(rate, processes), lendable(rate, processes)
    up, down = (ceil, floor) if whole else (float, float)
    fair, *theirs = divided(total, [up(mine.wants), *(up(other.wants) for other in wanting)])
    taken = sum(up(other.share) for other in others)
    due = sum(
        max(0, down(part) - up(other.share)) for part, other in zip(theirs, wanting, strict=True)
    )
    best = max(down(fair), min(up(fair), total - taken - due))
    if best <= mine.share:
        return best
    return max(mine.share, min(best, total - taken))


def beside(rate: float, lent: float) -> float:
    """What somebody may send who takes no part, since it may write nothing: all, where nothing is
    lent to others; else so little that they need not hear of it."""
    return min(rate, max(BESIDE * rate, SLOWEST_BESIDE)) if lent else rate


def grown(slowed: float, seconds: float, full: float) -> float:
    """A rate that was slowed down so many seconds ago: it grows back by 5 % a second."""
    by: float = GROWTH_PER_SECOND ** min(max(seconds, 0.0), 1000.0)
    return min(full, slowed * by)


def halved(rate: float, full: float) -> float:
    """The rate after the destination was busy."""
    return max(rate / 2, min(SLOWEST, full))
