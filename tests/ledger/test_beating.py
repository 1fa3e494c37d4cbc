"""One beat for all runs of a process: each is prolonged, or told, as if it were alone."""

import asyncio
import threading
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from sqlalchemy import event, text

from connector.ledger.generation import GenerationFile
from connector.ledger.store import Ledger
from connector.rules.errors import LeaseLost, LedgerUnavailable
from connector.sync.beating import Beat
from tests.conftest import LEASE
from tests.ledger.factories import begun, execute, expire_lease, only

on_postgresql = pytest.mark.parametrize("ledger_url", ["postgresql"], indirect=True)
SHORT = timedelta(seconds=0.6)
EXPIRES = "select expires_at from leases where activation = :name"


def expires(engine, name):
    return only(engine, EXPIRES, name=name)[0]


def test_all_of_them_are_prolonged_by_one_statement(ledger, engine):
    runs = [begun(ledger, name) for name in ("c", "a", "b")]
    expire_lease(engine)
    statements: list[str] = []
    event.listen(engine, "before_cursor_execute", lambda *given: statements.append(given[2]))

    assert ledger.beat(runs) == []

    assert len([s for s in statements if "PRAGMA" not in s and "BEGIN" not in s]) == 1
    assert all(expires(engine, name) > 1 for name in ("a", "b", "c"))
    assert ledger.beat(runs) == []  # and what it wrote is known to be written


def test_a_beat_counts_no_generation(ledger, engine):
    run = begun(ledger)
    before = only(engine, "select generation from ledgers")

    ledger.beat([run])
    ledger.heartbeat(run)

    assert only(engine, "select generation from ledgers") == before


@pytest.mark.parametrize("alone", [False, True])
def test_what_it_has_seen_is_on_the_disk(engine, tmp_path, alone):
    file = GenerationFile(tmp_path / "ledger.generation")
    ledger = Ledger(engine, LEASE, file)
    run = begun(ledger)

    if alone:
        ledger.heartbeat(run)
    else:
        ledger.beat([run])

    (writes,) = only(engine, "select writes from leases")
    found = file.read()
    assert found is not None
    assert found.beaten == {"reviews": writes}
    assert file.read_writes(found.ledger) == {"reviews": writes}


def test_those_that_lost_their_lease_are_given_back_and_not_touched(ledger, engine):
    lost, kept = begun(ledger, "a"), begun(ledger, "b")
    expire_lease(engine)
    begun(Ledger(engine, LEASE), "a")
    before = only(engine, "select * from leases where activation = 'a'")

    assert ledger.beat([lost, kept]) == [lost]
    assert only(engine, "select * from leases where activation = 'a'") == before


def test_a_run_that_has_ended_is_not_brought_back(ledger, engine):
    run = begun(ledger)
    ledger.let_go(run)

    assert ledger.beat([run]) == [run]
    assert only(engine, "select run_id, expires_at from leases") == (None, 0)


@pytest.mark.parametrize("what", ["writes = writes - 2", "run_id = 'another'", "fence = fence - 1"])
def test_a_lease_that_is_not_as_the_run_knows_it_is_not_prolonged(ledger, engine, what):
    run = begun(ledger)
    ledger.beat([run])
    execute(engine, f"update leases set {what}, expires_at = 1")

    assert ledger.beat([run]) == [run]
    assert expires(engine, "reviews") == 1


@pytest.mark.parametrize("what", ["identity = 'another'", "generation = generation - 1"])
def test_in_a_ledger_that_is_not_as_the_run_knows_it_nothing_is_prolonged(ledger, engine, what):
    run = begun(ledger)
    expire_lease(engine)
    execute(engine, f"update ledgers set {what}")

    assert ledger.beat([run]) == [run]
    assert expires(engine, "reviews") == 1


@on_postgresql
def test_a_lease_that_somebody_keeps_locked_holds_up_no_other_one(ledger, engine):
    """As a process does that was frozen while it took the lease."""
    runs = [begun(ledger, name) for name in ("a", "b")]
    expire_lease(engine)
    with engine.begin() as frozen:
        frozen.execute(text("select 1 from leases where activation = 'a' for update"))

        assert ledger.beat(runs) == runs[:1]

        assert expires(engine, "b") > 1


# --- over time ------------------------------------------------------------------------------------


async def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)


def test_of_many_only_the_one_is_told_that_lost_its_lease(engine):
    ledger = Ledger(engine, SHORT)
    told: dict[str, list[Exception]] = {name: [] for name in ("a", "b", "c")}

    async def life() -> None:
        beat = Beat(ledger)
        async with AsyncExitStack() as stack:
            for name, heard in told.items():
                run = begun(ledger, name)
                await stack.enter_async_context(beat.keeping(run, heard.append))
            execute(
                engine, "update leases set run_id = 'x', fence = fence + 1 where activation = 'b'"
            )
            await until(lambda: told["b"])
            first = expires(engine, "c")
            await until(lambda: expires(engine, "c") > first)

    asyncio.run(life())
    assert {type(error) for error in told["b"]} == {LeaseLost}
    assert not told["a"]
    assert not told["c"]


def test_runs_begin_and_end_while_a_beat_is_under_way(engine):
    """Whoever has ended hears nothing any more, and whoever came is kept from the next beat on."""
    going, come = threading.Event(), threading.Event()

    class Slow(Ledger):
        def beat(self, runs: Any) -> Any:
            going.set()
            assert come.wait(20)
            return super().beat(runs)

    ledger, heard = Slow(engine, SHORT), list[Exception]()

    async def life() -> None:
        beat = Beat(ledger)
        first = begun(ledger, "a")
        async with beat.keeping(first, heard.append):
            await until(going.is_set)
            later = begun(ledger, "b")
            before = expires(engine, "b")
            leaving = asyncio.get_running_loop().call_later(0.05, come.set)
            async with beat.keeping(later, heard.append):
                ledger.let_go(first)
                await until(lambda: expires(engine, "b") > before)
            leaving.cancel()

    asyncio.run(life())
    assert {type(error) for error in heard} <= {LeaseLost}  # of the one that let go meanwhile
    assert only(engine, "select run_id from leases where activation = 'a'") == (None,)


def test_without_the_ledger_all_of_them_stop(engine):
    ledger, heard = Ledger(engine, SHORT), dict[str, Exception]()

    async def life() -> None:
        beat = Beat(ledger)
        async with AsyncExitStack() as stack:
            for name in ("a", "b"):
                run = begun(ledger, name)
                await stack.enter_async_context(beat.keeping(run, partial(heard.__setitem__, name)))
            execute(engine, "alter table leases rename to elsewhere")
            await until(lambda: len(heard) == 2)

    asyncio.run(life())
    execute(engine, "alter table elsewhere rename to leases")
    assert {type(error) for error in heard.values()} == {LedgerUnavailable}


def test_nobody_beats_any_more_when_the_last_one_has_ended(engine):
    ledger = Ledger(engine, SHORT)

    async def life() -> None:
        beat = Beat(ledger)
        async with beat.keeping(begun(ledger, "a"), lambda error: None):
            pass
        assert {task.get_name() for task in asyncio.all_tasks()} == {
            asyncio.current_task().get_name()  # type: ignore[union-attr]
        }
        async with beat.keeping(begun(ledger, "b"), lambda error: None):
            before = expires(engine, "b")
            await until(lambda: expires(engine, "b") > before)

    asyncio.run(life())
