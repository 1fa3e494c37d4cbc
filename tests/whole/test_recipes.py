"""What docs/recipes.md and deploy/ show works, as far as it can be tried here."""

import configparser
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from connector.cli.main import in_order, run
from tests.whole.shop import Shop

ROOT = Path(__file__).parents[2]
RECIPES = (ROOT / "docs/recipes.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", RECIPES, re.DOTALL)


def test_the_loop_of_an_orchestrator_runs(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shop.add({"id": "v1"}, {"id": "v2"})
    monkeypatch.chdir(shop.path)
    (loop,) = [block for block in blocks("python") if "class Stopped" in block]

    exec(compile(loop, "recipes.md", "exec"), {"__name__": "recipe"})

    assert "visits 2" in capsys.readouterr().out
    assert shop.stored == {"v1": 1, "v2": 1}


def test_every_block_of_yaml_is_yaml() -> None:
    found = [YAML(typ="safe").load(block) for block in blocks("yaml")]

    assert len(found) >= 2
    assert all(isinstance(each, dict) for each in found)


def test_every_command_that_is_shown_knows_its_options(capsys: pytest.CaptureFixture[str]) -> None:
    shown = re.findall(r"(?:bin/)?connector (sync|check)([^&|>\n`]*)", "\n".join(blocks("shell")))
    jobs = [job for each in blocks("yaml") for job in re.findall(r"connector (check)(.*)", each)]

    assert len(shown + jobs) >= 3
    for command, rest in shown + jobs:
        options = [word for word in shlex.split(rest) if word.startswith("--")]
        run([command, "--help"])
        said = capsys.readouterr().out
        assert all(option in said for option in options), rest


def test_the_exit_codes_of_a_cronjob_are_those_of_the_command() -> None:
    (job,) = YAML(typ="safe").load_all((ROOT / "deploy/kubernetes-cronjob.yaml").read_text())
    spec: Any = job["spec"]["jobTemplate"]["spec"]
    (container,) = spec["template"]["spec"]["containers"]
    codes = {
        code: rule["action"]
        for rule in spec["podFailurePolicy"]["rules"]
        for code in rule.get("onExitCodes", {}).get("values", [])
    }

    assert codes == {1: "FailJob", 2: "FailJob", 130: "Ignore"}
    assert spec["template"]["spec"]["restartPolicy"] == "Never"  # else the policy is refused
    assert in_order(container["args"]) == container["args"]
    mounted = {each["name"] for each in container["volumeMounts"]}
    assert mounted == {each["name"] for each in spec["template"]["spec"]["volumes"]}


@pytest.mark.parametrize("name", ["connector.service", "connector-sync.service"])
def test_a_unit_runs_a_command_that_there_is(name: str) -> None:
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read(ROOT / "deploy" / name)
    program, *words = shlex.split(unit["Service"]["ExecStart"])

    assert program == "/opt/connector/bin/connector"
    assert in_order(words) == words


def test_the_units_are_as_systemd_wants_them() -> None:
    tool = next((p for p in (Path("/usr/bin/systemd-analyze"),) if p.exists()), None)
    if tool is None:
        pytest.skip("no systemd-analyze here")
    for name in ("connector-sync.service", "connector-sync.timer"):
        told = subprocess.run(
            [str(tool), "verify", str(ROOT / "deploy" / name)], capture_output=True, text=True
        ).stderr
        assert "Unknown" not in told
