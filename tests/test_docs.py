"""What the documentation says is true."""

import re
import subprocess
from pathlib import Path

import duckdb
import pytest
from ruamel.yaml import YAML

from connector.cli.main import run
from connector.destinations.engage import ContactMapping, EngageActivation, EngageSettings
from connector.destinations.settings import DestinationSettings
from connector.ledger.deeds import audit
from connector.project.settings import (
    LedgerSettings,
    WarehouseSettings,
    load,
)
from connector.rules.activation import Activation, ContactLookup, Cursor, Model
from connector.rules.alerting import Alert, Quiet
from connector.rules.delivery import State
from connector.rules.grammar import Closed, Limits
from connector.sandbox.demo import sample
from tests.generated import FILES, ROOT, current

metadata = audit.metadata
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


def text(name: str) -> str:
    return (ROOT / name).read_text()


@pytest.mark.parametrize("name", FILES)
def test_generated_parts_are_up_to_date(name: str) -> None:
    assert current(name) == FILES[name](current(name)), "run `make docs`"


def commands(capsys: pytest.CaptureFixture[str], *group: str) -> list[str]:
    run([*group, "--help"])
    listing = capsys.readouterr().out.partition("Commands:")[2]
    return re.findall(r"^  ([a-z][a-z-]*)", listing, re.MULTILINE)


def test_every_command_is_documented(capsys: pytest.CaptureFixture[str]) -> None:
    names = commands(capsys)

    assert len(names) > 8
    for name in names:
        assert f"`connector {name}" in text("README.md"), name
        assert f"## `connector {name}" in text("docs/commands.md"), name


def test_every_command_that_the_readme_shows_exists(capsys: pytest.CaptureFixture[str]) -> None:
    names = commands(capsys)

    for page in PAGES:
        blocks = re.findall(r"```console\n(.*?)```", page.read_text(), re.DOTALL)
        shown = re.findall(r"`connector ([a-z-]+)", page.read_text())
        shown += re.findall(r"^connector ([a-z-]+)", "\n".join(blocks), re.MULTILINE)
        for name in shown:
            assert name in names, f"{page.name}: connector {name}"


@pytest.mark.parametrize("group", ["schema", "quarantine", "dbt"])
def test_the_readme_names_each_command_of_a_group_by_the_name_that_it_has(
    capsys: pytest.CaptureFixture[str], group: str
) -> None:
    cells = re.findall(rf"^\| `connector {group} ([^|]*)", text("README.md"), re.MULTILINE)

    shown = [name for cell in cells for name in re.findall(r"(?:^|, `)([a-z]+)", cell)]
    assert sorted(shown) == sorted(commands(capsys, group))


@pytest.mark.parametrize(
    "part",
    [
        WarehouseSettings,
        LedgerSettings,
        EngageSettings,
        Alert,
        Quiet,
        EngageActivation,
        Model,
        Cursor,
        ContactMapping,
        ContactLookup,
        Limits,
    ],
)
def test_every_key_of_the_grammar_is_documented(part: type) -> None:
    for field, about in part.model_fields.items():  # type: ignore[attr-defined]
        name = about.alias or field
        assert re.search(rf"[`{{]{name}[`:]", text("docs/configuration.md")), name


def test_the_configuration_in_the_readme_is_valid(tmp_path: Path) -> None:
    (example,) = re.findall(r"```yaml\n(version: 1.*?)```", text("README.md"), re.DOTALL)
    (tmp_path / "activations.yaml").write_text(example)
    environment = {"WAREHOUSE_URL": "duckdb:///w.duckdb", "ENGAGE_API_KEY": "k"}

    settings = load(tmp_path / "activations.yaml", environment)

    assert list(settings.project.activations) == ["product_reviews"]


def test_the_page_on_survey_dynamix_has_every_key_and_a_valid_example(tmp_path: Path) -> None:
    page = text("docs/survey_dynamix.md")
    (example,) = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    head = "version: 1\nwarehouse: {url: 'duckdb:///w.duckdb'}\n"
    (tmp_path / "activations.yaml").write_text(head + example)

    settings = load(tmp_path / "activations.yaml", {"SDX_CUSTOMER": "c", "SDX_AUTH_TOKEN": "t"})

    (activation,) = settings.project.activations.values()
    everywhere = {*Activation.model_fields, *DestinationSettings.model_fields}
    parts: list[type[Closed]] = [type(activation)]
    parts += [type(each) for each in settings.project.destinations.values()]
    for part in parts:
        for name, field in part.model_fields.items():
            known = name in everywhere or re.search(rf"`{field.alias or name}`", page)
            assert known, f"{part.__name__}.{name}"


def test_the_example_of_the_repository_is_valid_and_names_its_schema() -> None:
    settings = load(ROOT / "activations.yaml", {})

    assert list(settings.project.activations) == ["product_reviews", "repairs", "wishlist"]
    first = text("activations.yaml").splitlines()[0]
    assert first == "# yaml-language-server: $schema=activations.schema.json"


def test_every_state_is_explained() -> None:
    for state in State:
        word = state.value.replace("_", " ")
        assert word in text("docs/how-it-works.md") or word in ("discarded", "undone")


def test_every_table_of_the_ledger_is_documented() -> None:
    for table in metadata.tables:
        assert f"`{table}`" in text("docs/ledger.md")


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text()):
        assert (page.parent / target).exists(), target


def test_the_tests_that_are_named_exist() -> None:
    for page in PAGES:
        for file, name in re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", page.read_text()):
            assert (ROOT / file).exists(), file
            assert not name or f"def {name}(" in text(file), name


def test_the_make_targets_that_are_named_exist() -> None:
    targets = re.findall(r"^([a-z]+):", text("Makefile"), re.MULTILINE)

    for page in PAGES:
        for name in re.findall(r"make ([a-z]+)", page.read_text()):
            if name in (
                "demo",
                "quick",
                "test",
                "lint",
                "docs",
                "format",
                "clean",
                "prove",
                "bench",
            ):
                assert name in targets, name


def test_ci_calls_what_the_readme_tells_to_call() -> None:
    script = text(".ci/run")

    assert "make test" in script
    assert "make lint" in script


def test_yaml_in_the_documentation_parses() -> None:
    for page in PAGES:
        for block in re.findall(r"```yaml\n(.*?)```", page.read_text(), re.DOTALL):
            YAML(typ="safe").load(block)


def test_no_file_names_this_machine_or_a_package_registry() -> None:
    files = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout.split()
    hosts = ("pypi" + ".org", "python" + "hosted", "registry." + "npmjs", "deb." + "debian")

    for name in files:
        content = (ROOT / name).read_bytes() if (ROOT / name).is_file() else b""
        for host in hosts:
            assert host.encode() not in content, name


def test_the_row_that_the_readme_explains_is_in_the_sample(tmp_path: Path) -> None:
    (key,) = re.findall(r"connector explain repairs (\S+)", text("README.md"))
    sample.build(tmp_path / "w.duckdb")

    with duckdb.connect(str(tmp_path / "w.duckdb"), read_only=True) as connection:
        rows = connection.sql(text("models/repairs.sql")).fetchall()

    assert any(key in row for row in rows)
