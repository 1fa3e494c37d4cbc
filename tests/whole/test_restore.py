"""A ledger that comes from a backup forgets sends: nothing is sent again because of that."""

import re
import shutil
import sqlite3
import time
from collections import Counter
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import URL

from connector.sandbox.behaviour import Faults
from tests.whole.shop import Shop, behaving
from tests.whole.test_schema import changed, with_file

SOON = {"timeout": "1s", "settle_after": "1s"}


def backup(shop: Shop) -> Path:
    """A copy of the ledger, and of nothing beside it, as SQLite makes one."""
    copy = shop.path / "backup.db"
    copy.unlink(missing_ok=True)
    with (
        closing(sqlite3.connect(shop.ledger_file)) as here,
        closing(sqlite3.connect(copy)) as there,
    ):
        here.backup(there)
    return copy


def restore(shop: Shop, copy: Path) -> None:
    for file in shop.ledger_file.parent.glob("ledger.db-*"):
        file.unlink()
    shutil.copy(copy, shop.ledger_file)


def settled(shop: Shop, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while True:
        run = shop.sync().run
        if not run["in_doubt"] + run["pending"]:
            return
        assert time.monotonic() < deadline, run
        time.sleep(0.1)


def told_before_any_run(shop: Shop, why: str) -> None:
    """That the ledger is from a backup stands wherever it is looked at, and nothing is written."""
    beside = {f: f.read_bytes() for f in shop.ledger_file.parent.glob("ledger.db.*")}
    (need,) = shop.connector("status", "--json").json["needs"]
    assert (need["kind"], why in need["text"]) == ("restored", True)
    assert why in shop.connector("check").out
    assert "was put back from a backup: rows" in shop.connector("preview", "visits").out
    assert {f: f.read_bytes() for f in shop.ledger_file.parent.glob("ledger.db.*")} == beside


def status(shop: Shop) -> dict[str, object]:
    (document,) = shop.connector("status", "--json").json["activations"]
    return document  # type: ignore[no-any-return]


def test_a_backup_from_what_came_after_the_one_that_was_put_back_is_noticed(shop: Shop) -> None:
    """It may have counted further than the ledger that goes on from an older backup has by then."""
    shop.configure(**SOON)
    shop.add_many(3)
    shop.sync()
    older = backup(shop).rename(shop.path / "older.db")
    beside = {file: file.read_bytes() for file in shop.ledger_file.parent.glob("ledger.db.*")}
    for _ in range(12):
        shop.sync()
    newer = backup(shop)
    restore(shop, older)  # with all that stands beside it, as a machine is put back
    for file in shop.ledger_file.parent.glob("ledger.db.*"):
        file.unlink()
    for file, content in beside.items():
        file.write_bytes(content)
    assert shop.connector("restored").code == 0
    shop.add_many(4, first=3)
    assert shop.sync("--wait").run["delivered"] == 4

    restore(shop, newer)
    done = shop.sync("--wait")

    assert "put back from a backup" in done.run["notes"][0]
    assert done.run["delivered"] == 4  # found, all without a POST
    assert shop.posts == 7


def test_rows_sent_after_the_backup_are_found_and_not_sent_again(shop: Shop) -> None:
    shop.configure(**SOON)
    shop.add_many(20)
    shop.sync()
    copy = backup(shop)
    shop.add_many(15, first=20)
    shop.sync()

    restore(shop, copy)
    shop.add_many(5, first=35)  # really new
    told_before_any_run(shop, "at generation 2 and was at 4 before")
    first = shop.sync()

    assert first.code == 1
    assert "put back from a backup" in first.run["notes"][0]
    assert first.run["delivered"] == 15  # found, all without a POST
    assert shop.posts == 35
    settled(shop)
    assert shop.stored == Counter(f"v{i}" for i in range(40))
    assert shop.posts == 40
    assert status(shop)["suspect"] is False


def test_rows_pending_in_the_backup_are_read_back_too(shop: Shop) -> None:
    """Recorded, and not sent, when the copy was made; sent before it was put back."""
    shop.configure(**SOON, limits="{rows: 5}")
    shop.add_many(20)
    shop.sync()  # held
    copy = backup(shop)
    shop.sync("--approve")

    restore(shop, copy)
    shop.sync("--approve")
    settled(shop)

    assert shop.posts == 20
    assert shop.stored == Counter(f"v{i}" for i in range(20))


def test_a_row_refused_in_the_backup_and_sent_since_is_read_back(shop: Shop) -> None:
    shop.configure(**SOON)
    shop.add({"id": "v1", "rating": 9})
    shop.sync()
    copy = backup(shop)
    shop.execute("update visits set rating = 4")
    shop.sync()

    restore(shop, copy)
    shop.sync()
    settled(shop)

    assert shop.posts == 1
    assert shop.stored == {"v1": 1}


def test_what_is_absent_is_believed_only_after_the_wait_since_the_restore(shop: Shop) -> None:
    """The last send of the lost ledger may still be hidden from the read-back."""
    shop.configure(timeout="1s", settle_after="3s")
    shop.sandbox.behaviour = behaving(read_back_delay=2)
    copy = backup_of_an_empty_ledger(shop)
    shop.add({"id": "v1"})
    shop.sync()

    restore(shop, copy)
    first = shop.sync()
    settled(shop)

    assert first.run["in_doubt"] == 1
    assert shop.posts == 1


def backup_of_an_empty_ledger(shop: Shop) -> Path:
    shop.sync()
    return backup(shop)


def test_a_doubt_of_the_backup_waits_anew(shop: Shop) -> None:
    """Its attempt is old, but the lost ledger may have made another one just now."""
    shop.configure(timeout="1s", settle_after="3s")
    shop.add({"id": "v1"})
    shop.sandbox.behaviour = behaving(faults=Faults(reset_before=1.0))
    shop.sync()
    copy = backup(shop)
    shop.sandbox.behaviour = behaving(read_back_delay=2)
    settled(shop)  # absent, so it was sent: now
    assert shop.posts == 2

    restore(shop, copy)
    settled(shop)

    assert shop.posts == 2
    assert shop.stored == {"v1": 1}


def test_a_ledger_that_was_removed_sends_nothing_again(shop: Shop) -> None:
    shop.configure(**SOON)
    shop.add_many(10)
    shop.sync()
    shop.ledger_file.unlink()

    first = shop.sync()
    settled(shop)

    assert "not the ledger that was here before" in first.run["notes"][0]
    assert shop.posts == 10


def test_a_ledger_that_lost_its_file_is_not_trusted(shop: Shop) -> None:
    shop.configure(**SOON)
    shop.add_many(10)
    shop.sync()
    Path(f"{shop.ledger_file}.generation").unlink()
    shop.add_many(1, first=10)

    first = shop.sync()
    settled(shop)

    assert "is gone" in first.run["notes"][0]
    assert shop.posts == 11


def test_a_damaged_file_is_taken_for_a_warning(shop: Shop) -> None:
    shop.configure(**SOON)
    shop.add_many(3)
    shop.sync()
    Path(f"{shop.ledger_file}.generation").write_text("{")

    first = shop.sync()

    assert first.run["notes"]
    assert shop.sync().run["notes"] == []


def test_a_person_can_say_that_everything_beside_the_ledger_was_put_back_too(shop: Shop) -> None:
    shop.configure(**SOON)
    shop.add_many(10)
    shop.sync()
    folder, copy = shop.ledger_file.parent, shop.path / "copy"
    shutil.copytree(folder, copy)
    shop.add_many(10, first=10)
    shop.sync()
    shutil.rmtree(folder)
    copy.rename(folder)

    done = shop.connector("restored")
    settled(shop)

    assert done.code == 0
    assert "put back from a backup" in done.out
    assert shop.posts == 20


def test_an_activation_that_the_backup_does_not_know_is_suspect_as_a_whole(shop: Shop) -> None:
    shop.configure(**SOON)
    copy = shop.path / "empty.db"
    shop.connector("restored")  # makes a ledger
    shutil.copy(shop.ledger_file, copy)
    shop.add_many(5)
    shop.sync()

    restore(shop, copy)
    settled(shop)

    assert shop.posts == 5


def test_nothing_is_suspect_in_everyday_life(shop: Shop) -> None:
    shop.add_many(5)

    runs = [shop.sync().run for _ in range(3)]

    assert [run["notes"] for run in runs] == [[], [], []]
    assert status(shop)["suspect"] is False


def test_every_row_of_a_restored_ledger_tells_so(shop: Shop) -> None:
    shop.configure(**SOON)
    copy = backup_of_an_empty_ledger(shop)
    shop.add({"id": "v1"})
    shop.sync()
    restore(shop, copy)
    shop.sync()

    story = shop.connector("explain", "visits", "v1", "--json").json

    assert story["state"] == "delivered"
    assert story["interaction_id"] == shop.sandbox.engage.interactions()[0].id
    assert "put back from a backup" in story["attempts"][0]["reason"]


@pytest.fixture
def on_postgresql(shop: Shop, postgresql_url: URL) -> Shop:
    address = postgresql_url.render_as_string(hide_password=False)
    shop.configure(**SOON, ledger=address)
    return shop


def test_postgresql_put_back_on_the_same_server_is_noticed(
    on_postgresql: Shop, postgresql_url: URL
) -> None:
    shop = on_postgresql
    shop.add_many(8)
    shop.sync()
    tables = ("ledgers", "watermarks", "deliveries", "attempts", "decisions", "runs", "leases")
    with psycopg.connect(postgresql_url.render_as_string(hide_password=False)) as connection:
        for table in tables:
            connection.execute(f"create table backup_{table} as table {table}")
    shop.add_many(8, first=8)
    shop.sync()
    with psycopg.connect(postgresql_url.render_as_string(hide_password=False)) as connection:
        connection.execute("set session_replication_role = replica")  # as pg_restore does
        for table in tables:
            connection.execute(f"delete from {table}")
            connection.execute(f"insert into {table} table backup_{table}")

    first = shop.sync()
    settled(shop)

    assert "at generation" in first.run["notes"][0]
    assert shop.posts == 16
    assert set(shop.stored.values()) == {1}


def test_postgresql_on_another_server_is_noticed_without_any_file(
    on_postgresql: Shop, postgresql_url: URL
) -> None:
    shop = on_postgresql
    shop.add_many(3)
    shop.sync()
    for file in (shop.path / ".connector").glob("*.generation"):
        file.unlink()
    assert shop.sync().run["notes"] == []  # a machine that keeps no files is no alarm
    with psycopg.connect(postgresql_url.render_as_string(hide_password=False)) as connection:
        connection.execute("update ledgers set server = '7300000000000000000/00000001'")

    first = shop.sync()

    assert "server is another one" in first.run["notes"][0]


def test_rows_that_no_run_reads_back_keep_nothing_waiting(shop: Shop) -> None:
    """An undone, a discarded and an invalid row: after one sync the ledger is trusted again, and
    the schema can be replaced."""
    shop.configure(**SOON, cursor="")
    shop.add({"id": "undone"})
    shop.connector("undo", shop.sync().run["run_id"], "--yes")
    shop.add({"id": "invalid", "rating": 9}, {"id": "given-up", "rating": 9})
    shop.add({"id": "sent"})
    shop.sync()
    shop.connector("restored")
    shop.connector("quarantine", "discard", "visits", "given-up")

    shop.sync("--full", "--wait")

    assert status(shop)["suspect"] is False
    with shop.ledger_connection() as ledger:
        query = "select row_key from deliveries where suspect order by row_key"
        assert ledger.execute(query).fetchall() == [("invalid",), ("undone",)]  # if they come back
    with_file(shop, changed(mood={"type": "string"}))
    replaced = shop.connector("schema", "migrate", "visit", "--confirm", "visit 1", "--json")
    assert replaced.json["rows"] == {"delivered": 1}, replaced
    assert shop.stored == {"sent": 1}


def test_an_undone_row_that_was_released_after_the_backup_is_read_back(shop: Shop) -> None:
    """What the backup has as undone may have been released, and sent, since."""
    shop.configure(**SOON)
    shop.add({"id": "v1"})
    run_id = shop.sync().run["run_id"]
    shop.connector("undo", run_id, "--yes")
    copy = backup(shop)
    shop.connector("release", run_id, "--yes")
    shop.sync()
    restore(shop, copy)
    shop.sync()

    shop.connector("release", run_id, "--yes")
    settled(shop)

    assert shop.posts == 2
    assert shop.stored == {"v1": 1}
    assert status(shop)["suspect"] is False


# --- what is told until the wait is over --------------------------------------------------------


def test_rows_that_nothing_but_time_keeps_in_doubt_are_not_said_to_wait_for_a_person(
    shop: Shop,
) -> None:
    shop.add({"id": "v1"})
    shop.sync()
    assert shop.connector("restored").code == 0
    shop.add({"id": "v2"}, {"id": "v3"})
    until = "2 rows are in doubt, and too young to be settled yet; a run can settle the first of"

    done = shop.connector("sync")
    (found,) = shop.connector("status", "--json").json["activations"]
    seen = shop.connector("status").said

    assert done.code == 1
    assert until in done.said
    assert "for a person" not in done.said
    assert until in shop.connector("runs").said
    assert [(need["kind"], need["command"]) for need in found["needs"]] == [
        ("young", "connector sync visits")
    ]
    assert until in found["needs"][0]["text"]
    assert "to decide about" not in seen
    last = found["last_run"]
    assert (last["in_doubt"], last["too_young"]) == (2, 2)
    assert last["finished_at"] < last["next_settling"]
    assert "a run asks about those in doubt first" in shop.connector("check").said


def test_once_they_are_settled_nothing_is_told_of_them(shop: Shop) -> None:
    shop.configure(**SOON)
    shop.add({"id": "v1"})
    shop.sync()
    assert shop.connector("restored").code == 0
    shop.add({"id": "v2"})
    assert shop.sync().run["too_young"] == 1

    settled(shop)

    (found,) = shop.connector("status", "--json").json["activations"]
    assert (found["last_run"]["too_young"], found["last_run"]["next_settling"]) == (0, None)
    assert found["needs"] == []


def test_what_a_stopped_run_left_in_doubt_is_asked_about_by_the_next(shop: Shop) -> None:
    shop.configure(concurrency=1)
    shop.add_many(40)
    shop.sandbox.behaviour = behaving(faults=Faults(status_after={500: 1.0}))

    done = shop.connector("sync")

    assert done.code == 3
    assert re.search(r"visits: the next run asks about \d+ rows in doubt first\.", done.said)
    assert "for a person" not in done.said
