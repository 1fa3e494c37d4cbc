"""Each protection of what counts as evidence is needed: a short story breaks without it."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from connector.ledger import attempts, ownership
from connector.rules.delivery import Found
from connector.sync.lookup import Contacts
from connector.sync.settle import Settling
from tests.proof.machine import KNOWN, Meanwhile, Row, Stories
from tests.proof.machine_world import Place, Plan, Setting

ANNA = KNOWN[0]
ROWS = [Row("fresh", ANNA, "s1", 4, 1, 0.0), Row("fresh", ANNA, "s2", 4, 1, 0.0)]
SETTING = Setting(wait_for_contacts=timedelta(0), concurrency=1)


class Told(Stories):
    """A story that is told by hand."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.happened = Counter()
        super().__init__()
        self.it_begins(SETTING)

    def runs(
        self, posts: list[str] | None = None, gets: list[str] | None = None, **more: Any
    ) -> None:
        rows, seconds = more.get("rows", ()), more.get("seconds", 1.0)
        self.it_runs(Meanwhile(seconds, 0.0, rows), Plan(posts or (), gets or ()), ())

    def ends(self) -> None:
        """Raises AssertionError where a promise is broken."""
        self.nothing_is_there_twice_or_altered()
        self.teardown()


def merged_before_the_read_back(story: Told) -> None:
    story.runs(["merged after"], rows=ROWS[:1])
    story.runs(seconds=60.0)
    story.runs(seconds=60.0)


def merged_between_the_look_up_and_the_list(story: Told) -> None:
    """The look-up of the first page says that all is as it was; then the contact is merged."""
    story.runs(["reset after"], gets=["ok", "500", "500", "500", "500"], rows=ROWS[:1])
    story.runs(gets=["ok", "merged before"], seconds=60.0)
    story.runs(seconds=60.0)


def merged_while_it_is_sent_to(story: Told) -> None:
    story.runs(["accepted", "merged before"], rows=ROWS)


def one_id_for_two(story: Told) -> None:
    story.runs(rows=ROWS[:1])
    story.runs(["another's id"], rows=ROWS[1:])


def deleted_and_listed(story: Told) -> None:
    story.runs(rows=ROWS[:1])
    story.what_was_delivered_is_taken_back_and_released()
    story.runs(["reset before"])
    story.runs(seconds=60.0)


def deleted_and_answered(story: Told) -> None:
    story.runs(rows=ROWS[:1])
    story.what_was_delivered_is_taken_back_and_released()
    story.runs(["another's id"])


async def nothing_new(*_: object) -> tuple[dict[str, str], set[str]]:
    return {}, set()


async def it_is(contacts: Contacts, contact: str, found: Found) -> bool:
    return True


def nothing_removed(*_: object) -> dict[str, int]:
    return {}


@contextmanager
def ids_are_not_compared() -> Iterator[None]:
    with (
        mock.patch.object(attempts, "ACCEPTED", attempts.ACCEPTED_ANYHOW),
        mock.patch.object(attempts, "owner_of", return_value=None),
    ):
        yield


STORIES: list[Callable[[Told], None]] = [
    merged_before_the_read_back,
    merged_between_the_look_up_and_the_list,
    merged_while_it_is_sent_to,
    one_id_for_two,
    deleted_and_listed,
    deleted_and_answered,
]
WITHOUT: dict[str, tuple[Callable[[Told], None], Callable[[], Any]]] = {
    "a look-up before absence is believed": (
        merged_before_the_read_back,
        lambda: mock.patch.object(Settling, "_look_again", nothing_new),
    ),
    "a look-up once more before a row is rejected": (
        merged_while_it_is_sent_to,
        lambda: mock.patch.object(Contacts, "still_is", it_is),
    ),
    "one owner for each id": (one_id_for_two, ids_are_not_compared),
    "one owner also of what was deleted, in a read-back": (
        deleted_and_listed,
        lambda: mock.patch.object(ownership, "removed", nothing_removed),
    ),
    "one owner also of what was deleted, in an answer": (
        deleted_and_answered,
        ids_are_not_compared,
    ),
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder: Path = tmp_path_factory.mktemp("told")
    place = Place(folder)
    yield place
    place.close()


def told(tell: Callable[[Told], None], place: Place) -> None:
    """Tell a story to its end."""
    story = Told(place)
    tell(story)
    story.ends()


@pytest.mark.parametrize("tell", STORIES, ids=[tell.__name__ for tell in STORIES])
def test_the_promise_is_kept_in(tell: Callable[[Told], None], place: Place) -> None:
    told(tell, place)


@pytest.mark.parametrize("what", WITHOUT)
def test_the_promise_is_broken_without(what: str, place: Place) -> None:
    tell, weakened = WITHOUT[what]

    with weakened(), pytest.raises(AssertionError):
        told(tell, place)
