"""A whole project on a destination that somebody else ships: installed, found by its entry point,
and sent to while answers get lost."""

import asyncio
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest

from connector.cli.main import run
from connector.destinations.conformance import Fault
from connector.destinations.port import References
from connector.project.settings import json_schema, load
from connector.serve.service import Service
from connector.serve.web.server import web_app
from tests.third_party.server import PASSWORD, USER, Office, running
from tests.whole.shop import Done

CONFIG = """\
version: 1
warehouse: {{url: "sqlite:///w.db", timezone: UTC}}
ledger: {{url: "sqlite:///ledger.db"}}
destinations:
  post:
    type: postbox
    url: {url}
    user: {user}
    password: {password}
    requests_per_second: 500
    timeout: 2s
    settle_after: 1s
activations:
  visits:
    model: {{table: visits}}
    box: club
    row_key: id
    cursor: seen_at
    start: all
    contact: {{column: email}}
    payload: {{rating: rating, shop: {{value: main}}}}
"""
METADATA = "Metadata-Version: 2.1\nName: connector-postbox\nVersion: 1.0\n"
ENTRY = "[connector.destinations]\npostbox = connector_postbox:KIND\n"
LOST = (Fault.LOST_AFTER, Fault.LOST_BEFORE, Fault.ERROR_AFTER, Fault.ERROR_BEFORE)
ROWS = 12


class Project:
    """A folder with a configuration and a warehouse, beside a post office."""

    def __init__(self, path: Path, office: Office, capture: Any) -> None:
        self.path, self.office, self._capture = path, office, capture
        self.write(CONFIG.format(url=office.url, user=USER, password=PASSWORD))
        with closing(sqlite3.connect(path / "w.db")) as warehouse, warehouse:
            warehouse.execute("create table visits (id text, seen_at text, email text, rating int)")
            warehouse.executemany(
                "insert into visits values (?, ?, ?, ?)",
                [(f"v{n}", f"2026-11-01 10:00:{n:02}", "anna@example.com", 4) for n in range(ROWS)],
            )

    def write(self, config: str) -> None:
        self.config = config
        (self.path / "activations.yaml").write_text(config)

    def connector(self, *arguments: str) -> Done:
        """Run a command in this process."""
        self._capture.readouterr()
        code = run(["--config", str(self.path / "activations.yaml"), *arguments])
        return Done(code, *self._capture.readouterr())


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the postbox is, as an installer leaves it: imported once, and not gone after a test."""
    site = tmp_path_factory.mktemp("site")
    about = site / "connector_postbox-1.0.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text(METADATA)
    (about / "entry_points.txt").write_text(ENTRY)
    shutil.copy(Path(__file__).parent / "postbox.py", site / "connector_postbox.py")
    return site


@pytest.fixture
def installed(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The postbox is found."""
    monkeypatch.syspath_prepend(str(site))


@pytest.fixture
def project(
    installed: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> Iterator[Project]:
    with running() as office:
        yield Project(tmp_path, office, capsys)


def test_check_says_what_the_destination_cannot_do(project: Project) -> None:
    done = project.connector("check")

    assert done.code == 0, done.out + done.err
    assert "the destination accepts the password; the mapping fits" in done.out
    assert "no schemas are kept" in " ".join(done.out.split())
    assert "carries the row key" not in " ".join(done.out.split())


def test_a_preview_shows_the_form_and_sends_nothing(project: Project) -> None:
    document = project.connector("preview", "visits", "--json", "--limit", "1").json

    (request,) = document["requests"]
    assert (request["method"], request["url"]) == ("POST", f"{project.office.url}/letters")
    assert "to=anna%40example.com" in request["body"]
    assert "%22shop%22%3A%22main%22" in request["body"]
    assert document["contacts"] is None
    assert project.office.posts == 0


def test_nothing_is_sent_twice_or_lost_whichever_answers_get_lost(project: Project) -> None:
    project.office.fail(*LOST, Fault.PAGE_AFTER, None)

    done = project.connector("sync", "--wait", "--json")

    (synced,) = done.json["runs"]
    assert (done.code, synced["delivered"]) == (0, ROWS), done.out + done.err
    assert project.office.per_reference() == [1] * ROWS
    assert project.office.posts == ROWS + 2  # those that were lost before they were stored

    again = project.connector("sync", "--json").json["runs"][0]
    assert (again["delivered"], len(project.office.letters)) == (0, ROWS)


def test_rows_keep_their_references_when_their_activation_is_renamed(project: Project) -> None:
    project.connector("sync", "--limit", "3")
    project.write(project.config.replace("  visits:\n", "  calls:\n    renamed_from: visits\n"))

    project.connector("sync")

    references = References("visits")
    assert {letter["ref"] for letter in project.office.letters.values()} == {
        references.of(f"v{number}") for number in range(ROWS)
    }
    assert project.office.posts == ROWS


def test_a_row_that_has_become_too_late_is_not_sent_any_more(project: Project) -> None:
    project.connector("sync", "--limit", "3")
    project.write(project.config.replace("box: club", "box: club\n    stale_after: 0"))

    (late,) = project.connector("sync", "--json").json["runs"]

    assert (late["delivered"], late["rejected"]) == (0, ROWS - 3)
    assert len(project.office.letters) == project.office.posts == 3
    assert "it lay for too long" in project.connector("quarantine", "list").out


def test_another_target_is_refused_in_the_words_of_its_kind(project: Project) -> None:
    project.connector("sync")
    project.write(project.config.replace("box: club", "box: staff"))

    done = project.connector("sync")

    assert done.code == 2
    told = " ".join((done.out + done.err).split())
    assert "box was club when its rows were recorded and is now staff. Put it back; or" in told
    assert "schema" not in told


def test_a_run_is_verified_and_undone(project: Project) -> None:
    run_id = project.connector("sync", "--json").json["runs"][0]["run_id"]
    good = project.connector("verify", run_id, "--json")
    assert good.code == 0, good.out + good.err

    first = min(project.office.letters)
    project.office.letters[999] = dict(project.office.letters[first])
    twice = project.connector("verify", run_id, "--json")
    assert twice.code == 1
    assert [row["also"] for row in twice.json["doubled"]] == [["999"]]

    undone = project.connector("undo", run_id, "--yes")
    assert undone.code == 0, undone.out + undone.err
    assert list(project.office.letters) == [999]


@pytest.mark.parametrize(
    ("command", "sentence"),
    [
        (["schema", "list"], "it keeps no schemas"),
        (
            ["forget", "--contact", "anna@example.com", "--delete-interactions", "--yes"],
            "cannot be listed",
        ),
    ],
)
def test_what_the_destination_cannot_do_is_refused_in_words(
    project: Project, command: list[str], sentence: str
) -> None:
    project.connector("sync")

    done = project.connector(*command)

    assert done.code == 2, done.out + done.err
    assert sentence in " ".join(done.err.split())
    assert 'the destination "post" is of the type Postbox' in " ".join(done.err.split())


def test_pages_hide_what_the_destination_cannot_do_and_say_so(project: Project) -> None:
    file = project.path / "activations.yaml"

    async def shown(path: str) -> str:
        pages = httpx.ASGITransport(web_app(Service(file, load(file)), None))
        async with httpx.AsyncClient(transport=pages, base_url="http://localhost") as browser:
            return (await browser.get(path)).text

    page = asyncio.run(shown("/activations/visits"))

    assert "Delivered a day" in page
    assert 'href="/schemas"' not in page
    assert "At this destination no schemas are kept" in page


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ("box: club", "bx: club", 'yaml:16:5: unknown key "bx"; did you mean "box"?'),
        ("    box: club\n", "", 'the key "box" is missing'),
        ("    user: anna", "    usr: anna", 'yaml:8:5: unknown key "usr"; did you mean "user"?'),
        (
            "type: postbox",
            "type: postbx",
            'yaml:6:5: type: there is no kind of destination "postbx"; did you mean',
        ),
        ("box: club", "schema_id: visit\n    box: club", 'yaml:16:5: unknown key "schema_id"'),
    ],
)
def test_its_keys_are_a_closed_grammar(
    project: Project, before: str, after: str, expected: str
) -> None:
    project.write(project.config.replace(before, after, 1))

    done = project.connector("status")

    assert done.code == 2
    assert expected in " ".join(done.err.split())


@pytest.mark.usefixtures("installed")
def test_editors_know_its_keys() -> None:
    schema = json_schema()

    kinds = schema["properties"]["destinations"]["additionalProperties"]["oneOf"]
    assert kinds[-1]["properties"]["type"]["const"] == "postbox"
    activations = schema["properties"]["activations"]["additionalProperties"]["anyOf"]
    assert "box" in activations[-1]["properties"]
