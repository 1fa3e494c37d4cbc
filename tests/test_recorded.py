"""Whose turn a run has taken is told by the ledger's clock, whatever that of this process shows."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from connector.ledger.deeds import SCHEDULE
from connector.ledger.records import Tally
from connector.ledger.reports import Reports
from connector.ledger.store import Ledger
from connector.rules import clocks
from connector.rules.due import ByLedger
from connector.rules.grammar import Schedule
from connector.serve.recorded import TAKEN, Recorded
from tests.ledger.factories import REVIEWS, an_identity, execute

NOW = clocks.now
HOUR, QUARTER = timedelta(hours=1), timedelta(minutes=15)
EVERY = Schedule(every=QUARTER)
CRON = Schedule(cron="*/15 * * * *")


class Serving:
    """What a service asks of a ledger, its own clock being ahead by so much (or behind)."""

    def __init__(self, ledger: Ledger, reports: Reports, engine: Any) -> None:
        self._ledger, self._reports, self._engine = ledger, reports, engine
        self.recorded = Recorded(lambda: self)  # type: ignore[arg-type, return-value]

    @contextmanager
    def reports(self) -> Iterator[Reports]:
        yield self._reports

    def began(self, ago: timedelta = timedelta(0)) -> None:
        """A run began so long ago."""
        run = self._ledger.begin(REVIEWS, an_identity())
        self._ledger.finish(run, "succeeded", Tally())
        earlier = round(ago.total_seconds() * 1000)
        moved = f"set started_at = started_at - {earlier} where run_id = '{run.run_id}'"
        execute(self._engine, f"update runs {moved}")

    def needless(self, since: Any, schedule: Schedule = EVERY) -> str | None:
        activation: Any = SimpleNamespace(name=REVIEWS, paused=False, schedule=schedule)
        return self.recorded.needless(activation, since)


@pytest.fixture
def serving(ledger: Ledger, reports: Reports, engine: Any) -> Serving:
    return Serving(ledger, reports, engine)


def set_ahead(monkeypatch: pytest.MonkeyPatch, by: timedelta) -> None:
    """The clock of this process, not the ledger's."""
    monkeypatch.setattr(
        clocks, "now", lambda: (now := NOW())._replace(wall=now.wall + by.total_seconds())
    )


AHEAD = [timedelta(0), HOUR, -HOUR, -QUARTER, 400 * 24 * HOUR, -400 * 24 * HOUR]


@pytest.mark.parametrize("schedule", [EVERY, CRON], ids=["every", "cron"])
@pytest.mark.parametrize("ahead", AHEAD, ids=str)
def test_the_run_before_has_not_taken_this_turn(
    serving: Serving, monkeypatch: pytest.MonkeyPatch, ahead: timedelta, schedule: Schedule
) -> None:
    """Else every one would be skipped where the clock of the process is behind."""
    set_ahead(monkeypatch, ahead)
    serving.began(ago=QUARTER - timedelta(seconds=1))

    assert serving.needless(clocks.wall(), schedule) is None


@pytest.mark.parametrize("schedule", [EVERY, CRON], ids=["every", "cron"])
@pytest.mark.parametrize("ahead", AHEAD, ids=str)
def test_one_that_another_process_began_since_has(
    serving: Serving, monkeypatch: pytest.MonkeyPatch, ahead: timedelta, schedule: Schedule
) -> None:
    set_ahead(monkeypatch, ahead)
    since = clocks.wall()
    serving.began()

    assert serving.needless(since, schedule) == TAKEN


def test_a_short_interval_is_not_taken_for_how_far_clocks_are_apart(
    serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_ahead(monkeypatch, timedelta(seconds=-20))
    serving.began(ago=timedelta(seconds=10))

    assert serving.needless(clocks.wall(), Schedule(every=timedelta(seconds=10))) is None


def test_a_time_of_cron_is_the_same_by_clocks_that_are_hardly_apart(
    serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One machine begins a little earlier than the other, by its clock at the same time."""
    set_ahead(monkeypatch, timedelta(seconds=-20))
    serving.began(ago=timedelta(seconds=19))

    assert serving.needless(clocks.wall(), CRON) == TAKEN


@pytest.mark.parametrize("ahead", AHEAD, ids=str)
def test_a_moment_of_the_ledgers_own_is_one(
    serving: Serving, reports: Reports, monkeypatch: pytest.MonkeyPatch, ahead: timedelta
) -> None:
    set_ahead(monkeypatch, ahead)
    serving.began(ago=QUARTER)
    began = reports.last_began(REVIEWS)
    assert began is not None
    tick = timedelta(milliseconds=1)

    assert serving.needless(ByLedger(began + tick)) is None
    assert serving.needless(ByLedger(began)) == TAKEN


def test_a_run_that_began_before_the_ledgers_clock_was_put_back_has_taken_nothing(
    serving: Serving,
) -> None:
    serving.began(ago=-HOUR)

    assert serving.needless(clocks.wall()) is None


def test_a_run_that_was_cut_off_is_gone_on_with_under_the_name_that_it_has_now(
    ledger: Ledger, engine: Any
) -> None:
    ledger.begin(REVIEWS, an_identity(), by=SCHEDULE)
    renamed: Any = SimpleNamespace(name="opinions", paused=False, schedule=EVERY)
    project = SimpleNamespace(activations={"opinions": renamed})
    app: Any = SimpleNamespace(
        settings=SimpleNamespace(project=project),
        reports=lambda: nullcontext(Reports(engine, {"opinions": REVIEWS})),
    )

    assert [run["activation"] for run in Recorded(lambda: app).left_behind()] == ["opinions"]
