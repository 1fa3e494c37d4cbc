"""A project for Survey Dynamix works at once, beside the sandbox that it names."""

from pathlib import Path
from typing import Any

import pytest

from connector.cli.main import run
from connector.sandbox.survey_dynamix.running import CUSTOMER, Running
from tests.whole.shop import Done


@pytest.fixture
def connector(
    tmp_path: Path,
    sandbox: Running,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Any:
    monkeypatch.setenv("SDX_URL", sandbox.url)
    monkeypatch.setenv("REQUESTS_PER_SECOND", "500")
    monkeypatch.chdir(tmp_path)

    def command(*arguments: str) -> Done:
        capsys.readouterr()
        return Done(run(list(arguments)), *capsys.readouterr())

    return command


def test_a_new_project_works_at_once(
    connector: Any, sandbox: Running, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = connector("init", "new", "--destination", "survey_dynamix")
    assert made.code == 0
    assert "connector sandbox --type survey_dynamix" in made.out
    monkeypatch.chdir(tmp_path / "new")
    written = (tmp_path / "new" / "activations.yaml").read_text()
    assert f"${{SDX_CUSTOMER:-{CUSTOMER}}}" in written

    checked = connector("check")
    synced = connector("sync", "--json")
    again = connector("sync", "--json")

    assert checked.code == 0, checked.out
    assert "Ready: a sync would work." in checked.out
    assert (synced.code, synced.run["delivered"] > 20, again.run["delivered"]) == (0, True, 0)
    sandbox.clock.advance(86400)
    assert {got.surveys for got in sandbox.truth().values()} == {1}
    shown = connector("preview", "repair_survey", "--limit", "1")
    assert shown.code == 0


def test_what_no_project_can_be_made_for_is_told(connector: Any, tmp_path: Path) -> None:
    done = connector("init", "new", "--destination", "survey_dynamic")

    assert done.code == 2
    assert 'did you mean "survey_dynamix"?' in done.err
    assert not (tmp_path / "new").exists()
