"""What is skipped for want of a part of this machine is counted at the end, by kind."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from tests.absent import PARTS, absences

DOES_NOT_APPLY = (
    "has no type for instants|nothing refuses it|no functions that write|makes no digests|has no"
    "|has no such statement|plans with the values|keeps the whole ledger|make prove|an idle machine"
    "|an emulator takes minutes"
)
"""Reasons for which nothing is missing: there is no such promise, or a longer run looks at it."""


def test_what_is_absent_is_counted_by_kind_the_most_first() -> None:
    told = absences(
        [
            "Skipped: there is no mariadbd; on Debian: apt-get install mariadb-server-core",
            "Skipped: no Chromium here: apt-get install chromium",
            "Skipped: no Playwright here to drive Chromium",
            "Skipped: it has no type for instants",
        ]
    )

    assert [line.split(" (")[0] for line in told] == [
        "2 promises of the page",
        "1 promise with MariaDB",
    ]


def test_every_reason_to_skip_is_of_a_kind() -> None:
    """Whoever skips a test for something new says here whether a promise goes unchecked."""
    known = f"{DOES_NOT_APPLY}|{'|'.join(PARTS.values())}"
    files = sorted(Path(__file__).parent.rglob("*.py"))
    texts = [text for text in (path.read_text() for path in files) if "skip" in text]
    reasons = {reason for text in texts for reason in _reasons(ast.parse(text)) if reason}

    assert len(reasons) > 20
    assert {each for each in reasons if not re.search(known, each)} == set()


def _reasons(tree: ast.AST) -> Iterator[str]:
    """The words, as far as they stand there, for which `pytest` skips something."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            continue
        given = {each.arg: each.value for each in node.keywords}
        match node.func.attr:
            case "skip" | "importorskip":
                yield _words(given.get("reason", node.args[0] if node.args else None))
            case "skipif":
                yield _words(given.get("reason"))


def _words(node: ast.AST | None) -> str:
    parts = (
        [each.value for each in ast.walk(node) if isinstance(each, ast.Constant)] if node else []
    )
    return " ".join(part for part in parts if isinstance(part, str))
