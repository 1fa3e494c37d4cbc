"""Whoever follows docs/destinations.md to the letter has a destination that keeps the promise, and
is told by the kit where it does not."""

import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from connector.cli.main import run
from connector.destinations import conformance, http
from connector.destinations.bench import Fault, Served, running
from tests.generated import ROOT
from tests.whole.shop import Done

NAME = "connector_guestbook"
PAGE = (ROOT / "docs/destinations.md").read_text()
LOST = (Fault.LOST_AFTER, Fault.LOST_BEFORE, Fault.ERROR_AFTER, Fault.PAGE_AFTER, Fault.BUSY)


def block(language: str) -> str:
    """The one block of the page in `language`."""
    (found,) = re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    return found


def install(site: Path, change: Callable[[str], str] = str) -> None:
    """The package of the page, as an installer leaves it; its module after a `change`."""
    project = tomllib.loads(block("toml"))["project"]
    about = site / f"{NAME}-{project['version']}.dist-info"
    about.mkdir(parents=True)
    head = f"Name: {project['name']}\nVersion: {project['version']}\n"
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\n{head}")
    lines = [
        line
        for group, entries in project["entry-points"].items()
        for line in (f"[{group}]", *(f"{name} = {what}" for name, what in entries.items()))
    ]
    (about / "entry_points.txt").write_text("\n".join(lines))
    (site / f"{NAME}.py").write_text(change(block("python")))


def kit(site: Path) -> subprocess.CompletedProcess[str]:
    """What the kit says of the package in `site`, started as the page says."""
    program, *arguments = shlex.split(block("sh"))
    assert program == "python"
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=site, capture_output=True, text=True, check=False)


def test_the_kit_is_content_with_the_example(tmp_path: Path) -> None:
    install(tmp_path / "site")

    done = kit(tmp_path / "site")

    assert done.returncode == 0, done.stdout + done.stderr
    assert "16 of 16 promises hold" in done.stdout
    assert "BROKEN" not in done.stdout


SPOILT = {
    "what nobody knows is sent again": ("Unknown", "NotApplied"),
    "what was not applied is asked for": ("NotApplied(words, status", "Unknown(words, status"),
    "any success is accepted": ('Unknown(f"{words}: no id", status)', 'Accepted("1", status)'),
    "what is not shown is absent": ("Unread(read.gap, read.answered)", "Absent()"),
    "a filter is believed": ("if e and e.reference == reference", "if e"),
    "the reference is the request's": ('ence": item.reference', 'ence": parcel.reference'),
    "one of two is taken": ("len(free) == 1", "free"),
    "what others own is taken": ("await owned([entry.id for entry in read.stored])", "set()"),
    "nobody looks once more": ("parcel), last_look)", "parcel), nothing_to_see)"),
    "refused credentials are asked about": ("self.refuse_all(response)  #", "#"),
    "secrets are told": ("return Refused(words,", "return Refused(response.content.decode(),"),
    "a preview shows another request": ("item.created", "str(datetime.now())"),
}


@pytest.mark.parametrize("what", SPOILT)
def test_the_kit_says_what_is_wrong_with_a_spoilt_copy(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    what: str,
) -> None:
    right, wrong = SPOILT[what]
    assert right in block("python")
    install(tmp_path / "site", lambda module: module.replace(right, wrong))
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    monkeypatch.setattr(http, "GET_PAUSES", http.GET_PAUSES)  # the kit's own do not stay

    code = conformance.main([NAME])

    sys.modules.pop(NAME)
    told = capsys.readouterr().out
    assert code == 1, told
    assert re.search(r"^BROKEN  .*\n        \S", told, re.MULTILINE), told


@pytest.fixture
def guestbook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    """The package, installed, and its small guestbook at work."""
    install(tmp_path / "site")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    monkeypatch.delitem(sys.modules, NAME, raising=False)
    module: Any = __import__(NAME)
    with running(module.BENCH()) as served:
        monkeypatch.setenv("GUESTBOOK_URL", served.url)
        yield served
    sys.modules.pop(NAME, None)


@pytest.fixture
def connector(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., Done]:
    """Run a command on the configuration of the page, in this process."""
    config = tmp_path / "activations.yaml"
    config.write_text(
        block("yaml").replace("settle_after: 1m", "settle_after: 1s\n    timeout: 2s")
    )

    def command(*arguments: str) -> Done:
        capsys.readouterr()
        code = run(["--config", str(config), *arguments])
        return Done(code, *capsys.readouterr())

    return command


def test_the_example_goes_through_every_command(
    guestbook: Served, connector: Callable[..., Done]
) -> None:
    checked = connector("check")
    assert checked.code == 0, checked.out + checked.err

    previewed = connector("preview", "visits", "--json").json
    assert [request["row_key"] for request in previewed["requests"]] == ["v1", "v2"]
    assert guestbook.requests == 0

    guestbook.fail(*LOST, None)
    synced = connector("sync", "--wait", "--json")
    (run_document,) = synced.json["runs"]
    assert (synced.code, run_document["delivered"]) == (0, 2), synced.out + synced.err
    assert sorted(entry["guest"] for entry in guestbook.kept.values()) == [
        "anna@example.com",
        "bo@example.com",
    ]
    assert connector("sync", "--json").json["runs"][0]["delivered"] == 0

    verified = connector("verify", run_document["run_id"], "--json")
    assert (verified.code, verified.json["checked"]) == (0, 2), verified.out + verified.err
    undone = connector("undo", run_document["run_id"], "--yes")
    assert (undone.code, guestbook.stored()) == (0, 0), undone.out + undone.err


def test_a_module_without_a_bench_is_told_so(tmp_path: Path) -> None:
    install(tmp_path / "site", lambda module: module.replace("BENCH = Sandbox", ""))

    done = kit(tmp_path / "site")

    assert done.returncode == 2
    assert f"{NAME} has no KIND and BENCH to be checked" in done.stdout
