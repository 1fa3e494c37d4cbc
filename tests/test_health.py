"""When a destination is let be: after doubts in a row, or when it is out of reach."""

from datetime import timedelta

import pytest

from connector.rules.delivery import Accepted, NotApplied, Outcome, Unknown, Withheld
from connector.rules.errors import DestinationUnusable
from connector.sync.health import Health

LOST = Unknown("no answer")
AWAY = NotApplied("could not connect")
EXPIRED = NotApplied("HTTP 401: the token had expired", 401, again=True)


@pytest.mark.parametrize("most", [3, 20])
def test_a_destination_says_itself_how_many_doubts_in_a_row_are_too_many(most: int) -> None:
    health = Health(most)
    for _ in range(most - 1):
        assert health.saw(LOST, 0.0) == 0.0

    with pytest.raises(DestinationUnusable, match=f"{most} requests in a row"):
        health.saw(LOST, 0.0)


@pytest.mark.parametrize(
    "answer", [Accepted("i-1"), Accepted(None), NotApplied("409", 409, alone=True)]
)
def test_an_answer_about_a_row_shows_that_the_destination_is_well(answer: Outcome) -> None:
    health = Health(2)
    health.saw(LOST, 0.0)

    assert health.saw(answer, 0.0) == 0.0
    assert health.saw(LOST, 0.0) == 0.0


def test_one_row_that_is_to_rest_pauses_no_other() -> None:
    rests = NotApplied("a survey is pending", 409, timedelta(hours=1), alone=True)

    assert [Health(20).saw(rests, 0.0) for _ in range(20)] == [0.0] * 20


@pytest.mark.parametrize("why", [NotApplied("HTTP 429", 429, busy=True), EXPIRED])
def test_a_destination_that_lets_nothing_through_for_minutes_is_given_up(why: NotApplied) -> None:
    health = Health(20)
    for second in (0.0, 299.0):
        assert health.saw(why, second) == 0.0
    health.saw(Accepted("i-1"), 299.0)
    for second in (299.0, 598.0):
        assert health.saw(why, second) == 0.0

    with pytest.raises(DestinationUnusable, match=r"5 minutes \(the last: HTTP 4"):
        health.saw(why, 599.0)


@pytest.mark.parametrize("ours", [EXPIRED, Withheld("too late")])
def test_our_own_doing_is_no_outage(ours: Outcome) -> None:
    health = Health(20)

    assert [health.saw(ours, float(n)) for n in range(20)] == [0.0] * 20
    assert health.saw(AWAY, 20.0) == 1.0
