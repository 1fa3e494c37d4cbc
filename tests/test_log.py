"""The log is set up with the first line that somebody is to read, of ours or of a library."""

import json
import subprocess
import sys

import pytest

BEGINNING = """
import logging, sys
from connector.basis.log import Log, bound, set_up_at_first_line
def set_up():
    from connector.show.logs import log_to_stderr
    log_to_stderr(True, "json")
logging.getLogger().setLevel(logging.ERROR)
set_up_at_first_line(set_up)
Log("ours").info("nobody.reads", it="is not written")
logging.getLogger("a.library").warning("nor this")
assert "structlog" not in sys.modules
"""
LINES = {
    "ours": ('with bound(run_id="d1"): Log("ours").error("it.failed", reason="why")', "it.failed"),
    "of a library": (
        'with bound(run_id="d1"): logging.getLogger("x").error("it %s", "fell")',
        "it fell",
    ),
}


@pytest.mark.parametrize("whose", LINES)
def test_the_first_line_sets_up_the_log_and_is_in_it(whose: str) -> None:
    statement, event = LINES[whose]
    script = f"{BEGINNING}{statement}\n{statement}\n"

    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)

    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert [(line["event"], line["run_id"], line["level"]) for line in lines] == [
        (event, "d1", "error")
    ] * 2


def test_what_sets_up_nothing_leaves_a_line_to_whoever_is_there() -> None:
    script = BEGINNING.replace('log_to_stderr(True, "json")', "pass")

    done = subprocess.run(
        [sys.executable, "-c", f"{script}logging.getLogger('x').error('it fell')"],
        capture_output=True,
        text=True,
    )

    assert (done.returncode, done.stderr) == (0, "it fell\n")
