"""What is published holds all that it needs, and nothing that it should not hold.

`make wheel` builds it, and does with it what a stranger does: see `tests/stranger.py`.
"""

import re
import subprocess
import tarfile
import zipfile
from pathlib import Path

import pytest

from hatch_build import with_links
from tests.generated import ROOT
from tests.stranger import JUNK, MOST

wheels = pytest.importorskip("hatchling.builders.wheel", reason="hatchling is not installed")
sdists = pytest.importorskip("hatchling.builders.sdist")
LINKS = re.compile(r"\]\(([^)\s]+)\)")
NEEDED = {
    "py.typed": 1,
    "serve/web/static/*": 2,
    "serve/web/templates/*.html": 10,
    "ledger/migrations/versions/v*.py": 20,
    "sandbox/demo/data/*": 10,
    "sandbox/demo/starters/*/activations.yaml": 2,
    "sandbox/demo/starter/activations.yaml": 1,
    "sandbox/demo/starter/.env.example": 1,
    "sandbox/demo/starter/models/*.sql": 3,
    "sandbox/demo/starter/schemas/*": 2,
}
"""What is no code, or is loaded by its path: how many there are at least."""


@pytest.fixture(scope="module")
def in_the_wheel(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    (file,) = wheels.WheelBuilder(str(ROOT)).build(directory=str(tmp_path_factory.mktemp("wheel")))
    assert Path(file).stat().st_size < MOST[".whl"]
    return set(zipfile.ZipFile(file).namelist())


@pytest.fixture(scope="module")
def in_the_sdist(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    (file,) = sdists.SdistBuilder(str(ROOT)).build(directory=str(tmp_path_factory.mktemp("sdist")))
    assert Path(file).stat().st_size < MOST[".gz"]
    with tarfile.open(file) as archive:
        return {name.partition("/")[2] for name in archive.getnames()}


def test_the_readme_of_a_package_has_no_link_that_leads_nowhere(tmp_path: Path) -> None:
    (file,) = wheels.WheelBuilder(str(ROOT)).build(directory=str(tmp_path))
    with zipfile.ZipFile(file) as archive:
        (name,) = (each for each in archive.namelist() if each.endswith("/METADATA"))
        told = archive.read(name).decode()
    somewhere = with_links((ROOT / "README.md").read_text(), "https://code.test/acme/connector/")

    assert "Description-Content-Type: text/markdown" in told
    for text in (told, somewhere):
        assert [link for link in LINKS.findall(text) if not link.startswith("https://")] == []
    assert "](https://code.test/acme/connector/blob/HEAD/docs/commands.md)" in somewhere
    assert "](https://code.test/acme/connector/raw/HEAD/docs/images/overview.png)" in somewhere


@pytest.mark.parametrize("pattern", NEEDED)
def test_what_is_loaded_by_its_path_is_in_the_wheel(pattern: str, in_the_wheel: set[str]) -> None:
    found = [name for name in in_the_wheel if Path(name).match(f"connector/{pattern}")]

    assert len(found) >= NEEDED[pattern]


def test_the_wheel_is_the_package_with_its_starter_and_no_more(in_the_wheel: set[str]) -> None:
    inside = {name for name in in_the_wheel if ".dist-info/" not in name}
    kept = _kept("connector")

    starter = {name for name in inside - kept if name.startswith("connector/sandbox/demo/starter/")}
    assert inside == kept | starter
    assert not [name for name in inside if any(each in f"/{name}" for each in JUNK)]


def test_the_sdist_holds_what_is_kept_and_nothing_that_was_made(in_the_sdist: set[str]) -> None:
    made = in_the_sdist - _kept() - {"PKG-INFO"}

    assert not made, "neither kept by Git nor ignored by it"
    assert {"tests/stranger.py", "constraints.txt", "docs/how-it-works.md"} <= in_the_sdist


def _kept(*folders: str) -> set[str]:
    """The files that Git keeps, or would keep."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", *folders]
    return set(
        subprocess.run(command, cwd=ROOT, capture_output=True, text=True).stdout.splitlines()
    )
