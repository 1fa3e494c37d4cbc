"""The site of the documentation: what its navigation names is there, and no link leads out of it.
`make site` builds it."""

import posixpath
import re
from pathlib import Path

import pytest

import connector
from connector.destinations.engage import EngageActivation
from connector.serve.web import server
from tests import site
from tests.generated import ROOT

NAVIGATION = (ROOT / "mkdocs.yml").read_text().partition("\nnav:")[2]
DOCS = ROOT / "docs"


@pytest.fixture(scope="module")
def made() -> dict[str, str]:
    return site.pages()


@pytest.fixture(scope="module")
def texts(made: dict[str, str]) -> dict[str, str]:
    """Every page, as the site shows it."""
    written = {path.relative_to(DOCS).as_posix(): path.read_text() for path in DOCS.rglob("*.md")}
    pages = {name: text for name, text in (written | made).items() if name.endswith(".md")}
    return {name: site.within_the_site(text, name) for name, text in pages.items()}


def test_what_the_navigation_names_is_there_once(texts: dict[str, str]) -> None:
    named = re.findall(r"(?::|-) (\S+\.md)$", NAVIGATION, re.MULTILINE)

    assert len(named) > 30
    assert len(set(named)) == len(named)
    assert set(named) <= set(texts)


def test_no_link_leads_out_of_the_site(texts: dict[str, str], made: dict[str, str]) -> None:
    for page, text in texts.items():
        prose = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
        for _, target in site.LINK.findall(prose):
            place = posixpath.normpath(
                posixpath.join(posixpath.dirname(page), target.partition("#")[0])
            )
            assert place in texts or place in made or (DOCS / place).is_file(), f"{page}: {target}"


def test_the_reference_names_all_that_the_code_has(made: dict[str, str]) -> None:
    for name in connector.__all__:
        assert re.search(
            rf"^##.*`(connector\.)?{name}`$", made["reference/python.md"], re.MULTILINE
        )
    for each in server.API:
        assert f"## `{each.method} {each.path}`" in made["reference/http.md"]
    for name, field in EngageActivation.model_fields.items():
        assert f"| `{field.alias or name}` |" in made["reference/keys.md"]


def test_nothing_is_fetched_from_elsewhere_by_a_reader() -> None:
    configured = (ROOT / "mkdocs.yml").read_text()
    loaded = "".join(path.read_text() for kind in ("css", "js") for path in DOCS.rglob(f"*.{kind}"))

    assert "font: false" in configured
    assert "http" not in loaded
    assert not re.search(r"analytics|https?:", configured)
    assert all(
        Path(DOCS / name).is_file() for name in re.findall(r"- (\S+\.(?:cs|j)s)", configured)
    )
