"""What is noted of how a run goes in time."""

import pytest

from connector.rules import clocks
from connector.rules.tempo import MOST, Tempo


class Clock:
    def __init__(self) -> None:
        self.at = 1000.0

    def now(self) -> clocks.Moment:
        return clocks.Moment(self.at, self.at, self.at)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr("connector.rules.tempo.clocks.now", found.now)
    return found


def test_a_run_of_days_keeps_as_many_figures_as_one_of_minutes_and_loses_none(clock: Clock) -> None:
    tempo = Tempo()
    for _ in range(3 * 24 * 60):
        clock.at += 60
        tempo.saw("201", 0.2)
    document = tempo.document

    assert len(document["requests"]) <= MOST
    assert sum(document["requests"]) == 3 * 24 * 60
    assert document["step"] * len(document["requests"]) >= 3 * 86_400 > document["step"] * MOST / 2
    assert max(document["mean_ms"]) == 200


def test_what_went_wrong_and_how_long_it_took_is_told(clock: Clock) -> None:
    tempo = Tempo()
    for answer in ("201", "404", "429", "503", "none"):
        tempo.saw(answer, 0.1)
    tempo.saw("201", 2.0)
    document = tempo.document

    assert document["failed"] == [3]
    assert document["answers"] == {"201": 2, "404": 1, "429": 1, "503": 1, "none": 1}
    assert 100 <= document["half_ms"] <= 113
    assert 2000 <= document["most_ms"] <= 2250
    assert document["longest_ms"] == [2000]


def test_only_answers_count_for_how_long_answers_take(clock: Clock) -> None:
    silent, mixed = Tempo(), Tempo()
    for tempo in (silent, mixed):
        for _ in range(9):
            tempo.saw("none", 0.001)
    mixed.saw("201", 0.1)

    assert (silent.document["half_ms"], silent.document["most_ms"]) == (None, None)
    assert silent.document["failed"] == [9]
    assert 100 <= mixed.document["half_ms"] <= 113


def test_phases_are_told_in_the_order_of_time_each_once_in_a_row(clock: Clock) -> None:
    tempo = Tempo()
    for phase in ("reading", "sending", "sending", "settling", "finishing"):
        clock.at += 1
        tempo.enter(phase)

    assert tempo.document["phases"] == [
        ["checking", 0.0],
        ["reading", 1.0],
        ["sending", 2.0],
        ["settling", 4.0],
        ["finishing", 5.0],
    ]
