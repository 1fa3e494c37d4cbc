"""A project that asks for surveys, beside a Survey Dynamix whose clock can be advanced."""

import os
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from connector.cli.main import run
from connector.sandbox.survey_dynamix.behaviour import Behaviour
from connector.sandbox.survey_dynamix.running import CUSTOMER, Running, running
from connector.sandbox.survey_dynamix.store import Got
from tests import zygote
from tests.whole.shop import Done

CONFIG = """\
version: 1
warehouse: {{url: "sqlite:///w.db", timezone: UTC}}
ledger: {{url: "sqlite:///ledger.db", lease: 2s}}
destinations:
  feedback:
    type: survey_dynamix
    url: {url}
    customer: {customer}
    auth_token: {secret}
    requests_per_second: 500
    timeout: {timeout}
    settle_after: {settle_after}
    {there}
activations:
  {name}:
    {more}
    model: {{table: parcels}}
    survey_id: 493
    survey_type: email
    row_key: id
    cursor: seen_at
    start: all
    contact: {{column: email, identifier: email}}
    scheduled_at: {scheduled_at}
    stale_after: {stale_after}
    when_pending: {when_pending}
    agent_id: store
    call_type: {{value: delivery}}
    payload: {payload}
    limits: {limits}
"""
DEFAULTS: dict[str, Any] = {
    "timeout": "1s",
    "settle_after": "0.6s",
    "there": "user_agent: tests/1.0",
    "name": "delivery_survey",
    "more": "description: After a parcel",
    "scheduled_at": "{after: 15m}",
    "stale_after": "2d",
    "when_pending": "reject",
    "payload": "{orderNo: order_no, storeName: store_name}",
    "limits": "{}",
}
ROWS = 12


class Project:
    """A folder with a configuration and a warehouse."""

    def __init__(self, path: Path, sandbox: Running, capture: Any) -> None:
        self.path, self.sandbox, self._capture = path, sandbox, capture
        self.options = dict(DEFAULTS)
        self._started: list[subprocess.Popen[str]] = []
        self.configure()
        self.execute(
            "create table parcels (id text, seen_at text, email text, store integer,"
            " store_name text, order_no text, ask_at text)"
        )
        self.add(*range(ROWS))

    @property
    def config(self) -> Path:
        return self.path / "activations.yaml"

    def configure(self, **options: Any) -> None:
        """Write the configuration; `options` stay until they are changed."""
        self.options |= options
        there = {"url": self.sandbox.url, "secret": self.sandbox.secret, "customer": CUSTOMER}
        self.config.write_text(CONFIG.format(**{**there, **self.options}))

    def execute(self, sql: str, rows: Any = ((),)) -> None:
        with closing(sqlite3.connect(self.path / "w.db")) as warehouse, warehouse:
            warehouse.executemany(sql, rows)

    def add(self, *numbers: int, email: str = "c{}@example.com", ask_at: str | None = None) -> None:
        """Add parcels, each of another person."""
        self.execute(
            "insert into parcels values (?, ?, ?, ?, ?, ?, ?)",
            [
                (
                    f"p{n}",
                    f"2026-11-01 10:00:{n % 60:02}",
                    email.format(n),
                    7,
                    "Åhus",
                    f"A+{n}",
                    ask_at,
                )
                for n in numbers
            ],
        )

    def behave(self, **switches: Any) -> None:
        self.sandbox.behaviour = Behaviour.model_validate(switches)

    def connector(self, *arguments: str) -> Done:
        """Run a command in this process."""
        self._capture.readouterr()
        code = run(["--config", str(self.config), *arguments])
        return Done(code, *self._capture.readouterr())

    def sync(self, *arguments: str) -> Done:
        """`connector sync --json`."""
        return self.connector("sync", "--json", *arguments)

    def start(self, *arguments: str) -> "subprocess.Popen[str]":
        """Start a command as a process of its own; it ends with the test at the latest."""
        process = zygote.start(["--config", str(self.config), *arguments], dict(os.environ))
        self._started.append(process)
        return process

    def close(self) -> None:
        """End every process that was started."""
        for process in self._started:
            process.kill()
            process.communicate()

    @property
    def posts(self) -> int:
        return self.sandbox.requests.posts

    @property
    def counts(self) -> dict[str, int]:
        """How many rows stand in each state."""
        (document,) = self.connector("status", "--json").json["activations"]
        return {state: number for state, number in document["counts"].items() if number}

    def got(self) -> dict[str, Got]:
        """By reference, what persons have got by the time that everything is due: the truth."""
        self.sandbox.clock.advance(30 * 86400)
        return self.sandbox.truth()


@pytest.fixture
def sandbox() -> Iterator[Running]:
    with running() as server:
        yield server


@pytest.fixture
def project(
    tmp_path: Path, sandbox: Running, capsys: pytest.CaptureFixture[str]
) -> Iterator[Project]:
    project = Project(tmp_path, sandbox, capsys)
    yield project
    project.close()
