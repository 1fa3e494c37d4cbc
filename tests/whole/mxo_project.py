"""A project that sends visits to an MXO: SQLite on both sides, and a sandbox over real HTTP."""

import os
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path
from typing import Any

from connector.cli.main import run
from connector.sandbox.mxo.behaviour import Behaviour
from connector.sandbox.mxo.running import Running
from tests import zygote
from tests.whole.shop import Done

CONFIG = """\
version: 1
warehouse: {{url: "sqlite:///w.db", timezone: UTC}}
ledger: {{url: "sqlite:///ledger.db", lease: 2s}}
destinations:
  mxo:
    type: mxo
    url: {url}
    client_id: {client_id}
    client_secret: {secret}
    site_key: {site_key}
    workspace_id: {workspace_id}
    mode: {mode}
    requests_per_second: {rate}
    timeout: {timeout}
    settle_after: {settle_after}
    {more}
activations:
  visits:
    model: {{table: visits}}
    destination: mxo
    touchpoint: store://pos/visit
    row_key: id
    cursor: seen_at
    start: all
    contact: {{column: customer_no, identifier: customerkey}}
    {time}
    on_unknown: {on_unknown}
    payload: {{storeNo: store_no, amount: amount}}
    {activation}
"""
SECRET = "a-client-secret"
DEFAULTS = {
    "mode": "single",
    "rate": "500",
    "time": "",
    "on_unknown": "park",
    "more": "",
    "activation": "",
    "timeout": "2s",
    "settle_after": "1s",
}


class Project:
    """A folder with a configuration and a warehouse, beside a sandbox."""

    def __init__(self, path: Path, sandbox: Running, capture: Any) -> None:
        self.path, self.sandbox, self._capture = path, sandbox, capture
        self.options = dict(DEFAULTS)
        self._started: list[subprocess.Popen[str]] = []
        self.tokens: list[str] = []
        """All that were given."""
        make: Any = sandbox.store.tokens.make

        def noted(*given: Any) -> str:
            self.tokens.append(make(*given))
            return self.tokens[-1]

        noting: Any = noted
        sandbox.store.tokens.make = noting  # type: ignore[method-assign]
        with closing(sqlite3.connect(path / "w.db")) as warehouse, warehouse:
            warehouse.execute(
                "create table visits"
                " (id text, seen_at text, customer_no text, store_no int, amount real)"
            )
        self.behave()
        self.configure()

    def configure(self, **options: str) -> None:
        """Write the configuration; `options` stay until they are changed."""
        self.options |= options
        there = self.sandbox
        places = {
            "url": there.url,
            "client_id": there.client_id,
            "secret": there.secret,
            "site_key": there.site_key,
            "workspace_id": there.workspace_id,
        }
        text = CONFIG.format(**places, **self.options)
        (self.path / "activations.yaml").write_text(text)

    def behave(self, **switches: Any) -> None:
        """As the switches say, without a limit of requests."""
        free = {"hard_rate": None, "offline": "on", "process_delay": 0}
        self.sandbox.behaviour = Behaviour.model_validate({**free, **switches})

    def add(self, rows: int, first: int = 0) -> None:
        """Add so many visits, of a customer each."""
        with closing(sqlite3.connect(self.path / "w.db")) as warehouse, warehouse:
            warehouse.executemany(
                "insert into visits values (?, ?, ?, ?, ?)",
                [
                    (f"v{n}", f"2026-11-01 10:{n // 60 % 60:02}:{n % 60:02}", f"k{n}", n % 9, 4.5)
                    for n in range(first, first + rows)
                ],
            )

    def connector(self, *arguments: str) -> Done:
        """Run a command in this process."""
        self._capture.readouterr()
        code = run(["--config", str(self.path / "activations.yaml"), *arguments])
        done = Done(code, *self._capture.readouterr())
        self.tells_no_secret(done.out + done.err)
        return done

    def sync(self, *arguments: str) -> Done:
        """`connector sync --json`."""
        return self.connector("sync", "--json", *arguments)

    def start(self, *arguments: str) -> "subprocess.Popen[str]":
        """Start a command as a process of its own; it ends with the test at the latest."""
        command = ["--config", str(self.path / "activations.yaml"), *arguments]
        process = zygote.start(command, dict(os.environ))
        self._started.append(process)
        return process

    def close(self) -> None:
        """End every process that was started."""
        for process in self._started:
            process.kill()
            process.communicate()

    def tells_no_secret(self, text: str) -> None:
        """Neither the secret nor any token."""
        for secret in (self.sandbox.secret, *self.tokens):
            assert secret not in text

    @property
    def counts(self) -> dict[str, int]:
        """Rows by state, as `status` tells them; those that there are."""
        (activation,) = self.connector("status", "--json").json["activations"]
        return {state: number for state, number in activation["counts"].items() if number}

    @property
    def effects(self) -> dict[str, int]:
        """The truth: how often each row took effect, by its reference."""
        return {name: took.effects for name, took in self.sandbox.truth().items()}

    def nothing_twice(self) -> None:
        """No row took effect twice."""
        assert all(number <= 1 for number in self.effects.values()), self.effects
