"""Opening the ledger: durable, private, and with sentences where it cannot be opened."""

import shutil
import sqlite3
import stat
import threading
import traceback
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import apsw
import pytest
from sqlalchemy import create_engine, event, exc, make_url, text

from connector.ledger import engine as engine_module
from connector.ledger import postgresql as postgresql_module
from connector.ledger import sqlite
from connector.ledger import transaction as transaction_module
from connector.ledger.engine import Reader, reading_engine, writing_engine
from connector.ledger.records import Tally
from connector.ledger.reports import Reports
from connector.ledger.store import Ledger
from connector.ledger.transaction import repeated, transaction
from connector.rules.errors import ActivationBusy, ConfigurationError, LedgerUnavailable, StaleMove
from tests.ledger.factories import (
    CONTACT,
    SECRET,
    a_mark,
    a_row,
    begun,
    delivered,
    execute,
    select,
    sent,
    staged,
    states,
)

MINUTE = timedelta(minutes=1)
OUT_OF_REACH = make_url("postgresql://connector:hunter2@127.0.0.1:1/ledger?passfile=hunter3")


on_postgresql = pytest.mark.parametrize("ledger_url", ["postgresql"], indirect=True)


@pytest.fixture
def sqlite_url(tmp_path):
    return make_url(f"sqlite:///{tmp_path}/ledger.db")


@pytest.fixture
def sqlite_engine(sqlite_url):
    engine = writing_engine(sqlite_url)
    yield engine
    engine.dispose()


def sqlite_driver():
    """The SQLite that the ledger brings."""
    assert engine_module.SQLITE is not None
    return engine_module.SQLITE


def run_in(engine, statement, **binds):
    with transaction(engine) as connection:
        connection.execute(text(statement), binds)


def pragma(engine, name):
    with engine.begin() as connection:
        return connection.exec_driver_sql(f"pragma {name}").scalar()


@pytest.mark.durable
def test_sqlite_waits_for_the_disk_at_every_commit(sqlite_engine):
    full = 2

    assert pragma(sqlite_engine, "synchronous") == full
    assert pragma(sqlite_engine, "foreign_keys") == 1
    assert pragma(sqlite_engine, "busy_timeout") == engine_module.PATIENCE


def test_sqlite_writes_ahead_where_that_is_sound(sqlite_engine):
    assert pragma(sqlite_engine, "journal_mode") == "wal"
    assert tuple(map(int, select(sqlite_engine, "select sqlite_version()")[0][0].split("."))) >= (
        3, 51, 3,
    )  # fmt: skip


@pytest.mark.parametrize(("version", "sound"), [("3.51.2", False), ("3.51.3", True)])
def test_a_version_whose_log_is_not_sound_is_not_used(monkeypatch, version, sound):
    monkeypatch.setattr(apsw, "sqlite_lib_version", lambda: version)

    assert bool(sqlite.sound()) == sound


@pytest.fixture
def pythons_own(monkeypatch):
    """As on a machine for which apsw has no wheel."""
    monkeypatch.setattr(engine_module, "SQLITE", None)


def test_pythons_own_sqlite_keeps_a_rollback_journal(sqlite_url, pythons_own):
    engine = writing_engine(sqlite_url)
    staged(Ledger(engine, MINUTE), "r1")

    assert pragma(engine, "journal_mode") == "truncate"
    assert states(engine) == {"r1": "pending"}
    engine.dispose()


def test_on_a_network_no_log_is_written_ahead(sqlite_url, monkeypatch):
    monkeypatch.setattr(engine_module, "is_local", lambda file: False)
    engine = writing_engine(sqlite_url)

    assert pragma(engine, "journal_mode") == "truncate"
    engine.dispose()


MOUNTS = """\
22 1 8:1 / / rw,relatime - ext4 /dev/sda1 rw
31 22 0:44 / /srv/share rw shared:5 - nfs4 host:/export rw
32 22 0:45 / /srv/local rw - xfs /dev/sdb rw
33 31 0:46 / /srv/share/ssd rw - btrfs /dev/sdc rw
34 22 0:47 / /mnt/c rw - 9p drvfs rw
35 22 0:48 / /home/me/far rw - fuse.sshfs me@host: rw
"""


@pytest.mark.parametrize(
    ("file", "local"),
    [
        ("/var/lib/ledger.db", True), ("/srv/share/a/ledger.db", False),
        ("/srv/share/ssd/ledger.db", True), ("/srv/local/ledger.db", True),
        ("/mnt/c/ledger.db", False), ("/home/me/far/ledger.db", False),
    ],
)  # fmt: skip
def test_where_files_lie_on_a_network(file, local):
    assert sqlite.is_local(Path(file), lambda: MOUNTS) == local


def test_a_ledger_with_a_rollback_journal_is_taken_over(sqlite_url, monkeypatch):
    with monkeypatch.context() as before:
        before.setattr(engine_module, "SQLITE", None)
        old = writing_engine(sqlite_url)
        staged(Ledger(old, MINUTE), "r1")
        old.dispose()
    engine = writing_engine(sqlite_url)

    assert pragma(engine, "journal_mode") == "wal"
    assert states(engine) == {"r1": "pending"}
    engine.dispose()


def test_one_that_somebody_reads_with_a_journal_is_worked_with_as_it_is(sqlite_url, monkeypatch):
    with monkeypatch.context() as before:
        before.setattr(engine_module, "is_local", lambda file: False)
        writing_engine(sqlite_url).dispose()
    reader, writer = (sqlite_driver().connect(sqlite_url.database) for _ in range(2))
    reader.execute("begin")
    reader.execute("select * from runs")
    engine_module._durable_at(Path(sqlite_url.database))(writer, None)

    assert not writer.writes_ahead
    assert writer.execute("pragma journal_mode").fetchone() != ("wal",)
    assert writer.execute("pragma busy_timeout").fetchone() == (engine_module.BUSY_TIMEOUT,)
    reader.close()
    writer.close()


# --- a file that was replaced below its log ------------------------------------------------------


@pytest.fixture
def yesterdays(sqlite_url, tmp_path):
    """A copy of the file from when r1 was not sent yet; since then it was."""
    engine = writing_engine(sqlite_url)
    ledger = Ledger(engine, MINUTE)
    run = staged(ledger, "r1")
    ledger.finish(run, "succeeded", Tally(), None)
    ledger.close()
    copy = tmp_path / "copy"
    shutil.copy(sqlite_url.database, copy)
    ledger = Ledger(writing_engine(sqlite_url), MINUTE)
    run = begun(ledger)
    delivered(ledger, run, "r1")
    ledger.finish(run, "succeeded", Tally(), None)
    ledger.close()
    return copy


def test_between_two_commands_one_file_is_the_whole_ledger(yesterdays, sqlite_url):
    assert Path(f"{sqlite_url.database}-wal").stat().st_size == 0


def test_a_file_that_is_replaced_under_a_run_takes_no_commit_any_more(yesterdays, sqlite_url):
    engine = writing_engine(sqlite_url)
    ledger = Ledger(engine, MINUTE)
    run = begun(ledger)
    shutil.copy(yesterdays, sqlite_url.database)

    with pytest.raises(LedgerUnavailable, match="replaced while its log stayed"):
        ledger.heartbeat(run)
    with pytest.raises(LedgerUnavailable, match="replaced while its log stayed"):
        ledger.stage(run, [a_row("r2")], [], a_mark(2), begun=True)
    ledger.close()


def test_the_log_of_a_replaced_file_is_put_aside_at_the_next_start(yesterdays, sqlite_url):
    engine = writing_engine(sqlite_url)
    run = begun(Ledger(engine, MINUTE))
    shutil.copy(yesterdays, sqlite_url.database)
    with pytest.raises(LedgerUnavailable):
        Ledger(engine, MINUTE).heartbeat(run)
    with pytest.raises(LedgerUnavailable, match="end every connector"):  # one still uses it
        writing_engine(sqlite_url)
    engine.dispose()

    after = writing_engine(sqlite_url)

    assert states(after) == {"r1": "pending"}
    assert select(after, "pragma integrity_check") == [("ok",)]
    assert select(after, "select count(*) from runs") == [(1,)]
    after.dispose()


@pytest.fixture
def younger(yesterdays, sqlite_url, tmp_path):
    """The ledger was away, and another one has begun in its place, with a run under way; and where
    the one of before is meanwhile, with more commits than the younger one has."""
    away = tmp_path / "away"
    Path(sqlite_url.database).rename(away)
    return writing_engine(sqlite_url), away


def test_a_file_of_before_that_is_put_back_under_a_run_takes_no_commit(younger, sqlite_url):
    engine, away = younger
    run = begun(Ledger(engine, MINUTE))
    shutil.copy(away, sqlite_url.database)

    with pytest.raises(LedgerUnavailable, match="replaced while its log stayed"):
        Ledger(engine, MINUTE).heartbeat(run)
    engine.dispose()


def test_the_log_of_a_younger_ledger_is_put_aside_as_well(younger, sqlite_url):
    engine, away = younger
    begun(Ledger(engine, MINUTE))
    engine.dispose()  # as if it had been killed: its log is still there
    assert Path(f"{sqlite_url.database}-wal").stat().st_size
    away.rename(sqlite_url.database)

    after = writing_engine(sqlite_url)

    assert states(after) == {"r1": "delivered"}
    assert select(after, "select status from runs") == [("succeeded",), ("succeeded",)]
    assert select(after, "pragma integrity_check") == [("ok",)]
    after.dispose()


def test_who_looks_while_others_write_takes_no_file_for_another(sqlite_engine, sqlite_url):
    """Between two looks of one connection another commits, and brings its log over."""
    looks, writes = (sqlite_driver().connect(sqlite_url.database) for _ in range(2))
    writes.writes_ahead = True
    pragma, below = looks._pragma, looks._below

    def meanwhile(look):
        def looked(*what):
            found = look(*what)
            for _ in range(2):
                writes.execute("begin immediate")
                writes.execute("replace into pauses (activation, at, by) values ('a', 1, 'p')")
                writes.commit()
                writes.execute("pragma wal_checkpoint(passive)")
            return found

        return looked

    looks._pragma, looks._below = meanwhile(pragma), meanwhile(below)

    assert [looks.is_replaced() for _ in range(5)] == [False] * 5
    looks.close()
    writes.close()


def test_a_backup_that_was_put_back_as_it_should_be_is_no_mixture(yesterdays, sqlite_url):
    Path(f"{sqlite_url.database}-wal").unlink()
    shutil.copy(yesterdays, sqlite_url.database)
    engine = writing_engine(sqlite_url)
    run = begun(Ledger(engine, MINUTE))
    Ledger(engine, MINUTE).heartbeat(run)

    assert states(engine) == {"r1": "pending"}
    engine.dispose()


@pytest.mark.parametrize("count", [0, 2**31 - 2, -(2**31)])
def test_commits_are_counted_all_the_way_round(sqlite_url, count):
    engine = writing_engine(sqlite_url)
    raw = sqlite_driver().connect(sqlite_url.database)
    for said in (
        f"user_version = {count}",
        f"application_id = {count}",
        "wal_checkpoint(truncate)",
    ):
        raw.execute(f"pragma {said}")
    raw.close()
    ledger = Ledger(engine, MINUTE)
    for number in range(4):
        run = staged(ledger, f"r{number}")
        ledger.finish(run, "succeeded", Tally(), None)
        engine_module.settle_log(engine)

    assert len(states(engine)) == 4
    engine.dispose()


def test_every_transaction_of_sqlite_takes_the_write_lock_at_once(sqlite_engine, sqlite_url):
    other = sqlite_driver().connect(sqlite_url.database)

    with sqlite_engine.begin(), pytest.raises(sqlite3.OperationalError, match="locked"):
        other.execute("begin immediate")
    other.close()


def test_only_its_owner_can_read_the_file(sqlite_engine, sqlite_url, tmp_path):
    modes = {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.glob("ledger.db*")}

    assert modes == {0o600}


def test_folders_on_the_way_to_the_file_are_created(tmp_path):
    writing_engine(make_url(f"sqlite:///{tmp_path}/a/b/ledger.db")).dispose()

    assert (tmp_path / "a/b/ledger.db").exists()


@pytest.mark.parametrize("folder", ["order #1", "what?", "100%25", "ö & ü", "a'b"])
def test_any_path_can_be_written_and_read(tmp_path, folder):
    url = make_url("sqlite://").set(database=f"{tmp_path}/{folder}/ledger.db")
    written = writing_engine(url)
    staged(Ledger(written, MINUTE), "r1")
    read = reading_engine(url)

    assert Reports(read).counts("reviews")["pending"] == 1
    written.dispose()
    assert read is not None
    read.dispose()


def test_reading_creates_nothing(sqlite_url, tmp_path):
    assert reading_engine(sqlite_url) is None
    assert list(tmp_path.iterdir()) == []


def test_reading_an_empty_file_finds_no_ledger(sqlite_url, tmp_path):
    (tmp_path / "ledger.db").touch()

    assert reading_engine(sqlite_url) is None
    assert (tmp_path / "ledger.db").stat().st_size == 0


@pytest.mark.parametrize(
    "write",
    [
        "delete from deliveries",
        "update deliveries set reason = 'x'",
        "create table t (x integer)",
        "insert into runs (run_id, activation, status, started_at) values ('x', 'a', 'x', 1)",
    ],
)
def test_the_reading_side_cannot_write(ledger, ledger_url, engine, write):
    staged(ledger, "r1")
    reading = reading_engine(ledger_url)

    with pytest.raises(LedgerUnavailable, match=r"read-only|readonly"):
        run_in(reading, write)
    assert states(engine) == {"r1": "pending"}
    assert reading is not None
    reading.dispose()


@pytest.mark.parametrize("pages", [0, 1000])
def test_nothing_is_read_that_stood_in_a_file_that_was_replaced(sqlite_engine, sqlite_url, pages):
    ledger, reading = Ledger(sqlite_engine, MINUTE), reading_engine(sqlite_url)
    assert Reports(reading).counts("reviews")["pending"] == 0
    staged(ledger, "r1")
    assert Reports(reading).counts("reviews")["pending"] == 1
    for log in ("-wal", "-shm"):
        Path(f"{sqlite_url.database}{log}").unlink(missing_ok=True)
    Path(sqlite_url.database).write_bytes(b"this is no database" * pages)

    with pytest.raises(LedgerUnavailable):
        Reports(reading).counts("reviews")
    assert reading is not None
    reading.dispose()


def test_what_is_read_again_and_again_is_opened_once_and_stays_open_for_nobody(ledger_url):
    reader, opened, closed = Reader(), list[object](), list[object]()
    with reader.reading(ledger_url) as first:
        pass
    assert first is not None
    event.listen(first, "connect", lambda c, _: opened.append(c))
    event.listen(first, "close", lambda c, _: closed.append(c))

    with reader.going_on():
        for _ in range(3):
            with reader.reading(ledger_url) as again:
                assert again is first
                assert Reports(again).counts("reviews")["pending"] == 0
        assert (len(opened), len(closed)) == (1, 0)
    assert closed == opened


def test_a_ledger_that_is_there_later_is_read_then(sqlite_url):
    reader = Reader()
    for make in (lambda: Path(sqlite_url.database).touch(), lambda: writing_engine(sqlite_url)):
        with reader.reading(sqlite_url) as nothing:
            assert nothing is None
        make()

    with reader.reading(sqlite_url) as there:
        assert Reports(there).has_ledger


def test_reading_goes_on_while_a_run_writes(ledger, engine, reports):
    staged(ledger, "r1")

    with engine.begin() as writing:
        writing.execute(text("update deliveries set state = 'discarded', reason = 'x'"))

        assert reports.counts("reviews")["pending"] == 1
    assert reports.counts("reviews")["discarded"] == 1


@pytest.mark.parametrize("open_ledger", [writing_engine, reading_engine])
def test_a_server_out_of_reach_is_named_without_its_secrets(open_ledger):
    with pytest.raises(LedgerUnavailable, match=r"127\.0\.0\.1") as refused:
        open_ledger(OUT_OF_REACH)

    told = "".join(traceback.format_exception(refused.value))
    assert "connector:***@127.0.0.1:1/ledger" in told
    assert "hunter" not in told


@on_postgresql
def test_a_connection_that_was_cut_between_two_transactions_is_made_again(
    ledger, engine, ledger_url, request
):
    run = begun(ledger)
    cut = "select pg_terminate_backend(pid) from pg_stat_activity where datname = '{}'"
    request.getfixturevalue("postgresql").execute(cut.format(ledger_url.database))

    ledger.heartbeat(run)

    assert select(engine, "select status from runs") == [("running",)]


@on_postgresql
def test_a_connection_that_is_cut_in_a_transaction_is_a_ledger_out_of_reach(engine):
    with pytest.raises(LedgerUnavailable, match=r"terminating connection|closed"):
        run_in(engine, "select pg_terminate_backend(pg_backend_pid())")


def test_a_file_that_is_no_database_is_a_ledger_out_of_reach(sqlite_url, tmp_path):
    (tmp_path / "ledger.db").write_text("not a database, but long enough to look like one" * 99)

    with pytest.raises(LedgerUnavailable, match=r"ledger\.db.*not a database"):
        writing_engine(sqlite_url)
    with pytest.raises(LedgerUnavailable, match=r"ledger\.db.*not a database"):
        reading_engine(sqlite_url)


def test_a_place_where_no_file_can_be_is_a_ledger_out_of_reach(tmp_path):
    (tmp_path / "file").touch()

    with pytest.raises(
        LedgerUnavailable, match=r"cannot create the ledger .*file/ledger\.db: .*file is no folder"
    ):
        writing_engine(make_url(f"sqlite:///{tmp_path}/file/ledger.db"))
    with pytest.raises(LedgerUnavailable, match=r"a/ledger\.db: .*file is no folder"):
        writing_engine(make_url(f"sqlite:///{tmp_path}/file/a/ledger.db"))
    with pytest.raises(LedgerUnavailable, match=r"cannot be read: .*file is no folder"):
        reading_engine(make_url(f"sqlite:///{tmp_path}/file/ledger.db"))


def test_a_ledger_that_others_lock_for_too_long_is_out_of_reach(sqlite_url, monkeypatch):
    monkeypatch.setattr(engine_module, "BUSY_TIMEOUT", 20)
    engine = writing_engine(sqlite_url)
    other = sqlite_driver().connect(sqlite_url.database)
    other.execute("begin immediate")

    with pytest.raises(LedgerUnavailable, match="database is locked"):
        begun(Ledger(engine, MINUTE))
    other.close()
    engine.dispose()


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("mysql://u:p@h/d", "a ledger is SQLite or PostgreSQL, not mysql"),
        ("sqlite://", "a ledger in memory forgets; use a file"),
        ("sqlite:///:memory:", "a ledger in memory forgets; use a file"),
        ("sqlite:///file:x?mode=memory&uri=true", "named by its file's path, not by a URI"),
    ],
)
def test_what_cannot_be_a_ledger_is_refused(url, words):
    with pytest.raises(ConfigurationError, match=words):
        writing_engine(make_url(url))


def test_a_url_without_a_driver_means_the_driver_that_is_shipped(postgresql_url):
    assert postgresql_url.drivername == "postgresql"
    engine = writing_engine(postgresql_url)

    assert engine.driver == "psycopg"
    engine.dispose()


def test_no_error_shows_a_contact_or_a_payload(ledger, engine):
    run = staged(ledger, "r1")
    delivered(ledger, run, "r1")

    with pytest.raises(StaleMove) as refused:
        run_in(engine, "update deliveries set payload = :p, contact = :c", p=SECRET, c=CONTACT)
    with pytest.raises(LedgerUnavailable) as broken:
        run_in(engine, "select :p, :c from nowhere", p=SECRET, c=CONTACT)

    for error in (refused.value, broken.value):
        told = "".join(traceback.format_exception(error))
        assert SECRET not in told
        assert CONTACT not in told


def test_a_missing_table_is_a_ledger_out_of_reach(ledger, engine):
    run = staged(ledger, "r1")
    execute(engine, "drop table attempts")

    with pytest.raises(LedgerUnavailable, match="attempts"):
        delivered(ledger, run, "r1")
    assert states(engine) == {"r1": "pending"}


def test_a_pool_without_a_free_connection_is_a_ledger_out_of_reach(ledger, engine):
    small = create_engine(engine.url, pool_size=1, max_overflow=0, pool_timeout=0.01)
    with small.connect(), pytest.raises(LedgerUnavailable, match="all connections to it are in"):
        run_in(small, "select 1")
    small.dispose()


@pytest.mark.parametrize(
    "error",
    [
        exc.TimeoutError("QueuePool limit"),
        exc.ResourceClosedError("closed"),
        exc.InvalidRequestError("invalid"),
        exc.PendingRollbackError("rolled back"),
        exc.NoResultFound("none"),
        exc.MultipleResultsFound("two"),
        exc.StatementError("statement", "select 1", {}, ValueError("x")),
        UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"),
        OSError(28, "No space left on device"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_whatever_comes_up_below_is_a_ledger_out_of_reach(engine, error):
    with pytest.raises(LedgerUnavailable, match="the ledger "), transaction(engine):
        raise error


def test_a_mistake_of_ours_stays_one(engine):
    with pytest.raises(KeyError), transaction(engine):
        raise KeyError("ours")


# --- PostgreSQL that acknowledges before it writes ------------------------------------------------


def synchronous_commit(engine):
    with transaction(engine) as connection:
        return connection.exec_driver_sql("show synchronous_commit").scalar()


@on_postgresql
def test_a_server_that_acknowledges_before_it_writes_is_told_not_to(engine, ledger_url):
    other = create_engine(ledger_url.set(drivername="postgresql+psycopg"))

    assert synchronous_commit(other) == "off"  # as the server of these tests is set
    assert synchronous_commit(engine) == "on"
    other.dispose()


@on_postgresql
@pytest.mark.parametrize("stronger", ["remote_apply", "remote_write", "local"])
def test_what_else_a_server_is_set_to_stays(ledger_url, stronger):
    options = {"options": f"-csynchronous_commit={stronger}"}
    engine = writing_engine(ledger_url.update_query_dict(options))

    assert synchronous_commit(engine) == stronger
    engine.dispose()


@on_postgresql
def test_a_server_that_cannot_be_told_is_refused(ledger_url, monkeypatch):
    monkeypatch.setattr(postgresql_module, "_setting", lambda cursor: "off")

    with pytest.raises(LedgerUnavailable, match="alter role … set synchronous_commit = on"):
        writing_engine(ledger_url)


@on_postgresql
def test_a_pooler_that_gives_another_connection_loses_no_attempt(ledger, engine):
    """In transaction mode, what was set for a session may be gone in the next transaction."""
    run = staged(ledger, "r1")
    seen = []

    @event.listens_for(engine, "begin")
    def forget(connection):
        connection.exec_driver_sql("set synchronous_commit = off")

    @event.listens_for(engine, "commit")
    def look(connection):
        seen.append(connection.exec_driver_sql("show synchronous_commit").scalar())

    sent(ledger, run, "r1")

    assert seen[-1] == "on"


# --- transactions that are given up for another one -----------------------------------------------


class GivenUp(Exception):
    sqlstate = "40P01"


def failing(times, error):
    """A method that fails so often before it does its work."""
    tried = []

    @repeated
    def method(engine):
        with transaction(engine):
            tried.append(1)
            if len(tried) <= times:
                raise exc.OperationalError("update", {}, error)
        return len(tried)

    return method


def test_a_transaction_that_was_given_up_for_another_one_is_repeated(engine, monkeypatch):
    monkeypatch.setattr(transaction_module, "PAUSES", (0, 0, 0))

    assert failing(3, GivenUp())(engine) == 4
    with pytest.raises(LedgerUnavailable):  # not for ever
        failing(9, GivenUp())(engine)


def test_no_other_failure_is_repeated(engine):
    with pytest.raises(LedgerUnavailable):
        failing(1, Exception("the disk is full"))(engine)


@on_postgresql
def test_runs_that_beat_while_others_ask_never_wait_for_each_other(ledger, engine):
    """What one takes first, nobody takes last."""
    held = begun(ledger)
    ended = threading.Event()

    def beat():
        while not ended.is_set():
            ledger.heartbeat(held)
        return "beaten"

    with ThreadPoolExecutor(3) as threads:
        beating = threads.submit(beat)
        asking = [threads.submit(asked, ledger, 60) for _ in range(2)]
        refused = [asked.result() for asked in asking]
        ended.set()
        assert beating.result() == "beaten"

    assert refused == [60, 60]
    query = "select deadlocks from pg_stat_database where datname = current_database()"
    assert select(engine, query) == [(0,)]


def asked(ledger, times):
    refused = 0
    for _ in range(times):
        with pytest.raises(ActivationBusy):
            begun(ledger)
        refused += 1
    return refused
