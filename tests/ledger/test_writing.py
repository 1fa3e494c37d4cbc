"""Whether a ledger can be written is found out without writing it."""

import errno
import os
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import URL, text

from connector.ledger.engine import plain_engine, writing_engine
from connector.ledger.writing import trouble_writing


@pytest.fixture
def generation(tmp_path: Path) -> Path:
    return tmp_path / "of-the-ledger" / "ledger.generation"


def test_a_ledger_that_is_there_or_may_be_made_can_be_written(
    fresh_url: URL, generation: Path
) -> None:
    assert trouble_writing(fresh_url, generation) is None
    writing_engine(fresh_url).dispose()
    assert trouble_writing(fresh_url, generation) is None
    assert not generation.parent.exists()


@pytest.fixture
def reader(postgresql, migrated_postgresql):
    """A ledger, and a role that owns nothing of it."""
    url = postgresql.new(template=migrated_postgresql)
    postgresql.execute("create role reader login")
    yield url.set(username="reader"), url
    postgresql.drop(url)
    postgresql.execute("drop role reader")


def grant(url: URL, *statements: str) -> None:
    engine = plain_engine(url)
    with engine.begin() as connection:
        for statement in statements:
            connection.execute(text(statement))
    engine.dispose()


def test_every_right_that_is_missing_in_postgresql_is_named(reader, generation: Path) -> None:
    theirs, owners = reader
    grant(owners, "grant select, insert, update on all tables in schema public to reader")

    trouble = trouble_writing(theirs, generation)

    assert trouble is not None
    assert "DELETE on deliveries" in trouble
    assert "UPDATE" not in trouble
    assert "USAGE on public.deliveries_id_seq" in trouble
    grant(
        owners,
        "grant delete on all tables in schema public to reader",
        "grant usage on all sequences in schema public to reader",
    )
    assert trouble_writing(theirs, generation) is None


def test_a_server_that_only_lets_read_is_noticed(reader, generation: Path) -> None:
    theirs, owners = reader
    grant(
        owners,
        "grant all on all tables in schema public to reader",
        "alter role reader set default_transaction_read_only = on",
    )

    assert "read only" in str(trouble_writing(theirs, generation))


def test_a_database_without_tables_must_let_them_be_made(
    postgresql, postgresql_url: URL, generation: Path
) -> None:
    postgresql.execute("create role stranger login")
    grant(postgresql_url, "revoke create on schema public from public")

    trouble = trouble_writing(postgresql_url.set(username="stranger"), generation)

    postgresql.execute("drop role stranger")
    assert "may not create tables" in str(trouble)


def test_looking_leaves_the_log_of_others_in_this_process_alone(
    tmp_path: Path, generation: Path
) -> None:
    """Another SQLite in the same process would take the log away from below them."""
    url = URL.create("sqlite", database=str(tmp_path / "ledger.db"))
    engine = writing_engine(url)
    with engine.begin() as writer:
        writer.execute(text("create table here (n integer)"))
    log = Path(f"{url.database}-wal")  # of a connection that stays open
    before = log.stat().st_ino

    assert trouble_writing(url, generation) is None

    assert log.stat().st_ino == before
    engine.dispose()


@pytest.mark.skipif(not Path("/proc/version").exists(), reason="has no /proc")
@pytest.mark.parametrize("path", ["/proc/ledger.db", "/proc/x/ledger.db", "/proc/self/ledger.db"])
def test_a_folder_that_keeps_no_files_is_noticed_and_not_called_full(
    path: str, generation: Path
) -> None:
    """Whoever may do everything is told by its rights that they may write there."""
    trouble = str(trouble_writing(URL.create("sqlite", database=path), generation))

    assert f"{path} cannot be written: " in trouble
    assert "is full" not in trouble


@pytest.mark.parametrize("error", [errno.EOPNOTSUPP, errno.ENOENT, errno.EISDIR])
def test_where_no_file_is_without_a_name_a_named_one_is_made_and_is_gone_at_once(
    error: int, tmp_path: Path, generation: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(path: Any, flags: int, *more: Any, **others: Any) -> int:
        if flags & os.O_TMPFILE == os.O_TMPFILE:
            raise OSError(error, os.strerror(error))
        return opened(path, flags, *more, **others)

    opened = os.open
    monkeypatch.setattr(os, "open", refused)

    assert trouble_writing(URL.create("sqlite", database=f"{tmp_path}/x.db"), generation) is None
    assert list(tmp_path.iterdir()) == []
