"""What a Survey Dynamix is asked by, and whose an answer is: a short story breaks without it."""

import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from connector.destinations.port import Answer, References
from connector.destinations.survey_dynamix import client
from connector.rules.delivery import Unknown
from connector.sandbox.survey_dynamix.running import running
from connector.sync.flow import Running
from tests.whole.survey_dynamix.conftest import Project

ROWS = 3
UNSEEN: dict[str, Any] = {"read_back_delay": 3600}
LOST: dict[str, Any] = {"faults": {"reset_after": 1}, **UNSEEN}


class Story:
    """What happens to a project, and what persons were asked in the end."""

    def __init__(self, project: Project) -> None:
        self.project = project
        project.execute("delete from parcels")
        project.configure(when_pending="force", settle_after="2s", timeout="0.5s")

    def ends(self) -> None:
        """Raises AssertionError where somebody was asked twice, or told as asked and was not."""
        stored = self.project.sandbox.store.interactions()
        asked = Counter(each.data["orderNo"] for each in stored)
        assert all(number == 1 for number in asked.values()), asked
        with closing(sqlite3.connect(self.project.path / "ledger.db")) as ledger:
            found = ledger.execute("select row_key from deliveries where state = 'delivered'")
            told = {f"A+{key[1:]}" for (key,) in found}
        assert told <= asked.keys(), (told, asked)


def renamed_while_answers_are_lost(story: Story) -> None:
    project = story.project
    project.add(*range(ROWS))
    project.behave(**LOST)
    project.sync()
    project.behave()
    project.configure(name="after_delivery", more="renamed_from: delivery_survey")
    project.sync("--wait")
    project.sync("--wait")


SEND = client.SurveyDynamix.send


async def lost(self: client.SurveyDynamix, *given: Any) -> Answer:
    """It is answered, and nobody hears it."""
    await SEND(self, *given)
    return Answer(Unknown("the answer was lost"))


def an_answer_overtakes_that_to_another_row(story: Story) -> None:
    """A cache repeats what another row was answered, and that answer was lost."""
    project = story.project
    project.configure(more="external_ref: {value: same}", settle_after="1m")
    project.add(0)
    project.behave(**UNSEEN)
    with mock.patch.object(client.SurveyDynamix, "send", lost):
        project.sync()
    project.add(1)
    project.behave(faults={"repeat_before": 1}, **UNSEEN)
    project.sync()
    project.behave()
    project.sync()


def the_present_name(self: Running) -> References:
    return References(self.flow.name, self.flow.destination.reference_prefix)


STORIES: list[Callable[[Story], None]] = [
    renamed_while_answers_are_lost,
    an_answer_overtakes_that_to_another_row,
]
WITHOUT: dict[str, tuple[Callable[[Story], None], Callable[[], Any]]] = {
    "the name on record": (
        renamed_while_answers_are_lost,
        lambda: mock.patch.object(Running, "references", property(the_present_name)),
    ),
    "a look at whose an answer is": (
        an_answer_overtakes_that_to_another_row,
        lambda: mock.patch.object(client, "is_surely_of", return_value=True),
    ),
}


@pytest.fixture
def story(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Story]:
    with running() as sandbox:
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
