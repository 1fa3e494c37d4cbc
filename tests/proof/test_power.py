"""Power cuts, full disks and broken files under the ledger: never twice, never lost."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any
from unittest import mock

import apsw
import pytest
from sqlalchemy import make_url

from connector.ledger.engine import writing_engine
from connector.ledger.records import Closing, Entry, Opening, Run
from connector.ledger.store import Ledger
from connector.project.loan import Loan
from connector.rules.errors import LedgerUnavailable
from connector.sandbox.behaviour import Faults
from connector.sync.thread import Journal
from tests.proof.power import run_power
from tests.proof.power_bench import Bench, bench, error_of
from tests.proof.power_full import (
    FOR_GOOD,
    DiskFull,
    FailingDisk,
    judge,
    run_disk_full,
    sync_on,
)
from tests.targets import PROVE
from tests.whole.shop import Done

ROWS = 25
LOST = LedgerUnavailable("the ledger sqlite:///ledger.db: no space left")
MOUNTED = """
{mount} || exit 77
code=0
"$@" || code=$?
cp "$FOLDER"/* "$LEFT"/ 2>/dev/null
exit $code
"""


def mounted(project: Bench, mount: str, tmp_path: Path) -> Done:
    """`connector sync --json` where the ledger's folder is what `mount` makes of it; what it left
    there stays. Linux lets everybody mount in a world of their own, if the system is set up so."""
    left = tmp_path / "left"
    left.mkdir()
    command = ["unshare", "--user", "--map-root-user", "--mount"]
    command += ["sh", "-c", MOUNTED.format(mount=mount), "sh", sys.executable, "-m", "connector"]
    command += ["--config", str(project.shop.config), "sync", "--json"]
    places = {"FOLDER": str(project.ledger), "LEFT": str(left)}
    project.ledger.mkdir(exist_ok=True)
    try:
        done = subprocess.run(
            command, env=os.environ | places, capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        pytest.skip("there is no unshare")
    if not done.stdout:
        pytest.skip(f"nothing can be mounted here: {done.stderr}")
    for path in left.iterdir():
        shutil.copy(path, project.ledger)
    return Done(done.returncode, done.stdout, done.stderr)


@pytest.fixture
def project() -> Iterator[Bench]:
    with bench(ROWS) as project:
        project.afresh(0, Faults())
        yield project


# --- power cuts -----------------------------------------------------------------------------------


def test_a_power_cut_takes_back_nothing_that_was_acknowledged() -> None:
    result = run_power(200 if PROVE else 6, seed=1)

    assert result.holds, result
    assert result.commits > result.cuts


@pytest.mark.parametrize("synchronous", ["OFF", "NORMAL"])
def test_the_same_power_cuts_find_a_ledger_that_does_not_wait_for_the_disk(
    synchronous: str,
) -> None:
    """What of a write is on the disk when the power goes is chance."""
    cuts = (run_power(3, seed, ["WAL"], synchronous) for seed in range(1, 20))

    assert any(found.lost_commits for found in cuts)


def test_the_same_power_cuts_find_attempts_that_are_recorded_only_with_their_answers() -> None:
    write, sent = Journal.write, {}

    async def too_late(journal: Journal, entry: Entry) -> Any:
        if isinstance(entry, Opening):
            sent[entry.delivery.id] = entry
            return True
        if isinstance(entry, Closing):
            await write(journal, sent[entry.delivery_id])
        return await write(journal, entry)

    with mock.patch.object(Journal, "write", too_late):  # which commit holds which row is chance
        cuts = (run_power(5, seed, ["TRUNCATE"]) for seed in range(1, 20))

        assert any(found.duplicates for found in cuts)


def test_folders_made_for_the_ledger_are_synced_by_name(tmp_path: Path) -> None:
    synced: list[int] = []
    with mock.patch("os.fsync", lambda folder: synced.append(os.fstat(folder).st_ino)):
        writing_engine(make_url(f"sqlite:///{tmp_path}/a/b/ledger.db")).dispose()

    assert synced == [path.stat().st_ino for path in (tmp_path, tmp_path / "a")]


# --- full disks -----------------------------------------------------------------------------------


def test_without_space_nothing_goes_out_that_is_not_on_record() -> None:
    result = run_disk_full(80 if PROVE else 6, seed=1)

    assert result.holds, result
    assert result.stopped > 2


def test_the_same_failures_find_a_run_that_goes_on_without_its_ledger(project: Bench) -> None:
    write, result = Journal.write, DiskFull()

    async def carelessly(journal: Journal, entry: Entry) -> Any:
        with suppress(LedgerUnavailable):
            return await write(journal, entry)
        return True

    healthy = FailingDisk(None, 0, apsw.IOError)
    sync_on(project, healthy, "TRUNCATE")
    for part in range(8, 40):  # some of them while it delivers
        if result.unrecorded and result.forgotten:
            break
        project.afresh(0, Faults())
        fails = FailingDisk(healthy.calls * part // 40, FOR_GOOD, apsw.IOError)
        careless = mock.patch.object(Journal, "write", carelessly)
        with careless, mock.patch.object(Loan, "holds", return_value=True):  # without its part, too
            judge(project, "carelessly", sync_on(project, fails, "TRUNCATE"), result)

    assert result.unrecorded
    assert result.forgotten


def test_a_small_disk_stops_the_run_and_a_larger_one_lets_it_go_on(
    project: Bench, tmp_path: Path
) -> None:
    result = DiskFull()

    done = mounted(project, 'mount -t tmpfs -o size=108k none "$FOLDER"', tmp_path)
    judge(project, "a small disk", done, result)

    assert result.holds, result
    assert result.stopped


def test_answers_that_cannot_be_recorded_are_told_as_doubts(project: Bench) -> None:
    record = Ledger.record

    def no_answers(ledger: Ledger, run: Run, entries: Sequence[Entry]) -> Any:
        if any(isinstance(entry, Closing) for entry in entries):
            raise LOST
        return record(ledger, run, entries)

    with mock.patch.object(Ledger, "record", no_answers):
        run = project.sync().run

    arrived = len(project.shop.stored)
    assert arrived
    assert run["status"] == "stopped"
    assert run["in_doubt"] >= arrived  # and what was on record for its turn
    assert run["in_doubt"] + run["pending"] == ROWS
    assert_goes_on(project)


def test_a_run_whose_end_cannot_be_recorded_tells_what_it_did(project: Bench) -> None:
    with mock.patch.object(Ledger, "finish", side_effect=LOST):
        done = project.sync()

    run = done.run
    assert (done.code, run["status"], run["error"]) == (3, "stopped", str(LOST))
    assert (run["read"], run["delivered"]) == (ROWS + 2, ROWS)


# --- broken files ---------------------------------------------------------------------------------


def shortened(size: Callable[[int], int]) -> Callable[[Path], object]:
    """Makes a file end after `size` of its bytes."""
    return lambda file: os.truncate(file, size(file.stat().st_size))


def replaced_by_a_folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


BROKEN: dict[str, tuple[Callable[[Path], object], str]] = {
    "text": (lambda file: file.write_text("no database at all\n" * 400), "not a database"),
    "half a header": (shortened(lambda size: 50), "malformed"),
    "first page": (shortened(lambda size: 4096), "malformed"),
    "half": (shortened(lambda size: size // 2), "malformed"),
    "all but the last page": (shortened(lambda size: size - 4096), "malformed"),
    "folder": (replaced_by_a_folder, "unable to open"),
}


@pytest.mark.parametrize(("damage", "words"), BROKEN.values(), ids=BROKEN)
def test_a_broken_ledger_stops_every_run_before_it_sends_anything(
    project: Bench, damage: Callable[[Path], object], words: str
) -> None:
    done_before(project)
    file, posts = project.shop.ledger_file, project.posts
    damage(file)
    content = file.read_bytes() if file.is_file() else b""

    done = project.sync()
    shown = project.connector("status", "--json")

    for each in (done, shown):
        assert (each.code, each.err) == (3, "")
        assert "ledger.db: " in each.json["error"]["message"]
        assert words in each.json["error"]["message"]
    assert project.posts == posts
    assert (file.read_bytes() if file.is_file() else b"") == content


@pytest.mark.parametrize("left", [0, 1])
def test_a_ledger_that_lost_everything_sends_nothing_twice(project: Bench, left: int) -> None:
    done_before(project)
    os.truncate(project.shop.ledger_file, left)  # to SQLite, a file without a database yet

    assert_goes_on(project)
    assert project.posts == project.valid


@pytest.mark.parametrize("closed", ["ledger.db", "."])
def test_a_ledger_that_may_not_be_written_stops_every_run(project: Bench, closed: str) -> None:
    done_before(project)
    for path in project.ledger.glob("ledger.db-*"):
        path.unlink()  # an empty journal: SQLite would do with it
    posts, place = project.posts, project.ledger / closed
    place.chmod(0o555)
    if os.access(place, os.W_OK):
        pytest.skip("nothing is closed to who runs this")

    done = project.sync()
    for path in (project.ledger, *project.ledger.glob("ledger.db*")):
        path.chmod(0o700)  # a log that SQLite made meanwhile is closed too

    assert_unwritable(done)
    assert project.posts == posts
    assert_goes_on(project)


def test_a_disk_that_may_not_be_written_stops_every_run(project: Bench, tmp_path: Path) -> None:
    done_before(project)
    posts = project.posts

    bind = 'mount --bind "$FOLDER" "$FOLDER" && mount -o remount,bind,ro,nosuid,nodev "$FOLDER"'
    done = mounted(project, bind, tmp_path)

    assert_unwritable(done)
    assert project.posts == posts
    assert_goes_on(project)


def done_before(project: Bench) -> None:
    """All rows are sent, and another ten are new."""
    project.sync_until_quiet()
    project.shop.add_many(10, first=ROWS)
    project.valid += 10


def assert_unwritable(done: Done) -> None:
    assert (done.code, done.err) == (3, "")
    message = error_of(done)
    assert "ledger.db: " in message
    assert "readonly database" in message or "unable to open" in message


def assert_goes_on(project: Bench) -> None:
    project.sync_until_quiet()
    assert (project.duplicates, project.losses, project.disagreements()) == (0, 0, [])
