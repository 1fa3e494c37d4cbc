"""The public API says what the commands say, and costs nothing until it is used."""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import connector
from tests.whole.shop import Shop, behaving
from tests.whole.test_crash import until

PAGE = Path(__file__).parents[2] / "docs" / "python.md"
CHEAP = """
import sys
import connector
loaded = {name for name in sys.modules if name.startswith("connector.")}
assert not loaded, loaded
assert not {"sqlalchemy", "pydantic", "httpx", "duckdb", "asyncio"} & sys.modules.keys()
for name in connector.__all__:
    assert getattr(connector, name) is not None
"""
INTERRUPTED = """
import sys
import connector
done = connector.open_project(sys.argv[1]).sync()
print(done.runs[0].status, done.runs[0].kind, done.exit_code)
"""


@pytest.fixture
def project(shop: Shop) -> connector.Project:
    shop.add({"id": "v1"}, {"id": "v2"}, {"id": "bad", "rating": 9})
    return connector.open_project(shop.config)


def test_the_examples_of_the_page_run(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shop.add({"id": "v1"}, {"id": "v2"})
    monkeypatch.chdir(shop.path)
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    namespace: dict[str, object] = {}

    for block in blocks:
        exec(compile(block, str(PAGE), "exec"), namespace)

    said = capsys.readouterr().out
    assert len(blocks) > 5
    assert "visits succeeded 2 None" in said
    assert "configuration False" in said
    assert shop.stored == {"v1": 1, "v2": 1}


def test_importing_it_loads_nothing_and_all_its_names_are_there() -> None:
    subprocess.run([sys.executable, "-c", CHEAP], check=True)
    assert len(connector.__all__) <= 13


def test_documents_are_what_the_commands_print(shop: Shop, project: connector.Project) -> None:
    def told(*arguments: str) -> Any:
        return shop.connector(*arguments, "--json").json

    assert json.loads(json.dumps(project.check().document())) == told("check")
    assert json.loads(json.dumps(project.preview("visits").document())) == told("preview", "visits")
    (run,) = project.sync().runs
    assert (run.status, run.delivered, run.invalid) == ("attention", 2, 1)
    assert run.document().keys() == shop.sync().run.keys()
    now, then = project.status().document(), told("status")
    for document in (now, then):  # how long ago it was read grows meanwhile
        assert document["activations"][0].pop("lag") >= 0
    assert now == then
    assert project.runs().document() == told("runs")
    assert project.explain("visits", "v1").document() == told("explain", "visits", "v1")
    assert project.plan().document() == connector.plan(shop.config).document() == told("plan")


def test_it_works_where_an_event_loop_is_running(project: connector.Project) -> None:
    async def in_a_notebook() -> connector.Runs:
        return project.sync()

    assert asyncio.run(in_a_notebook()).runs[0].delivered == 2


def test_an_interrupted_sync_ends_in_order(shop: Shop) -> None:
    shop.sandbox.behaviour = behaving(answer_delay=0.3)
    shop.add_many(200)

    command = [sys.executable, "-c", INTERRUPTED, str(shop.config)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        until(lambda: shop.posts >= 16)
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=30)

    assert out.split() == ["stopped", "interrupted", "130"]
    assert shop.sync().run["in_doubt"] == 0
    assert set(shop.stored.values()) == {1}


def test_a_paused_activation_is_refused_by_name(shop: Shop, project: connector.Project) -> None:
    shop.connector("pause", "visits")

    assert project.sync().runs == []
    with pytest.raises(connector.ConfigurationError, match="paused") as refused:
        project.sync("visits")
    assert (refused.value.kind, refused.value.retryable) == ("paused", False)


def test_a_stopped_run_stands_in_the_result(shop: Shop, project: connector.Project) -> None:
    text = shop.config.read_text()
    shop.config.write_text(text.replace("api_key: sandbox", "api_key: wrong"))

    done = project.sync()

    assert (done.runs[0].kind, done.runs[0].retryable, done.exit_code) == ("key_refused", False, 3)


def test_a_plan_needs_no_secret_and_shows_none(
    shop: Shop, project: connector.Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = shop.config.read_text()
    text = text.replace("api_key: sandbox", "api_key: ${SOME_KEY}").replace(
        shop.sandbox.url, "${SOME_URL}"
    )
    shop.config.write_text(text.replace("start: all", "start: all\n    schedule: {every: 15m}"))
    for name in ("SOME_KEY", "SOME_URL"):
        monkeypatch.delenv(name, raising=False)

    (unset,) = project.plan().activations
    os.environ["SOME_KEY"], os.environ["SOME_URL"] = "s3cret-key", shop.sandbox.url
    try:
        (known,) = project.plan().activations
        told = shop.connector("plan")
    finally:
        del os.environ["SOME_KEY"], os.environ["SOME_URL"]

    assert (unset.name, unset.destination, unset.schedule) == ("visits", "engage", "every 15m")
    assert unset.key != known.key
    assert (told.code, "s3cret" in told.out) == (0, False)
    assert "visits" in told.out


@pytest.mark.parametrize("word", ["true", "'true'", "yes", "On", "1"])
def test_a_plan_tells_a_pause_in_every_word_that_a_sync_takes_for_one(
    shop: Shop, project: connector.Project, word: str
) -> None:
    text = shop.config.read_text()
    shop.config.write_text(text.replace("start: all", f"start: all\n    paused: {word}"))

    (planned,) = project.plan().activations

    with pytest.raises(connector.ConnectorError) as stopped:
        project.sync("visits")
    assert (planned.paused, stopped.value.kind) == (True, "paused")


def test_a_plan_tells_the_zone_of_a_schedule(shop: Shop, project: connector.Project) -> None:
    at = 'schedule: {cron: "30 6 * * *", timezone: Europe/Stockholm}'
    shop.config.write_text(shop.config.read_text().replace("start: all", f"start: all\n    {at}"))

    (planned,) = project.plan().activations

    assert (planned.schedule, planned.timezone) == ("30 6 * * *", "Europe/Stockholm")
    assert "30 6 * * * (Europe/Stockholm)" in shop.connector("plan").out


def test_a_plan_tells_mistakes(shop: Shop, project: connector.Project) -> None:
    shop.config.write_text(shop.config.read_text().replace("row_key:", "row_kex:"))

    with pytest.raises(connector.ConfigurationError, match="row_kex"):
        project.plan()


@pytest.mark.parametrize(
    ("right", "wrong"),
    [("activations:", "activation:"), ("row_key:", "row_kex:"), ("ledger:", "leger:")],
)
def test_a_plan_tells_mistakes_while_a_variable_is_not_set(
    shop: Shop, project: connector.Project, right: str, wrong: str
) -> None:
    text = shop.config.read_text().replace("api_key: sandbox", "api_key: ${NOBODY_SETS_THIS}")
    shop.config.write_text(text.replace(right, wrong, 1))

    with pytest.raises(connector.ConfigurationError, match=wrong.rstrip(":")):
        project.plan()
