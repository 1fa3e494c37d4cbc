"""A text that is composed in C gives the nodes that ruamel gives; all others are left to that."""

import re
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from connector.rules.errors import ConfigurationError
from connector.rules.yaml_nodes import composed_in_c
from connector.rules.yaml_strict import composed

FILE = Path("some.yaml")
STARTERS = Path(__file__).parent.parent / "connector/sandbox/demo"
PIECES = (
    *(
        "a",
        "key",
        "a b",
        "${X}",
        "{{ x }}",
        "\u00e9",
        "\U0001f600",
        "https://x.y/z?a=b&c=d",
        "R & D",
    ),
    *("1", "+1", "017", "0o17", "0b1", "0x1F", "1_0", "1e5", ".5", "-.inf", ".nan", "1:30", "-_1"),
    *("2026-01-01", "2026-01-01 10:00:00", "~", "null", "Null", "true", "False", "yes", "on", "="),
    *(": ", ":", "::", "- ", "-", "\n", "\n  ", "\n    ", "\n- x", "\n  y: z", " ", "  ", ","),
    *("{", "}", "[", "]", "# c", " # c", '"', "'", "''", "\\n", '\\"', "|\n  ", ">-\n  ", "|2\n"),
    *(
        "0 3 * * *",
        "*/6",
        "*",
        "&a ",
        "*a",
        "!t ",
        "!",
        "? ",
        "<<: ",
        "%",
        "@",
        "`",
        "---\n",
        "...",
    ),
    *("\u00a0", "\u2028", "\t", "\r", "\ufeff", "\x07"),
)
JUST_BEHIND = re.compile("[|>][-+0-9]*#")
"""A comment just behind the sign of a text: the one form that only ruamel refuses."""
TEXTS = st.lists(st.sampled_from(PIECES), max_size=14).map("".join)


def flat(node: Any) -> Any:
    """What of a node is read; times are texts, and where nothing is written is no place."""
    if node is None:
        return None
    kind = str(node.tag).replace("timestamp", "str")
    place = (node.start_mark.line, node.start_mark.column)
    match node.id:
        case "scalar":
            return kind, place if node.value else None, node.value
        case "sequence":
            return kind, place, bool(node.flow_style), [flat(each) for each in node.value]
        case _:
            pairs = [(flat(key), flat(value)) for key, value in node.value]
            return kind, place, bool(node.flow_style), pairs


@given(TEXTS | TEXTS.map("key: {}".format) | TEXTS.map("a:\n  b: {}\nc: d".format))
@example("a: {b: [1, x], c: 'd # e'} # f\ng: |\n  h\n   i\n")
def test_both_give_the_same(text: str) -> None:
    if (found := composed_in_c(text)) is None or found.id == "scalar":  # which no file may be
        return
    with nullcontext() if JUST_BEHIND.search(text) is None else suppress(ConfigurationError):
        assert flat(found) == flat(composed(text, FILE))


@pytest.mark.parametrize("file", sorted(STARTERS.rglob("activations.yaml")), ids=str)
def test_what_projects_begin_with_is_composed_in_c(file: Path) -> None:
    text = file.read_text()

    assert flat(composed_in_c(text)) == flat(composed(text, FILE))


@pytest.mark.parametrize(
    "text",
    ["a: !t b", "a: &b c", "a: *b", "? a", "\ta: b", "a: b\r\n", "%YAML 1.2", "---\na: b", ""],
)
def test_what_is_rare_is_left_to_ruamel(text: str) -> None:
    assert composed_in_c(text) is None
