"""Where the stories of crashes are played: an Engage, an MXO or a Survey Dynamix, the rows that
go there, and what should be there in the end.
"""

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any

from connector.sandbox.behaviour import Common, Faults, ReadFaults
from connector.sandbox.faults import Dice
from connector.sandbox.mxo import behaviour as mxo
from connector.sandbox.mxo.running import CLIENT_ID, SECRET, SITE_KEY, WORKSPACE_ID
from connector.sandbox.survey_dynamix import behaviour as survey_dynamix
from connector.sandbox.survey_dynamix.running import CUSTOMER
from connector.sandbox.survey_dynamix.running import SECRET as AUTH_TOKEN
from tests.proof.truth import Expected, Often
from tests.whole.shop import CONFIG, behaving

BATCH = 3
"""Rows that are read at a time: so few that rows with the same time fall into two batches."""
FAULTS = Faults(status_after={500: 0.08}, cut_after=0.04, reset_before=0.1)


def mildly(make: Callable[[int], Common], route: str, seed: int) -> Common:
    """Some answers are lost, some requests too. One of each among the first requests and no other
    soon, so that a run has doubts of both kinds, and not so many that it takes for ever."""
    for number in count(seed * 10_000):
        drawn = make(number)
        dice = Dice(drawn)
        fates = [dice.draw(route) for _ in range(9)]
        works = [fate.work for fate in fates[:4] if fate]
        if sorted(works) == ["do", "skip"] and not any(fates[4:]):
            return drawn
    raise AssertionError("there is always another seed")


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """A type of destination with its project. `kind`: what it is called, if it is not so;
    `text`: its configuration, to be filled in; `first`
    and `second`: what brings rows into the warehouse, and what brings more; `last`: a row by which
    a destination shows what it knows, of which that is not yet known; `make`: how the
    destination behaves, by seed; `route`: the one that creates; `approved`: where runs are held,
    what a person has to let go, each with the rows that are sent then."""

    type: str
    kind: str = ""
    text: str = CONFIG
    options: Mapping[str, Any] = field(default_factory=dict)
    first: str
    second: tuple[str, ...]
    last: tuple[str, ...] = ()
    expected: Expected
    route: str
    make: Callable[[int], Common]
    approved: Sequence[tuple[str, Collection[str]]] = ()
    prunes: bool = False
    """A run prunes all that is delivered at its end, however young it is."""

    def behaviour(self, seed: int) -> Common:
        """With few faults. What is stored is seen a little later."""
        return mildly(self.make, self.route, seed)


FIRST = """insert into visits values
    ('a', '2026-11-01 10:00:00', 'c1@example.com', 's', 1, 1, true),
    ('b', '2026-11-01 10:00:00', 'c2@example.com', 's', 2, 1, true),
    ('invalid', '2026-11-01 10:00:01', 'c2@example.com', 's', 9, 1, true),
    ('d', '2026-11-01 10:00:01', 'c1@example.com', 's', 4, 1, true),
    ('corrected', '2026-11-01 10:00:02', 'c2@example.com', 's', 9, 1, true),
    ('stranger', '2026-11-01 10:00:03', 'nobody@example.com', 's', 1, 1, true)"""
SECOND = """insert into visits values
    ('late', '2026-11-01 09:30:00', 'c3@example.com', 's', 1, 1, true),
    ('new', '2026-11-01 10:01:00', 'c1@example.com', 's', 3, 1, true)"""
CORRECTION = "update visits set rating = 5 where id = 'corrected'"
ENGAGE = World(
    type="engage",
    options={
        "timeout": "1s",
        "settle_after": "0.5s",
        "lease": "1s",
        "identifier": "email",
        "wait": "0",
        "concurrency": 3,
    },
    first=FIRST,
    second=(SECOND, CORRECTION),
    expected=Expected(
        stored=Counter(("a", "b", "corrected", "d", "late", "new")),
        name=lambda interaction: str(interaction["payload"].get("visitId")),
        others={"invalid": "invalid", "stranger": "rejected"},
    ),
    route="POST /interactions",
    make=lambda seed: behaving(seed=seed, faults=FAULTS, read_back_delay=0.15),
)

TURNS = replace(
    ENGAGE,
    kind="turns",
    options={**ENGAGE.options, "more": "per_contact: {most: 1, every: 2s}"},
    expected=replace(ENGAGE.expected, often=Often(1, 2.0)),
)
KEPT = replace(
    ENGAGE,
    kind="kept",
    options={**ENGAGE.options, "lease": "1s, keep: 1d"},
    expected=replace(ENGAGE.expected, ids=False),  # of what is pruned the ledger knows none
    prunes=True,
)
HELD = replace(
    ENGAGE,
    kind="held",
    options={**ENGAGE.options, "limits": "{rows: 2}"},
    approved=(("first", ("a", "b", "d")), ("second", ("late", "new", "corrected"))),
)

HEAD = """
version: 1
warehouse: {{url: "duckdb:///shop.duckdb", timezone: Europe/Stockholm, lock_timeout: 2s}}
ledger: {{url: "{ledger}", lease: 1s}}
"""
MODEL = """
    model: {{sql: "select * from visits"}}
    row_key: id
    cursor: {{column: seen_at, overlap: 1h}}
    start: all
"""
NOBODY = """insert into visits values
    ('a', '2026-11-01 10:00:00', 'c1@example.com', 's', 1, 1, true),
    ('b', '2026-11-01 10:00:00', 'c2@example.com', 's', 2, 1, true),
    ('invalid', '2026-11-01 10:00:01', null, 's', 9, 1, true),
    ('d', '2026-11-01 10:00:01', 'c3@example.com', 's', 4, 1, true),
    ('corrected', '2026-11-01 10:00:02', null, 's', 9, 1, true),
    ('e', '2026-11-01 10:00:02', 'c4@example.com', 's', 9, 1, true),
    ('stranger', '2026-11-01 10:00:03', 'nobody@example.com', 's', 1, 1, true),
    ('f', '2026-11-01 10:00:04', 'c5@example.com', 's', 1, 1, true),
    ('g', '2026-11-01 10:00:05', 'c6@example.com', 's', 1, 1, true)"""
MORE = """insert into visits values
    ('late', '2026-11-01 09:30:00', 'c7@example.com', 's', 1, 1, true),
    ('new', '2026-11-01 10:01:00', 'c8@example.com', 's', 3, 1, true)"""
SOMEBODY = "update visits set contact = 'c9@example.com' where id = 'corrected'"
ARRIVE = Counter(("a", "b", "corrected", "d", "e", "f", "g", "late", "new"))

MXO = World(
    type="mxo",
    text=HEAD
    + f"""destinations:
  mxo:
    type: mxo
    url: {{url}}
    client_id: {CLIENT_ID}
    client_secret: {SECRET}
    site_key: {SITE_KEY}
    workspace_id: {WORKSPACE_ID}
    batch: {{{{rows: 3}}}}
    requests_per_second: 500
    concurrency: 2
    timeout: 1s
    settle_after: 0.5s
activations:
  visits:{MODEL}    touchpoint: store://pos/visit
    contact: {{{{column: contact, identifier: customerkey}}}}
    created_date: seen_at
    payload: {{{{visitId: id, rating: rating}}}}
""",
    first=NOBODY,
    second=(MORE, SOMEBODY),
    last=("insert into visits values ('z', '2026-11-01 10:02:00', 'c0', 's', 1, 1, true)",),
    expected=Expected(
        stored=ARRIVE + Counter("z"),
        name=lambda effect: str(effect["properties"].get("visitId")),
        others={"invalid": "invalid", "stranger": "rejected"},
        tried=("stranger",),
        ids=False,
    ),
    route="POST /batch",
    make=lambda seed: mxo.Behaviour(
        seed=seed,
        faults=FAULTS,
        bad_customers=frozenset({"nobody@example.com"}),
        process_delay=0.1,
        process_time=0.1,
        status_delay=0.15,
        crashing=0.3,
        crash_seconds=0.4,
        status_faults=ReadFaults(reset=0.05),
        error_faults=ReadFaults(reset=0.05),
    ),
)

SURVEY_DYNAMIX = World(
    type="survey_dynamix",
    text=HEAD
    + f"""destinations:
  feedback:
    type: survey_dynamix
    url: {{url}}
    customer: {CUSTOMER}
    auth_token: {AUTH_TOKEN}
    requests_per_second: 500
    concurrency: 3
    timeout: 1s
    settle_after: 0.5s
activations:
  visits:{MODEL}    survey_id: 493
    survey_type: email
    contact: {{{{column: contact, identifier: email}}}}
    scheduled_at: {{{{after: 15m}}}}
    payload: {{{{visitId: id, rating: rating}}}}
""",
    first=NOBODY,
    second=(MORE, SOMEBODY),
    expected=Expected(
        stored=ARRIVE + Counter(("stranger",)),
        name=lambda interaction: str(interaction["data"].get("visitId")),
        others={"invalid": "invalid"},
    ),
    route="POST /interactions",
    make=lambda seed: survey_dynamix.Behaviour(seed=seed, faults=FAULTS, read_back_delay=0.15),
)
RATINGS = {"a": 1, "changed": 5, "corrected": 4, "back": 3, "new": 3}
MIRROR = World(
    type="engage",
    kind="mirror",
    options={
        **ENGAGE.options,
        "more": "mode: mirror",
        "cursor": "",
        "limits": "{removed: 100%, replaced: 100%}",
    },
    first="""insert into visits values
    ('a', '2026-11-01 10:00:00', 'c1@example.com', 's', 1, 1, true),
    ('changed', '2026-11-01 10:00:00', 'c2@example.com', 's', 2, 1, true),
    ('gone', '2026-11-01 10:00:01', 'c1@example.com', 's', 4, 1, true),
    ('corrected', '2026-11-01 10:00:02', 'c2@example.com', 's', 9, 1, true)""",
    second=(
        """insert into visits values
    ('back', '2026-11-01 09:30:00', 'c3@example.com', 's', 3, 1, true),
    ('new', '2026-11-01 10:01:00', 'c1@example.com', 's', 3, 1, true)""",
        "update visits set rating = 5 where id = 'changed'",
        "update visits set rating = 4, contact = 'c4@example.com' where id = 'corrected'",
        "delete from visits where id = 'gone'",
    ),
    expected=Expected(
        stored=Counter(RATINGS.keys()),
        name=lambda interaction: str(interaction["payload"].get("visitId")),
        others={"gone": "removed"},
        tried=("gone",),
        passing=("gone",),
        says=lambda each: each["payload"]["rating"] == RATINGS.get(each["payload"]["visitId"]),
    ),
    route="POST /interactions",
    make=lambda seed: behaving(
        seed=seed,
        faults=FAULTS,
        delete_faults=FAULTS,
        read_back_delay=0.15,
        delete_delay=0.15,
    ),
)
WORLDS = {
    world.kind or world.type: world
    for world in (ENGAGE, MXO, SURVEY_DYNAMIX, MIRROR, TURNS, HELD, KEPT)
}
