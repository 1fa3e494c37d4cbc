"""The demo: real commands on sample data and a local Engage, told so that anybody can follow."""

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console

from connector.rules.errors import ConnectorError
from connector.sandbox.demo import sample
from connector.sandbox.demo.project import create
from connector.sandbox.engage.behaviour import Behaviour
from connector.sandbox.engage.load import load_contacts, load_schemas
from connector.sandbox.engage.running import Running, running
from connector.sandbox.engage.store import Engage

#: The local Engage takes far more than the 50 requests a second that Voyado asks for.
RATE = "1000"


class DemoFailed(ConnectorError):
    """A command of the demo did not do what it is known to do on the sample data."""


def tell() -> int:
    """Tell the story; the exit code. Everything happens in a temporary folder, on this machine."""
    with TemporaryDirectory(prefix="connector-demo-") as folder:
        project = Path(folder) / "shop"
        create(project)
        engage = Engage(Behaviour(hard_rate=None))
        load_schemas(engage, project / "schemas")
        load_contacts(engage, project / "contacts.csv")
        with running(engage=engage) as sandbox:
            _Story(project, sandbox).tell()
    return 0


class _Story:
    """The chapters, and what they share."""

    def __init__(self, project: Path, sandbox: Running) -> None:
        self._project, self._sandbox = project, sandbox
        self._console = Console(highlight=False)
        self._environment = os.environ | {
            "ENGAGE_URL": sandbox.url,
            "ENGAGE_API_KEY": sandbox.api_key,
            "REQUESTS_PER_SECOND": RATE,
            "WAREHOUSE_URL": "duckdb:///warehouse.duckdb",
            "LEDGER_URL": "sqlite:///.connector/ledger.db",
        }

    def tell(self) -> None:
        """Every chapter in turn."""
        self._introduce()
        self._look()
        self._send_once()
        self._send_nothing()
        self._next_day()
        self._close()

    def _introduce(self) -> None:
        facts = sample.FACTS
        rows = sum(f.rows for f in facts.values())
        self._say(
            "Kvist & Fjäll, a shop for outdoor clothes, has reviews, repairs and wishlists in its"
            f" warehouse: {rows:,} rows. Marketing wants each on the customer's card in Engage, to"
            " start a thank-you mail. Once each, and none forgotten."
        )

    def _look(self) -> None:
        self._chapter("1. Would it work?")
        self._connector("check", expect=1)
        self._say("Two reviews stand twice in the warehouse. The first of each counts.")
        self._chapter("2. What would be sent? Nothing is sent yet.")
        self._connector("preview", "product_reviews", "--limit", "1")
        self._expect_received(0)

    def _send_once(self) -> None:
        self._chapter("3. Send everything that is good.")
        self._connector("sync", expect=1)
        valid = sum(f.valid for f in sample.FACTS.values())
        self._expect_received(valid)
        self._say(
            f"Engage now holds {valid:,} interactions, each once. The rest is not lost: every row"
            " that could not go is kept with its reason."
        )
        self._connector("quarantine", "list", expect=0)

    def _send_nothing(self) -> None:
        self._chapter("4. Do it again: nothing may be sent twice.")
        before = self._sandbox.requests.posts
        self._connector("sync", expect=1)
        self._expect(self._sandbox.requests.posts == before, "the second sync sent something")
        self._say(
            "Not one request to create an interaction was made. It ends with 1 all the same, as"
            " long as a row waits for a person."
        )

    def _next_day(self) -> None:
        self._chapter("5. The next day.")
        before = len(self._sandbox.engage.interactions())
        sample.next_day(self._project / "warehouse.duckdb")
        self._say(
            f"A review that was written earlier arrives late ({sample.LATE}), one that had an"
            f" impossible rating is corrected ({sample.CORRECTED}), and the text of one that was"
            f" sent already is edited ({sample.EDITED})."
        )
        self._connector("sync", expect=1)
        self._expect_received(before + 2)
        self._say(
            "The late one and the corrected one were sent, the edited one was not sent again."
        )
        self._connector("explain", "product_reviews", sample.CORRECTED)

    def _close(self) -> None:
        stored = Counter(
            (i.schema_id, _identity(i.payload)) for i in self._sandbox.engage.interactions()
        )
        twice = sum(number > 1 for number in stored.values())
        self._expect(twice == 0, f"{twice} interactions stand twice in Engage")
        self._chapter("The count, from Engage's side")
        self._say(
            f"{len(stored):,} interactions, {twice} of them twice,"
            f" {self._sandbox.requests.posts:,} requests to create one."
        )
        self._say(
            "Next, your own project:\n\n"
            "  connector init shop && cd shop\n"
            "  connector sandbox &              # or your own Engage, in .env\n"
            "  connector check\n"
            "  connector sync\n\n"
            "(after `make demo` the command is .venv/bin/connector)"
        )

    def _connector(self, *arguments: str, expect: int = 0) -> None:
        """Type a command for the reader, and see that it ends as it must."""
        self._console.print(f"\n[bold cyan]$ connector {' '.join(arguments)}[/]")
        done = subprocess.run(
            [sys.executable, "-m", "connector", *arguments],
            cwd=self._project,
            env=self._environment,
            check=False,
        )
        said = f"`connector {' '.join(arguments)}` ended with {done.returncode}, not {expect}"
        self._expect(done.returncode == expect, said)

    def _expect_received(self, number: int) -> None:
        found = len(self._sandbox.engage.interactions())
        self._expect(found == number, f"Engage holds {found:,} interactions, not {number:,}")

    def _expect(self, holds: bool, otherwise: str) -> None:
        if not holds:
            raise DemoFailed(f"the demo failed: {otherwise}")

    def _chapter(self, title: str) -> None:
        self._console.print(f"\n[bold]── {title} ──[/]")

    def _say(self, text: str) -> None:
        self._console.print(f"\n{text}")


def _identity(payload: dict[str, object]) -> object:
    """The property that carries the row key."""
    return next(
        payload[name] for name in ("reviewId", "repairId", "wishlistEntryId") if name in payload
    )
