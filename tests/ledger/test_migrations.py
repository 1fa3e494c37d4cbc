"""The tables: the same however they came to be, and of a version that both sides know."""

import shutil
import sys
from datetime import timedelta
from pathlib import Path
from unittest import mock

import pytest
from sqlalchemy import URL, Engine, create_engine, make_url, text
from sqlalchemy.exc import IntegrityError

from connector.ledger.deeds import audit
from connector.ledger.engine import reading_engine, writing_engine
from connector.ledger.migrations import HEAD, migrate
from connector.ledger.migrations.versions import v0001_first_tables, v0016_mirrors
from connector.ledger.records import Tally
from connector.ledger.reports import Reports
from connector.ledger.store import Ledger
from connector.rules.delivery import FIRST_STATES, TRANSITIONS
from connector.rules.errors import ConfigurationError, LedgerUnavailable
from connector.rules.place import Place
from tests.ledger.factories import REVIEWS, an_identity, execute, select
from tests.ledger.processes import many

metadata = audit.metadata

SQLITE_TABLES = """
    select type, name, sql from sqlite_master
    where tbl_name <> 'alembic_version' and type in ('table', 'index') order by name
"""
POSTGRESQL_TABLES = (
    """select table_name, column_name, data_type, is_nullable, column_default
       from information_schema.columns
       where table_schema = 'public' and table_name <> 'alembic_version' order by 1, 2""",
    """select conrelid::regclass::text, conname, pg_get_constraintdef(oid) from pg_constraint
       where connamespace = 'public'::regnamespace and conrelid <> 'alembic_version'::regclass
       order by 1, 2""",
    """select tablename, indexname, indexdef from pg_indexes
       where schemaname = 'public' and tablename <> 'alembic_version' order by 1, 2""",
)
SQLITE_EVERYTHING = ("select type, name, tbl_name, sql from sqlite_master order by 1, 2",)
POSTGRESQL_EVERYTHING = (
    *POSTGRESQL_TABLES,
    """select relname, attname, attnum, attisdropped, pg_get_serial_sequence(relname, attname)
       from pg_attribute join pg_class c on c.oid = attrelid
       where relnamespace = 'public'::regnamespace and relkind = 'r' and attnum > 0
       order by 1, 3""",
    """select relname, relkind, reloptions from pg_class
       where relnamespace = 'public'::regnamespace order by 1""",
    "select tgname, pg_get_triggerdef(oid) from pg_trigger where not tgisinternal order by 1",
    """select proname, pg_get_functiondef(oid) from pg_proc
       where pronamespace = 'public'::regnamespace order by 1""",
)


def everything(engine: Engine) -> list[list[tuple]]:
    """All that an empty ledger consists of, triggers and the number of its step included; line
    breaks mean nothing."""
    on_file = engine.dialect.name == "sqlite"
    tables = ["alembic_version", *sorted(metadata.tables)]
    queries = (
        *(SQLITE_EVERYTHING if on_file else POSTGRESQL_EVERYTHING),
        *(f"select * from {table}" for table in tables),
    )
    return [[tuple(map(in_a_line, row)) for row in select(engine, query)] for query in queries]


def in_a_line(value: object) -> object:
    return " ".join(value.split()) if isinstance(value, str) else value


def described(engine: Engine) -> list[list[tuple]]:
    """Columns, constraints and indexes of every table, in the database's own words; SQLite puts a
    column that is added into the same line."""
    execute(engine, "create table if not exists alembic_version (version_num varchar(32))")
    if engine.dialect.name == "sqlite":
        rows = select(engine, SQLITE_TABLES)
        return [[(kind, name, *clauses(sql or "")) for kind, name, sql in rows]]
    return [[tuple(row) for row in select(engine, query)] for query in POSTGRESQL_TABLES]


def clauses(sql: str) -> list[str]:
    """Columns and constraints in alphabetical order: a column that is added stands behind what was
    there, constraints included."""
    depth, found = 0, [""]
    for character in " ".join(sql.split()):
        depth += {"(": 1, ")": -1}.get(character, 0)
        if (character, depth) in (("(", 1), (",", 1), (")", 0)):
            found.append("")
        else:
            found[-1] += character
    return sorted(clause.strip() for clause in found)


@pytest.fixture
def created_url(fresh_url: URL, tmp_path: Path, request: pytest.FixtureRequest) -> URL:
    """A second empty database of the same kind as `fresh_url`."""
    if fresh_url.get_backend_name() == "sqlite":
        return make_url(f"sqlite:///{tmp_path}/created.db")
    return request.getfixturevalue("postgresql").new()


def test_migrated_tables_are_the_tables_in_the_code(fresh_url, created_url):
    migrated, created = a_ledger_of(HEAD, fresh_url), create_engine(created_url)
    for index in [index for table in metadata.tables.values() for index in table.indexes]:
        where = index.dialect_options["sqlite"]["where"]
        index.dialect_options["postgresql"]["where"] = where
    metadata.create_all(created)

    assert described(migrated) == described(created)
    assert sum(len(part) for part in described(migrated)) >= 8
    migrated.dispose()
    created.dispose()


def test_a_new_ledger_is_made_at_once_as_the_steps_would_make_it(fresh_url, created_url):
    with mock.patch.dict(sys.modules, alembic=None):  # which takes longer than all else
        at_once = writing_engine(fresh_url)
    by_steps = a_ledger_of(HEAD, created_url)

    assert everything(at_once) == everything(by_steps)
    triggers = [row for part in everything(at_once) for row in part if "TRIGGER" in str(row)]
    assert len(triggers) >= 7
    at_once.dispose()
    by_steps.dispose()


def test_opening_a_ledger_again_changes_nothing(fresh_url):
    first = writing_engine(fresh_url)
    before = described(first)
    second = writing_engine(fresh_url)

    assert described(second) == before
    assert select(second, "select version_num from alembic_version") == [(HEAD,)]
    first.dispose()
    second.dispose()


@pytest.mark.parametrize("step", [None, "0001"])
def test_a_ledger_is_one_file_as_soon_as_its_tables_are_there(tmp_path, step):
    url = make_url(f"sqlite:///{tmp_path}/ledger.db")
    if step:
        a_ledger_of(step, url).dispose()
    engine = writing_engine(url)

    log = tmp_path / "ledger.db-wal"
    assert not log.exists() or not log.stat().st_size
    shutil.copy(tmp_path / "ledger.db", tmp_path / "copy.db")
    copy = create_engine(f"sqlite:///{tmp_path}/copy.db")
    assert select(copy, "select version_num from alembic_version") == [(HEAD,)]
    copy.dispose()
    engine.dispose()


def test_the_triggers_are_made_from_the_moves_in_the_code():
    moves = {f"{source}>{target}" for source, target in TRANSITIONS}

    assert set(v0016_mirrors.MOVES) == moves
    assert len(v0016_mirrors.MOVES) == len(moves)
    assert set(v0001_first_tables.FIRST_STATES) == set(FIRST_STATES)


@pytest.mark.parametrize("open_ledger", [writing_engine, reading_engine])
def test_a_ledger_of_a_newer_connector_is_refused(engine, ledger_url, open_ledger):
    execute(engine, "update alembic_version set version_num = '9999'")

    with pytest.raises(LedgerUnavailable, match=r"written by a newer connector .*; upgrade this"):
        open_ledger(ledger_url)


def test_reports_refuse_a_ledger_of_an_older_connector(engine, ledger_url):
    execute(engine, "update alembic_version set version_num = '0000'")

    with pytest.raises(LedgerUnavailable, match="older connector; a `connector sync` brings it"):
        reading_engine(ledger_url)


def test_reports_find_no_ledger_in_an_empty_database(fresh_url):
    assert reading_engine(fresh_url) is None


def test_processes_that_open_a_fresh_ledger_at_once_all_succeed(fresh_url):
    with many(4, "open", fresh_url) as processes:
        for process in processes:
            assert process.said() == "ready"
        for process in processes:
            process.tell("go")

        assert [process.said() for process in processes] == ["opened"] * 4


def a_ledger_of(step: str, url: URL) -> Engine:
    """A ledger as it was when `step` was the newest one."""
    engine = create_engine(url)
    with engine.begin() as connection:
        migrate(connection, step, at_once=False)
    return engine


PAGES = (
    "select page_count - (select count(*) from sqlite_master where rootpage > 0)"
    " from pragma_page_count"
)
"""Those besides the first of each table and index."""


def test_checks_are_written_anew_under_a_connector_that_goes_on(fresh_url):
    """Older processes may be in the middle of their runs; what the checks say is the same."""
    old = a_ledger_of("0022", fresh_url)
    row = "insert into deliveries (activation, row_key, state, run_id, changed_at, reason)"
    values = "values ('reviews', '{}', 'invalid', 'x', 0, {})"
    execute(old, f"{row} {values.format('before', repr('why'))}")
    if old.dialect.name == "sqlite":
        pages = select(old, PAGES)

    new = writing_engine(fresh_url)

    for engine in (old, new):
        execute(engine, f"{row} {values.format(id(engine), repr('why'))}")
        with pytest.raises(IntegrityError):
            execute(engine, f"{row} {values.format('refused', 'null')}")
    if old.dialect.name == "sqlite":
        assert select(new, PAGES) == pages  # no row was written for it
        assert select(new, "pragma integrity_check") == [("ok",)]
    (table,) = select(new, "select count(*) from deliveries")
    assert table == (3,)
    old.dispose()
    new.dispose()


def test_a_ledger_without_places_keeps_its_rows_and_learns_where_they_went(fresh_url):
    old = a_ledger_of("0001", fresh_url)
    execute(
        old,
        "insert into watermarks (activation, destination, schema_id, row_key, changed_at)"
        " values ('reviews', 'engage', 'review', '[\"id\"]', 0)",
    )
    old.dispose()

    ledger = Ledger(writing_engine(fresh_url), timedelta(seconds=30))
    known = an_identity(place=Place("engage", "https://acme.example"))
    run = ledger.begin(REVIEWS, known)
    ledger.finish(run, "succeeded", Tally(), None)

    with pytest.raises(ConfigurationError, match=r"engage was at https://acme\.example when"):
        ledger.begin(REVIEWS, an_identity(place=Place("engage", "https://other.example")))
    ledger.close()


def test_an_activation_of_an_older_ledger_was_first_recorded_under_its_name(fresh_url):
    old = a_ledger_of("0008", fresh_url)
    execute(
        old,
        "insert into watermarks (activation, destination, schema_id, row_key, changed_at)"
        " values ('reviews', 'engage', 'review', '[\"id\"]', 0)",
    )
    old.dispose()

    ledger = Ledger(writing_engine(fresh_url), timedelta(seconds=30))
    run = ledger.begin("opinions", an_identity(renamed_from=REVIEWS))

    assert run.origin == REVIEWS
    ledger.close()


def test_rows_that_are_never_sent_again_are_no_longer_suspect(fresh_url):
    """A connector of old kept them so for ever."""
    old = a_ledger_of("0001", fresh_url)
    for state in ("discarded", "pending", "invalid"):
        execute(
            old,
            "insert into deliveries (activation, row_key, state, run_id, changed_at, contact,"
            " created_date, payload, reason, suspect)"
            f" values ('reviews', '{state}', '{state}', 'x', 0, 'c', '2026-01-01', '{{}}', 'x',"
            " true)",
        )
    old.dispose()

    engine = writing_engine(fresh_url)

    suspects = select(engine, "select row_key from deliveries where suspect order by row_key")
    assert suspects == [("invalid",), ("pending",)]
    engine.dispose()


def test_runs_of_an_older_ledger_get_the_kinds_that_their_record_tells(fresh_url: URL) -> None:
    old = a_ledger_of("0001", fresh_url)
    with old.begin() as connection:
        for run_id, error in (
            ("a", "the process ended before the run did"),
            ("b", "unexpected KeyError; see the log"),
            ("c", "the warehouse was away"),
        ):
            connection.execute(
                text(
                    "insert into runs (run_id, activation, status, started_at, error)"
                    " values (:run_id, 'visits', 'stopped', 1, :error)"
                ),
                {"run_id": run_id, "error": error},
            )
    old.dispose()

    writing_engine(fresh_url).dispose()
    reading = reading_engine(fresh_url)
    found = {run["run_id"]: (run["kind"], run["retryable"]) for run in Reports(reading).runs()}

    assert found == {"a": ("interrupted", True), "b": ("defect", False), "c": (None, False)}
    assert reading is not None
    reading.dispose()
