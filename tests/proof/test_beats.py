"""Leases, beats and counts hold in every small world; without any of their parts they do not.

First as a model, which does not read the connector's code; then each part on the real code, by a
short story that breaks without it.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import sqlalchemy
from sqlalchemy import make_url

from connector.ledger import beating, restored, store
from connector.ledger.beating import Beats
from connector.ledger.engine import writing_engine
from connector.ledger.generation import Generation, GenerationFile
from connector.ledger.json_rows import json_rows
from connector.ledger.records import Run, Tally
from connector.ledger.store import Ledger
from connector.ledger.tables import NOW, leases
from connector.rules.errors import LeaseLost, LedgerChanged
from tests.conftest import LEASE
from tests.ledger.factories import begun, execute, expire_lease, select
from tests.ledger.test_going_back import Copy
from tests.proof.beats import HOLDS, Case, cases, check
from tests.targets import PROVE

CASES = cases(long=PROVE)


@pytest.mark.long
@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_a_promise_is_kept_or_broken_as_is_expected_of(case: Case) -> None:
    verdict = check(case)

    assert verdict.found == case.expected, str(verdict)
    assert bool(verdict.steps) == (case.expected != HOLDS)


@pytest.mark.long
def test_all_that_it_is_about_does_happen_in_that_world() -> None:
    happened = check(Case("", steps=6)).happened

    assert happened == {
        *("begin", "it has begun", "send", "end", "beat", "the beat is in the file", "killed"),
        *("the lease is over", "the ledger is copied", "the copy is put back", "the power is cut"),
    }


# --- on the real code -----------------------------------------------------------------------------


class Machine:
    """A ledger, the files beside it, and power that can be cut."""

    def __init__(self, path: Path) -> None:
        self.engine = writing_engine(make_url(f"sqlite:///{path}/ledger.db"))
        self.file = GenerationFile(path / "ledger.db.generation")

    def process(self) -> Ledger:
        return Ledger(self.engine, LEASE, self.file)

    def elsewhere(self) -> Ledger:
        """A process on a machine that keeps no files."""
        return Ledger(self.engine, LEASE)

    def cut_the_power(self) -> None:
        """All runs are gone, and of the files what was not synced."""
        for file in self.file.writes:
            file.unlink()
        expire_lease(self.engine)

    def send(self, ledger: Ledger, run: Run) -> None:
        """A transaction of the run, as it stands before each request."""
        with ledger._leased(run):
            pass


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    machine = Machine(tmp_path)
    yield machine
    machine.engine.dispose()


def told(ledger: Ledger, run: Run) -> type[Exception] | None:
    """What the process tells the run at its next beat."""
    if run not in ledger.beat([run]):
        return None
    try:
        ledger.heartbeat(run)
    except (LeaseLost, LedgerChanged) as error:
        return type(error)
    return None


def a_run_that_was_replaced_stays_replaced(machine: Machine) -> None:
    first = machine.process()
    lost, kept = begun(first, "a"), begun(first, "b")
    expire_lease(machine.engine)
    successor = begun(machine.elsewhere(), "a")

    unsure = first.beat([lost, kept])

    assert unsure == [lost]
    assert told(first, lost) is LeaseLost
    holders = "select activation, run_id from leases order by activation"
    assert select(machine.engine, holders) == [("a", successor.run_id), ("b", kept.run_id)]


def a_beat_covers_up_nothing(machine: Machine) -> None:
    ledger = machine.process()
    run = begun(ledger)
    copy = Copy(machine.engine)
    machine.send(ledger, run)
    copy.put_back()

    assert told(ledger, run) is LedgerChanged
    with pytest.raises(LedgerChanged):
        machine.send(ledger, run)


def what_began_after_the_copy_is_known_after_a_power_cut(machine: Machine) -> None:
    machine.process().finish(begun(machine.process()), "succeeded", Tally(), None)
    copy = Copy(machine.engine)
    ledger = machine.process()
    machine.send(ledger, begun(ledger))
    copy.put_back()
    machine.cut_the_power()

    assert begun(machine.process()).restored


def what_was_sent_before_the_last_beat_is_known_after_a_power_cut(machine: Machine) -> None:
    ledger = machine.process()
    run = begun(ledger)
    copy = Copy(machine.engine)
    machine.send(ledger, run)
    assert not ledger.beat([run])
    copy.put_back()
    machine.cut_the_power()

    assert begun(machine.process()).restored


def a_beat_that_fails_is_no_alarm(machine: Machine) -> None:
    ledger = machine.process()
    run = begun(ledger)
    execute(machine.engine, "alter table leases rename to elsewhere")
    with pytest.raises(Exception, match="leases"):
        ledger.beat([run])
    execute(machine.engine, "alter table elsewhere rename to leases")

    machine.cut_the_power()
    assert begun(machine.process()).restored is None


def who_was_replaced_sees_it_when_its_lease_comes_back(machine: Machine) -> None:
    ledger = machine.process()
    run = begun(ledger)
    copy = Copy(machine.engine)
    expire_lease(machine.engine)
    begun(machine.process())
    copy.put_back()

    assert told(ledger, run) is LeaseLost


# --- without each of them -------------------------------------------------------------------------


def without_fences() -> AbstractContextManager[Any]:
    """Whoever beats for an activation has it."""

    def prolonging_all(dialect: str, timeline: bool) -> Any:
        run = json_rows(dialect, *beating.FACTS).c
        mine = sqlalchemy.select(run.run).where(run.name == leases.c.activation).scalar_subquery()
        values = {"run_id": mine, "expires_at": NOW + sqlalchemy.bindparam("lease")}
        return (
            sqlalchemy.update(leases)
            .where(leases.c.activation.in_(sqlalchemy.select(run.name)))
            .values(values)
            .returning(leases.c.run_id, leases.c.writes, leases.c.writes.label("generation"))
        )

    return mock.patch.object(beating, "prolonging_all", prolonging_all)


def without_comparing() -> AbstractContextManager[Any]:
    """What the run knows is what the ledger says by now."""
    facts = beating._facts

    def forgetful(run: Run) -> dict[str, Any]:
        return {**facts(run), "writes": 0, "number": 0}

    def saw(footing: Any, writes: int, number: int) -> None:
        footing.known = replace(footing.known, writes=writes, number=number)

    both = ExitStack()
    both.enter_context(mock.patch.object(beating, "_facts", forgetful))
    both.enter_context(mock.patch("connector.ledger.records.Footing.saw", saw))
    return both


def without_counting() -> AbstractContextManager[Any]:
    """A run begins in the generation of the one before it."""

    def standing(c: Any, file: GenerationFile | None) -> Generation:
        found = restored.itself(c)
        assert found is not None
        return found.generation

    return mock.patch.object(store, "advance", standing)


def without_syncing() -> AbstractContextManager[Any]:
    return mock.patch.object(Beats, "_remember", return_value=set())


def before_its_commit() -> AbstractContextManager[Any]:
    """The file has what would be, if it were committed."""
    beat = Beats.beat

    def early(ledger: Any, runs: list[Run]) -> Any:
        for run in runs:
            known = run.footing.known
            ledger._generation.beaten(
                known.ledger, known.number, {run.activation: known.writes + 1}
            )
        return beat(ledger, runs)

    return mock.patch.object(Ledger, "beat", early)


def without_looking_who_came_later() -> AbstractContextManager[Any]:
    return mock.patch.object(GenerationFile, "replaced", return_value=set())


STORIES: dict[Callable[[Machine], None], Callable[[], AbstractContextManager[Any]]] = {
    a_run_that_was_replaced_stays_replaced: without_fences,
    a_beat_covers_up_nothing: without_comparing,
    what_began_after_the_copy_is_known_after_a_power_cut: without_counting,
    what_was_sent_before_the_last_beat_is_known_after_a_power_cut: without_syncing,
    a_beat_that_fails_is_no_alarm: before_its_commit,
    who_was_replaced_sees_it_when_its_lease_comes_back: without_looking_who_came_later,
}


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.__name__)
def test_the_promise_is_kept_in(story: Callable[[Machine], None], machine: Machine) -> None:
    story(machine)


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.__name__)
def test_the_promise_is_broken_without(story: Callable[[Machine], None], machine: Machine) -> None:
    # a failed pytest.raises is no AssertionError
    with STORIES[story](), pytest.raises((AssertionError, pytest.fail.Exception)):
        story(machine)
