"""Any history: faults of every kind, processes that die, ledgers that are lost, runs taken back. By
the destination's own count nobody is asked twice, and what counts as delivered was asked for."""

import random
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing, suppress
from typing import Any

import pytest

from connector.destinations.port import References
from tests.targets import PROVE
from tests.whole.survey_dynamix.conftest import Project

ROWS = 8
LATE = 0.3
"""Seconds that the slowest request takes to be stored; what is asked later than that and not there
will never be."""
CHOICES: dict[str, list[Any]] = {
    "reference_filter": ["exact", "ignored", "case_blind"],
    "empty_list": ["204", "array"],
    "email_pending": [True, True, False],
    "pending_ends": ["started", "sent"],
    "answer_form": ["bare", "wrapped", "list"],
    "id_form": ["number", "text"],
    "gone_status": [404, 410],
    "delete_status": [200, 204],
    "error_body": ["json", "empty", "html"],
    "read_back_delay": [0, 0, 0.2],
    "listed_after_delete": [0, 5 * 3600],
    "restricted": [0, 0, 0.3],
    "reference_cut": [None, None, None, 4, 20],
}
LOSING = ("reset", "truncate", "no_id", "cut", "html")


class History:
    """What happens to a project, one thing after the other, drawn by a seed."""

    def __init__(self, project: Project, seed: int) -> None:
        self.project, self.draw = project, random.Random(seed)
        self.switches = {name: self.draw.choice(values) for name, values in CHOICES.items()}
        self.last = ""
        """The last run that can be taken back."""
        self.told: list[str] = []
        own = ["description: x", "external_ref: order_no", "external_ref: {value: same}"]
        project.configure(
            more=self.draw.choice(own),
            when_pending=self.draw.choice(["reject", "{wait: 2d}", "force"]),
            timeout="0.8s",
        )

    def goes_wrong(self) -> None:
        """From now on requests fail in other ways."""
        after = {f"{end}_after": self.draw.random() * 0.1 for end in self.draw.sample(LOSING, 2)}
        late = {"late_commit": self.draw.random() * 0.1, "late_by": LATE, "late_answer": "reset"}
        posts = {**after, **late, "reset_before": 0.05, "status_before": {500: 0.05}}
        if self.draw.random() < 0.3:
            posts["repeat_after"] = 0.1
        reads = self.draw.choice([{}, {"status": {503: 0.2}}, {"html": 0.1, "truncate": 0.1}])
        deletions = self.draw.choice([{}, {"reset_after": 0.3, "reset_before": 0.3}])
        more = {"faults": posts, "read_faults": reads, "delete_faults": deletions}
        self.project.behave(**self.switches, **more, seed=self.draw.randrange(10**6))

    def goes_on(self) -> None:
        """One more thing happens."""
        steps: list[Callable[[], None]] = [self.sync, self.sync, self.kill, self.lose, self.undo]
        step = self.draw.choice([*steps, self.wait])
        self.told.append(step.__name__)
        step()

    def sync(self) -> None:
        more = self.draw.choice([(), ("--wait",), ("--limit", "4")])
        done = self.project.sync(*more)
        assert done.code in (0, 1, 3), done.out + done.err
        self.last = str(done.run["run_id"])

    def kill(self) -> None:
        """A process dies in the middle of a run; what it has sent arrives all the same."""
        process, until = self.project.start("sync"), time.monotonic() + 10
        goal = self.project.posts + self.draw.randrange(1, 5)
        while self.project.posts < goal and process.poll() is None and time.monotonic() < until:
            time.sleep(0.003)
        process.kill()
        process.communicate()

    def lose(self) -> None:
        """The ledger is gone, and everything has arrived; nobody remembers what was taken back."""
        if self.switches["reference_cut"]:
            return
        time.sleep(2 * LATE)
        for file in self.project.path.glob("ledger.db*"):
            with suppress(FileNotFoundError):
                file.unlink()
        self.last = ""

    def undo(self) -> None:
        if self.last:
            self.project.connector("undo", self.last, "--yes")
            self.project.connector("release", self.last, "--yes")

    def wait(self) -> None:
        self.project.sandbox.clock.advance(self.draw.choice([60, 3600]))

    def ends_well(self) -> None:
        """Nothing fails any more, and everything is settled that can be."""
        self.project.behave(**self.switches)
        time.sleep(2 * LATE)
        for _ in range(3 * ROWS):
            done = self.project.sync("--wait")
            if done.code == 0 and not done.run["pending"]:
                return
            self.project.sandbox.clock.advance(3600)


@pytest.mark.parametrize("seed", range(200) if PROVE else range(4))
def test_nobody_is_asked_twice_and_nothing_counts_as_delivered_that_was_not(
    project: Project, seed: int
) -> None:
    project.execute("delete from parcels")
    people = random.Random(-seed).choice([ROWS, ROWS, 3])
    for number in range(ROWS):
        project.add(number, email=f"c{number % people}@example.com")
    history = History(project, seed)
    for _ in range(history.draw.randrange(2, 6)):
        history.goes_wrong()
        history.goes_on()

    history.ends_well()

    said = f"{history.told}, {history.switches}, {project.options}"
    with closing(sqlite3.connect(project.path / "ledger.db")) as ledger:
        states = dict(ledger.execute("select row_key, state from deliveries").fetchall())
    got, references = project.got(), References("delivery_survey")
    for number in range(ROWS):
        truth = got.get(references.of(f"p{number}"))
        asked = truth.surveys + truth.prevented if truth else 0
        assert asked <= 1, f"p{number} was asked for {asked} times: {said}"
        assert asked == 1 or states[f"p{number}"] != "delivered", f"p{number} was not: {said}"
        kept = history.switches["reference_cut"] is None
        assert states[f"p{number}"] != "pending" or not kept, f"p{number} is left: {said}"
