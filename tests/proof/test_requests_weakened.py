"""Each protection of what is said of a batch is needed: a short story breaks without it."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import timedelta
from itertools import chain, repeat
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from connector.destinations.mxo import batches
from connector.destinations.mxo.client import Batches
from connector.destinations.port import Parcel
from connector.ledger import beating, leases, store
from connector.ledger import requests as ledger_requests
from connector.ledger.doubts import Doubts
from connector.ledger.moving import OPENED, Row, move
from connector.ledger.parcels import Opened, OpeningAll, Request
from connector.ledger.questions import Questions
from connector.ledger.requests import _begun
from connector.ledger.store import Ledger
from connector.ledger.tables import database_time
from connector.rules import clocks
from connector.rules.absence import Age, send_within
from connector.rules.clocks import Deadline
from connector.rules.delivery import State
from connector.sandbox.mxo.running import running
from connector.sync import deliver, requests
from connector.sync.deliver import DeliveringParcels
from connector.sync.flow import Flow
from connector.sync.parcels import Load, digest_of
from tests.whole.mxo_project import SECRET, Project

ROWS = 4
LATE = 0.6
SHORT = {"mode": "batch", "settle_after": "0.4s", "more": "batch: {rows: 3}"}


class Story:
    """What happens to a project, and what MXO has of it in the end."""

    def __init__(self, project: Project) -> None:
        self.project = project
        project.configure(**SHORT)
        config = project.path / "activations.yaml"
        config.write_text(config.read_text().replace("timeout: 2s", "timeout: 0.4s"))

    def one_arrives(self, **switches: Any) -> None:
        """A first row goes well, by which MXO shows how it knows batches."""
        self.project.behave(**switches)
        self.project.add(1)
        self.project.sync("--wait")

    def others(self, faults: dict[str, Any], **switches: Any) -> None:
        """Other rows follow, and something befalls them; then all is well again."""
        self.project.behave(faults=faults, **switches)
        self.project.add(ROWS - 1, 1)
        self.project.sync()
        self.project.behave(**switches)
        self.project.sync("--wait")
        self.project.sync("--wait")

    def ends(self) -> None:
        """Raises AssertionError where something is there twice, or delivered and not there."""
        self.project.sandbox.finish()
        effects = self.project.effects
        assert all(number == 1 for number in effects.values()), effects
        assert self.project.counts.get("delivered", 0) <= len(effects)


def a_batch_comes_late(story: Story) -> None:
    story.one_arrives()
    story.others({"late_commit": 1, "late_by": LATE, "late_answer": "reset"})
    time.sleep(LATE)  # all that was sent has come by now, and nothing says when


def an_answer_is_lost_and_ids_are_not_honoured(story: Story) -> None:
    story.project.behave(own_id="ignored", faults={"reset_after": 1})
    story.project.add(ROWS)
    story.project.sync()
    story.project.behave(own_id="ignored")
    story.project.sync("--wait")
    story.project.sync("--wait")


def an_answer_is_anothers(story: Story) -> None:
    story.one_arrives()
    story.project.behave(faults={"repeat_before": 1})
    story.project.add(1, 1)
    story.project.sync()
    story.project.behave()
    story.project.sync("--wait")


async def is_believed(flow: Flow, request: int, answer: Any) -> Any:
    return answer


def an_answer_is_lost_and_the_batch_forgotten(story: Story) -> None:
    story.one_arrives()
    story.others({"reset_after": 1}, kept_for=0)


def any_witness() -> Any:
    """Two are taken for there; with more of them what is forgotten at once would go for ever."""
    answers = chain([True, True], repeat(False))

    async def is_there(*_: Any) -> bool:
        return next(answers)

    return mock.patch.object(requests.SettlingRequests, "_witness", is_there)


def at_once(age: Age, after: Any) -> Any:
    return requests.NOW - after


@contextmanager
def any_id_is_taken() -> Iterator[None]:
    with ExitStack() as stack:
        stack.enter_context(mock.patch.object(Flow, "believed", is_believed))
        unknown = mock.patch.object(ledger_requests, "_is_of_another", return_value=False)
        stack.enter_context(unknown)
        yield


@contextmanager
def any_id_is_known() -> Iterator[None]:
    """A batch that is still known would show that, too."""
    with ExitStack() as stack:
        stack.enter_context(mock.patch.object(Questions, "knows_references", return_value=True))
        stack.enter_context(any_witness())
        yield


class Died(BaseException):
    """Nothing that the process was to do is done any more."""


def it_dies_before_it_has_recorded_the_answer(story: Story) -> None:
    """The bytes are out, and whoever sent them is gone."""
    story.project.configure(settle_after="10s")
    story.one_arrives()
    story.project.add(ROWS - 1, 1)
    send = Batches.send

    async def deadly(self: Any, *given: Any) -> Any:
        await send(self, *given)
        raise Died

    with mock.patch.object(Batches, "send", deadly), pytest.raises(Died):
        story.project.sync()
    story.project.sync("--wait")
    story.project.sync("--wait")


def it_is_forgotten_before_it_is_told(story: Story) -> None:
    """MXO has said for so long that a batch is under way that a person is asked; and when it is
    processed at last, it is forgotten before anybody asks again."""
    story.project.configure(settle_after="1s")
    story.one_arrives()
    story.project.behave(stuck=1, faults={"reset_after": 1})
    story.project.add(ROWS - 1, 1)
    story.project.sync()
    with mock.patch.object(batches, "UNDER_WAY_FOR", timedelta(0)):
        story.project.sync("--wait")
    story.project.behave()
    there = story.project.sandbox.store
    for each in there.batches():
        each.progress.fate = "processed"
    there.finish()
    there._batches.clear()
    story.project.sync("--wait")
    story.project.sync("--wait")


def it_goes_again_and_has_come_meanwhile(story: Story) -> None:
    """A request comes so late that it was believed absent; and before it goes again, under its id,
    it has come. MXO does nothing for the second one."""
    story.project.configure(settle_after="1s")
    switches = {"same_id": "ignored", "token_life": 10_000}
    story.one_arrives(**switches)
    sandbox = story.project.sandbox
    late = {"late_commit": 1, "late_by": 500, "late_answer": "reset"}
    story.project.behave(**switches, faults=late)
    story.project.add(ROWS, 1)
    story.project.sync("--limit", "3")
    story.project.behave(**switches)
    absent_ones = DeliveringParcels._absent_ones

    async def comes(self: DeliveringParcels) -> None:
        if await self.flow.call(self.flow.ledger.requests_again, self.running.run):
            sandbox.clock.advance(500)
        await absent_ones(self)

    with mock.patch.object(DeliveringParcels, "_absent_ones", comes):
        story.project.sync("--wait")
    story.project.sync("--wait")


def another_run_has_sent_a_row_of_it(story: Story) -> None:
    """A run stands still before it opens a request; another one takes over, and sends its rows. No
    lease stops the first one then."""
    story.project.configure(settle_after="10s")
    story.one_arrives()
    story.project.add(ROWS, 1)
    config = story.project.path / "activations.yaml"
    config.write_text(config.read_text().replace("lease: 2s", "lease: 1s"))
    parcel, others = Load.parcel, list[int]()

    def stopped(load: Load, run_id: str) -> Parcel:
        deadline = time.monotonic() + 20
        while not others and time.monotonic() < deadline:
            process = story.project.start("sync", "--limit", "1")
            process.communicate()
            others.extend([process.returncode] if process.returncode != BUSY else [])
        return parcel(load, run_id)

    with ExitStack() as stack:
        for book in (store, leases, beating):
            lenient = mock.patch.object(book, "prolong", lambda c, *_: database_time(c))
            stack.enter_context(lenient)
        stack.enter_context(mock.patch.object(Ledger, "beat", return_value=[]))
        stack.enter_context(mock.patch.object(Load, "parcel", stopped))
        story.project.sync()
    assert others == [0], others
    story.project.sync("--wait")
    story.project.sync("--wait")


BUSY = 3


async def sent_and_then_opened(self: DeliveringParcels, load: Load) -> None:
    """As it is, but for the order."""
    there = self.flow.destination
    parcel = load.parcel(self.running.run.run_id)
    digest = digest_of(there.compose(self.flow.activation, parcel).body)
    await self._come_near()
    deadline = Deadline(clocks.now(), send_within(self.flow.settle_after))
    answer = await self.sending.send(parcel, deadline)
    since, there_at = round(deadline.since.boot * 1000), there.clock.latest(deadline.since)
    opening = load.opening(parcel, there.can.proof, digest, self.boot, since, there_at)
    begun = await self.journal.write(opening)
    assert isinstance(begun, Opened)
    await self._close_all(begun.request, opening.openings, answer)


@contextmanager
def nothing_seen_is_remembered() -> Iterator[None]:
    requests_open = Doubts.requests_open

    def unseen(self: Doubts, *given: Any) -> Sequence[Request]:
        return [replace(each, seen=False) for each in requests_open(self, *given)]

    with mock.patch.object(Doubts, "requests_open", unseen), any_witness():
        yield


@contextmanager
def another_row_goes_along() -> Iterator[None]:
    ready_ones = DeliveringParcels._ready_ones

    async def others(self: DeliveringParcels, rows: Sequence[Any]) -> Any:
        """In place of the last row of a request that goes again: the first that waits."""
        again = {row.id for row in rows}
        absent = await self.flow.call(self.flow.ledger.requests_again, self.running.run)
        if [row.id for each in absent for row in each.rows] == [row.id for row in rows]:
            waiting = await self._page(State.PENDING, 0, None)
            free = [row for row in waiting if row.id not in again]
            rows = [*rows[:-1], *free[:1]]
        return await ready_ones(self, rows)

    with ExitStack() as stack:
        stack.enter_context(mock.patch.object(DeliveringParcels, "_ready_ones", others))
        stack.enter_context(mock.patch.object(deliver, "digest_of", return_value=""))
        yield


def opened_with_the_rest(c: Any, run: Any, entry: OpeningAll, now: int) -> Opened | bool:
    """Opens what can be opened; and the request goes out with all of its rows."""
    opened = ledger_requests.open_request(c, run, entry, now)
    if opened is not False:
        return opened
    rows = [
        Row(o.delivery.id, o.delivery.state, o.delivery.attempt, {"contact_id": o.contact_id})
        for o in entry.openings
    ]
    move(c, OPENED, rows, now, run.run_id)
    request = _begun(c, run, entry, now)
    return False if request is None else Opened(request)


STORIES: list[Callable[[Story], None]] = [
    a_batch_comes_late,
    an_answer_is_lost_and_ids_are_not_honoured,
    an_answer_is_anothers,
    an_answer_is_lost_and_the_batch_forgotten,
    it_dies_before_it_has_recorded_the_answer,
    it_is_forgotten_before_it_is_told,
    it_goes_again_and_has_come_meanwhile,
    another_run_has_sent_a_row_of_it,
]
WITHOUT: dict[str, tuple[Callable[[Story], None], Callable[[], Any]]] = {
    "the wait before absence is believed": (
        a_batch_comes_late,
        lambda: mock.patch.object(requests, "believed_in", at_once),
    ),
    "proof that batches are known by our ids": (
        an_answer_is_lost_and_ids_are_not_honoured,
        any_id_is_known,
    ),
    "one batch for each id": (an_answer_is_anothers, any_id_is_taken),
    "a batch that would have been forgotten before": (
        an_answer_is_lost_and_the_batch_forgotten,
        any_witness,
    ),
    "a record before the bytes": (
        it_dies_before_it_has_recorded_the_answer,
        lambda: mock.patch.object(DeliveringParcels, "_take", sent_and_then_opened),
    ),
    "the memory of what was seen": (
        it_is_forgotten_before_it_is_told,
        nothing_seen_is_remembered,
    ),
    "the same rows under the same id": (
        it_goes_again_and_has_come_meanwhile,
        another_row_goes_along,
    ),
    "all rows of a request, or none": (
        another_run_has_sent_a_row_of_it,
        lambda: mock.patch.object(store, "open_request", opened_with_the_rest),
    ),
}


@pytest.fixture
def story(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Story]:
    with running(secret=SECRET) as sandbox:
        project = Project(tmp_path, sandbox, capsys)
        yield Story(project)
        project.close()


@pytest.mark.parametrize("tell", STORIES, ids=[tell.__name__ for tell in STORIES])
def test_the_promise_is_kept_in(tell: Callable[[Story], None], story: Story) -> None:
    tell(story)
    story.ends()


@pytest.mark.parametrize("what", WITHOUT)
def test_the_promise_is_broken_without(what: str, story: Story) -> None:
    tell, weakened = WITHOUT[what]

    with weakened():
        tell(story)

    with pytest.raises(AssertionError):
        story.ends()
