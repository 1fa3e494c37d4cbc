"""What the tutorials, and the README, tell a reader to type is typed, and says what they say.

A page is followed from its top: a block with a title is a file, or the end of one; `console` is
typed; `told` stands in what that printed, with … for anything.
"""

import json
import os
import re
import shlex
import subprocess
from contextlib import ExitStack
from pathlib import Path

import duckdb
import pytest
from ruamel.yaml import YAML

from connector.cli.main import run
from connector.sandbox.engage.behaviour import Behaviour
from connector.sandbox.engage.load import load_contacts, load_schemas
from connector.sandbox.engage.running import running
from connector.sandbox.engage.store import Engage
from tests.dbt.project import Folder
from tests.generated import ROOT

DBT = os.environ.get("CONNECTOR_DBT")
MODEL = Path("models/reviews.sql")
BLOCK = re.compile(r"^```(\w+)(?: title=\"(.*?)\")?\n(.*?)^```$", re.DOTALL | re.MULTILINE)
AT_ITS_END = ", at its end"
PAGES = [
    *sorted((ROOT / "docs/tutorials").glob("*.md")),
    ROOT / "docs/from-a-script.md",
    ROOT / "README.md",
]


class Reader:
    """Does what a page says, in the folder where the test is."""

    def __init__(self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        self._capsys, self._monkeypatch = capsys, monkeypatch
        self._opened = ExitStack()
        self._heard = ""

    def follow(self, page: Path) -> int:
        """How many commands were typed."""
        typed = 0
        with self._opened:
            for language, title, text in BLOCK.findall(page.read_text()):
                if title == "told":
                    self._expect(text)
                elif title:
                    self._write(title, text)
                elif language == "console":
                    self._heard = ""
                    for line in text.splitlines():
                        typed += self._type(line.partition("  #")[0].strip())
        return typed

    def _write(self, title: str, text: str) -> None:
        file = Path(title.removesuffix(AT_ITS_END))
        file.parent.mkdir(parents=True, exist_ok=True)
        before = file.read_text() if title.endswith(AT_ITS_END) else ""
        file.write_text(before + text)

    def _expect(self, text: str) -> None:
        for line in text.splitlines():
            wanted = ".*".join(re.escape(part) for part in line.split("…"))
            assert re.search(f"^{wanted}$", self._heard, re.MULTILINE), f"{line}\n{self._heard}"

    def _type(self, line: str) -> bool:
        for command in line.split(" && "):
            command, _, file = command.partition(" > ")
            match shlex.split(command):
                case ["cd", folder]:
                    self._monkeypatch.chdir(folder)
                case ["mkdir", folder]:
                    Path(folder).mkdir()
                case ["dbt", "build", "--target", target]:
                    as_dbt_builds(target)
                case ["python", script]:
                    exec(compile(Path(script).read_text(), script, "exec"), {})
                case ["connector", "demo" | "serve"]:
                    return False  # `make wheel` has the one, tests/whole/test_serve.py the other
                case ["connector", "sandbox", *_]:
                    self._open_sandbox()
                case ["connector", *words]:
                    self._run(words, file)
                case ["make" | "pip" | "pipx" | "uvx", *_] | []:
                    return False  # which `make wheel` does
                case other:
                    raise AssertionError(f"nobody knows how to type {other}")
        return True

    def _run(self, words: list[str], file: str) -> None:
        words = [self._newest_run() if word == "RUN" else word for word in words]
        self._capsys.readouterr()
        code = run(words)
        out, err = self._capsys.readouterr()
        assert code in (0, 1), f"{words} ended with {code}\n{out}{err}"
        self._heard += out + err
        if file:
            Path(file).write_text(out)

    def _newest_run(self) -> str:
        """Which the reader finds in what `connector runs` has printed: the run that sent."""
        self._capsys.readouterr()
        run(["runs", "--json"])
        runs = json.loads(self._capsys.readouterr().out)["runs"]
        return next(each["run_id"] for each in runs if each["delivered"])

    def _open_sandbox(self) -> None:
        engage = Engage(Behaviour(hard_rate=None))
        load_schemas(engage, Path("schemas"))
        load_contacts(engage, Path("contacts.csv"))
        sandbox = self._opened.enter_context(running(engage=engage))
        self._monkeypatch.setenv("ENGAGE_URL", sandbox.url)
        self._monkeypatch.setenv("REQUESTS_PER_SECOND", "5000")


def as_dbt_builds(target: str) -> None:
    """Load the seeds, build the models, test them, and leave the files that dbt leaves. With
    `make test-dbt` it is dbt itself."""
    if DBT:
        quiet = os.environ | {"DBT_SEND_ANONYMOUS_USAGE_STATS": "false"}
        subprocess.run([DBT, "build", "--target", target], env=quiet, capture_output=True)
        return
    with duckdb.connect("../shop.duckdb") as warehouse:
        warehouse.execute(f"create schema if not exists {target}")
        for seed in Path("seeds").glob("*.csv"):
            rows = f"from read_csv('{seed}')"
            warehouse.execute(f"create or replace table {target}.{seed.stem} as {rows}")
        sql = re.sub(r"\{\{ ref\('(\w+)'\) \}\}", rf"{target}.\1", MODEL.read_text())
        warehouse.execute(f"create or replace view {target}.reviews as {sql}")
        ((unique,),) = warehouse.sql(
            f"select count(*) = count(distinct review_id) from {target}.reviews"
        ).fetchall()
    (described,) = YAML(typ="safe").load(MODEL.with_suffix(".yml").read_text())["models"]
    columns = {each["name"]: each for each in described["columns"]}
    relation = f'"shop"."{target}"."reviews"'
    of_the_page = {name: Path(name).read_text() for name in ("dbt_project.yml", "profiles.yml")}
    node = {**described, "columns": columns, "relation_name": relation}
    folder = Folder(Path(), model=node, key="review_id")
    folder.build(target, unique="pass" if unique else "fail")
    for name, text in of_the_page.items():
        Path(name).write_text(text)


@pytest.fixture
def reader(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Reader:
    monkeypatch.chdir(tmp_path)
    for name in [n for n in os.environ if n.startswith(("ENGAGE_", "WAREHOUSE_", "LEDGER_"))]:
        monkeypatch.delenv(name)
    return Reader(capsys, monkeypatch)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_what_a_page_says_to_type_does_what_it_says(page: Path, reader: Reader) -> None:
    assert reader.follow(page) > 5
