"""Activations that share a key, on real parts: a backfill of many rows never starves live ones."""

import asyncio
import re
from collections.abc import Coroutine
from typing import Any

import pytest

from connector.destinations import pacing
from connector.project.app import App
from connector.project.run import run
from connector.project.settings import load
from connector.sync import deliver
from connector.sync.flow import Orders
from connector.sync.progress import Progress
from connector.sync.result import Result
from tests.whole.shop import Shop

LIVE = """
  live:
    {more}
    model: {{sql: "select * from visits where id like 'live%'"}}
    schema_id: visit
    row_key: id
    start: all
    contact: {{column: contact, identifier: {identifier}, wait: 0}}
    payload: {{visitId: id}}
"""
ROWS, BEFORE, MANY = 40, 15, 90
FIRST = 10
"""Live rows after which all the others have been put on record, and wait."""


@pytest.fixture(autouse=True)
def all_of_them_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many rows are on record as there are live ones, so that how fast this machine commits has
    no part in what is counted: a lane in which nobody waits gives its slots to others."""
    for module in (pacing, deliver):
        monkeypatch.setattr(module, "HORIZON", 0.8)


def two(shop: Shop, fill: str, live: str, identifier: str = "contactId", rows: int = MANY) -> None:
    """A backfill of many `rows`, and a live activation of a few, on one key."""
    model = "select * from visits where id not like 'live%'"
    shop.configure(name="fill", more=fill, model=model, rate=60, concurrency=8)
    with shop.config.open("a") as file:
        file.write(LIVE.format(more=live, identifier=identifier))
    shop.add_many(rows)
    contact = "contact" if identifier == "contactId" else "'c' || (i % 10) || '@example.com'"
    shop.execute(
        f"insert into visits select 'live' || i, timestamp '2026-12-01', {contact}, 'sku', 1, 1,"
        f" true from (select row_number() over () i, * from visits limit {ROWS})"
    )


async def side_by_side(shop: Shop) -> list[Result]:
    """The live run begins while the backfill goes on, in one process."""
    app = App(load(shop.config))
    async with app.workshop() as workshop:
        fill, live = (
            asyncio.create_task(late)
            for late in (
                run(workshop, app.settings.activation("fill"), Orders(), Progress()),
                after(shop, run(workshop, app.settings.activation("live"), Orders(), Progress())),
            )
        )
        return [await live, await fill]


async def after(shop: Shop, work: Coroutine[Any, Any, Result]) -> Result:
    while shop.posts < BEFORE:
        await asyncio.sleep(0.01)
    return await work


def meanwhile(shop: Shop) -> int:
    """How many rows of the backfill went beside the live ones, the FIRST of them apart."""
    order = [each.payload["visitId"] for each in shop.sandbox.engage.interactions()]
    live = [place for place, key in enumerate(order) if key.startswith("live")]
    assert len(live) == ROWS
    return live[-1] - live[FIRST] + 1 - (ROWS - FIRST)


@pytest.mark.parametrize(
    ("fill", "live", "least", "most"),
    [
        ("share: 20%", "description: Live", 4, 12),
        ("share: 20%\n    priority: 1000", "priority: -1000", 4, 12),
        ("priority: -1", "description: Live", 0, 6),
        ("description: Fill", "share: 80%", 4, 12),
        ("description: Fill", "description: Live", 20, 40),
    ],
)
def test_live_rows_have_their_part_of_the_slots_and_so_has_the_backfill(
    shop: Shop, fill: str, live: str, least: int, most: int
) -> None:
    """In slots: a share of 20 % is 7 or 8 beside 30; a twentieth is 1 or 2; even parts are 30."""
    two(shop, fill, live)

    ended = asyncio.run(side_by_side(shop))

    assert [each.status for each in ended] == ["succeeded", "succeeded"]
    assert least <= meanwhile(shop) <= most
    assert set(shop.stored.values()) == {1}
    assert len(shop.stored) == MANY + ROWS


def test_rows_whose_contacts_are_looked_up_have_the_part_of_their_run(shop: Shop) -> None:
    """The live rows' contacts have to be found first, while the backfill would use every slot."""
    two(shop, "share: 20%", "description: Live", identifier="email")

    ended = asyncio.run(side_by_side(shop))

    assert [each.status for each in ended] == ["succeeded", "succeeded"]
    assert shop.look_ups == 10
    assert meanwhile(shop) <= 12


def test_one_after_the_other_the_highest_priority_is_first(shop: Shop) -> None:
    two(shop, "priority: -1", "description: Live", rows=3)

    done = shop.sync()

    assert [run["activation"] for run in done.json["runs"]] == ["live", "fill"]
    order = [each.payload["visitId"] for each in shop.sandbox.engage.interactions()]
    assert order[0].startswith("live")
    assert not order[-1].startswith("live")


def test_it_is_told_who_has_how_much(shop: Shop) -> None:
    two(shop, "share: 20%", "priority: 10", rows=3)

    fill, live = shop.connector("status", "--json").json["activations"]
    assert (fill["share"], fill["priority"]) == (0.2, 0)
    assert (live["share"], live["priority"]) == (None, 10)
    for command in ("status", "check"):
        told = re.sub(r"\s+", " ", shop.connector(command).out)
        assert "20% of the requests while others want them" in told
        assert "priority 10" in told
