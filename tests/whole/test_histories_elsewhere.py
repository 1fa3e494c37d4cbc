"""Any history of a project at MXO or at Survey Dynamix: what `preview` says is what `sync` does,
what each command tells is what stands in the ledger, and nothing takes effect twice.

As `test_histories.py` has it of Engage. A history that fails tells all that happened in it.
"""

import sqlite3
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from random import Random
from typing import Any

import pytest

from connector.sandbox.mxo.running import running as mxo_running
from connector.sandbox.survey_dynamix.running import running as survey_dynamix_running
from tests.targets import PROVE
from tests.whole import mxo_project
from tests.whole.shop import Done
from tests.whole.survey_dynamix import conftest as survey_dynamix_project
from tests.whole.test_histories import CODES, FOR_A_PERSON, told

SEEDS = range(200 if PROVE else 2)
STEPS = 10
SHOWN = 50
LIMITS = ("{}", "{}", "{rows: 3}", "{refused: 40%}")
CAPS = ("", "", "\n    per_contact: {most: 1, every: 1d}")
FAULTS = ("reset_before", "reset_after", "truncate_after", "html_after", "no_id_after")
STATUSES = (400, 429, 500, 503)
MOMENTS = (60, 1200, 86400)
"""Seconds by which the clock of a Survey Dynamix is advanced."""


class History(ABC):
    """A project, and what befalls it. `keys`: those that the model has, or has had."""

    name: str
    project: Any

    def __init__(self, dice: Random) -> None:
        self.dice = dice
        self.keys: list[str] = []
        self.rows, self.paused, self.limits = 0, False, "{}"
        self.cap = dice.choice(CAPS)
        self.log: list[str] = []

    # --- what each destination has of its own ---------------------------------------------------

    @abstractmethod
    def configure(self) -> None:
        """Write the configuration as it is now."""

    @abstractmethod
    def rows_come(self) -> None:
        """Some of them bad, or under a key that is there."""

    @abstractmethod
    def a_row_changes(self) -> None:
        """One that the model has, or has had."""

    @abstractmethod
    def nature(self) -> dict[str, Any]:
        """How the destination is while nothing fails."""

    @abstractmethod
    def effects(self) -> dict[str, int]:
        """How often each row is there, or took effect, by its reference."""

    @property
    def more(self) -> Sequence[Callable[[], None]]:
        """What else may happen."""
        return ()

    @property
    def happens(self) -> Sequence[Callable[[], None]]:
        """What may happen, as often as it is likely."""
        return (
            *(self.rows_come, self.rows_come, self.a_row_changes, self.a_row_changes),
            *(self.other_limits, self.it_pauses_or_goes_on, self.somebody_approves),
            *(self.somebody_decides, self.somebody_decides, *self.more),
            *(self.sync_in_trouble, self.sync_in_trouble),
            *(self.preview_and_sync, self.preview_and_sync, self.preview_and_sync),
        )

    # --- what happens ---------------------------------------------------------------------------

    def other_limits(self) -> None:
        self.limits = self.dice.choice(LIMITS)
        self.configure()
        self.log.append(f"limits {self.limits}")

    def it_pauses_or_goes_on(self) -> None:
        self.paused = not self.paused
        self.configure()
        self.log.append(f"paused {self.paused}")

    def somebody_approves(self) -> None:
        self.do("approve", self.name)

    def somebody_decides(self) -> None:
        waiting = self.project.connector("quarantine", "list", "--json").json["rows"]
        if not waiting:
            return
        row = self.dice.choice(waiting)
        if row["state"] == "in_doubt" and self.dice.random() < 0.5:
            answer = self.dice.choice(("--delivered", "--not-delivered"))
            self.do("quarantine", "settle", self.name, row["row_key"], answer)
        else:
            deed = self.dice.choice(("retry", "discard"))
            self.do("quarantine", deed, self.name, row["row_key"], "--yes")

    def do(self, *arguments: str) -> Done:
        done: Done = self.project.connector(*arguments, "--json")
        self.log.append(f"{' '.join(arguments)}: {done.code}")
        return done

    def sync_in_trouble(self) -> None:
        faults: dict[str, Any] = {
            self.dice.choice(FAULTS): 0.3,
            "status_before": {self.dice.choice(STATUSES): 0.2},
        }
        self.project.behave(**self.nature(), faults=faults)
        try:
            self.sync(*self.dice.choice(([], ["--limit", "2"], ["--approve"], ["--wait"])))
        finally:
            self.project.behave(**self.nature())

    def preview_and_sync(self) -> None:
        """What is foreseen comes to pass, where nothing fails."""
        before = self.everything()
        foreseen = self.both("preview", self.name, "--limit", str(SHOWN))
        check = self.project.connector("check", self.name, "--json").json["activations"][0]
        outlook = foreseen["outlook"]
        assert check["outlook"]["would"] == outlook["would"], (check["outlook"], outlook)
        assert self.everything() == before, "a preview has written"
        self.log.append(f"preview: {told(foreseen)}")
        run = self.sync(*self.dice.choice(([], ["--wait"])))
        if run is None:
            assert outlook["would"] == "be_passed_by"
        else:
            self.came_to_pass(foreseen, run)

    def came_to_pass(self, foreseen: Any, run: Any) -> None:
        """What the destination refuses nobody knows before, nor what it says of rows in doubt."""
        outlook = foreseen["outlook"]
        if outlook["would"] == "be_held":
            assert run["status"] == "held", outlook
            return
        if run["status"] == "held" and run["rejected"] > foreseen["rejected"]:
            return
        assert run["status"] in ("succeeded", "attention"), run
        if run["read"]:  # not where what is approved goes alone
            assert (run["read"], run["invalid"]) == (foreseen["read"], foreseen["invalid"])
        if outlook["would"] == "send_nothing":
            query = "select count(*) from attempts where run_id = ?"
            ((sent,),) = self.ledger(query, run["run_id"])
            assert sent <= outlook["may_send"], f"{sent} sent, and nothing was to be"

    def sync(self, *options: str) -> Any:
        """The run of a sync that is as it should be; None where it is passed by."""
        done: Done = self.project.sync(*options)
        if self.paused:
            assert (done.code, done.json["runs"]) == (0, []), done
            return None
        assert "runs" in done.json, done
        self.log.append(f"sync {options}: {told(done.run)} submitted {done.run['submitted']}")
        self.all_agree(done)
        return done.run

    # --- what must hold -------------------------------------------------------------------------

    def both(self, *arguments: str) -> Any:
        """The document of a command that says as text the same by its exit code."""
        text = self.project.connector(*arguments)
        done = self.project.connector(*arguments, "--json")
        assert text.code == done.code, (arguments, text, done)
        return done.json

    def all_agree(self, done: Done) -> None:
        """The run, the exit code, `status`, the quarantine, stories and the ledger."""
        (status,) = self.both("status")["activations"]
        rows = self.ledger("select row_key, state from deliveries")
        run, counts, needs = done.run, status["counts"], status["needs"]
        assert status["last_run"] == {name: run[name] for name in status["last_run"]}
        assert +Counter(counts) == Counter(state for _, state in rows)
        twice = {name for name, times in self.effects().items() if times > 1}
        assert not twice, f"twice: {twice}"

        waits = sum(counts[state] for state in FOR_A_PERSON)
        assert done.code == CODES[run["status"]], run
        assert not (run["status"] == "succeeded" and waits), f"succeeded, and {waits} wait"
        assert needs or run["status"] != "attention", "attention for nothing"
        kinds, young = [need["kind"] for need in needs], run["too_young"]
        assert young <= counts["in_doubt"] + counts["sending"], "more young ones than doubts"
        assert ("rows" in kinds) == (waits > young), "rows wait in silence, or for nobody"
        assert ("young" in kinds) == (young > 0), "so do those in doubt that are too young"
        listed = {(row["row_key"], row["state"]) for row in self.both("quarantine", "list")["rows"]}
        assert listed == {(key, state) for key, state in rows if state in FOR_A_PERSON}
        (last,) = self.both("runs", "--limit", "1")["runs"]
        assert last == {name: run[name] for name in last}
        for key, state in self.dice.sample(rows, min(2, len(rows))):
            explained = self.both("explain", self.name, key)
            changes = [each["state"] for each in explained["story"] if each["state"]]
            assert explained["state"] == state
            assert not changes or changes[-1] == state, explained["story"]

    def everything(self) -> Any:
        """What a preview must not change."""
        if not self.file("ledger.db").exists():
            return None
        with closing(sqlite3.connect(self.file("ledger.db"))) as connection:
            return list(connection.iterdump())

    def ledger(self, query: str, *values: Any) -> list[Any]:
        with closing(sqlite3.connect(self.file("ledger.db"))) as connection:
            return connection.execute(query, values).fetchall()

    def warehouse(self, statement: str, *rows: Sequence[Any]) -> None:
        with closing(sqlite3.connect(self.file("w.db"))) as connection, connection:
            connection.executemany(statement, rows or [()])

    def file(self, name: str) -> Path:
        path: Path = self.project.path
        return path / name

    def new_key(self, letter: str) -> str | None:
        """A key that is new, that is there already, or none."""
        self.rows += 1
        known = bool(self.keys) and self.dice.random() < 0.1
        key = self.dice.choice(self.keys) if known else f"{letter}{self.rows}"
        if self.dice.random() < 0.07:
            return None
        self.keys.append(key)
        return key

    def moment(self) -> str:
        n = self.rows
        return f"2026-11-{1 + n % 27:02} 10:{n // 60 % 60:02}:{n % 60:02}"


class AtMxo(History):
    """One row a request, in batches that are processed later, or offline."""

    name = "visits"

    def __init__(self, project: mxo_project.Project, dice: Random) -> None:
        super().__init__(dice)
        self.project: mxo_project.Project = project
        self.mode = dice.choice(("batch", "batch", "batch", "single", "offline"))
        self.batch = dice.choice((1, 2, 3, 10))
        self.log.append(f"{self.mode} {self.batch} {self.cap}")

    def configure(self) -> None:
        batches = f"batch: {{rows: {self.batch}}}" if self.mode == "batch" else ""
        time = "created_date: {column: seen_at, timezone: UTC}" if self.mode != "single" else ""
        paused = "\n    paused: true" if self.paused else ""
        self.project.configure(
            mode=self.mode,
            more=batches,
            time=time,
            settle_after="0s",
            timeout="1s",
            activation=f"limits: {self.limits}{self.cap}{paused}",
        )

    def rows_come(self) -> None:
        rows = [self._row() for _ in range(self.dice.randint(1, 6))]
        self.warehouse("insert into visits values (?, ?, ?, ?, ?)", *rows)
        self.log.append(f"rows {[(row[0], row[2]) for row in rows]}")

    def _row(self) -> tuple[Any, ...]:
        key, dice = self.new_key("v"), self.dice
        customer = dice.choice(("k1", "k2", "k3", "k4", "k5", None, f"k{self.rows + 10}"))
        return key, self.moment(), customer, dice.choice((1, 2, 3)), dice.choice((1.5, 2.5, None))

    def a_row_changes(self) -> None:
        if self.keys:
            key = self.dice.choice(self.keys)
            self.warehouse(f"update visits set customer_no = 'k4' where id = '{key}'")
            self.log.append(f"{key} is of k4")

    def nature(self) -> dict[str, Any]:
        return {
            "bad_customers": ["k2"],
            "process_delay": self.dice.choice((0, 0, 0.2)),
            "errors_by": self.dice.choice(("reference", "index", "line")),
            "seed": self.dice.randrange(1000),
        }

    def effects(self) -> dict[str, int]:
        return self.project.effects


class AtSurveyDynamix(History):
    """Surveys that are sent at their time, by an append or by a mirror."""

    name = "delivery_survey"

    def __init__(self, project: survey_dynamix_project.Project, dice: Random) -> None:
        super().__init__(dice)
        self.project: survey_dynamix_project.Project = project
        self.rows = survey_dynamix_project.ROWS
        self.keys = [f"p{n}" for n in range(self.rows)]
        self.mode = dice.choice(("", "", "\n    mode: mirror"))
        pending = ("reject", "force") if self.mode else ("reject", "force", "{wait: 2d}")
        self.when_pending = dice.choice(pending)
        self.log.append(f"{self.mode.strip()} {self.when_pending} {self.cap}")

    def configure(self) -> None:
        paused = "\n    paused: true" if self.paused else ""
        self.project.configure(
            settle_after="0s",
            timeout="1s",
            when_pending=self.when_pending,
            limits=self.limits,
            more=f"description: After a parcel{self.cap}{self.mode}{paused}",
        )
        if self.mode:
            text = self.project.config.read_text().replace("    cursor: seen_at\n", "")
            self.project.config.write_text(text)

    def rows_come(self) -> None:
        rows = [self._row() for _ in range(self.dice.randint(1, 5))]
        self.warehouse("insert into parcels values (?, ?, ?, ?, ?, ?, ?)", *rows)
        self.log.append(f"rows {[(row[0], row[2]) for row in rows]}")

    def _row(self) -> tuple[Any, ...]:
        key, dice, n = self.new_key("p"), self.dice, self.rows
        known = [f"c{number}@example.com" for number in (1, 2, 3, n)]
        email, shop = dice.choice((*known, None)), dice.choice(("Ahus", None))
        return key, self.moment(), email, 7, shop, f"A+{n}", None

    def a_row_changes(self) -> None:
        key = self.dice.choice(self.keys)
        if self.mode and self.dice.random() < 0.4:
            self.warehouse(f"delete from parcels where id = '{key}'")
            self.log.append(f"{key} goes")
        else:
            self.warehouse(f"update parcels set store_name = 'X{self.rows}' where id = '{key}'")
            self.log.append(f"{key} changes")

    def nature(self) -> dict[str, Any]:
        return {
            "seed": self.dice.randrange(1000),
            "email_pending": self.dice.choice((True, False)),
            "reference_filter": self.dice.choice(("exact", "ignored")),
        }

    def effects(self) -> dict[str, int]:
        """Interactions that there are now."""
        return {name: got.stored for name, got in self.project.sandbox.truth().items()}

    @property
    def more(self) -> Sequence[Callable[[], None]]:
        return (self.a_run_is_undone, self.time_passes)

    def a_run_is_undone(self) -> None:
        runs = self.project.connector("runs", self.name, "--json").json["runs"]
        if not runs:
            return
        run_id = self.dice.choice(runs)["run_id"]
        plan = self.project.connector("undo", run_id, "--dry-run", "--json").json
        done = self.do("undo", run_id, "--yes").json
        for name in ("rows", "contacts", "already_gone"):
            assert done[name] == plan[name], (plan, done)
        assert done["undone"] + len(done["refused"]) == plan["rows"], (plan, done)

    def time_passes(self) -> None:
        seconds = self.dice.choice(MOMENTS)
        self.project.sandbox.clock.advance(seconds)
        self.log.append(f"{seconds} seconds pass")


@contextmanager
def at_mxo(path: Path, dice: Random, capture: Any) -> Iterator[History]:
    """A project at MXO with its sandbox."""
    with mxo_running(secret=mxo_project.SECRET) as sandbox:
        yield AtMxo(mxo_project.Project(path, sandbox, capture), dice)


@contextmanager
def at_survey_dynamix(path: Path, dice: Random, capture: Any) -> Iterator[History]:
    """A project at Survey Dynamix with its sandbox."""
    with survey_dynamix_running() as sandbox:
        yield AtSurveyDynamix(survey_dynamix_project.Project(path, sandbox, capture), dice)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("there", [at_mxo, at_survey_dynamix])
def test_what_is_told_is_what_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], there: Any, seed: int
) -> None:
    with there(tmp_path, Random(f"{there.__name__} {seed}"), capsys) as history:
        history.configure()
        history.project.behave(**history.nature())
        history.rows_come()
        try:
            for _ in range(STEPS):
                history.dice.choice(history.happens)()
            history.preview_and_sync()
        except AssertionError as error:
            raise AssertionError("\n".join([str(error), *history.log])) from error
