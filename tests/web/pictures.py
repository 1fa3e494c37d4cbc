"""Make the pictures of the page that the README and the documentation show: `make pictures`.

A browser looks at `connector serve` over the sample project, which has sent reviews, repairs and
wishlists, has some rows in quarantine and a run that is held. Whoever changes the page makes them
anew.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import urlencode

from connector.sandbox.demo import sample
from connector.sandbox.demo.project import create
from connector.sandbox.engage.behaviour import Behaviour
from connector.sandbox.engage.load import load_contacts, load_schemas
from connector.sandbox.engage.running import running
from connector.sandbox.engage.store import Engage

IMAGES = Path(__file__).parents[2] / "docs/images"
SIZE = {"width": 1280, "height": 800}
HELD = """
  mended:
    description: Repairs again, to tell how much was mended this year
    model: models/repairs.sql
    schema_id: repair
    row_key: repair_no
    start: all
    contact: {column: contact_id, identifier: contactId}
    created_date: completed_at
    payload: {repairId: repair_no, registrationDate: received_at, productSku: sku, price: price,
              isFreeRepair: is_free_repair}
    limits: {rows: 100}
"""


class Project:
    """The sample project in a folder, and commands on it."""

    def __init__(self, path: Path, engage: str) -> None:
        self.path = path
        self.environment = os.environ | {"ENGAGE_URL": engage, "REQUESTS_PER_SECOND": "1000"}

    def command(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "connector", *words]

    def __call__(self, *words: str) -> str:
        return subprocess.run(
            self.command(*words),
            cwd=self.path,
            env=self.environment,
            capture_output=True,
            text=True,
        ).stdout

    @contextmanager
    def served(self) -> Iterator[str]:
        """The address of the page, until the end."""
        words = self.command("serve", "--port", "0")
        process = subprocess.Popen(
            words, cwd=self.path, env=self.environment, stdout=subprocess.PIPE, text=True
        )
        try:
            assert process.stdout is not None
            yield process.stdout.readline().split(" on ")[1].strip()
        finally:
            process.terminate()
            process.wait(60)


def main() -> None:
    with TemporaryDirectory(prefix="pictures-") as folder:
        path = Path(folder) / "shop"
        create(path)
        with (path / "activations.yaml").open("a") as file:
            file.write(HELD)
        engage = Engage(Behaviour(hard_rate=None))
        load_schemas(engage, path / "schemas")
        load_contacts(engage, path / "contacts.csv")
        with running(engage=engage) as sandbox:
            project = Project(path, sandbox.url)
            project("sync")
            sample.next_day(path / "warehouse.duckdb")
            project("sync", "product_reviews")
            with project.served() as url:
                take(url, _places(project))


def _places(project: Project) -> dict[str, str]:
    """What is shown, by the name of its picture."""
    runs = json.loads(project("runs", "product_reviews", "--json"))["runs"]
    most = max(runs, key=lambda run: int(run["delivered"]))
    row = {"activation": "product_reviews", "key": sample.CORRECTED}
    return {
        "overview": "/",
        "run": f"/runs/{most['run_id']}",
        "quarantine": "/quarantine",
        "row": f"/rows?{urlencode(row)}",
        "activation": "/activations/product_reviews",
    }


def take(url: str, places: Mapping[str, str]) -> None:
    """A picture of each place, in light."""
    from playwright.sync_api import sync_playwright

    from tests.web.browser import CHROMIUM

    IMAGES.mkdir(exist_ok=True)
    options = ["--disable-dev-shm-usage", *(["--no-sandbox"] if os.getuid() == 0 else [])]
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=options)
        size: Any = SIZE
        page = browser.new_page(viewport=size, color_scheme="light")
        for name, place in places.items():
            answer = page.goto(f"{url}{place}")
            assert answer is not None
            assert answer.ok, f"{place}: HTTP {answer.status}"
            page.screenshot(path=IMAGES / f"{name}.png")
        browser.close()


if __name__ == "__main__":
    main()
