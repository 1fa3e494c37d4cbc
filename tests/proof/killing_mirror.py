"""Rounds in the life of a mirror: each has another model, and two workers that are killed, frozen
and cut off at random; whenever a row is stored or deleted there, it is counted.

    python -m tests.proof.killing sqlite --mirror --rounds 300 --seed 7

Every few rounds it is quiet: the destination has exactly what the model has then, and the ledger
says the same. Some of these rounds begin with a backup of the ledger, and end with that in its
place.
"""

import json
import shutil
import sqlite3
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, redirect_stderr, suppress
from dataclasses import asdict, dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import psycopg
from sqlalchemy import make_url

from connector.rules import absence, delivery
from connector.sandbox.behaviour import Faults
from connector.sandbox.engage.behaviour import Behaviour
from connector.sync import silence
from tests.proof.engages import Engages
from tests.proof.forks import Fork, forking, warm_up
from tests.proof.killing import LAST, Chaos, hurry
from tests.proof.killing_clocks import Clocks
from tests.proof.killing_faults import faults, read_faults
from tests.proof.killing_partition import Partition
from tests.proof.killing_plan import CONTACTS, ORIGINS, Plan
from tests.proof.killing_proxy import Proxy
from tests.proof.ledgers import Ledgers, PostgreSQLDatabases, ledgers
from tests.proof.project import UNFINISHED, Project, make_warehouse
from tests.proof.truth import Interaction, Row, Verdict, rows_of
from tests.whole.shop import behaving, contact_id

KEYS = 24
ROUND, LONGEST, MOST = (0.3, 1.0), 12.0, 16
"""Seconds that the world goes on with one model, at least and at most, if until then it has not
stored and deleted so many interactions."""
NOTHING_YET = 6.0
"""Seconds until something happens to workers that have changed nothing: on a slow machine nobody
would live long enough to send anything."""
QUIET_EVERY = 4
"""Rounds, about."""
QUIET_WITHIN = 120.0
# The wait is timeout + settle_after = 3 s. In it: SEND_WITHIN, a freeze, a late commit or what was
# held back by a cut, and the lag of what is shown.
OPTIONS: dict[str, Any] = {
    "timeout": "0.5s",
    "settle_after": "2.5s",
    "lease": "1s",
    "concurrency": 6,
    "rate": 300,
    "cursor": "",
    "limits": "{removed: 100%, replaced: 100%, changed_keys: 100%}",
}
SEND_WITHIN = 0.5
FREEZE, CUT_OFF = (1.1, 1.5), (0.6, 0.8)
LAG = 0.3
FATES = {"keeps": 0.6, "changes": 0.2, "goes": 0.2}
"""What becomes of a row that the model has, from one round to the next."""


@dataclass(frozen=True, slots=True)
class Content:
    """What a row says. A rating of 9 cannot be sent."""

    contact: int
    sku: str
    rating: int

    @property
    def valid(self) -> bool:
        """Whether it can be sent."""
        return self.rating < 9


Model = Mapping[str, Content]


@dataclass(slots=True)
class Report:
    """What was done in how many rounds, and what came of it."""

    database: str
    seed: int
    plan: Plan
    keeps: bool
    rounds: int = 0
    quiet: int = 0
    """How often it was compared with its model, exactly."""
    rows: int = 0
    """Interactions that were stored in all of this."""
    deleted: int = 0
    seconds: float = 0
    done: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    verdict: Verdict = field(default_factory=Verdict)
    error: str = ""

    @property
    def good(self) -> bool:
        """Whether everything is as it should be."""
        return self.verdict.good and not self.error

    @property
    def document(self) -> dict[str, object]:
        """For JSON."""
        counts = {"done": dict(self.done), "faults": dict(self.faults)}
        return {**asdict(self), **counts, "plan": asdict(self.plan)}


def drawn(seed: int) -> Plan:
    """The plan of a seed; four in a row are all there is, and every third one keeps changes."""
    return Plan(seed, 1.0, False, bool(seed & 1), bool(seed & 2), mirror=True)


def models(dice: Random) -> Iterator[Model]:
    """What the model has, round after round."""
    now: dict[str, Content] = {}
    weights = tuple(FATES.values())
    while True:
        for key in [f"v{n}" for n in range(KEYS)]:
            if key not in now:
                if dice.random() < 0.5:
                    now[key] = _content(dice)
                continue
            match dice.choices(tuple(FATES), weights)[0]:
                case "changes":
                    now[key] = _content(dice)
                case "goes":
                    del now[key]
        yield now or {"v0": _content(dice)}
        now = dict(now)


def _content(dice: Random) -> Content:
    contact, sku = dice.randrange(CONTACTS), f"sku-{dice.randrange(3)}"
    return Content(contact, sku, 9 if dice.random() < 0.05 else dice.randrange(1, 6))


def fill(plan: Plan, file: Path, model: Model) -> int:
    """A warehouse with just these rows. For forked processes."""
    rows = [
        f"('{key}', timestamp '2026-11-01 10:00:00', '{_called(plan, each.contact)}',"
        f" '{each.sku}', {each.rating}, 1, true)"
        for key, each in model.items()
    ]
    make_warehouse(file, f"insert into visits values {', '.join(rows)}")
    return 0


def _called(plan: Plan, contact: int) -> str:
    return f"c{contact}@example.com" if plan.looked_up else contact_id(contact)


def behaviour(dice: Random, nature: Mapping[str, Any]) -> Behaviour:
    """How the destination fails now. `nature`: how it is, all the time."""
    return behaving(
        seed=dice.randrange(10**6),
        answer_delay=0.01,
        retry_after=0,
        faults=_shorter(faults(dice)),
        delete_faults=_shorter(faults(dice, repeating=False)),
        read_faults=read_faults(dice),
        lookup_faults=read_faults(dice),
        **nature,
    )


def _shorter(drawn: Faults) -> Faults:
    return drawn.model_copy(update={"late_by": 0.25, "hang_seconds": 0.7})


def nature(seed: int) -> dict[str, Any]:
    """How a destination is: what it hides for a while, and says of what is gone."""
    dice = Random(f"nature {seed}")
    return {
        "read_back_delay": dice.choice((0, LAG)),
        "delete_delay": dice.choice((0, LAG)),
        "delete_early_status": dice.choice((404, 409)),
        "delete_again": dice.choice((404, 410, 200, 204)),
        "listed_after_delete": dice.choice((0, LAG)),
        "shown_after_delete": dice.choice((True, False)),
        "date": dice.choice(("now", "now", "none")),
    }


def hurry_more() -> None:
    """As in other loops; and what is sent soon is sent sooner."""
    hurry()
    vars(absence)["SEND_WITHIN"] = SEND_WITHIN
    # they grow with the attempts of a row, and of those a mirror's row has many
    vars(delivery)["WITHHELD_PAUSES"] = vars(delivery)["BUSY_PAUSES"] = (0.1, 0.3)
    silence.PAUSES = ()  # type: ignore[assignment]


def rest(plan: Plan, project: Project, wrong: Clocks) -> int:
    """Sync until there is nothing left to do. For forked processes."""
    hurry_more()
    wrong.wear(LAST)
    deadline = time.monotonic() + QUIET_WITHIN
    did = ("delivered", "removed", "replaced", *UNFINISHED)
    while True:
        _, run = project.sync("--wait")
        still = run["status"] != "stopped" and not sum(run[name] for name in did)
        if still and not changes_of(project.ledger):
            return 0
        if time.monotonic() > deadline:
            raise TimeoutError(f"still not quiet: {run}, {changes_of(project.ledger)}")
        time.sleep(0.05)


def changes_of(ledger: str) -> list[tuple[Any, ...]]:
    """The changes that are left beside rows."""
    url, query = make_url(ledger), "select delivery_id, aim, asked_at, refused from changes"
    if url.get_backend_name() == "sqlite":
        with closing(sqlite3.connect(url.database or "")) as connection:
            return connection.execute(query).fetchall()
    address = url.set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(address) as server:
        return server.execute(query).fetchall()


class Rounds(Chaos):
    """The workers, and what happens to them, while models come and go."""

    freeze, cut_off = FREEZE, CUT_OFF
    _changed = -1

    @staticmethod
    def preparing() -> None:
        hurry_more()

    def play(self, rounds: int, keeps: bool, report: Report) -> None:
        """So many rounds; fewer, if anything is wrong: then `report` says so."""
        self._nature = nature(self.plan.seed)
        self._ever: dict[str, set[Content]] = {}
        copy = None
        for model in models(self.dice):
            report.rounds += 1
            is_quiet = self.dice.randrange(QUIET_EVERY) == 0 or report.rounds >= rounds
            self._is_now(model, report.rounds)
            if self.proxy:
                self.proxy.wild()
            self._change_faults(0)
            self._goes_on(self.dice.uniform(*ROUND), self._wanting(model, keeps))
            if report.verdict.duplicates or self.defects:
                return
            if copy or is_quiet:
                self._calms(copy)
                copy = None
                report.verdict = self._judged(model, keeps)
                report.quiet += 1
                if self.defects or not report.verdict.good or report.rounds >= rounds:
                    return
                if self.can_restore and self.dice.random() < 0.3:
                    copy = self._backed_up()
            elif twice := self.engages.twice():
                report.verdict.duplicates = twice
                return

    @property
    def can_restore(self) -> bool:
        """Whether an older copy may take the ledger's place."""
        return self.project.ledger.startswith("sqlite")

    def _is_now(self, model: Model, number: int) -> None:
        file = self.path / f"round-{number}.duckdb"
        making = Fork(partial(fill, self.plan, file, model), self.path / "fill.txt")
        assert making.wait(60) == 0, making.words()
        self.project.arrive(file)
        file.unlink()
        for key, content in model.items():
            self._ever.setdefault(key, set()).add(content)

    def _change_faults(self, now: float) -> None:
        if not self._is_down:
            self.engages.all[0].behave(behaviour(self.dice, self._nature))

    def _is_time(self, now: float) -> bool:
        if now < self._limit or self._is_down:
            return False
        changed = sum(self.engages.changed())
        if changed == self._changed and now < self._limit + NOTHING_YET:
            return False
        self._changed, self._limit = changed, now + self.dice.uniform(0.1, 0.9)
        return True

    def _wanting(self, model: Model, keeps: bool) -> int:
        """How many interactions are to be stored and deleted until it has what the model has."""
        if self._is_down:
            return MOST
        there = self.project.engage.interactions()
        has = {(each["payload"]["visitId"], content_of(each)) for each in there}
        wanted = {(key, content) for key, content in model.items() if content.valid}
        if keeps:  # what a row says is not changed any more
            return len({key for key, _ in has} ^ {key for key, _ in wanted})
        return len(has ^ wanted)

    def _goes_on(self, seconds: float, wanting: int) -> None:
        """So long at least, until enough was stored and deleted, of so much at most, and somebody
        was killed once; and not for ever."""
        goal = sum(self.engages.changed()) + min(self.dice.randrange(1, MOST), wanting)
        began = self._now()
        while not self.defects:
            now = self._now()
            enough = now > began + seconds and sum(self.engages.changed()) >= goal
            if (enough and self.done["kills"]) or now > began + LONGEST:
                return
            self._revive()
            self._do_what_is_due(now)
            if self._is_time(now):
                self._act(now)
            time.sleep(0.005)

    def _calms(self, copy: Path | None) -> None:
        """Everybody is gone, and one process does what is left."""
        self.all_gone()
        self._workers.clear()
        self._later.clear()
        self.engages.all[0].behave(behaving(**self._nature))
        if copy is not None:
            self._restored(copy)
        last = Fork(partial(rest, self.plan, self.project, self.wrong), self.path / "last.txt")
        try:
            status = last.wait(QUIET_WITHIN + 30)
        except TimeoutError as late:
            self.defects.append(str(late))
            return
        if status:
            self.defects.append(f"the last run failed ({status}): {last.words()}")

    def _backed_up(self) -> Path:
        copy = self.path / "backup.db"
        copy.unlink(missing_ok=True)
        database = make_url(self.project.ledger).database or ""
        with closing(sqlite3.connect(database)) as here, closing(sqlite3.connect(copy)) as there:
            here.backup(there)
        return copy

    def _restored(self, copy: Path) -> None:
        file = Path(make_url(self.project.ledger).database or "")
        for log in ("-wal", "-shm"):
            file.with_name(file.name + log).unlink(missing_ok=True)
        shutil.copyfile(copy, file)
        self.done["restores"] += 1

    def _judged(self, model: Model, keeps: bool) -> Verdict:
        """What is there, against the model, and what the ledger says of it."""
        verdict = Verdict(self.engages.twice())
        rows = rows_of(self.project.ledger)
        there: dict[str, list[Interaction]] = {}
        for each in self.project.engage.interactions():
            there.setdefault(each["payload"]["visitId"], []).append(each)
        for key in self._ever.keys() | there.keys():
            found, row = there.get(key, []), rows.get(key)
            if len(found) > 1:
                verdict.duplicates.append(f"{key}: {found}, {row}")
                continue
            says = content_of(found[0]) if found else None
            mine = found[0]["id"] if found else None
            self._compare(verdict, key, model.get(key), (says, mine, row), keeps)
        return verdict

    def _compare(
        self,
        verdict: Verdict,
        key: str,
        wanted: Content | None,
        there: tuple[Content | None, str | None, Row | None],
        keeps: bool,
    ) -> None:
        says, mine, row = there
        state = row.state if row else None
        told = f"{key}: wanted {wanted}, there {says} ({mine}), {row}"
        if says is None:
            expected = (None, "removed") if wanted is None else ("invalid",)
            if wanted is not None and wanted.valid:
                verdict.losses.append(told)
            elif state not in expected:
                verdict.lies.append(told)
        elif wanted is None or not (says == wanted or (keeps and says in self._ever[key])):
            verdict.duplicates.append(f"what the model has not; {told}")
        elif row is None or state != "delivered" or row.interaction_id != mine:
            verdict.lies.append(told)


def content_of(each: Interaction) -> Content:
    """What an interaction says."""
    contact = next(n for n in range(CONTACTS) if contact_id(n) == ORIGINS[each["contactId"]])
    assert datetime.fromisoformat(each["createdDate"]).hour in (9, 10)
    return Content(contact, each["payload"]["productSku"], each["payload"]["rating"])


def rounds_of(plan: Plan, kept: Ledgers, path: Path, server: str | None, rounds: int) -> Report:
    """So many rounds from beginning to end."""
    began, keeps = time.monotonic(), plan.seed % 3 == 2
    report = Report(kept.name, plan.seed, plan, keeps)
    with ExitStack() as stack:
        engages = stack.enter_context(Engages(1, plan.destination))
        through = server and kept.name == "postgresql"
        proxy = stack.enter_context(Proxy(str(server), plan.seed)) if through else None
        partition = stack.enter_context(Partition(engages.all[0].url))
        ledger = kept.migrated(path)
        stack.callback(kept.drop, ledger)
        project = Project(
            path,
            engages.all[0],
            ledger,
            reached_at=proxy.address(ledger) if proxy else None,
            engage_at=partition.url,
            **options(plan, keeps),
        )
        chaos = Rounds(plan, path, engages, project, proxy, partition)
        chaos.play(rounds, keeps, report)
        chaos.all_gone()
        report.error = "\n".join(chaos.defects)
        report.done = chaos.done + (proxy.cuts() if proxy else Counter()) + partition.late()
        report.faults = engages.faults()
        report.rows, report.deleted = engages.changed()
    report.seconds = round(time.monotonic() - began, 1)
    return report


def options(plan: Plan, keeps: bool) -> dict[str, Any]:
    """What is written in its configuration."""
    return {
        **OPTIONS,
        "more": "mode: mirror" + ("\n    on_change: keep" if keeps else ""),
        "identifier": "email" if plan.looked_up else "contactId",
    }


def run_mirror(database: str, seeds: Sequence[int], rounds: int, server: str | None) -> int:
    """So many rounds of each seed; prints a report each, and gives 1 if one is bad."""
    path, good = Path(tempfile.mkdtemp(prefix="connector-mirror-")), True
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, path, ignore_errors=True)
        stack.enter_context(forking())
        kept = ledgers(database, path, server)
        if isinstance(kept, PostgreSQLDatabases):
            stack.callback(kept.close)
        warm_up(partial(_once, kept, path / "once"))
        for seed in seeds:
            report = rounds_of(drawn(seed), kept, path / str(seed), server, rounds)
            print(json.dumps(report.document), flush=True)
            good = good and report.good
    return 0 if good else 1


def _once(kept: Ledgers, path: Path) -> None:
    plan = drawn(0)
    with Engages(1) as engages, suppress(AssertionError):
        ledger = kept.migrated(path)
        project = Project(path, engages.all[0], ledger, **options(plan, False))
        fill(plan, path / "first.duckdb", next(models(Random(0))))
        project.arrive(path / "first.duckdb")
        with (path / "said.txt").open("w") as words, redirect_stderr(words):
            project.sync()
        kept.drop(ledger)
