"""A run is judged by what it would send and by what is usual, always in the same words."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from pydantic import ValidationError

from connector.rules.grammar import Limits, Times
from connector.rules.history import may_be_chance, runs_with_rows, usual_rows
from connector.rules.hold import Hold
from connector.sync.limits import not_judged, passed_limit
from tests.factories import an_activation

FRIDAY = datetime(2026, 11, 27, 8, tzinfo=UTC)
WEEK = timedelta(days=7)


def a_history(*due: int, every: timedelta = WEEK) -> list[tuple[datetime, int]]:
    """The newest first."""
    return [(FRIDAY - (i + 1) * every, number) for i, number in enumerate(due)]


def test_ten_runs_of_the_same_weekday_say_what_is_usual() -> None:
    usual, day = usual_rows(a_history(*range(1, 11)), FRIDAY, UTC)

    assert (usual.median, usual.runs, day) == (5.5, 10, "Friday")


def test_nine_runs_say_nothing() -> None:
    assert usual_rows(a_history(*[5] * 9), FRIDAY, UTC)[0].median is None


def test_other_weekdays_say_nothing() -> None:
    usual, _ = usual_rows(a_history(*[5] * 63, every=timedelta(days=1)), FRIDAY, UTC)

    assert (usual.median, usual.runs) == (None, 9)


def test_runs_with_nothing_to_do_make_nothing_usual() -> None:
    often = [40 if i % 4 == 0 else 0 for i in range(960)]

    usual, _ = usual_rows(a_history(*often, every=timedelta(minutes=15)), FRIDAY, UTC)

    assert usual.median == 40


def test_only_the_last_ten_days_of_a_weekday_are_looked_back_on() -> None:
    usual, _ = usual_rows(a_history(*[7] * 10, *[1000] * 50), FRIDAY, UTC)

    assert (usual.median, usual.runs) == (7, 10)


def test_the_weekday_is_that_of_the_zone() -> None:
    late = datetime(2026, 11, 26, 23, 30, tzinfo=UTC)  # Friday in Stockholm

    assert usual_rows([], late, ZoneInfo("Europe/Stockholm"))[1] == "Friday"
    assert usual_rows([], late, UTC)[1] == "Thursday"


def test_a_model_that_was_empty_once_may_be_empty() -> None:
    assert runs_with_rows([True] * 12) == 12
    assert runs_with_rows([True] * 12 + [False] * 3) == 12  # before its source was filled
    assert runs_with_rows([True, False, *[True] * 20]) == 0
    assert runs_with_rows([]) == 0


@pytest.mark.parametrize(
    ("found", "of", "usual", "chance"),
    [(0, 1, 1.0, True), (0, 2, 0.5, True), (0, 4, 1.0, False), (50, 300, 0.9, False)],
)
def test_a_few_missing_contacts_prove_nothing(
    found: int, of: int, usual: float, chance: bool
) -> None:
    assert may_be_chance(found, of, usual) == chance


def held_by(limits: Limits, figures: Hold) -> str | None:
    return passed_limit(an_activation(limits=limits), figures)


AS_USUAL = Hold(40, 40, 0, usual_rows=20, rows_runs=10, weekday="Friday")


def test_many_times_the_usual_rows_are_held() -> None:
    limits = Limits(rows="3x")  # type: ignore[arg-type]

    held = held_by(limits, replace(AS_USUAL, due=61))

    assert held
    assert held.startswith("held: 61 rows are to be sent, and runs on Fridays usually have 20 (the")
    assert held_by(limits, replace(AS_USUAL, due=60)) is None
    assert held_by(limits, replace(AS_USUAL, due=10, usual_rows=1)) is None  # a few never are


def test_what_is_not_judged_yet_is_told() -> None:
    limits = Limits(rows=Times(3), matched=0.2)
    figures = replace(AS_USUAL, due=10_000, usual_rows=None, rows_runs=4)

    assert held_by(limits, figures) is None
    told = list(not_judged(limits, figures))
    assert "not judged yet: 4 of 10 runs on Fridays" in told[0]
    assert "not judged yet: 0 of 10 runs" in told[1]
    assert held_by(limits, replace(figures, first=True, due=100_001))


def test_a_fall_of_the_match_rate_is_a_share_of_what_is_usual() -> None:
    limits = Limits(matched=0.2)
    figures = Hold(300, 300, 0, usual_match=0.9, match_runs=10, looked_up=300)

    assert held_by(limits, replace(figures, found=217)) is None
    held = held_by(limits, replace(figures, found=200))
    assert held
    assert "66.7% belong to a contact, and 90.0% usually do" in held
    assert "25.9% fewer, and limits.matched is 20.0%" in held


def test_an_empty_model_is_held_unless_it_may_be_empty() -> None:
    figures = Hold(0, 0, 0, emptied=True, runs_with_rows=12)

    assert "in each of 12 runs" in str(held_by(Limits(), figures))
    assert held_by(Limits(empty="allow"), figures) is None


def test_figures_survive_the_ledger() -> None:
    figures = replace(AS_USUAL, old=2, oldest="2026-01-01T00:00:00.000Z", old_keys=("a", "b"))

    assert Hold.of(figures.text) == figures
    assert Hold.of('{"due": 5, "staged": 5, "invalid": 0}') == Hold(5, 5, 0)


@pytest.mark.parametrize("wrong", ["3 x", "0x", "1x", "-1x", "x", "3xx", "3 times", -1, True])
def test_what_is_no_number_of_rows_is_refused(wrong: object) -> None:
    with pytest.raises(ValidationError) as error:
        Limits(rows=wrong)  # type: ignore[arg-type]

    assert error.value.errors()[0]["loc"] == ("rows",)


@pytest.mark.parametrize("wrong", [0, "0", "0h", "soon"])
def test_no_row_is_young_enough_for_nothing(wrong: object) -> None:
    with pytest.raises(ValidationError):
        Limits(older_than=wrong)  # type: ignore[arg-type]
