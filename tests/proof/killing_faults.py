"""How the destination of a kill loop fails: in all ways that there are, as a seed draws it."""

from random import Random

from connector.sandbox.behaviour import Faults, ReadFaults
from connector.sandbox.engage.behaviour import Behaviour
from tests.whole.shop import behaving

LATE_BY = 0.4
LAG = 0.5
HANG = 1.5


def faults(dice: Random, repeating: bool = True) -> Faults:
    """Between 5 and 40 % of the requests go wrong, in all ways that there are."""
    statuses = {status: dice.random() for status in (500, 502, 503, 504, 408)}
    after = {status: dice.random() for status in (500, 502, 504)}
    single = ("too_many", "reset_before", "hang_before", "reset_after", "hang_after", "late_commit",
              "truncate_after", "cut_after", "no_id_after", "html_after", "repeat_before",
              "repeat_after")  # fmt: skip
    weights = {name: dice.random() ** 2 for name in single}
    for name in ("repeat_before", "repeat_after"):  # each ends a run
        weights[name] *= 0.25 if repeating else 0
    share = dice.uniform(0.05, 0.40)
    share /= sum(statuses.values()) + sum(after.values()) + sum(weights.values())
    return Faults(
        status_before={status: weight * share for status, weight in statuses.items()},
        status_after={status: weight * share for status, weight in after.items()},
        hang_seconds=HANG,
        late_by=LATE_BY,
        repeat_older_than=10,
        late_answer=dice.choice(("hang", "reset", "504", "id")),
        **{name: weight * share for name, weight in weights.items()},
    )


def behaviour(dice: Random) -> Behaviour:
    """How an Engage fails."""
    failing = faults(dice)
    return behaving(
        seed=dice.randrange(10**6),
        answer_delay=0.03,
        read_back_delay=LAG,
        retry_after=0,
        faults=failing,
        read_faults=read_faults(dice),
        lookup_faults=read_faults(dice),
    )


def read_faults(dice: Random) -> ReadFaults:
    """Few, of every kind."""
    names = ("too_many", "reset", "hang", "truncate", "html")
    shares = {name: dice.random() * 0.03 for name in names}
    return ReadFaults(status={500: dice.random() * 0.05}, hang_seconds=HANG, **shares)
