"""What a kill loop draws from its seed before it begins, and where it is played: the rows, what
carries them, and what should be at the destination in the end. Here for Engage."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from random import Random
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from connector.sandbox.behaviour import Common
from tests.proof.killing_faults import LAG, behaviour
from tests.proof.truth import Expected, Interaction
from tests.whole.shop import CONFIG, behaving, contact_id

WAVES = 4
CONTACTS = 10
MOST_MERGES = 8
"""Of one contact: each time it becomes one that is new."""
ROWS_PER_SECOND = 100
"""About as many as the workers can send between all that happens to them, so that they are seldom
idle when it does."""

# The wait is timeout + settle_after = 6 s. In it, one after the other: half of the wait in which a
# send may begin, a freeze between the look at the clock and the first byte, a late commit, and the
# lag of the read-back. What is longer than that breaks the assumptions, and is not tested here.
OPTIONS: dict[str, Any] = {
    "timeout": "1s",
    "settle_after": "5s",
    "lease": "1s",
    "concurrency": 8,
    "rate": 300,
}


@dataclass(frozen=True, slots=True)
class Plan:
    """What is drawn before it begins. `equal`: many rows look the same, by all that an answer
    shows; `looked_up`: contacts are known by their e-mail address; `usurping`: no lease is
    respected, so that every worker takes over from a living one. That one is not stopped either,
    except where rows look the same: counting them needs somebody who is alone; `mode`: of MXO."""

    seed: int
    seconds: float
    equal: bool
    looked_up: bool
    usurping: bool
    destination: str = "engage"
    mode: str = ""
    mirror: bool = False

    @property
    def rows(self) -> int:
        """How many there are in the end."""
        return max(120, int(self.seconds * ROWS_PER_SECOND))


MODES = ("batch", "batch", "single", "batch", "batch", "batch", "batch", "offline")


def drawn(seed: int, seconds: float, destination: str = "engage") -> Plan:
    """The plan of a seed; eight seeds in a row are all there is."""
    equal, looked_up, usurping = bool(seed & 1), bool(seed & 2), bool(seed & 4)
    mode = MODES[seed % len(MODES)] if destination == "mxo" else ""
    return Plan(seed, seconds, equal, looked_up, usurping, destination, mode)


@dataclass(frozen=True, slots=True)
class Ground:
    """A type of destination in a kill loop. `text` and `options`: the configuration; `columns`:
    the values of row number `i`, in SQL; `behaviour`: what fails from now on; `calm`: nothing does;
    `told`: a row may also end with a person, or be turned down with others."""

    text: Callable[[Plan], str]
    options: Callable[[Plan], Mapping[str, Any]]
    columns: Callable[[Plan], str]
    expected: Callable[[Plan], Expected]
    behaviour: Callable[[Plan, Random], Common]
    calm: Callable[[Plan], Common]
    told: bool = False


def contact_options(plan: Plan) -> Mapping[str, Any]:
    """What is said of contacts and payload to Engage."""
    return {
        **OPTIONS,
        "identifier": "email" if plan.looked_up else "contactId",
        "payload": "{visitId: sku}"
        if plan.equal
        else "{visitId: id, productSku: sku, rating: rating}",
    }


def visits(plan: Plan) -> str:
    """Rows for Engage: of a few contacts, some of them invalid."""
    names = [f"c{n}@example.com" if plan.looked_up else contact_id(n) for n in range(CONTACTS)]
    # times are mixed, so that every wave has rows that come late
    seconds = "60 * (i % 7)" if plan.equal else "(i * 37) % 600"
    rating = "1 + i % 5" if plan.equal else "case when i % 50 = 7 then 9 else 1 + i % 5 end"
    return (
        f"'v' || i, timestamp '2026-11-01 10:00:00' + to_seconds({seconds}),"
        f" ({names!r})[1 + i % {CONTACTS}], 'sku-' || i % 3, {rating}, 1, true"
    )


def stored_in_engage(plan: Plan) -> Expected:
    """What should be stored when all is over."""
    numbers = range(plan.rows)
    if plan.equal:
        kinds = Counter(f"{contact_id(i % CONTACTS)} {i % 7} sku-{i % 3}" for i in numbers)
        return Expected(kinds, _kind_of)
    invalid = {f"v{i}" for i in numbers if i % 50 == 7}
    stored = Counter(key for i in numbers if (key := f"v{i}") not in invalid)
    return Expected(
        stored, lambda each: each["payload"]["visitId"], dict.fromkeys(invalid, "invalid")
    )


def once_merged(number: int, times: int) -> str:
    """The contact `number` after so many merges."""
    return (
        str(uuid5(NAMESPACE_URL, f"{contact_id(number)} {times}")) if times else contact_id(number)
    )


ORIGINS = {
    once_merged(n, t): contact_id(n) for n in range(CONTACTS) for t in range(MOST_MERGES + 1)
}


def _kind_of(interaction: Interaction) -> str:
    minute = datetime.fromisoformat(interaction["createdDate"]).minute
    return f"{ORIGINS[interaction['contactId']]} {minute} {interaction['payload']['visitId']}"


ENGAGE = Ground(
    text=lambda _: CONFIG,
    options=contact_options,
    columns=visits,
    expected=stored_in_engage,
    behaviour=lambda _, dice: behaviour(dice),
    calm=lambda _: behaving(read_back_delay=LAG),
)
