"""A project whose commands are run by forked processes, on real parts of its own."""

import io
import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Collection
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any
from unittest.mock import patch

import duckdb

from connector.cli import main as cli
from tests.proof.engages import Address
from tests.whole.shop import CONFIG, DEFAULTS

COLUMNS = (
    "(id text, seen_at timestamp, contact text, sku text, rating int, price decimal(9,2),"
    " free boolean)"
)
PAUSE = 0.1
UNFINISHED = ("in_doubt", "pending", "submitted")
STILL = 8.0
"""Seconds in which nothing new is said of rows in doubt, if they are a person's: longer than the
wait before absence is believed."""


class Project:
    """A folder with a configuration and a warehouse; its ledger may be elsewhere, and it and the
    Engage be reached in another way than their own."""

    def __init__(
        self,
        path: Path,
        engage: Address,
        ledger: str,
        reached_at: str | None = None,
        engage_at: str | None = None,
        text: str = CONFIG,
        **options: Any,
    ) -> None:
        self.path, self.engage, self.ledger = path, engage, ledger
        path.mkdir(parents=True, exist_ok=True)
        places = {
            "url": engage_at or engage.url,
            "key": engage.api_key,
            "ledger": reached_at or ledger,
        }
        self.config.write_text(text.format(**{**DEFAULTS, **options, **places}))

    @property
    def config(self) -> Path:
        return self.path / "activations.yaml"

    def arrive(self, warehouse: Path) -> None:
        """The warehouse is now like this file."""
        copy = self.path / f"arriving-{os.getpid()}.duckdb"
        shutil.copyfile(warehouse, copy)
        copy.replace(self.path / "shop.duckdb")
        (self.path / f"has-{warehouse.name}").touch()

    def has(self, warehouse: Path) -> bool:
        """Whether it has been like this file."""
        return (self.path / f"has-{warehouse.name}").exists()

    def sync(self, *arguments: str) -> tuple[int, dict[str, Any]]:
        """`connector sync --json` in this process: its exit code and its one run."""
        with redirect_stdout(io.StringIO()) as out, patch.object(cli, "_defect", _raise):
            code = cli.run(["--config", str(self.config), "sync", "--json", *arguments])
        print(code, " ".join(out.getvalue().split()), file=sys.stderr)
        document = json.loads(out.getvalue())
        runs = document.get("runs") or [{"status": "stopped", "error": document.get("error")}]
        return code, runs[0]

    def approve(self, what: str, rows: Collection[str]) -> None:
        """`connector approve`, of `what`: until somebody begins to, none of these `rows` is at the
        destination. Nothing may be held by now."""
        approving = self.path / f"approving-{what}"
        stored = {each["payload"].get("visitId") for each in self.engage.interactions()}
        if not approving.exists():
            assert not stored & set(rows), f"{stored} were sent, and {what} was never approved"
        approving.touch()
        with redirect_stdout(io.StringIO()) as out, patch.object(cli, "_defect", _raise):
            code = cli.run(["--config", str(self.config), "approve", "visits", "--yes", "--json"])
        print(code, " ".join(out.getvalue().split()), file=sys.stderr)

    def sync_until_quiet(self, seconds: float, approve: Callable[[], None] | None = None) -> int:
        """Sync until no row is left to do; `approve`: how a held run is let go. Raises
        TimeoutError."""
        deadline = time.monotonic() + seconds
        while True:
            _, run = self.sync("--wait")
            if approve and run["status"] == "held":
                approve()
            elif run["status"] != "stopped" and not sum(run[state] for state in UNFINISHED):
                return 0
            if time.monotonic() > deadline:
                raise TimeoutError(f"still not quiet after {seconds:g} s: {run}")
            time.sleep(PAUSE)

    def sync_until_told(self, seconds: float) -> int:
        """The same where rows may be left in doubt for a person. Raises TimeoutError."""
        began, since, before = time.monotonic(), 0.0, -1
        while True:
            _, run = self.sync("--wait")
            now = time.monotonic()
            if now > began + seconds:
                raise TimeoutError(f"still not quiet after {seconds:g} s: {run}")
            if run["status"] == "stopped" or run["pending"] or run["submitted"]:
                before = -1
            elif run["in_doubt"] == 0 or (run["in_doubt"] == before and now > since + STILL):
                return 0
            elif run["in_doubt"] != before:
                since, before = now, run["in_doubt"]
            time.sleep(PAUSE)


def _raise(defect: Exception, _as_document: bool) -> None:
    """A mistake of the product's is no sentence here, but the end of the process."""
    raise defect


def make_warehouse(file: Path, *statements: str) -> None:
    """A warehouse file with the table `visits`, filled by `statements`. For forked processes: a
    DuckDB that was open leaves threads behind."""
    with duckdb.connect(str(file)) as connection:
        for statement in (f"create table visits {COLUMNS}", *statements):
            connection.execute(statement)
