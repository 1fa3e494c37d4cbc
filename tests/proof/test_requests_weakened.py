"""Each protection of what is said of a batch is needed: a short story breaks without it."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from connector.ledger import requests as ledger_requests
from connector.ledger.doubts import Doubts
from connector.rules.absence import Age
from connector.sandbox.mxo.running import running
from connector.sync import requests
from connector.sync.flow import Flow
from tests.whole.mxo_project import SECRET, Project

ROWS = 4
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
    story.others({"late_commit": 1, "late_by": 0.6, "late_answer": "reset"})


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


async def is_there(*_: Any) -> bool:
    return True


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
        stack.enter_context(mock.patch.object(Doubts, "knows_references", return_value=True))
        there = mock.patch.object(requests.SettlingRequests, "_witness", is_there)
        stack.enter_context(there)
        yield


STORIES: list[Callable[[Story], None]] = [
    a_batch_comes_late,
    an_answer_is_lost_and_ids_are_not_honoured,
    an_answer_is_anothers,
    an_answer_is_lost_and_the_batch_forgotten,
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
        lambda: mock.patch.object(requests.SettlingRequests, "_witness", is_there),
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
