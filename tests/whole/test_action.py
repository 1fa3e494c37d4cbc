"""`action.yml` does what it says, as far as it goes without GitHub: its steps are run by bash."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests.whole.shop import Shop
from tests.whole.test_diff import commit, git

ROOT = Path(__file__).parents[2]
ACTION: Any = YAML(typ="safe").load((ROOT / "action.yml").read_text())
INPUT = re.compile(r"\$\{\{ inputs\.([\w-]+)")
GH = """#!/bin/bash
echo "$@" >> calls
case "$*" in *--paginate*) cat found;; esac
"""


def step(name: str) -> Any:
    return next(each for each in ACTION["runs"]["steps"] if each.get("name") == name)


class Runner:
    """What GitHub gives to a step, with the connector of this environment."""

    def __init__(self, shop: Shop) -> None:
        self.shop, self.temporary = shop, shop.path / ".connector" / "runner"
        self.temporary.mkdir(parents=True)
        gh = self.temporary / "gh"
        gh.write_text(GH)
        gh.chmod(0o755)
        (self.temporary / "found").write_text("")
        (self.temporary / "connector").symlink_to(Path(sys.executable).with_name("connector"))

    def run(self, name: str, **given: str) -> "subprocess.CompletedProcess[str]":
        """A step with the defaults of the action, and what else it is `given`."""
        found = step(name)
        environment = {
            key: self._value(str(text)) for key, text in found["env"].items() if key not in given
        }
        files = {
            f"GITHUB_{each}": str(self.temporary / each) for each in ("OUTPUT", "STEP_SUMMARY")
        }
        path = f"{self.temporary}{os.pathsep}{os.environ['PATH']}"
        own = {"RUNNER_TEMP": str(self.temporary), "PATH": path}
        return subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", found["run"]],
            cwd=self.temporary if name == "Comment" else self.shop.path,
            env={**os.environ, **environment, **given, **files, **own},
            capture_output=True,
            text=True,
            check=False,
        )

    @staticmethod
    def _value(text: str) -> str:
        match = INPUT.match(text)
        return str(ACTION["inputs"][match[1]]["default"]) if match else text

    def read(self, name: str) -> str:
        return (self.temporary / name).read_text()


@pytest.fixture
def runner(shop: Shop) -> Runner:
    """In a checkout with an edit that was not committed."""
    git(shop.path, "init", "-q", "-b", "main")
    commit(shop.path)
    return Runner(shop)


def test_no_step_writes_an_expression_into_its_script() -> None:
    """What a pull request says would else be run."""
    for each in ACTION["runs"]["steps"]:
        assert "${{" not in each.get("run", "")


def test_mistakes_stand_beside_their_lines(runner: Runner) -> None:
    runner.shop.config.write_text(runner.shop.config.read_text() + "  other: {}\n")

    done = runner.run("Check")

    assert done.returncode == 2
    assert "::error file=activations.yaml,line=" in done.stdout


def test_the_comment_is_in_the_summary_and_needs_no_connection(runner: Runner) -> None:
    runner.shop.configure(payload="{visitId: id}")
    asked = runner.shop.sandbox.requests.count()

    done = runner.run("Diff", AGAINST="HEAD")

    assert done.returncode == 0, done.stderr
    assert "`visits` changed: payload" in runner.read("STEP_SUMMARY")
    assert runner.read("OUTPUT") == f"comment={runner.temporary}/connector-diff.md\n"
    assert runner.shop.sandbox.requests.count() == asked


def test_what_needs_a_look_fails_where_that_is_wanted(runner: Runner) -> None:
    runner.shop.configure(payload="{visitId: id, rating: sku}")
    given = {"AGAINST": "HEAD", "OFFLINE": "false"}

    codes = [runner.run("Diff", **given, FAIL=fail).returncode for fail in ("false", "true")]

    assert codes == [0, 1]
    assert "never fits" in runner.read("STEP_SUMMARY")


def test_a_diff_that_cannot_be_made_fails(runner: Runner) -> None:
    done = runner.run("Diff", AGAINST="no-such-branch")

    assert done.returncode == 2
    assert "fetch it first" in done.stderr


@pytest.mark.parametrize(
    ("found", "call"),
    [
        ("", "POST repos/o/r/issues/7/comments"),
        ("12\n", "PATCH repos/o/r/issues/comments/12"),
    ],
)
def test_the_comment_is_written_once_and_then_written_anew(
    runner: Runner, found: str, call: str
) -> None:
    (runner.temporary / "found").write_text(found)
    (runner.temporary / "c.md").write_text("<!-- connector diff -->")

    done = runner.run("Comment", GH_TOKEN="x", REPOSITORY="o/r", NUMBER="7", COMMENT="c.md")

    assert done.returncode == 0, done.stderr
    assert f"--method {call} --field body=@c.md" in runner.read("calls")
