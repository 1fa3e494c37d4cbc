"""Stories that nobody thought of: rows come and change, runs fail, die and meet, and time passes.

Hypothesis makes them up from the rules below and cuts those that break a promise down to their
core. What is checked is never what the ledger says, but what the destination holds: no row twice,
each with the body that it was recorded with, and, when all is quiet again, none missing.
"""

import tempfile
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import orjson
from hypothesis import HealthCheck, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import URL

from connector.rules.interaction import Interaction
from connector.sync.result import Result
from tests.proof.machine_world import (
    GETS,
    POSTS,
    SHOWN_WITHIN,
    Place,
    PlaceOnPostgreSQL,
    Plan,
    Schedule,
    Setting,
    Span,
    Visit,
    World,
    body_of,
    contact_id,
    sent_bodies,
)

KNOWN = ("anna@example.com", "bo@example.com")
LATER = ("cleo@example.com", "dan@example.com")
"""Contacts that Engage knows from the beginning, and later."""
MALFORMED = "nobody"
QUARANTINED = ("invalid", "rejected")

SETTINGS = st.builds(
    Setting,
    key_in_payload=st.booleans(),
    seen_to_be_dead=st.booleans(),
    concurrency=st.integers(1, 3),
    wait_for_contacts=st.sampled_from([timedelta(0), timedelta(hours=1)]),
    overlap=st.sampled_from([timedelta(minutes=1), timedelta(hours=1)]),
    limit_rows=st.sampled_from([None, None, 4]),
    newest_first=st.booleans(),
    steps=st.sampled_from(["nobody", "database", "destination"]),
    omits=st.sampled_from(["nothing", "monotonic", "monotonic and boot time"]),
    dated=st.booleans(),
    prunes=st.booleans(),
)
AHEAD = st.sampled_from([0.0, 3600.0, -3600.0])
NOTHING: st.SearchStrategy[list[Any]] = st.just([])
DEATHS = st.integers(1, 12) | st.integers(1, 50)
PLANS = st.builds(
    Plan,
    posts=st.lists(st.sampled_from(list(POSTS)), min_size=1, max_size=8),
    gets=NOTHING | NOTHING | st.lists(st.sampled_from(GETS), min_size=1, max_size=8),
    dies_at=st.none() | st.none() | DEATHS,
    dies_after=st.booleans(),
    limit=st.none() | st.none() | st.integers(1, 4),
    approve=st.booleans(),
    wait=st.booleans(),
)
BEFORE_SENDING = ("begin", "_read_and_stage", "record", "record", "POST", "POST", "answer", "told")
WHILE_SETTLING = ("doubts", "doubts_of", "GET /interactions", "claims", "settle", "counts")
POINTS = ("", *BEFORE_SENDING, *WHILE_SETTLING)
SPANS = st.builds(
    Span,
    frozen=st.sampled_from([0.0, 0.0, 1.0, 6.0, 16.0, 45.0, 45.0]),
    turns=st.integers(1, 20) | st.just(100),
    until=st.sampled_from(POINTS),
    which=st.integers(0, 2),
    ahead=st.none() | st.none() | AHEAD,
)
ALONE = st.lists(SPANS, min_size=1, max_size=6)
TOGETHER = st.lists(SPANS, min_size=2, max_size=8).map(
    lambda spans: [replace(span, whose=i % 2) for i, span in enumerate(spans)]
)


@dataclass(frozen=True)
class Row:
    """What a new row is to be like; see Stories._visit."""

    kind: str
    email: str
    sku: str
    rating: int
    late_by: int
    gap: float
    """Seconds that pass before it comes."""


@dataclass(frozen=True)
class Meanwhile:
    """What happens between two runs: time passes, a clock steps, rows come. `lag`: from now on, of
    read-backs."""

    seconds: float
    lag: float
    rows: Sequence[Row]
    ahead: float = 0.0


KINDS = ("fresh", "fresh", "fresh", "fresh", "twin", "twin", "tied", "late", "future", "again")
BAD_KINDS = ("no cursor", "no key", "no contact", "bad rating")
ROWS = st.builds(
    Row,
    kind=st.sampled_from([*KINDS, *BAD_KINDS]),
    email=st.sampled_from([*KNOWN, *KNOWN, *KNOWN, *LATER, MALFORMED]),
    sku=st.sampled_from(["s1", "s2"]),
    rating=st.integers(1, 5),
    late_by=st.integers(1, 3600),
    gap=st.sampled_from([0.0, 0.0, 0.0, 200.0]),
)
MEANWHILE = st.builds(
    Meanwhile,
    seconds=st.sampled_from([0.0, 1.0, 16.0, 41.0, 400.0, 4000.0]),
    lag=st.sampled_from([0.0, 1.0, SHOWN_WITHIN]),
    rows=st.lists(ROWS, min_size=1, max_size=6),
    ahead=AHEAD,
)


class Stories(RuleBasedStateMachine):
    """One story; each rule is something that can happen next."""

    place: Place
    happened: Counter[str]
    """What happened in all stories together."""

    def __init__(self) -> None:
        super().__init__()
        self._sound = True

    @initialize(setting=SETTINGS)
    def it_begins(self, setting: Setting) -> None:
        self.world = World(self.place, setting)
        self.world.broken = self.nothing_is_there_twice_or_altered
        for email in KNOWN:
            self.world.add_contact(email)
        self.visits: list[Visit] = []
        """All that ever stood in the warehouse, in the order in which it was written."""
        self.now_there: dict[str, list[Visit]] = defaultdict(list)
        """What stands in the warehouse, by key."""
        self.recorded: dict[str, set[bytes]] = defaultdict(set)
        """The bodies that the ledger can have of each row."""
        self.unknown = set(LATER)

    # --- what can happen ------------------------------------------------------------------------

    @rule(meanwhile=MEANWHILE, plan=PLANS, schedule=ALONE)
    def it_runs(self, meanwhile: Meanwhile, plan: Plan, schedule: Schedule) -> None:
        self._pass(meanwhile)
        self._run(plan, schedule=schedule)

    @rule(meanwhile=MEANWHILE, one=PLANS, other=PLANS, schedule=TOGETHER)
    def two_run_at_once(
        self, meanwhile: Meanwhile, one: Plan, other: Plan, schedule: Schedule
    ) -> None:
        self._pass(meanwhile)
        self._run(one, other, schedule=schedule)

    def _pass(self, meanwhile: Meanwhile) -> None:
        self.world.clock.now += meanwhile.seconds
        self.world.hide(meanwhile.lag)
        self.world.step(meanwhile.ahead)
        for row in meanwhile.rows:
            self.world.clock.now += row.gap
            self.world.write([self._visit(row)])

    def _visit(self, row: Row) -> Visit:
        now, last = int(self.world.clock.now), self.visits[-1] if self.visits else None
        fresh = Visit(f"r{len(self.visits)}", now, now, row.email, row.sku, row.rating)
        changes: dict[str, dict[str, Any]] = {
            "tied": {"updated": last.updated} if last and last.updated else {},
            "late": {"updated": self._mark - row.late_by % self._overlap},
            "future": {"updated": now + 7200},
            "no cursor": {"updated": None},
            "no key": {"key": None},
            "no contact": {"email": None},
            "bad rating": {"rating": 9},
        }
        if self.world.setting.steps == "database":  # nobody can say then what the future is
            changes["future"] = {}
        visit = replace(fresh, **changes.get(row.kind, {}))
        if row.kind == "tied" and not self._will_be_read(visit):
            visit = fresh
        if row.kind == "twin" and last and self._will_be_read(last):
            visit = replace(last, key=fresh.key, updated=now)
        if row.kind == "again" and last and last.key:
            visit = replace(fresh, key=last.key)
        self._written(visit)
        return visit

    @property
    def _overlap(self) -> int:
        return round(self.world.setting.overlap.total_seconds())

    def _will_be_read(self, visit: Visit) -> bool:
        """Whether it is within the overlap, wherever the watermark may be."""
        return visit.updated is None or visit.updated > self._mark - self._overlap

    @property
    def _mark(self) -> int:
        """The newest place at which the watermark may be: it is one that was read, and none in
        the future."""
        now = int(self.world.clock.now)
        times = (v.updated for v in self.visits if v.updated is not None and v.updated <= now)
        return max(times, default=now)

    def _written(self, visit: Visit) -> None:
        self.visits.append(visit)
        if visit.key is not None:
            self.now_there[visit.key].append(visit)

    @precondition(lambda self: self._single())
    @rule(which=st.integers(0, 20), row=ROWS)
    def a_row_is_edited(self, which: int, row: Row) -> None:
        single = self._single()
        before = self.now_there[single[which % len(single)]].pop()
        now = int(self.world.clock.now)
        edited = replace(before, updated=now, email=row.email, sku=row.sku, rating=row.rating)
        self._written(edited)
        self.world.rewrite(edited)

    def _single(self) -> list[str]:
        return sorted(key for key, visits in self.now_there.items() if len(visits) == 1)

    @precondition(lambda self: self.unknown)
    @rule(email=st.sampled_from(LATER))
    def a_contact_appears(self, email: str) -> None:
        if email in self.unknown:
            self.unknown.remove(email)
            self.world.add_contact(email)

    @rule(email=st.sampled_from(KNOWN))
    def a_contact_is_merged(self, email: str) -> None:
        self.world.merge(contact_id(email))

    @rule()
    def what_was_delivered_is_taken_back_and_released(self) -> None:
        self.world.take_back(self._content)

    def _content(self, key: str) -> Interaction | None:
        """What a row is sent with when it is released, if the model has one that can be."""
        visits = self.now_there.get(key, [])
        if len(visits) != 1 or not is_valid(visits[0]):
            return None
        body = body_of(visits[0], self.world.setting.key_in_payload)
        self.recorded[key].add(canonical(body))
        return Interaction(
            visits[0].email or "", body["createdDate"], orjson.dumps(body["payload"])
        )

    def _run(self, *plans: Plan, schedule: Schedule = ()) -> Sequence[Result | None]:
        self._sound = False
        before = self.world.deliveries()
        for key in self.now_there:
            if self._may_be_recorded(before.get(key), len(plans)):
                self.recorded[key] |= self._bodies(key)
        results = self.world.run(*plans, schedule=schedule)
        for key in self.now_there.keys() - self.world.deliveries().keys():
            self.recorded[key].clear()  # it was not recorded after all
        self._sound = True
        return results

    def _may_be_recorded(self, row: Any, runs: int) -> bool:
        """Whether what stands in the warehouse now can become what the ledger has of a row."""
        if row is None or row.state in QUARANTINED:
            return True
        # of two runs, one may see it rejected and the other see it corrected
        return runs > 1 and row.state != "delivered"

    def _bodies(self, key: str) -> set[bytes]:
        return {self._body(v) for v in self.now_there[key] if is_valid(v)}

    def _body(self, visit: Visit) -> bytes:
        return canonical(body_of(visit, self.world.setting.key_in_payload))

    # --- what must be true ----------------------------------------------------------------------

    @invariant()
    def nothing_is_there_twice_or_altered(self) -> None:
        if not hasattr(self, "world"):
            return
        stored = Counter(canonical(body) for body in sent_bodies(self.world))
        rows: Counter[bytes] = Counter()
        for bodies in self.recorded.values():
            rows.update(bodies)
        for body, number in stored.items():
            assert number <= rows[body], (
                f"stored {number} times, of {rows[body]} rows: {body.decode()}"
            )
        if self.world.setting.key_in_payload:
            keys = Counter(orjson.loads(body)["payload"]["visitId"] for body in stored)
            assert all(number == 1 for number in keys.values()), f"several bodies: {keys}"

    def teardown(self) -> None:
        if self._sound and hasattr(self, "world"):
            self._calms_down()
            self._everything_is_there()
            self.happened.update(self.world.happened + self.world.decisions())

    def _calms_down(self) -> None:
        """No faults any more: run until nothing is left to do."""
        self.world.hide(0)
        self.world.step(0)
        for email in sorted(self.unknown):
            self.world.add_contact(email)
        for _ in range(24):  # what was to rest by a clock that was ahead rests so much longer
            self.world.clock.now += 400
            # each run may be on a machine of its own, so that only who waits sees a doubt twice
            (result,) = self._run(Plan(approve=True, wait=True))
            states = Counter(row.state for row in self.world.deliveries().values())
            if result and not states.keys() & {"pending", "sending", "in_doubt", "waiting"}:
                return
        raise AssertionError(f"it does not come to rest: {states}")

    def _everything_is_there(self) -> None:
        self._run(Plan(approve=True))
        self.nothing_is_there_twice_or_altered()
        ledger = self.world.deliveries()
        lost = [v for key in self.now_there.keys() - ledger.keys() for v in self.now_there[key]]
        assert not lost, f"not in the ledger: {lost}"
        for key, row in ledger.items():
            self._is_where_it_belongs(key, row)
        delivered = [row.interaction_id for row in ledger.values() if row.state == "delivered"]
        there = sorted(i.id for i in self.world.engage.interactions())
        assert sorted(i for i in delivered if i) == [i for i in there if i in delivered]
        assert len(delivered) == len(there)  # of what is pruned no id is known

    def _is_where_it_belongs(self, key: str, row: Any) -> None:
        visits = self.now_there[key]
        match row.state:
            case "delivered":
                assert self.recorded[key], "delivered, though never valid"
            case "invalid":
                assert not all(is_valid(v) for v in visits), f"{key}: {row.reason}"
            case "rejected":
                assert self._may_be_rejected(key), f"{key}: {row.reason}"
            case _:
                raise AssertionError(f"{key} is {row.state}: {row.reason}")

    def _may_be_rejected(self, key: str) -> bool:
        ever = [v for v in self.visits if v.key == key]
        refused = {canonical(body) for body in self.world.refused}
        return any(v.email not in KNOWN for v in ever) or bool(refused & self.recorded[key])


def is_valid(visit: Visit) -> bool:
    """Whether it can become an interaction that fits the schema."""
    return visit.email is not None and visit.updated is not None and 1 <= visit.rating <= 5


def canonical(body: dict[str, Any]) -> bytes:
    """A body as bytes that are equal where bodies are."""
    return orjson.dumps(body, option=orjson.OPT_SORT_KEYS)


def run_machine(
    examples: int, steps: int, seed_number: int | None = None, ledger: URL | None = None
) -> Counter[str]:
    """Make up so many stories of so many steps at most; what happened in them.

    Without a seed the stories are the same ones every time. `ledger` is an empty database of
    PostgreSQL; the ledger is on SQLite without one. Raises AssertionError where a promise broke,
    and prints the shortest story in which it does.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        place = PlaceOnPostgreSQL(path, ledger) if ledger else Place(path)
        happened = Counter[str]()
        factory: Any = type("Stories", (Stories,), {"place": place, "happened": happened})
        if seed_number is not None:
            factory = seed(seed_number)(factory)
        try:
            run_state_machine_as_test(factory, settings=settings_of(examples, steps, seed_number))
        finally:
            place.close()
    return happened


def settings_of(examples: int, steps: int, seed_number: int | None) -> settings:
    return settings(
        max_examples=examples,
        stateful_step_count=steps,
        derandomize=seed_number is None,
        database=None,
        deadline=None,
        print_blob=False,
        suppress_health_check=list(HealthCheck),
    )
