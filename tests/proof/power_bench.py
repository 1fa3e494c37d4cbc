"""A small project whose ledger is killed in every way, and the questions asked of it afterwards."""

import hashlib
import os
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager, redirect_stderr, redirect_stdout
from dataclasses import replace
from datetime import timedelta
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest import mock

from connector.cli.main import run
from connector.project.settings import Settings, load
from connector.sandbox.behaviour import Faults
from connector.sandbox.engage.running import Running, running
from tests.whole.shop import Done, Shop, an_engage, behaving

MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
"""Where a sync costs nothing. What it is good for is shown by disks that are not real either."""
INVALID = 2
FIRST = "2026-11-01 00:00:00"
FAULTS = Faults(reset_before=0.06, reset_after=0.06, status_after={500: 0.06})
TIMEOUT = timedelta(seconds=30)
WAIT = timedelta(milliseconds=10)
"""How old an attempt must be before "not there" is believed of it. A run that lost its ledger has
waited for its answers, so nothing of it is under way any more: as good as no wait at all."""


class Bench:
    """The project, its Engage, and as many runs as are asked for."""

    def __init__(self, folder: Path, sandbox: Running, valid: int) -> None:
        self.shop, self.sandbox, self.valid = Shop(folder, sandbox), sandbox, valid
        self.shop.configure(concurrency=4)
        self.shop.add_many(valid)
        self.shop.add(*({"id": f"bad{n}", "seen_at": FIRST, "rating": 9} for n in range(INVALID)))
        self.settings = _impatient(load(self.shop.config))
        self._posts_before = 0

    @property
    def ledger(self) -> Path:
        """The folder of the ledger's files."""
        return self.shop.ledger_file.parent

    def afresh(self, seed: int, faults: Faults = FAULTS) -> None:
        """No ledger, nothing at Engage, and `faults` as `seed` draws them."""
        self.sandbox.engage.reset(keep=("contacts", "schemas"))
        self.sandbox.behaviour = behaving(faults=faults, answer_delay=0.002, seed=seed)
        for path in self.ledger.glob("*"):
            path.unlink()
        self._posts_before = self.shop.posts

    @property
    def posts(self) -> int:
        """How many interactions were sent since it was afresh."""
        return self.shop.posts - self._posts_before

    def connector(self, *arguments: str) -> Done:
        """Run a command in this process, as a person types it."""
        out, err = StringIO(), StringIO()
        with (
            mock.patch("connector.project.settings.load", return_value=self.settings),
            mock.patch("connector.sync.reading.BATCH", 10),
            # the wait is so short here that a busy machine would send nothing within half of it
            mock.patch("connector.sync.deliver.send_within", return_value=5.0),
            redirect_stdout(out),
            redirect_stderr(err),
        ):
            code = run(["--config", str(self.shop.config), *arguments])
        return Done(code, out.getvalue(), err.getvalue())

    def sync(self) -> Done:
        """One run that waits for its doubts."""
        return self.connector("sync", "--json", "--wait")

    def sync_until_quiet(self, runs: int = 4) -> Done:
        """Runs until nothing is left to do, or something stops one."""
        for _ in range(runs):
            done = self.sync()
            if error_of(done) or not any(done.run[n] for n in ("pending", "in_doubt", "waiting")):
                break
        return done

    @property
    def duplicates(self) -> int:
        """How many interactions at Engage are one too many."""
        return sum(number - 1 for number in self.shop.stored.values())

    @property
    def losses(self) -> int:
        """How many rows should be at Engage and are not."""
        return len({f"v{n}" for n in range(self.valid)} - set(self.shop.stored))

    def disagreements(self) -> list[str]:
        """What of the ledger is wrong when everything is done: against itself, and against what
        Engage has."""
        found = damage(self.shop.ledger_file)
        if found:
            return found
        at_engage = {i.payload["visitId"]: i.id for i in self.sandbox.engage.interactions()}
        with reading(self.shop.ledger_file) as rows:
            recorded = dict(rows("select row_key, interaction_id from deliveries"
                                 " where state = 'delivered'"))  # fmt: skip
            states = Counter(dict(rows("select state, count(*) from deliveries group by state")))
            runs = rows("select run_id from runs where status = 'running'")
            attempts = rows("select delivery_id from attempts where closed_at is null")
        found += [] if recorded == at_engage else ["the ledger's ids are not those at Engage"]
        expected = {"delivered": self.valid, "invalid": INVALID}
        found += [] if states == expected else [f"rows stand in the states {dict(states)}"]
        found += [f"the run {run} never ended" for (run,) in runs]
        found += [f"an attempt of row {row} never ended" for (row,) in attempts]
        return found


@contextmanager
def bench(valid: int) -> Iterator[Bench]:
    """A project with `valid` good rows in a folder of its own, gone afterwards."""
    with TemporaryDirectory(dir=MEMORY) as folder, running(engage=an_engage()) as sandbox:
        yield Bench(Path(folder), sandbox, valid)


def error_of(done: Done) -> str:
    """What stopped a `sync --json`; empty when nothing did."""
    document = done.json
    return str(document["error"]["message"] if "error" in document else done.run["error"] or "")


def damage(file: Path) -> list[str]:
    """What SQLite itself finds wrong with a file."""
    with reading(file) as rows:
        found = [text for (text,) in rows("pragma integrity_check") if text != "ok"]
        return found + [str(row) for row in rows("pragma foreign_key_check")]


def fingerprint(rows: Callable[[str], Iterable[Any]]) -> str:
    """Everything that stands in the tables that `rows` reads from, in few letters."""
    tables = sorted(rows("select name from sqlite_master where type = 'table'"))
    content = [(name, sorted(map(repr, rows(f'select * from "{name}"')))) for (name,) in tables]
    return hashlib.sha256(repr(content).encode()).hexdigest()


@contextmanager
def reading(file: Path) -> Iterator[Callable[[str], list[Any]]]:
    """A function that reads rows from `file`."""
    with closing(sqlite3.connect(file)) as connection:
        yield lambda query: connection.execute(query).fetchall()


def _impatient(settings: Settings) -> Settings:
    """`settings`, with a wait that the grammar would not take, and a lease that nothing outlives
    but the end of its process."""
    project = settings.project
    engage = project.destinations["engage"]
    engage = engage.model_copy(update={"timeout": TIMEOUT, "settle_after": WAIT - TIMEOUT})
    ledger = project.ledger.model_copy(update={"lease": timedelta(minutes=10)})
    changed = {"destinations": {"engage": engage}, "ledger": ledger}
    return replace(settings, project=project.model_copy(update=changed))
