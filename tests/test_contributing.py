"""The contributor's door: what is checked for everybody is what `make` checks here."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests.generated import ROOT

GITHUB = ROOT / ".github"
WORKFLOWS = sorted((GITHUB / "workflows").glob("*.yml"))
FORMS = sorted((GITHUB / "ISSUE_TEMPLATE").glob("*.yml"))
HOOKS = ROOT / ".pre-commit-config.yaml"
TARGETS = set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def read(path: Path) -> Any:
    return YAML(typ="safe").load(path.read_text())


def steps(path: Path) -> list[dict[str, Any]]:
    return [step for job in read(path)["jobs"].values() for step in job["steps"]]


@pytest.mark.parametrize("path", [*WORKFLOWS, *FORMS, HOOKS], ids=lambda p: p.name)
def test_it_is_yaml_and_names_only_targets_that_exist(path: Path) -> None:
    assert read(path)

    for line in re.findall(r"(?:run|entry): make (.+)", path.read_text()):
        assert set(line.split()) <= TARGETS, line


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda p: p.name)
def test_a_workflow_may_do_no_more_than_it_must(path: Path) -> None:
    workflow = read(path)

    assert workflow["permissions"] == {"contents": "read"}
    assert "secrets." not in path.read_text(), "trusted publishing needs no token"
    for step in steps(path):
        assert "run" in step or "@" in step["uses"]


def test_every_python_and_every_postgresql_that_we_support_is_tried() -> None:
    jobs = read(GITHUB / "workflows/ci.yml")["jobs"]
    (oldest,) = re.findall(r'requires-python = ">=3\.(\d+)"', (ROOT / "pyproject.toml").read_text())

    assert jobs["python"]["strategy"]["matrix"]["python"] == [
        f"3.{minor}" for minor in range(int(oldest), 15)
    ]
    assert jobs["postgresql"]["strategy"]["matrix"]["postgresql"] == ["14", "15", "16", "17", "18"]


def test_what_is_published_was_tried_first() -> None:
    jobs = read(GITHUB / "workflows/release.yml")["jobs"]
    made = [step.get("run") for step in jobs["build"]["steps"]]

    assert jobs["publish"]["needs"] == "build"
    assert made.index("make test") < made.index("make wheel")
    assert jobs["image"]["needs"] == "build"
    assert jobs["publish"]["permissions"] == {"id-token": "write"}
    assert [step["uses"].partition("@")[0] for step in jobs["publish"]["steps"]] == [
        "actions/download-artifact",
        "pypa/gh-action-pypi-publish",
    ]


def test_each_package_is_published_and_the_image_runs_before_it_is_pushed() -> None:
    jobs = read(GITHUB / "workflows/release.yml")["jobs"]
    kept = [step["with"]["name"] for step in jobs["build"]["steps"] if "upload" in str(step)]
    projects = [ROOT, *(ROOT / "integrations" / name for name in ("airflow", "dagster"))]
    names = [
        tomllib.loads((path / "pyproject.toml").read_text())["project"]["name"] for path in projects
    ]

    assert kept == [name.replace("-", "_") for name in names]
    assert jobs["publish"]["strategy"]["matrix"]["package"] == kept
    made = [
        step.get("run") or step["with"].get("push")
        for step in jobs["image"]["steps"]
        if step.get("run") or "push" in step.get("with", {})
    ]
    assert made[0].startswith("docker run")
    assert made[1] is True


def test_the_hooks_are_of_this_repository_alone() -> None:
    assert [repo["repo"] for repo in read(HOOKS)["repos"]] == ["local"]
    entries = [hook["entry"] for hook in read(HOOKS)["repos"][0]["hooks"]]
    assert any("ruff" in entry for entry in entries)
    assert ".venv/bin/mypy" in entries
    assert "make quick" in entries


def test_the_architecture_names_only_what_there_is() -> None:
    text = (ROOT / "docs/architecture.md").read_text()
    named = text.partition("<!-- rooms end -->")[2]

    for name in re.findall(r"`((?:tests/)?[a-z_]+/[\w/]*(?:\.py)?)`", named):
        assert (ROOT / name).exists() or (ROOT / "connector" / name).exists(), name
