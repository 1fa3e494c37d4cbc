"""Whatever is printed is whole: every number, id, key and name, at any width and in a pipe."""

import io
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from connector.ledger.records import COUNTS
from connector.ledger.story import story
from connector.rules.delivery import State
from connector.rules.turns import WAITS_FOR_TIME
from connector.show import schemas as show_schemas
from connector.show.layout import NO_WIDTH, Cell, Column, Grid
from connector.show.preview import show_preview
from connector.show.quarantine import show_quarantine
from connector.show.runs import show_runs
from connector.show.status import show_status
from connector.show.story import show_found, show_story
from connector.show.terminal import plain
from connector.show.verification import show_verification
from tests.targets import a_share_of_the_examples

WIDTHS = st.integers(20, 200)
NUMBERS = st.integers(0, 10**12)
HOSTILE = st.sampled_from(
    [
        "[red]",
        "[/]",
        "[bold",
        ":smile:",
        "\\",
        "\\[",
        "日本語",
        "👩‍💻",
        "é",
        "\x1b[2J",
        "\n",
        "\r",
        "\x9b",
        "‮",
    ]
)
WORDS = st.lists(
    st.text("abcXYZ019-_.åß", min_size=1, max_size=12) | HOSTILE, min_size=1, max_size=6
)
TEXTS = WORDS.map(" ".join) | WORDS.map("".join) | st.text(max_size=40)
IDS = st.text("0123456789abcdef-", min_size=1, max_size=48)
TIMES = st.just("2026-11-26T15:27:55.123Z")
STYLES = re.compile(r"\x1b\[[\d;]*m")


class Terminal(io.StringIO):
    """Standard output as a terminal has it."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


@contextmanager
def a_terminal(width: int) -> Iterator[io.StringIO]:
    environment = {"COLUMNS": str(width), "TERM": "xterm"}
    with patch.object(sys, "stdout", Terminal()) as told, patch.dict("os.environ", environment):
        yield told


def a_run(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.fixed_dictionaries(
        {
            "run_id": IDS,
            "activation": TEXTS,
            "status": st.sampled_from(["succeeded", "attention", "held", "stopped", "running"]),
            "done": st.none() | st.booleans(),
            "tag": st.none() | TEXTS,
            "started_at": TIMES,
            "notes": st.lists(TEXTS, max_size=1),
            "error": TEXTS | st.none(),
            "contacts": st.none(),
            "watermark": IDS,
            "by": st.none() | TEXTS,
            **{name: st.just(value) for name, value in WAITS_FOR_TIME.items()},
            **dict.fromkeys((*COUNTS, "undone"), values),
        }
    )


RUNS = st.lists(a_run(NUMBERS), min_size=1, max_size=3)
ACTIVATIONS = st.lists(
    st.fixed_dictionaries(
        {
            "name": TEXTS,
            "state": st.sampled_from(["succeeded", "attention", "paused"]),
            "paused": st.booleans(),
            "paused_by": TEXTS,
            "schedule": st.none() | st.just("*/5 * * * *"),
            "next_run": st.none() | TIMES,
            "services": st.just([]),
            "verification": st.none(),
            "window": st.none(),
            "per_contact": st.none(),
            "priority": st.integers(-999, 999),
            "share": st.none() | st.floats(0.01, 1),
            "last_run": st.none() | a_run(NUMBERS),
            "watermark": IDS,
            "held": st.none() | TEXTS,
            "hold": st.none(),
            "suspect": st.booleans(),
            "lag": st.none() | st.floats(0, 10**7),
            "needs": st.just([]),
            "counts": st.fixed_dictionaries({state.value: NUMBERS for state in State}),
        }
    ),
    min_size=1,
    max_size=3,
)
ROWS = st.lists(
    st.fixed_dictionaries(
        {"activation": TEXTS, "row_key": TEXTS, "state": st.just("in_doubt"), "since": TIMES}
        | {"reason": TEXTS}
    ),
    min_size=1,
    max_size=3,
)
GROUPS = st.lists(
    st.fixed_dictionaries(
        {
            "activation": TEXTS,
            "state": st.just("invalid"),
            "reason": TEXTS,
            "count": st.integers(2, 10**9),
        }
        | {"example_key": TEXTS}
    ),
    min_size=1,
    max_size=3,
)


def with_its_story(told: dict[str, Any]) -> dict[str, Any]:
    return told | {"story": story(told["attempts"], told["decisions"])}


STORY = st.fixed_dictionaries(
    {
        "activation": TEXTS,
        "row_key": TEXTS,
        "state": st.just("rejected"),
        "since": TIMES,
        "reason": TEXTS,
        "interaction_id": IDS,
        "run_id": IDS,
        "waiting_since": st.none(),
        "due_at": st.none(),
        "address": st.none(),
        "suspect": st.booleans(),
        "held": TEXTS | st.none(),
        "change": st.none(),
        "pruned": st.none(),
        "attempts": st.lists(
            st.fixed_dictionaries(
                {"number": NUMBERS, "run_id": IDS, "opened_at": TIMES, "closed_at": TIMES}
                | {"outcome": st.just("refused"), "http_status": NUMBERS, "reason": TEXTS}
            ),
            min_size=1,
            max_size=2,
        ),
        "decisions": st.lists(
            st.fixed_dictionaries(
                {"at": TIMES, "by": TEXTS, "decision": st.just("retried")}
                | {"was": st.just("rejected"), "state": st.just("pending")}
                | {"reason": TEXTS, "note": TEXTS}
            ),
            max_size=2,
        ),
    }
).map(with_its_story)
FOUND = st.fixed_dictionaries(
    {"activation": TEXTS, "run_id": IDS, "rows": NUMBERS, "checked": NUMBERS}
    | {"sample": st.just(1.0), "status": st.just("succeeded"), "ok": st.just(False)}
    | {
        "missing": st.lists(
            st.fixed_dictionaries(
                {"row_key": TEXTS, "interaction_id": IDS, "recent": st.just(False)}
            ),
            max_size=2,
        ),
        "doubled": st.lists(
            st.fixed_dictionaries(
                {"row_key": TEXTS, "interaction_id": IDS, "also": st.lists(IDS, max_size=3)}
            ),
            max_size=2,
        ),
        "changed": st.just([]),
        "taken_back": st.fixed_dictionaries({"rows": NUMBERS, "checked": st.just(0)}),
        "still_there": st.lists(
            st.fixed_dictionaries(
                {"row_key": TEXTS, "interaction_id": IDS, "recent": st.just(False)}
                | {"taken_back": st.sampled_from(["removed", "replaced", "not_there"])}
            ),
            max_size=2,
        ),
        "incomplete": st.lists(
            st.fixed_dictionaries({"count": NUMBERS, "example_key": TEXTS, "reason": TEXTS}),
            max_size=2,
        ),
        "unverifiable": NUMBERS,
    }
)
SCHEMAS = st.fixed_dictionaries(
    {
        "destination": TEXTS,
        "live": NUMBERS,
        "most": NUMBERS,
        "schemas": st.lists(
            st.fixed_dictionaries(
                {"id": IDS, "display_name": TEXTS, "live": st.just(True), "file": st.none()}
                | dict.fromkeys(("properties", "segmentable", "delivered"), NUMBERS)
                | {"activations": st.lists(IDS, max_size=3), "in_step": st.none()}
            ),
            min_size=1,
            max_size=3,
        ),
    }
)
PREVIEW = st.fixed_dictionaries(
    {"activation": TEXTS, "contacts": st.none(), "edited": st.just([]), "requests": st.just([])}
    | {"per_contact": st.none()}
    | dict.fromkeys(("read", "new", "already_recorded", "invalid"), NUMBERS)
    | dict.fromkeys(("rejected", "repeated"), NUMBERS)
    | dict.fromkeys(("without_key", "history"), NUMBERS)
    | {"pending": st.just(0), "behind": st.just(0), "estimated_seconds": st.just(1.5)}
    | {"resting": NUMBERS, "next_try": TIMES, "rests_for": st.none()}
    | {"mapping": st.lists(TEXTS, max_size=2), "notes": st.lists(TEXTS, max_size=2)}
    | {
        "outlook": st.fixed_dictionaries(
            {"would": st.just("be_held"), "because": TEXTS, "notes": st.just([])}
            | {"may_send": st.just(0), "left": st.just(0)}
        ),
        "reasons": st.lists(
            st.fixed_dictionaries({"reason": TEXTS, "count": NUMBERS, "example_key": TEXTS}),
            max_size=3,
        ),
    }
)
TABLES: list[tuple[str, st.SearchStrategy[Any], Callable[[Any], None]]] = [
    ("runs", RUNS, lambda d: show_runs({"runs": d})),
    ("status", ACTIVATIONS, lambda d: show_status({"activations": d})),
    (
        "quarantine",
        st.tuples(ROWS, GROUPS),
        lambda d: show_quarantine({"rows": d[0], "groups": d[1]}),
    ),
    ("find", ROWS, lambda d: show_found("k", d)),
    ("explain", STORY, show_story),
    ("verify", FOUND, show_verification),
    ("preview", PREVIEW, show_preview),
    ("schema list", SCHEMAS, show_schemas.show_list),
]
SHORTENED = {"started_at", "since", "next_run", "finished_at", "next_try"}
UNTOLD = {
    "number",
    "last_run",
    "would",
    "recent",
    "schedule",
    "paused_by",
    "waiting_since",
    "due_at",
    "sample",
}
"""What is shown as a word, or as a shorter time."""


def told_of(document: Any, name: str = "") -> Iterator[str]:
    """Every number, id, key, name and reason of a document, as it must be found."""
    match document:
        case dict():
            for key, value in document.items():
                of_a_run = key == "watermark" and "read" in document
                of_a_proof = key == "status" and "sample" in document
                if key not in UNTOLD | SHORTENED and not of_a_run and not of_a_proof:
                    yield from told_of(value, key)
        case list() | tuple():
            for each in document:
                yield from told_of(each, name)
        case bool() | float() | None:
            pass
        case int() if document or name == "http_status":
            yield f"{document:,}" if name != "http_status" else str(document)
        case str() if name in ("state", "status", "outcome", "decision", "was", "taken_back"):
            yield document.replace("_", " ")
        case str():
            yield seen(plain(document))


def seen(text: str) -> str:
    """`text`, where the two characters that stand for markup are as they are, however a line of
    prose or a cell of a table writes them."""
    return text.replace(r"\ue0f0", "\ue0f0").replace(r"\ue0f1", "\ue0f1")


def words_of(text: str) -> list[str]:
    return text.split()  # spaces at the end of a line are nobody's, of whatever kind


@pytest.mark.parametrize(("name", "documents", "print_it"), TABLES, ids=[t[0] for t in TABLES])
@pytest.mark.parametrize("in_a_pipe", [False, True])
@a_share_of_the_examples(0.1)
@given(st.data())
def test_every_number_and_id_of_a_document_stands_in_what_is_printed(
    name: str, documents: Any, print_it: Any, in_a_pipe: bool, data: st.DataObject
) -> None:
    document, width = data.draw(documents), data.draw(WIDTHS)
    if in_a_pipe:
        with patch.object(sys, "stdout", io.StringIO()) as told:
            print_it(document)
        text = told.getvalue()
        assert "\x1b" not in text
    else:
        with a_terminal(width) as told:
            print_it(document)
        text = STYLES.sub("", told.getvalue())
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", text)
    text = seen(text)

    for value in told_of(document):
        if in_a_pipe:
            assert value.strip() in text
        else:
            assert all(word in text for word in words_of(value))


CELLS = st.tuples(NUMBERS.map(str), IDS, TEXTS, TEXTS)


def a_grid(rows: list[tuple[str, ...]]) -> Grid:
    grid = Grid(
        Column("rows", number=True), Column("run"), Column("row key"), Column("reason", prose=True)
    )
    for row in rows:
        grid.add(row[0], Cell(row[1], "green"), *row[2:])
    return grid


@given(st.lists(CELLS, min_size=1, max_size=4), WIDTHS)
def test_a_table_that_has_columns_is_no_wider_than_the_terminal(
    rows: list[tuple[str, ...]], width: int
) -> None:
    lines = [line.plain for line in a_grid(rows).lines(width)]
    stacked = lines[0].startswith("rows     ") and len(lines) == 5 * len(rows) - 1

    assert stacked or all(cell_len(line) <= width for line in lines)


@given(st.lists(CELLS, min_size=1, max_size=4), WIDTHS)
def test_numbers_end_where_their_title_ends(rows: list[tuple[str, ...]], width: int) -> None:
    lines = [line.plain for line in a_grid(rows).lines(NO_WIDTH)]

    end = lines[0].index("rows") + len("rows")
    assert [line[:end].strip() for line in lines[1:]] == [row[0] for row in rows]
    assert all(line[end:].startswith("  ") for line in lines)


def test_what_is_too_wide_stands_in_lines_of_its_own() -> None:
    grid = a_grid([("575", "dc44zyrgvkvr", "R-1", "too long"), ("1", "dc45087abct2", "R-2", "")])

    assert [line.plain for line in grid.lines(20)] == [
        "rows     575",
        "run      dc44zyrgvkvr",
        "row key  R-1",
        "reason   too long",
        "",
        "rows     1",
        "run      dc45087abct2",
        "row key  R-2",
        "reason   ",
    ]


@pytest.mark.parametrize("width", range(20, 120, 5))
def test_prose_is_broken_between_words_alone(width: int) -> None:
    words = (
        "HTTP 400: interaction 89a23895-2971-4e1c-aaa1-e3e7e198e57f breaks the schema productReview"
    )
    grid = a_grid([("1", "dc44zyrgvkvr", "R-1", words)])

    text = "\n".join(line.plain for line in grid.lines(width))

    assert all(word in text for word in words.split())
