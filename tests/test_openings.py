"""When a send window opens, rows that have waited for it get a run of their own, once."""

import asyncio
from contextlib import contextmanager
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any
from zoneinfo import ZoneInfo

from connector.rules.delivery import State
from connector.rules.grammar import Schedule, Send
from connector.serve.windows import Openings

NIGHT, DAY = datetime(2026, 6, 1, 21, tzinfo=UTC), datetime(2026, 6, 2, 9, tzinfo=UTC)
OPENED = datetime(2026, 6, 2, 8, tzinfo=UTC)
NEXT_DAY = datetime(2026, 6, 3, 9, tzinfo=UTC)


class Project:
    """One activation with a window by day, and what its ledger says."""

    def __init__(self, schedule: Schedule | None, pending: int = 3, held: str | None = None):
        send = Send.model_validate({"between": "08:00-20:00"})
        activation = SimpleNamespace(name="a", schedule=schedule, paused=False, send=send)
        project = SimpleNamespace(
            warehouse=SimpleNamespace(timezone=ZoneInfo("UTC")), activations={"a": activation}
        )
        self.settings = SimpleNamespace(project=project)
        self.said = SimpleNamespace(
            held=lambda name: held,
            counts=lambda name: {State.PENDING: pending},
            for_window=lambda name: 0,
        )
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
                await self.openings.look(moment)

        asyncio.run(looking())
        return self.fired


DAILY = Schedule(cron="0 3 * * *")


def test_rows_that_waited_are_sent_once_when_it_opens() -> None:
    assert Project(DAILY).look(NIGHT, DAY, DAY) == [OPENED]


def test_each_opening_counts() -> None:
    assert len(Project(DAILY).look(NIGHT, DAY, NEXT_DAY)) == 2


def test_nothing_begins_without_rows_without_a_schedule_or_while_a_person_is_asked() -> None:
    assert Project(DAILY, pending=0).look(NIGHT, DAY) == []
    assert Project(None).look(NIGHT, DAY) == []
    assert Project(DAILY, held="held: too many").look(NIGHT, DAY) == []


def test_a_run_that_goes_on_is_waited_for() -> None:
    project = Project(DAILY)
    project.busy.add("a")
    assert project.look(NIGHT, DAY) == []
    project.busy.clear()
    assert project.look(DAY) == [OPENED]
