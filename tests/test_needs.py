"""What needs a person is told first, with the command that deals with it; of very many activations
a terminal is told those that need somebody."""

from typing import Any

import pytest

from connector.rules.delivery import State
from connector.rules.needs import needs_of
from connector.show.status import show_status
from tests.test_layout import a_terminal

RUN = {
    "run_id": "r1",
    "status": "stopped",
    "started_at": "2026-11-26T15:27:55.123Z",
    "by": None,
    "resting": 0,
    "too_young": 0,
}
TROUBLES: list[tuple[dict[str, Any], str]] = [
    ({"held": "too many", "state": "held"}, "held: too many -> connector approve a7"),
    (
        {"last_run": {**RUN, "error": "one\ntwo"}, "state": "stopped"},
        "stopped: one; two -> connector check a7",
    ),
    (
        {"last_run": {**RUN, "error": "one\ntwo\nthree\nfour"}, "state": "stopped"},
        "stopped: one; two; and 2 more -> connector check a7",
    ),
    (
        {"counts": {"invalid": 1200, "in_doubt": 3}},
        "1,203 rows to decide about: 1,200 invalid, 3 in doubt -> connector quarantine list a7",
    ),
    (
        {"held": "the build failed", "hold": {"build": "it failed", "approval": None}},
        "held: the build failed -> dbt build",
    ),
    (
        {"last_run": {**RUN, "error": "interrupted", "kind": "interrupted"}, "state": "stopped"},
        "stopped: interrupted -> connector sync a7",
    ),
    ({"suspect": True, "paused": True, "paused_by": "anna"}, "-> connector resume a7"),
    ({"suspect": True}, "put back from a backup: rows are read back"),
    (
        {"refused": "row_key was id", "state": "stopped", "last_run": {**RUN, "error": "old"}},
        "no run is begun: row_key was id -> connector check a7",
    ),
]


def an_activation(number: int, **more: Any) -> dict[str, Any]:
    counts = dict.fromkeys((state.value for state in State), 0) | more.pop("counts", {})
    document = {
        **dict.fromkeys(
            ("last_run", "verification", "window", "per_contact", "held", "hold", "paused_by")
        ),
        **dict.fromkeys(("share", "schedule", "next_run", "watermark")),
        "name": f"a{number}",
        "state": "succeeded",
        "paused": False,
        "suspect": False,
        "priority": 0,
        "services": [],
        "lag": 7500.0,
        "counts": counts,
        **more,
    }
    return document | {"needs": [need.document for need in needs_of(document)]}


@pytest.mark.parametrize(("trouble", "told"), TROUBLES)
def test_a_terminal_is_told_first_what_needs_a_person(trouble: dict[str, Any], told: str) -> None:
    activations = [an_activation(i, **(trouble if i == 7 else {})) for i in range(300)]

    with a_terminal(200) as terminal:
        show_status({"activations": activations})
    with a_terminal(200) as whole:
        show_status({"activations": activations}, everything=True)

    first, second = terminal.getvalue().splitlines()[:2]
    assert ("Needs a person" in first, "a7" in second) == (True, True)
    assert told in terminal.getvalue().replace("\x1b[1m", "").replace("\x1b[0m", "")
    assert "299 more activations without trouble: 299 succeeded" in terminal.getvalue()
    assert ("a299" in terminal.getvalue(), "a299" in whole.getvalue()) == (False, True)


def test_a_pipe_is_told_everything(capsys: pytest.CaptureFixture[str]) -> None:
    show_status({"activations": [an_activation(number) for number in range(300)]})

    told = capsys.readouterr().out
    assert told.startswith("Nothing needs a person.\n")
    assert told.count("2 h 5 min") == 300
