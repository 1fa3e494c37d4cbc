"""Stories of a mirror that nobody thought of: its model changes, empties and is back, runs fail,
die and meet, the ledger is put back from a backup, and the activation appends for a while.

Hypothesis makes them up in the world of machine_world.py. At each moment there is one interaction
of a row at most; when all is quiet, exactly those of the model, and the ledger says so.
"""

import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hypothesis import seed
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from connector.destinations.answers import Request
from connector.destinations.engage import EngageActivation as Activation
from connector.sandbox.engage.behaviour import Behaviour
from connector.sandbox.exchange import Answer
from connector.sync.result import Result
from tests.proof.machine import (
    AHEAD,
    DEATHS,
    KNOWN,
    NOTHING,
    POINTS,
    canonical,
    settings_of,
)
from tests.proof.machine_world import (
    DELETES,
    GETS,
    POSTS,
    SHOWN_WITHIN,
    Place,
    Plan,
    Schedule,
    Setting,
    Span,
    Visit,
    World,
    body_of,
    sent_bodies,
)

KEYS = ("r0", "r1", "r2", "r3")
OPEN = {"pending", "sending", "in_doubt", "waiting"}
QUIET_RUNS = 30


@dataclass(frozen=True)
class Nature:
    """What a destination is like in one story: what it shows and says of what is deleted."""

    delete_delay: float = 0
    early: int = 404
    again: int = 404
    listed: float = 0
    shown: bool = False

    @property
    def switches(self) -> dict[str, Any]:
        return {
            "delete_delay": self.delete_delay,
            "delete_early_status": self.early,
            "delete_again": self.again,
            "listed_after_delete": self.listed,
            "shown_after_delete": self.shown,
        }


@dataclass(frozen=True)
class Edit:
    """What becomes of a row of the model; a `rating` of 9 cannot be sent, and of 0: it is gone."""

    key: str
    email: str
    rating: int


SETTINGS = st.builds(
    Setting,
    key_in_payload=st.booleans(),
    seen_to_be_dead=st.booleans(),
    concurrency=st.integers(1, 3),
    newest_first=st.booleans(),
    steps=st.sampled_from(["nobody", "database", "destination"]),
    omits=st.sampled_from(["nothing", "monotonic", "monotonic and boot time"]),
    dated=st.booleans(),
)
NATURES = st.builds(
    Nature,
    delete_delay=st.sampled_from([0.0, SHOWN_WITHIN]),
    early=st.sampled_from([404, 409]),
    again=st.sampled_from([404, 410, 200, 204]),
    listed=st.sampled_from([0.0, SHOWN_WITHIN]),
    shown=st.booleans(),
)
EDITS = st.lists(
    st.builds(
        Edit,
        key=st.sampled_from(KEYS),
        email=st.sampled_from(KNOWN),
        rating=st.sampled_from([0, 0, 1, 1, 2, 3, 9]),
    ),
    max_size=4,
)
PLANS = st.builds(
    Plan,
    posts=st.lists(st.sampled_from(list(POSTS)), max_size=6),
    gets=NOTHING | NOTHING | st.lists(st.sampled_from(GETS), min_size=1, max_size=6),
    deletes=st.lists(st.sampled_from(list(DELETES)), max_size=4),
    dies_at=st.none() | st.none() | DEATHS,
    dies_after=st.booleans(),
    limit=st.none() | st.none() | st.integers(1, 3),
    approve=st.sampled_from([False, False, True]),
    wait=st.booleans(),
)
OF_A_MIRROR = ("reflect", "take_away", "DELETE", "DELETE", "to_take_back", "apply_to_unsent")
SPANS = st.builds(
    Span,
    frozen=st.sampled_from([0.0, 0.0, 1.0, 6.0, 16.0, 45.0]),
    turns=st.integers(1, 20) | st.just(100),
    until=st.sampled_from((*POINTS, *OF_A_MIRROR)),
    which=st.integers(0, 2),
    ahead=st.none() | st.none() | AHEAD,
    whose=st.integers(0, 1),
)
SCHEDULES = st.lists(SPANS, min_size=1, max_size=6)
PASSING = st.sampled_from([0.0, 1.0, 16.0, 41.0, 400.0])
LAGS = st.sampled_from([0.0, 1.0, SHOWN_WITHIN])


class MirrorWorld(World):
    """A world whose activation is a mirror, or appends for a while."""

    def __init__(self, place: Place, setting: Setting, nature: Nature) -> None:
        self._nature = nature
        self.changing = 0
        """How many requests came that could change what is there."""
        super().__init__(place, setting)
        self.reads("mirror", "replace")

    def reads(self, mode: str, on_change: str) -> None:
        """From now on the activation is so."""
        content: dict[str, Any] = {
            "model": {"table": "visits"},
            "schema_id": "visit",
            "row_key": "id",
            "mode": mode,
            "start": "all",
            "contact": {"column": "email", "identifier": "email"},
            "created_date": "seen_at",
            "payload": {"sku": "sku", "rating": "rating"},
        }
        if self.setting.key_in_payload:
            content["payload"]["visitId"] = "id"
        if mode == "mirror":
            content["on_change"] = on_change
        self.activation = Activation.model_validate(content).named("visits")

    def has(self, visits: Sequence[Visit]) -> None:
        """The model has just these rows."""
        self._place.shop("delete from visits", ())
        if visits:
            self.write(visits)

    def backed_up(self) -> bytes:
        return self._place.backed_up()

    def put_back(self, copy: bytes) -> None:
        self._place.put_back(copy)
        self.happened["put back"] += 1

    def changes(self) -> int:
        """How many changes are left beside rows."""
        with self._place.database.begin() as c:
            return int(c.exec_driver_sql("select count(*) from changes").scalar() or 0)

    def received(self, request: Request, work: str, end: str) -> Answer:
        self.changing += 1
        return super().received(request, work, end)

    def deleting(self, request: Request, work: str, end: str) -> Answer:
        self.changing += 1
        return super().deleting(request, work, end)

    def _behave(self) -> None:
        super()._behave()
        known = self.engage.behaviour.model_dump(exclude_unset=True)
        self.engage.behaviour = Behaviour.model_validate(known | self._nature.switches)


@dataclass
class Backup:
    """A copy of the ledger, and what was there when it was made."""

    content: bytes
    rows: set[str]
    there: set[str] = field(default_factory=set)


class MirrorStories(RuleBasedStateMachine):
    """One story; each rule is something that can happen next."""

    place: Place
    happened: Counter[str]

    def __init__(self) -> None:
        super().__init__()
        self._sound = True

    @initialize(setting=SETTINGS, nature=NATURES, edits=EDITS)
    def it_begins(self, setting: Setting, nature: Nature, edits: Sequence[Edit]) -> None:
        self.world = MirrorWorld(self.place, setting, nature)
        self.world.broken = self.there_are_never_two
        for email in KNOWN:
            self.world.add_contact(email)
        self.model: dict[str, Visit] = {}
        self.ever: set[tuple[str, bytes]] = set()
        """All that rows ever said."""
        self.kept = False
        """Whether what changed was ever left as it is."""
        self.mode = "mirror"
        self.backup: Backup | None = None
        self.forgotten: set[str] = set()
        """Interactions that were sent by runs that the ledger knows nothing of."""
        self._edit(edits)

    # --- what can happen ------------------------------------------------------------------------

    @rule(edits=EDITS, seconds=PASSING, lag=LAGS, plan=PLANS, schedule=SCHEDULES)
    def it_runs(
        self, edits: Sequence[Edit], seconds: float, lag: float, plan: Plan, schedule: Schedule
    ) -> None:
        self._pass(edits, seconds, lag)
        self._run_alone(plan, schedule)

    def _run_alone(self, plan: Plan, schedule: Schedule = ()) -> None:
        before = self.world.changing
        (result,) = self._run(plan, schedule=schedule)
        if result and result.status == "held":
            assert self.world.changing == before, "held, and something was sent or deleted"

    @rule(edits=EDITS, seconds=PASSING, lag=LAGS, one=PLANS, other=PLANS, schedule=SCHEDULES)
    def two_run_at_once(
        self,
        edits: Sequence[Edit],
        seconds: float,
        lag: float,
        one: Plan,
        other: Plan,
        schedule: Schedule,
    ) -> None:
        self._pass(edits, seconds, lag)
        self._run(one, other, schedule=schedule)

    @rule(ahead=AHEAD)
    def a_clock_steps(self, ahead: float) -> None:
        self.world.step(ahead)

    @precondition(lambda self: self.model)
    @rule(plan=PLANS, is_back=st.booleans())
    def the_model_is_empty(self, plan: Plan, is_back: bool) -> None:
        self._run(Plan())
        before, self.model = self.model, {}
        self.world.has(())
        self._run_alone(plan)
        if is_back:
            self.model = before
            self.world.has(list(before.values()))

    @rule(mode=st.sampled_from(["mirror", "append"]), keep=st.booleans())
    def the_activation_is_edited(self, mode: str, keep: bool) -> None:
        self.mode, self.kept = mode, self.kept or keep or mode == "append"
        self.world.reads(mode, "keep" if keep else "replace")

    @rule(key=st.sampled_from(KEYS))
    def a_person_undoes_a_row(self, key: str) -> None:
        self.world.undo([key])

    @precondition(lambda self: self.world.deliveries())
    @rule()
    def the_ledger_is_backed_up(self) -> None:
        there = {each.id for each in self.world.engage.interactions()}
        self.backup = Backup(self.world.backed_up(), set(self.world.deliveries()), there)

    @precondition(lambda self: self.backup)
    @rule()
    def the_ledger_is_put_back(self) -> None:
        assert self.backup
        self.world.clock.now += 15  # nothing is on the way any more
        self.world.catch_up()
        self.world.put_back(self.backup.content)
        there = {each.id for each in self.world.engage.interactions()}
        self.forgotten |= there - self.backup.there
        self.backup = None

    def _pass(self, edits: Sequence[Edit], seconds: float, lag: float) -> None:
        self.world.clock.now += seconds
        self.world.hide(lag)
        self._edit(edits)

    def _edit(self, edits: Sequence[Edit]) -> None:
        for edit in edits:
            if not edit.rating:
                self.model.pop(edit.key, None)
                continue
            visit = Visit(edit.key, None, KEYS.index(edit.key), edit.email, edit.key, edit.rating)
            self.model[edit.key] = visit
            if is_valid_row(visit):
                self.ever.add((edit.key, self._body(visit)))
        self.world.has(list(self.model.values()))

    def _body(self, visit: Visit) -> bytes:
        return canonical(body_of(visit, self.world.setting.key_in_payload))

    def _run(self, *plans: Plan, schedule: Schedule = ()) -> Sequence[Result | None]:
        self._sound = False
        results = self.world.run(*plans, schedule=schedule)
        self._sound = True
        return results

    # --- what must be true ----------------------------------------------------------------------

    def _there(self) -> dict[str, dict[str, bytes]]:
        """What is there of each row: bodies by id; without what nobody can know of."""
        self.world.catch_up()
        found: dict[str, dict[str, bytes]] = {}
        bodies = sent_bodies(self.world)
        for each, body in zip(self.world.engage.interactions(), bodies, strict=True):
            found.setdefault(body["payload"]["sku"], {})[each.id] = canonical(body)
        return found

    def _knowable(self, key: str, found: dict[str, bytes]) -> dict[str, bytes]:
        """Without what a forgotten run has sent and nothing is left of. It is found by what it
        says, if the row is ever sent so again, and is no excuse for sending that again."""
        known = {i: body for i, body in found.items() if i not in self.forgotten}
        bodies = Counter(found.values())
        return {i: b for i, b in found.items() if i in known or bodies[b] > 1}

    @invariant()
    def there_are_never_two(self) -> None:
        if not hasattr(self, "world"):
            return
        for key, found in self._there().items():
            assert len(self._knowable(key, found)) <= 1, f"several of {key}: {found}"
            for body in found.values():
                assert (key, body) in self.ever, f"altered: {body.decode()}"

    @invariant()
    def what_is_called_removed_is_gone(self) -> None:
        if not hasattr(self, "world"):
            return
        there = self._there()
        for key, row in self.world.deliveries().items():
            live = there.get(key, {}).keys() - self.forgotten
            if row.state == "removed":
                assert not live, f"removed, and there: {key}: {live}"

    def teardown(self) -> None:
        if self._sound and hasattr(self, "world"):
            self._calms_down()
            self._is_the_model()
            self.happened.update(self.world.happened + self.world.decisions())

    def _calms_down(self) -> None:
        """No faults any more: run as a mirror until nothing is left to do."""
        self.world.hide(0)
        self.world.step(0)
        if self.mode != "mirror":
            self.world.reads("mirror", "replace")
        for _ in range(QUIET_RUNS):
            self.world.clock.now += 400
            before = self.world.changing
            (result,) = self._run(Plan(approve=True, wait=True))
            states = {row.state for row in self.world.deliveries().values()}
            still = self.world.changing == before and not self.world.changes()
            done = result is not None and result.status not in ("stopped", "held")
            if done and still and not states & OPEN:
                return
        raise AssertionError(f"it does not come to rest: {self.world.deliveries()}")

    def _is_the_model(self) -> None:
        self.there_are_never_two()
        there, ledger = self._there(), self.world.deliveries()
        for key in {*KEYS, *ledger, *there}:
            found, row, wanted = there.get(key, {}), ledger.get(key), self.model.get(key)
            self._is_where_it_belongs(key, found, row, wanted)

    def _is_where_it_belongs(
        self, key: str, found: dict[str, bytes], row: Any, wanted: Visit | None
    ) -> None:
        told = f"{key}: wanted {wanted}, there {found}, recorded {row}"
        state = row.state if row else None
        ours = {i: body for i, body in found.items() if i not in self.forgotten}
        if state == "delivered":
            assert row.interaction_id in found, f"delivered, and not there: {told}"
            body = found[row.interaction_id]
            same = wanted and is_valid_row(wanted) and body == self._body(wanted)
            right = same or (wanted and self.kept)
            assert right, f"it is not as the model: {told}"
            assert not ours.keys() - {row.interaction_id}, told
            return
        assert not ours, f"there, and not known: {told}"
        if wanted and is_valid_row(wanted):
            assert state in ("undone", "rejected"), f"lost: {told}"
        elif wanted:
            assert state in ("invalid", "undone", "rejected"), told
        else:
            assert state in (None, "removed", "undone", "rejected", "invalid"), told


def is_valid_row(visit: Visit) -> bool:
    """Whether it can be sent."""
    return 1 <= visit.rating <= 5


def run_mirror_machine(examples: int, steps: int, seed_number: int | None = None) -> Counter[str]:
    """Make up so many stories of so many steps at most; what happened in them.

    Without a seed the stories are the same ones every time. Raises AssertionError where a promise
    broke, and prints the shortest story in which it does.
    """
    with tempfile.TemporaryDirectory() as folder:
        place, happened = Place(Path(folder)), Counter[str]()
        factory: Any = type(
            "MirrorStories", (MirrorStories,), {"place": place, "happened": happened}
        )
        if seed_number is not None:
            factory = seed(seed_number)(factory)
        try:
            run_state_machine_as_test(factory, settings=settings_of(examples, steps, seed_number))
        finally:
            place.close()
    return happened
