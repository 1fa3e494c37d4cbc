"""A ledger that goes back under a run: the next transaction sees it, and nothing more is begun."""

import os
import shutil
import sqlite3
import stat
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from threading import Barrier

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import make_url

from connector.ledger.engine import settle_log, writing_engine
from connector.ledger.generation import Generation, GenerationFile
from connector.ledger.records import Tally
from connector.ledger.store import Ledger
from connector.rules.delivery import Accepted, NotApplied
from connector.rules.errors import LeaseLost, LedgerChanged, LedgerUnavailable
from tests.conftest import LEASE
from tests.ledger.factories import (
    a_mark,
    a_row,
    begun,
    due,
    execute,
    expire_lease,
    only,
    opening,
    select,
    sent,
    staged,
    states,
)
from tests.ledger.factories import (
    closing as an_answer,
)


def test_a_ledger_that_somebody_begins_just_now_is_nobodys_backup(engine, file):
    class Slow(GenerationFile):
        """Between its look at the file and at the ledger, others begin to work."""

        others: Ledger | None = Ledger(engine, LEASE, file)

        def read(self):
            found = super().read()
            if (others := self.others) is not None:
                self.others = None
                begun(others, "first")
            return found

    run = begun(Ledger(engine, LEASE, Slow(file.path)), "second")

    assert run.restored is None


TABLES = ("ledgers", "watermarks", "deliveries", "attempts", "decisions", "runs", "leases")


@pytest.fixture
def file(tmp_path):
    return GenerationFile(tmp_path / "ledger.generation")


@pytest.fixture
def ledger(engine, file):
    return Ledger(engine, LEASE, file)


class Copy:
    """What stood in the tables; put back on the same server and timeline, triggers aside."""

    def __init__(self, engine):
        self._engine = engine
        for table in TABLES:
            execute(engine, f"create table copy_{table} as select * from {table}")

    def put_back(self):
        with self._engine.begin() as c:
            if c.dialect.name == "sqlite":
                kept = c.exec_driver_sql("select sql from sqlite_master where type = 'trigger'")
                triggers = [row[0] for row in kept]
                names = c.exec_driver_sql("select name from sqlite_master where type = 'trigger'")
                for name in [row[0] for row in names]:
                    c.exec_driver_sql(f"drop trigger {name}")
                c.exec_driver_sql("pragma defer_foreign_keys = on")
            else:
                triggers = []
                c.exec_driver_sql("set local session_replication_role = replica")
            for table in TABLES:
                c.exec_driver_sql(f"delete from {table}")
                c.exec_driver_sql(f"insert into {table} select * from copy_{table}")
            for trigger in triggers:
                c.exec_driver_sql(trigger)


WRITING = {
    "heartbeat": lambda ledger, run, rows: ledger.heartbeat(run),
    "stage": lambda ledger, run, rows: ledger.stage(run, [a_row("new")], [], a_mark(9), True),
    "finish": lambda ledger, run, rows: ledger.finish(run, "succeeded", Tally(), None),
    "hold back": lambda ledger, run, rows: ledger.hold_back(run, None),
    "settle": lambda ledger, run, rows: ledger.settle(run, []),
}


@pytest.mark.parametrize("what", WRITING)
def test_whatever_a_run_writes_next_sees_that_the_ledger_went_back(ledger, engine, file, what):
    run = staged(ledger, "r1", "r2")
    copy = Copy(engine)
    sent(ledger, run, "r1")
    reached = file.read().number

    copy.put_back()

    with pytest.raises(LedgerChanged, match="has forgotten the last 1 of"):
        WRITING[what](ledger, run, ["r2"])
    assert file.read().number >= reached
    assert only(engine, "select restored_at from ledgers")[0] is not None
    assert select(engine, "select distinct suspect from deliveries") == [(True,)]


def test_nothing_is_sent_from_a_ledger_that_went_back_by_one_transaction(ledger, engine):
    run = staged(ledger, "r1", "r2")
    copy = Copy(engine)
    sent(ledger, run, "r1")
    row = due(ledger)["r2"]

    copy.put_back()
    (result,) = ledger.record(run, [opening(row)])

    assert isinstance(result, LedgerChanged)
    assert states(engine) == {"r1": "pending", "r2": "pending"}
    with pytest.raises(LedgerChanged):  # for good, although the ledger is marked by now
        ledger.heartbeat(run)


def test_an_answer_whose_attempt_is_forgotten_stops_the_run(ledger, engine):
    run = staged(ledger, "r1", "r2")
    known = sent(ledger, run, "r2")["r2"]
    copy = Copy(engine)
    forgotten = sent(ledger, run, "r1")["r1"]

    copy.put_back()
    first, second = ledger.record(
        run, [an_answer(forgotten, Accepted("i-1", 201)), an_answer(known, Accepted("i-2", 201))]
    )

    assert isinstance(first, LedgerChanged)
    assert second is True  # what is known is recorded all the same
    assert states(engine) == {"r1": "pending", "r2": "delivered"}
    assert begun(ledger).restored is None  # it was marked at once


def test_an_attempt_of_the_same_number_that_another_run_opened_is_not_answered(ledger, engine):
    run = staged(ledger, "r1")
    execute(engine, "update leases set writes = writes + 100")  # as if nothing were missing
    copy = Copy(engine)
    mine = sent(ledger, run, "r1")["r1"]
    copy.put_back()
    expire_lease(engine)
    other = Ledger(engine, LEASE)
    successor = begun(other)
    sent(other, successor, "r1")

    (result,) = ledger.record(run, [an_answer(mine, NotApplied("busy", 429))])

    assert isinstance(result, LedgerChanged)
    assert states(engine)["r1"] != "pending"


def test_whoever_began_meanwhile_on_the_older_state_loses_its_lease(ledger, engine):
    """On a machine that keeps no file of this ledger, nothing was to be seen."""
    copy = Copy(engine)
    run = staged(ledger, "r1")
    copy.put_back()
    elsewhere = Ledger(engine, LEASE)
    other = begun(elsewhere)

    with pytest.raises(LedgerChanged):
        ledger.heartbeat(run)

    with pytest.raises(LeaseLost):
        elsewhere.heartbeat(other)


def test_a_run_that_was_replaced_does_not_go_on_when_its_lease_comes_back(ledger, engine, file):
    """Its own writes are all there; those of the run that replaced it are not."""
    run = staged(ledger, "r1", "r2")
    copy = Copy(engine)
    expire_lease(engine)
    successor = Ledger(engine, LEASE, GenerationFile(file.path))
    sent(successor, begun(successor), "r1")
    row = due(ledger)["r2"]

    copy.put_back()
    with pytest.raises(LeaseLost, match="another run took over"):
        ledger.record(run, [opening(row)])

    expire_lease(engine)
    assert begun(successor).restored is not None


def test_a_run_that_was_replaced_in_the_right_way_has_only_lost_its_lease(ledger, engine):
    run = staged(ledger, "r1")
    expire_lease(engine)
    begun(ledger)

    with pytest.raises(LeaseLost):
        ledger.heartbeat(run)
    assert only(engine, "select restored_at from ledgers")[0] is None


def test_a_transaction_that_failed_is_not_missed(ledger, engine):
    run = staged(ledger, "r1")
    execute(engine, "alter table watermarks rename to elsewhere")
    with pytest.raises(LedgerUnavailable):
        ledger.hold_back(run, None)
    execute(engine, "alter table elsewhere rename to watermarks")

    ledger.heartbeat(run)
    assert begun_after(ledger, run).restored is None


def begun_after(ledger, run):
    ledger.finish(run, "succeeded", Tally(), None)
    return begun(ledger)


@pytest.mark.parametrize("steps", [1, 2, 5])
def test_a_process_that_was_killed_is_missed_by_the_next_one_too(ledger, engine, file, steps):
    """Nobody is left to see it: the count beside the ledger says so, heartbeat or not."""
    run = staged(ledger, *(f"r{n}" for n in range(steps)))
    copy = Copy(engine)
    for n in range(steps):
        sent(ledger, run, f"r{n}")

    copy.put_back()
    expire_lease(engine)
    again = begun(Ledger(engine, LEASE, GenerationFile(file.path)))

    assert again.restored is not None
    assert 'times that "reviews" was written' in again.restored
    assert select(engine, "select distinct suspect from deliveries") == [(True,)]


def test_a_count_that_a_power_cut_has_torn_is_no_alarm(ledger, engine, file):
    run = staged(ledger, "r1")
    for torn in file.writes:
        torn.write_text('{"ledger": "')

    assert begun_after(ledger, run).restored is None


def test_an_activation_that_is_renamed_keeps_its_count(ledger, engine):
    from tests.ledger.factories import an_identity

    run = staged(ledger, "r1")
    ledger.finish(run, "succeeded", Tally(), None)
    renamed = ledger.begin("opinions", an_identity(renamed_from="reviews"))
    ledger.finish(renamed, "succeeded", Tally(), None)

    assert begun(ledger).restored is None  # a new one under the old name
    assert ledger.begin("opinions", an_identity(renamed_from="reviews")).restored is None


@given(st.lists(st.sampled_from(["number", "writes", "accuse"]), max_size=12), st.randoms())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_number_beside_the_ledger_ever_goes_back(tmp_path_factory, steps, dice):
    file = GenerationFile(tmp_path_factory.mktemp("beside") / "ledger.generation")
    file.raise_to("mine", 1)
    highest, writes = 1, 0
    for step in steps:
        number = dice.randrange(20)
        if step == "number":
            file.raise_to("mine", number)
            highest = max(highest, number)
        elif step == "writes":
            writes += number
            file.written("mine", "reviews", dice.randrange(3), writes)
        else:
            file.accuse("mine", "first")
    found = file.read()
    assert found is not None
    assert (found.ledger, found.number) == ("mine", highest)
    assert file.read_writes("mine").get("reviews", 0) == writes


def test_another_ledger_does_not_overwrite_what_is_known_of_the_first(file):
    file.raise_to("first", 7)

    with pytest.raises(LedgerChanged):
        file.raise_to("second", 9)
    assert file.read() == Generation("first", 7)


def test_many_that_write_at_once_lose_nothing(file):
    def write(n):
        return [file.written("one", f"a{n}", 1, m) for m in range(1, 20)]

    with ThreadPoolExecutor(6) as threads:
        assert all(all(alone) for alone in threads.map(write, range(6)))

    assert file.read_writes("one") == {f"a{n}": 19 for n in range(6)}
    assert file.read_writes("another") == {}


def test_two_runs_of_a_process_that_do_not_wait_any_more_write_each_a_draft_of_its_own(
    file, monkeypatch
):
    file.raise_to("mine", 1)
    monkeypatch.setattr("connector.ledger.generation._locked", lambda folder: None)
    both, synced = Barrier(2, timeout=5), os.fsync

    def together(descriptor):
        """Both have written by then, and neither has put its draft in place."""
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            both.wait()
        synced(descriptor)

    monkeypatch.setattr(os, "fsync", together)
    with ThreadPoolExecutor(2) as threads:
        list(threads.map(lambda name: file.beaten("mine", 2, {name: 1}), ["reviews", "visits"]))

    found = file.read()
    assert (found.ledger, found.number) == ("mine", 2)


def test_who_came_later_is_seen_by_who_was_replaced(file):
    assert file.written("one", "reviews", 1, 10)
    assert file.written("one", "reviews", 2, 11)
    assert not file.written("one", "reviews", 1, 12)

    assert file.written("one", "reviews", 3, 13)
    assert len(file.writes) == 1  # what is left of those before is removed


def test_a_process_that_is_frozen_in_the_file_keeps_nobody_for_long(file, monkeypatch):
    monkeypatch.setattr("connector.ledger.generation.PATIENCE", 0.01)
    with file._alone():  # as a frozen one would
        file.raise_to("one", 5)
        assert file.written("one", "reviews", 1, 1)

    assert file.read() == Generation("one", 5)


# --- SQLite: the file itself ----------------------------------------------------------------------


@pytest.fixture
def on_a_file(tmp_path):
    """A ledger in a file of its own, with a run that has sent a row since a copy was made."""
    path = tmp_path / "ledger.db"
    engine = writing_engine(make_url(f"sqlite:///{path}"))
    ledger = Ledger(engine, LEASE, GenerationFile(tmp_path / "ledger.db.generation"))
    run = staged(ledger, "r1", "r2")
    copy = tmp_path / "copy.db"
    with closing(sqlite3.connect(path)) as here, closing(sqlite3.connect(copy)) as there:
        here.backup(there)
    sent(ledger, run, "r1")
    settle_log(engine)  # so that the file alone is the ledger
    yield ledger, run, path, copy
    ledger.close()


@pytest.mark.parametrize("put", [shutil.copyfile, os.replace], ids=["copied over", "moved over"])
def test_a_copy_that_takes_the_place_of_the_open_file_is_seen_by_the_next_transaction(
    on_a_file, put
):
    ledger, run, path, copy = on_a_file
    row = due(ledger)["r2"]

    put(copy, path)

    (result,) = ledger.record(run, [opening(row)])
    assert isinstance(result, LedgerChanged)


def test_a_ledger_that_was_removed_while_it_was_open_is_not_made_anew(on_a_file):
    ledger, run, path, _ = on_a_file
    path.unlink()

    with pytest.raises(LedgerUnavailable, match=r"is gone|unable to open"):
        ledger.heartbeat(run)
    assert not Path(path).exists()


def test_an_equal_file_in_its_place_is_no_alarm(on_a_file):
    """Nothing is forgotten: some tools write a file anew and move it into place."""
    ledger, run, path, copy = on_a_file
    ledger.heartbeat(run)
    settle_log(ledger._engine)
    shutil.copyfile(path, copy)
    copy.replace(path)

    ledger.heartbeat(run)
