"""What a mirror may be written like, and by which figures it is held: pure rules."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from connector.rules.grammar import Limits
from connector.rules.hold import Hold
from connector.sync.limits import mirror_passed_limit
from connector.sync.mirror import Comparing
from tests.factories import an_activation
from tests.test_settings import GOOD, mistakes, read

MIRROR = GOOD.replace("start: all", "start: all\n    mode: mirror")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (GOOD + "    on_change: keep\n", "yaml:13:5: on_change: goes with mode: mirror alone;"),
        (
            GOOD + "    limits: {removed: 5%}\n",
            "yaml:13:14: limits.removed: goes with mode: mirror alone; take it out, or add",
        ),
        (GOOD + "    mode: mirrored\n", "yaml:13:5: mode: expected 'append' or 'mirror'"),
        (MIRROR + "    on_change: drop\n", "yaml:14:5: on_change: expected 'replace' or 'keep'"),
        (
            MIRROR + "    limits: {removed: 110%}\n",
            "yaml:14:14: removed: expected a share such as 5%",
        ),
        (MIRROR + "    cursor: seen_at\n", "yaml:14:5: cursor: a mirror reads its whole model"),
        (
            MIRROR.replace("start: all", "start: now") + "    cursor: seen_at\n",
            "yaml:10:5: start: a mirror has an interaction for each row of the model; write all",
        ),
    ],
)
def test_what_does_not_go_together_is_told_with_its_place(
    tmp_path: Path, text: str, expected: str
) -> None:
    assert any(expected in mistake for mistake in mistakes(tmp_path, text)), mistakes(
        tmp_path, text
    )


def test_a_good_mirror_is_read(tmp_path: Path) -> None:
    text = MIRROR + "    on_change: keep\n    limits: {removed: 5%, replaced: 1%}\n"
    (activation,) = read(tmp_path, text).project.activations.values()

    assert (activation.mirrors, activation.keeps_changed) == (True, True)
    assert (activation.limits.removed, activation.limits.replaced) == (0.05, 0.01)


def held(limits: Limits | None = None, **figures: Any) -> str | None:
    whole = Hold(0, 0, 0, **{"live": 100, **figures})
    activation = an_activation(limits=limits or Limits())
    return mirror_passed_limit(activation, whole, ("a", "b"))


@pytest.mark.parametrize(
    ("figures", "is_held"),
    [
        ({}, False),
        ({"removed": 10}, False),
        ({"removed": 11}, True),
        ({"removed": 6, "replaced": 5, "unlike": 5}, True),
        ({"removed": 9, "live": 9}, False),
        ({"removed": 10, "live": 10}, True),
        ({"empty": True, "live": 1}, True),
        ({"empty": True, "live": 0}, False),
        ({"replaced": 100}, False),
        ({"replaced": 100, "edited": ("payload",)}, True),
        ({"replaced": 10, "edited": ("payload",)}, False),
    ],
)
def test_a_mirror_is_held_by_its_figures(figures: dict[str, Any], is_held: bool) -> None:
    reason = held(**figures)

    assert (reason is not None) is is_held
    assert reason is None or ("such as a, b" in reason and "--approve" in reason)


def test_what_is_written_holds_earlier_or_later() -> None:
    assert held(Limits(removed=0.5), removed=50) is None
    assert held(Limits(removed=0.0), removed=9) is None
    assert held(Limits(removed=0.0), removed=10) is not None
    assert held(Limits(replaced=0.2), replaced=21) is not None
    assert held(Limits(replaced=1.0), replaced=100, edited=("payload",)) is None


def test_it_is_told_what_was_edited_and_what_is_empty() -> None:
    assert "after an edit of the schema" in (held(replaced=50, edited=("schema",)) or "")
    assert "after an edit of the activation" in (held(replaced=50, edited=("payload",)) or "")
    assert "the model has no row at all" in (held(empty=True) or "")
    assert "no row with a row key (7 rows without)" in (held(empty=True, without_key=7) or "")


def test_a_hold_is_what_it_was_when_it_is_read_again() -> None:
    figures = Hold(1, 2, 3, live=4, edited=("payload", "schema"), old_keys=("a",))

    assert Hold.of(figures.text) == figures


def batches_of(*batches: Sequence[str | None]) -> list[list[str | None]]:
    """How rows with these keys come, batch by batch."""

    def rows() -> Iterator[Sequence[Any]]:
        yield from ([(key,) for key in batch] for batch in batches)

    reading = SimpleNamespace(mapper=SimpleNamespace(key=lambda row: row[0]))
    stub = cast(Comparing, SimpleNamespace(reading=reading))
    return [[row[0] for row in rows] for rows in Comparing.whole_keys(stub, rows())]


def test_rows_of_one_key_come_together_however_many_batches_they_stand_in() -> None:
    found = batches_of(["a", "b"], ["b", "b"], ["b", "c"], ["c"])

    assert found == [["a"], ["b", "b", "b", "b"], ["c", "c"]]


def test_rows_without_a_key_are_not_kept_for_one_another() -> None:
    """A model may have millions of them; each stands for itself."""
    found = batches_of(["a", None], [None, None], [None])

    assert found == [["a", None], [None, None], [None]]
