"""Rows that travel in parcels, to a destination that somebody else ships: whatever gets lost, each
arrives once, or is a person's to tell."""

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from connector.cli.main import run
from connector.destinations.conformance import Fault
from connector.rules import delivery
from tests.third_party.carrier import KEY, Carrier, running
from tests.whole.shop import Done

CONFIG = """\
version: 1
warehouse: {{url: "sqlite:///w.db", timezone: UTC}}
ledger: {{url: "sqlite:///ledger.db"}}
destinations:
  carrier:
    type: freight
    url: {url}
    key: {key}
    rows: 5
    requests_per_second: 500
    concurrency: 1
    timeout: 1s
    settle_after: 0.5s
activations:
  visits:
    model: {{table: visits}}
    port: club
    row_key: id
    cursor: seen_at
    start: all
    contact: {{column: email}}
    payload: {{rating: rating, number: number}}
"""
METADATA = "Metadata-Version: 2.1\nName: connector-freight\nVersion: 1.0\n"
ENTRY = "[connector.destinations]\nfreight = connector_freight:KIND\n"
ROWS = 12
REQUESTS = 4
"""A single row first, since nothing has been seen there yet; then 5, 5 and 1."""


class Project:
    """A folder with a configuration and a warehouse, beside a carrier."""

    def __init__(self, path: Path, carrier: Carrier, capture: Any) -> None:
        self.path, self.carrier, self._capture = path, carrier, capture
        self.write(CONFIG.format(url=carrier.url, key=KEY))
        with closing(sqlite3.connect(path / "w.db")) as warehouse, warehouse:
            warehouse.execute(
                "create table visits (id text, seen_at text, email text, rating int, number text)"
            )
        self.add(ROWS)

    def write(self, config: str) -> None:
        self.config = config
        (self.path / "activations.yaml").write_text(config)

    def add(self, rows: int, first: int = 0) -> None:
        with closing(sqlite3.connect(self.path / "w.db")) as warehouse, warehouse:
            warehouse.executemany(
                "insert into visits values (?, ?, ?, ?, ?)",
                [
                    (f"v{n}", f"2026-11-01 10:00:{n:02}", "anna@example.com", 4, f"no {n}.")
                    for n in range(first, first + rows)
                ],
            )

    def connector(self, *arguments: str) -> Done:
        """Run a command in this process."""
        self._capture.readouterr()
        code = run(["--config", str(self.path / "activations.yaml"), *arguments])
        return Done(code, *self._capture.readouterr())

    def sync(self, *arguments: str) -> Any:
        (document,) = self.connector("sync", *arguments, "--json").json["runs"]
        return document

    def ask(self, query: str) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(self.path / "ledger.db")) as ledger:
            return ledger.execute(query).fetchall()

    def only_first(self) -> None:
        """The model has one row."""
        with closing(sqlite3.connect(self.path / "w.db")) as warehouse, warehouse:
            warehouse.execute("delete from visits where id <> 'v0'")

    def age(self) -> None:
        """A minute passes, by every clock."""
        with closing(sqlite3.connect(self.path / "ledger.db")) as ledger, ledger:
            for clock in ("opened_at", "boot_at", "destination_at"):
                ledger.execute(f"update attempts set {clock} = {clock} - 60000")
            ledger.execute("update requests set opened_at = opened_at - 60000")

    @property
    def states(self) -> dict[str, int]:
        return dict(self.ask("select state, count(*) from deliveries group by 1"))

    def all_arrived_once(self, rows: int = ROWS) -> bool:
        return list(self.carrier.arrived.values()) == [1] * rows


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The destination, as an installer leaves it."""
    site = tmp_path / "site"
    about = site / "connector_freight-1.0.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text(METADATA)
    (about / "entry_points.txt").write_text(ENTRY)
    shutil.copy(Path(__file__).parent / "freight.py", site / "connector_freight.py")
    monkeypatch.syspath_prepend(str(site))


@pytest.fixture
def project(
    installed: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> Iterator[Project]:
    with running() as carrier:
        yield Project(tmp_path, carrier, capsys)


def test_rows_travel_together_and_are_delivered_once_they_are_processed(project: Project) -> None:
    synced = project.sync()

    assert (synced["status"], synced["delivered"], synced["submitted"]) == ("succeeded", ROWS, 0)
    assert project.all_arrived_once()
    assert len(project.carrier.posts) == REQUESTS
    assert project.ask("select rows, times, outcome from requests order by id") == [
        (1, 1, "submitted"),
        (5, 1, "submitted"),
        (5, 1, "submitted"),
        (1, 1, "submitted"),
    ]
    assert project.sync()["delivered"] == 0
    assert len(project.carrier.posts) == REQUESTS


def test_a_preview_shows_requests_with_their_rows(project: Project) -> None:
    document = project.connector("preview", "visits", "--json", "--limit", "7").json

    assert [(r["row_key"], r["rows"], len(r["body"])) for r in document["requests"]] == [
        ("v0", 1, 1),
        ("v1", 5, 5),
        ("v6", 1, 1),
    ]
    assert document["request_count"] == REQUESTS
    assert "v1 and 4 more" in project.connector("preview", "visits").out
    assert project.carrier.posts == []


def test_what_is_processed_later_is_submitted_until_then(project: Project) -> None:
    project.carrier.at_once = False

    done = project.connector("sync")

    assert done.code == 0, done.out + done.err
    assert project.states == {"submitted": ROWS}
    (status,) = project.connector("status", "--json").json["activations"]
    assert status["counts"]["submitted"] == ROWS
    story = project.connector("explain", "visits", "v3", "--json").json
    assert (story["state"], story["attempts"][0]["outcome"]) == ("submitted", "submitted")
    assert story["attempts"][0]["request"]["rows"] == 5

    project.carrier.process()
    synced = project.sync()
    assert (synced["delivered"], synced["submitted"]) == (ROWS, 0)
    assert project.all_arrived_once()
    assert len(project.carrier.posts) == REQUESTS


def test_a_sync_may_stay_until_what_it_submitted_is_processed(project: Project) -> None:
    carrier = project.carrier
    carrier.at_once = False
    look, asked = carrier.consignments.get, []

    class Slow(dict[str, Any]):
        """Processes what was asked for three times."""

        def get(self, name: Any, default: Any = None) -> Any:
            asked.append(name)
            if asked.count(name) == 3:
                carrier.process(name)
            return super().get(name, default)

    carrier.consignments = Slow()
    assert look is not None

    synced = project.sync("--wait")

    assert (synced["delivered"], synced["submitted"]) == (ROWS, 0)


@pytest.mark.parametrize(
    ("fault", "posts"),
    [
        (Fault.LOST_AFTER, REQUESTS),
        (Fault.ERROR_AFTER, REQUESTS),
        (Fault.PAGE_AFTER, REQUESTS),
        (Fault.LOST_BEFORE, REQUESTS + 1),
        (Fault.ERROR_BEFORE, REQUESTS + 1),
        (Fault.BUSY, REQUESTS + 1),
    ],
)
@pytest.mark.parametrize("which", [0, 1])
def test_whatever_gets_lost_arrives_once(
    project: Project, fault: Fault, posts: int, which: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lost answer of the first request ever, too, of which nobody knows yet whether it can be
    asked for."""
    if fault is Fault.BUSY:
        monkeypatch.setattr(delivery, "BUSY_PAUSES", (1, 2))
        project.write(project.config.replace("requests_per_second: 500", "requests_per_second: 9"))
    project.carrier.fail(*[None] * which, fault, None)

    synced = project.sync("--wait")

    assert (synced["delivered"], synced["in_doubt"]) == (ROWS, 0), synced
    assert project.all_arrived_once()
    assert len(project.carrier.posts) == posts


def test_what_was_lost_goes_again_as_the_very_same_request(project: Project) -> None:
    project.carrier.fail(None, Fault.LOST_BEFORE, None)

    project.sync("--wait")

    first, again = (post for post in project.carrier.posts if project.carrier.posts.count(post) > 1)
    assert first == again
    assert project.ask("select times from requests where times > 1") == [(2,)]


def test_a_box_that_is_turned_down_is_rejected_alone(project: Project) -> None:
    project.carrier.bad = {"no 7."}

    synced = project.sync()

    assert (synced["delivered"], synced["rejected"]) == (ROWS - 1, 1)
    (row,) = project.connector("quarantine", "list", "--json").json["rows"]
    assert (row["row_key"], row["reason"]) == ("v7", "not on my ship")
    assert project.all_arrived_once(ROWS - 1)


def test_a_request_that_is_refused_as_a_whole_goes_again_in_halves(project: Project) -> None:
    project.carrier.worse = {"no 7."}

    synced = project.sync("--wait")

    assert (synced["delivered"], synced["rejected"]) == (ROWS - 1, 1), synced
    assert project.all_arrived_once(ROWS - 1)
    (row,) = project.connector("quarantine", "list", "--json").json["rows"]
    assert row["row_key"] == "v7"
    assert KEY not in row["reason"]


def test_a_carrier_with_ids_of_its_own_makes_work_and_never_a_second_effect(
    project: Project,
) -> None:
    project.carrier.ids_of_its_own = True
    project.carrier.fail(None, Fault.LOST_AFTER, None)

    synced = project.sync()
    assert (synced["delivered"], synced["in_doubt"]) == (ROWS - 5, 5)

    project.age()
    for _ in range(2):
        assert project.sync()["in_doubt"] == 5
    assert project.all_arrived_once()
    assert len(project.carrier.posts) == REQUESTS
    (reason,) = {
        row["reason"] for row in project.connector("quarantine", "list", "--json").json["rows"]
    }
    assert "ids of its own" in reason


def test_the_very_first_answer_may_get_lost_of_a_carrier_with_ids_of_its_own(
    project: Project,
) -> None:
    project.carrier.ids_of_its_own = True
    project.carrier.fail(Fault.LOST_AFTER)
    project.only_first()

    project.sync()
    project.age()
    for _ in range(2):
        assert project.sync()["in_doubt"] == 1

    assert list(project.carrier.arrived.values()) == [1]


def test_what_was_seen_once_and_is_forgotten_is_a_persons_to_tell(project: Project) -> None:
    project.carrier.at_once = False
    project.sync()
    project.carrier.process()
    project.carrier.forget()
    project.age()

    done = project.connector("sync", "--json")

    assert done.code == 1
    assert project.states == {"in_doubt": ROWS}
    project.sync()
    assert project.all_arrived_once()
    assert len(project.carrier.posts) == REQUESTS
    settled = project.connector("quarantine", "settle", "visits", "v1", "--delivered")
    assert settled.code == 0, settled.out + settled.err


def test_a_limit_in_bytes_makes_smaller_requests(project: Project) -> None:
    project.write(project.config.replace("rows: 5", "rows: 5\n    bytes: 1200"))

    project.sync()

    assert project.all_arrived_once()
    assert project.ask("select max(rows) from requests") == [(2,)]


def test_a_limit_in_rows_is_kept_over_parcels(project: Project) -> None:
    assert project.sync("--limit", "7")["delivered"] == 7
    assert sum(project.carrier.arrived.values()) == 7


def test_a_run_that_is_refused_as_a_whole_does_not_burn_rows(project: Project) -> None:
    project.carrier.fail(Fault.NOT_LET_IN)

    done = project.connector("sync", "--json")

    assert done.code == 3
    assert project.states == {"pending": ROWS}
