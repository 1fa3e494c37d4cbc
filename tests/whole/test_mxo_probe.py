"""`connector probe` of an MXO: it asks, and nothing is taken there."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from connector.sandbox.mxo.behaviour import Behaviour
from connector.sandbox.mxo.running import running
from tests.whole.mxo_project import SECRET, Project


@pytest.fixture
def project(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Project]:
    with running(secret=SECRET) as sandbox:
        project = Project(tmp_path, sandbox, capsys)
        yield project
        project.close()


def test_each_answer_is_right_and_nothing_is_sent(project: Project) -> None:
    project.configure(mode="batch")
    project.sandbox.store.behaviour = Behaviour(expires_in="there", token_life=50)

    done = project.connector("probe", "--yes", "--json")

    answers = {each["question"]: each["answer"] for each in done.json["answers"]}
    assert done.code == 0
    assert answers["token_life"] == 50
    assert answers["wrong_secret"] in (400, 401)
    assert (answers["wrong_token"], answers["unknown_batch"], answers["unknown_site"]) == (
        *(401, 404),
        404,
    )
    assert project.sandbox.requests.count("POST /batchv2/interactions/{siteKey}") == 0
    assert (done.json["made"], done.json["took_back"]) == (0, 0)
    assert not [token for token in project.tokens if token in done.out]
    assert SECRET not in done.out


def test_people_are_told_that_nothing_is_made(project: Project) -> None:
    project.configure(mode="batch")

    done = project.connector("probe", "--yes")

    assert "store nothing" in done.out
    assert "unknown_batch" in done.out
