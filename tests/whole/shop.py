"""A small project on real parts: DuckDB, SQLite, and a sandbox Engage over real HTTP."""

import json
import os
import signal
import sqlite3
import subprocess
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import NAMESPACE_URL, uuid5

import duckdb

from connector.cli.main import run
from connector.sandbox.engage.behaviour import Behaviour
from connector.sandbox.engage.running import Running
from connector.sandbox.engage.store import Engage
from tests import zygote

SCHEMA: dict[str, Any] = {
    "id": "visit",
    "displayName": "Visit",
    "jsonSchema": {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "properties": {
            "visitId": {"type": "string", "displayName": "Visit"},
            "productSku": {"type": "string", "displayName": "SKU"},
            "rating": {"type": "integer", "minimum": 1, "maximum": 5, "displayName": "Rating"},
            "price": {"type": "number", "displayName": "Price"},
            "free": {"type": "boolean", "displayName": "Free"},
            "date": {"type": "string", "format": "date-time", "displayName": "Date"},
        },
        "required": ["visitId"],
    },
}

CONFIG = """
version: 1
warehouse: {{url: "duckdb:///shop.duckdb", timezone: Europe/Stockholm, lock_timeout: 2s}}
ledger: {{url: "{ledger}", lease: {lease}}}
destinations:
  engage:
    type: engage
    url: {url}
    api_key: {key}
    requests_per_second: {rate}
    concurrency: {concurrency}
    timeout: {timeout}
    settle_after: {settle_after}
    contact_cache: {contact_cache}
alerts: {alerts}
activations:
  {name}:
    {more}
    model: {{sql: "{model}"}}
    schema_id: {schema}
    row_key: {row_key}
    {cursor}
    start: {start}
    contact: {{column: contact, identifier: {identifier}, wait: {wait}}}
    created_date: seen_at
    payload: {payload}
    limits: {limits}
"""

DEFAULTS: dict[str, Any] = {
    "alerts": "[]",
    "name": "visits",
    "more": "description: Visits",
    "schema": "visit",
    "row_key": "id",
    "rate": 5000,
    "concurrency": 16,
    "lease": "2s",
    "timeout": "5s",
    "settle_after": "3m",
    "contact_cache": "1d",
    "model": "select * from visits",
    "cursor": "cursor: {column: seen_at, overlap: 1h}",
    "start": "all",
    "identifier": "contactId",
    "wait": "3d",
    "payload": "{visitId: id, productSku: sku, rating: rating}",
    "limits": "{}",
}


def contact_id(number: int) -> str:
    """The GUID of the contact `number`."""
    return str(uuid5(NAMESPACE_URL, f"contact-{number}"))


def behaving(**switches: Any) -> Behaviour:
    """A sandbox without a rate limit, and with `switches`."""
    return Behaviour(**{"hard_rate": None, **switches})


def an_engage(contacts: int = 10) -> Engage:
    """An Engage with the schema, and contacts that have an e-mail address each."""
    engage = Engage(behaving())
    engage.add_schema(SCHEMA)
    for number in range(contacts):
        engage.add_contact({"contactId": contact_id(number), "email": f"c{number}@example.com"})
    return engage


@cache
def empty_warehouse() -> bytes:
    """A file with the table of visits, and nothing in it: each shop has a copy."""
    with TemporaryDirectory() as folder:
        file = Path(folder, "empty.duckdb")
        with closing(duckdb.connect(str(file))) as connection:
            connection.execute(
                "create table visits (id text, seen_at timestamp, contact text, sku text,"
                " rating int, price decimal(9,2), free boolean)"
            )
        return file.read_bytes()


@cache
def _duckdb() -> duckdb.DuckDBPyConnection:
    """A DuckDB that warehouses are opened in: to start one takes longer than most statements."""
    return duckdb.connect(config={"threads": 1})


@dataclass(frozen=True)
class Done:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def said(self) -> str:
        """All that was printed, in one line."""
        return " ".join((self.out + self.err).split())

    @property
    def json(self) -> Any:
        """The one JSON document on standard output."""
        return json.loads(self.out)

    @property
    def run(self) -> Any:
        """The one run of a `sync --json`."""
        (document,) = self.json["runs"]
        return document


class Shop:
    """A project folder, its warehouse, and its Engage."""

    def __init__(self, path: Path, sandbox: Running, capture: Any = None) -> None:
        self.path, self.sandbox, self._capture = path, sandbox, capture
        self._started: list[subprocess.Popen[str]] = []
        self.options = {**DEFAULTS, "ledger": "sqlite:///.connector/ledger.db"}
        self.configure()
        self.warehouse_file.write_bytes(empty_warehouse())

    @property
    def config(self) -> Path:
        return self.path / "activations.yaml"

    @property
    def warehouse_file(self) -> Path:
        return self.path / "shop.duckdb"

    @property
    def ledger_file(self) -> Path:
        return self.path / ".connector" / "ledger.db"

    def configure(self, **options: Any) -> None:
        """Write the configuration; `options` stay until they are changed."""
        self.options |= options
        places = {"url": self.sandbox.url, "key": self.sandbox.api_key}
        self.config.write_text(CONFIG.format(**{**places, **self.options}))

    def execute(self, sql: str, rows: Iterable[Any] = ()) -> None:
        """Write into the warehouse, as soon as nobody reads it."""
        with self._alone_in_the_warehouse() as connection:
            if rows:
                connection.executemany(sql, list(rows))
            else:
                connection.execute(sql)

    @contextmanager
    def _alone_in_the_warehouse(self) -> Iterator[duckdb.DuckDBPyConnection]:
        deadline = time.monotonic() + 20
        with closing(_duckdb().cursor()) as connection:
            while True:
                try:
                    connection.execute(f"attach '{self.warehouse_file}' as shop")
                    break
                except duckdb.OperationalError:  # somebody reads it, here or elsewhere
                    if time.monotonic() > deadline:
                        raise
                    time.sleep(0.02)
            try:
                connection.execute("use shop")
                yield connection
            finally:
                connection.execute("use memory")
                connection.execute("detach shop")

    def add(self, *rows: dict[str, Any]) -> None:
        """Add visits; what is not given is a good value."""
        self.execute(
            "insert into visits values ($id, $seen_at, $contact, $sku, $rating, $price, $free)",
            [{**VISIT, **row} for row in rows],
        )

    def add_many(self, number: int, first: int = 0) -> None:
        """Add `number` good visits, several a second (ties), over the first ten contacts."""
        ids = [contact_id(n) for n in range(10)]
        self.execute(
            f"insert into visits select 'v' || i, timestamp '2026-11-01' + to_seconds(i // 7),"
            f" ({ids!r})[1 + i % 10], 'sku-' || i % 13, 1 + i % 5, 9.5, true"
            f" from range({first}, {first + number}) t(i)"
        )

    def add_by_email(self, number: int, first: int = 0, contacts: int = 10) -> None:
        """Add `number` good visits over the first `contacts` contacts, by their e-mail address."""
        self.execute(
            "insert into visits select 'v' || i, timestamp '2026-11-01' + to_seconds(i // 7),"
            f" 'c' || (i % {contacts}) || '@example.com', 'sku-' || i % 13, 1 + i % 5, 9.5, true"
            f" from range({first}, {first + number}) t(i)"
        )

    def connector(self, *arguments: str) -> Done:
        """Run a command in this process."""
        if self._capture:
            self._capture.readouterr()
        code = run(["--config", str(self.config), *arguments])
        out, err = self._capture.readouterr() if self._capture else ("", "")
        return Done(code, out, err)

    def sync(self, *arguments: str) -> Done:
        """`connector sync --json`."""
        return self.connector("sync", "--json", *arguments)

    def start(self, *arguments: str, **environment: str) -> "subprocess.Popen[str]":
        """Start a command as a process of its own; it ends with the test at the latest."""
        return self._begun(arguments, os.environ | environment)

    def start_at(self, *arguments: str, **ends: Any) -> "subprocess.Popen[str]":
        """`start`, with the `ends` that a Popen is given: at a terminal, for instance."""
        return self._begun(arguments, os.environ, **ends)

    def _begun(
        self, arguments: Sequence[str], environment: Mapping[str, str], **ends: Any
    ) -> "subprocess.Popen[str]":
        process = zygote.start(["--config", str(self.config), *arguments], environment, **ends)
        self._started.append(process)
        return process

    def freeze(self, process: "subprocess.Popen[str]") -> None:
        """Stop a process where it stands, but not inside a transaction: SQLite's lock would stay
        with it, and nobody else could write. A lock to read does so, too, where there is no
        write-ahead log, and in a log's file it is the lock of whoever writes that counts: so what
        is tried is to have the ledger alone."""
        while True:
            process.send_signal(signal.SIGSTOP)
            os.waitpid(process.pid, os.WUNTRACED)
            try:
                with closing(sqlite3.connect(self.ledger_file, timeout=0)) as connection:
                    connection.execute("begin exclusive")
                return
            except sqlite3.OperationalError:
                process.send_signal(signal.SIGCONT)
                time.sleep(0.001)

    @contextmanager
    def ledger_connection(self) -> Iterator[sqlite3.Connection]:
        """A connection to the ledger beside the connector's own, in one transaction."""
        with closing(sqlite3.connect(self.ledger_file)) as connection, connection:
            yield connection

    def close(self) -> None:
        """End every process that was started."""
        for process in self._started:
            process.kill()
            process.communicate()

    @property
    def posts(self) -> int:
        """How many POSTs to create an interaction were received."""
        return self.sandbox.requests.count("POST /interactions")

    @property
    def look_ups(self) -> int:
        """How many GETs to look a contact up were received."""
        return self.sandbox.requests.count("GET /contacts/id")

    @property
    def stored(self) -> Counter[str]:
        """How often each row stands in Engage: the truth, whatever the ledger says."""
        return Counter(i.payload["visitId"] for i in self.sandbox.engage.interactions())

    def state(self, key: str) -> str:
        """The state of a row in the ledger."""
        return str(self.connector("explain", "visits", key, "--json").json["state"])


PATIENCE = 60
"""Seconds that a process has in which to end, where nothing is promised of how soon it does: others
may use the machine, too."""
VISIT: dict[str, Any] = {
    "id": "v1",
    "seen_at": "2026-11-01 10:00:00",
    "contact": contact_id(1),
    "sku": "sku-1",
    "rating": 4,
    "price": "9.50",
    "free": True,
}
