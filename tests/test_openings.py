"""When a send window opens, or a turn comes, rows that have waited get a run of their own, once."""

import asyncio
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from connector.rules.delivery import State
from connector.rules.grammar import PerContact, Schedule, Send
from connector.serve.windows import Openings

NIGHT, DAY = datetime(2026, 6, 1, 21, tzinfo=UTC), datetime(2026, 6, 2, 9, tzinfo=UTC)
OPENED = datetime(2026, 6, 2, 8, tzinfo=UTC)
NEXT_DAY = datetime(2026, 6, 3, 9, tzinfo=UTC)


BY_DAY = Send.model_validate({"between": "08:00-20:00"})
DAILY = Schedule(cron="0 3 * * *")
ONE_A_DAY = PerContact.model_validate({"most": 1, "every": "1d"})


class Project:
    """One activation with a window by day, and what its ledger says."""

    def __init__(
        self,
        schedule: Schedule | None,
        pending: int = 3,
        held: str | None = None,
        cap: PerContact | None = None,
        send: Send | None = BY_DAY,
        replaced: int | None = None,
    ):
        activation = SimpleNamespace(
            name="a",
            schedule=schedule,
            paused=False,
            send=send,
            per_contact=cap,
            mirrors=replaced is not None,
        )
        project = SimpleNamespace(
            warehouse=SimpleNamespace(timezone=ZoneInfo("UTC")), activations={"a": activation}
        )
        self.settings = SimpleNamespace(project=project)
        self.said = SimpleNamespace(
            waits_for_approval=lambda name: held is not None,
            counts=lambda name: {State.PENDING: pending},
            for_window=lambda name: 0,
            to_be_replaced=lambda name: replaced,
            turn_came=lambda name, cap: self.came,
            last_began=lambda name: self.began,
            now=lambda: round((self.now + self.ledger_ahead).timestamp() * 1000),
        )
        self.now: datetime = NIGHT
        self.ledger_ahead: timedelta = timedelta(0)
        self.came: datetime | None = None
        self.began: datetime | None = None
        self.busy: set[str] = set()
        self.fired: list[datetime] = []
        self.openings = Openings(lambda: self.app, lambda: self.busy, self.due)

    @property
    def app(self) -> Any:
        return self

    @contextmanager
    def reports(self) -> Any:
        yield self.said

    async def due(self, name: str, since: datetime) -> None:
        self.fired.append(since)

    def look(self, *moments: datetime) -> list[datetime]:
        async def looking() -> None:
            for moment in moments:
                self.now = moment
                await self.openings.look(moment)

        asyncio.run(looking())
        return self.fired


def test_rows_that_waited_are_sent_once_when_it_opens() -> None:
    assert Project(DAILY).look(NIGHT, DAY, DAY) == [OPENED]


def test_a_mirrors_rows_that_are_to_be_replaced_have_waited_too() -> None:
    """They would be left for ever where the schedule's times lie outside the window."""
    assert Project(DAILY, pending=0, replaced=1).look(NIGHT, DAY) == [OPENED]


def test_each_opening_counts() -> None:
    assert len(Project(DAILY).look(NIGHT, DAY, NEXT_DAY)) == 2


def test_nothing_begins_without_rows_without_a_schedule_or_while_a_person_is_asked() -> None:
    assert Project(DAILY, pending=0).look(NIGHT, DAY) == []
    assert Project(DAILY, pending=0, replaced=0).look(NIGHT, DAY) == []
    assert Project(None).look(NIGHT, DAY) == []
    assert Project(DAILY, held="held: too many").look(NIGHT, DAY) == []


def test_a_run_that_goes_on_is_waited_for() -> None:
    project = Project(DAILY)
    project.busy.add("a")
    assert project.look(NIGHT, DAY) == []
    project.busy.clear()
    assert project.look(DAY) == [OPENED]


def turns(**given: Any) -> Project:
    return Project(DAILY, cap=ONE_A_DAY, **{"send": None, **given})


CAME = datetime(2026, 6, 2, 7, tzinfo=UTC)
LATER = timedelta(seconds=6)


def test_a_row_whose_turn_has_come_is_sent_once_whatever_else_waits() -> None:
    project = turns()
    assert project.look(NIGHT) == []
    project.came = CAME
    assert project.look(DAY, DAY + LATER, DAY + 2 * LATER) == [CAME]


@pytest.mark.parametrize("hours", [0, 5, -5])
def test_each_turn_counts_but_no_run_follows_the_other_at_once(hours: int) -> None:
    """However far the ledger's clock, by which runs begin, is ahead of this machine's."""
    project = turns()
    project.came, project.ledger_ahead = CAME, timedelta(hours=hours)
    project.look(DAY)
    project.came, project.began = DAY, DAY + project.ledger_ahead
    assert project.look(DAY + LATER, DAY + 2 * LATER) == [CAME]
    hour = timedelta(hours=1)
    assert project.look(DAY + hour, DAY + hour + LATER) == [CAME, DAY]


def test_a_row_that_was_moved_up_is_sent_though_nobody_knows_when() -> None:
    project = turns()
    project.came, project.began = datetime.fromtimestamp(0, UTC), NIGHT
    assert project.look(DAY, DAY + LATER) == [DAY]


def test_a_turn_at_night_waits_for_the_window_and_is_no_second_run() -> None:
    project = turns(send=BY_DAY)
    project.came = NIGHT
    assert project.look(NIGHT + LATER) == []
    project.look(DAY)
    project.began = DAY
    assert project.look(DAY + LATER) == [OPENED]


def test_no_turn_begins_what_a_person_is_to_let_go_or_begins_by_hand() -> None:
    for project in (turns(held="held: too many"), Project(None, cap=ONE_A_DAY, send=None)):
        project.came = CAME
        assert project.look(DAY) == []
