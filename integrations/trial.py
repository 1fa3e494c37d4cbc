"""A small project on real parts, for the tests that run with the tools themselves.

Those are in environments of their own, so this needs nothing but Python's library: the connector,
its warehouse and its sandbox are processes of CONNECTOR_PYTHON.
"""

import json
import os
import socket
import subprocess
import time
import urllib.request
from pathlib import Path
from typing import Any

PYTHON = os.environ.get("CONNECTOR_PYTHON", "")
KEY = "s3cr3t-key-of-acme"
"""What the sandbox takes, and no log may show."""
CONTACT = "00000000-0000-4000-8000-000000000001"
SCHEMA = {
    "id": "visit",
    "displayName": "Visit",
    "jsonSchema": {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "properties": {
            "visitId": {"type": "string", "displayName": "Visit"},
            "rating": {"type": "integer", "minimum": 1, "maximum": 5, "displayName": "Rating"},
        },
        "required": ["visitId"],
    },
}
HEAD = """\
version: 1
warehouse: {{url: "{warehouse}", timezone: UTC}}
ledger: {{url: "{ledger}", lease: 10s}}
destinations:
"""
DESTINATION = """\
  {name}:
    type: engage
    url: "{url}"
    api_key: "${{{variable}}}"
    requests_per_second: {rate}
    timeout: 5s
    settle_after: 10s
activations:
"""
ACTIVATION = """\
  {name}:
    model: {model}
    schema_id: visit
    row_key: id
    cursor: seen_at
    start: all
    contact: {{column: contact, identifier: contactId}}
    created_date: seen_at
    payload: {{visitId: id, rating: rating}}
    {more}
"""
MAKE = """
import sys
from sqlalchemy import create_engine, text
import connector.warehouse.duck  # its dialect; the name duckdb:// is another package's
url = sys.argv[1].replace("duckdb:", "duckdb+connector:")
with create_engine(url).begin() as c:
    c.execute(text("create schema if not exists main"))
    c.execute(text("create table if not exists visits"
        " (id text, seen_at timestamp, contact text, rating int)"))
    for each in sys.argv[3:]:
        name, number, rating = each.split(":")
        for i in range(int(number)):
            c.execute(text("insert into visits values (:i, '2026-11-01 10:00:00', :c, :r)"),
                {"i": f"{name}{i}", "c": sys.argv[2], "r": int(rating)})
"""


class Trial:
    """A project in a folder, and an Engage beside it. `close` ends that."""

    def __init__(self, path: Path, rate: int = 5000, warehouse: str = "", ledger: str = "") -> None:
        self.path, self.rate = path, rate
        path.mkdir(parents=True, exist_ok=True)
        self.warehouse = warehouse or f"duckdb:///{path}/w.duckdb"
        self.ledger = ledger or f"sqlite:///{path}/ledger.db"
        (path / "schemas").mkdir(exist_ok=True)
        (path / "schemas/visit.json").write_text(json.dumps(SCHEMA))
        (path / "contacts.csv").write_text(f"contactId,email\n{CONTACT},a@example.com\n")
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        self._sandbox = subprocess.Popen(
            [PYTHON, "-m", "connector", "sandbox", "--port", str(port), "--api-key", KEY],
            cwd=path,
            stdout=subprocess.DEVNULL,
        )
        self._wait()

    def _wait(self) -> None:
        for _ in range(600):
            try:
                self.ask("/sandbox/requests")
                return
            except OSError:
                time.sleep(0.1)
        raise AssertionError("the sandbox does not begin")

    @property
    def config(self) -> str:
        return str(self.path / "activations.yaml")

    def configure(self, *activations: str, variable: str = "ENGAGE_API_KEY") -> None:
        """Write the configuration, with its `activations`."""
        head = HEAD.format(warehouse=self.warehouse, ledger=self.ledger)
        destination = DESTINATION.format(
            name="engage", url=self.url, variable=variable, rate=self.rate
        )
        Path(self.config).write_text(head + destination + "".join(activations))

    def activation(self, name: str, more: str = "", model: str = "") -> str:
        """One activation, of the rows whose key begins with its name."""
        of_it = f"{{sql: \"select * from visits where id like '{name}-%'\"}}"
        return ACTIVATION.format(name=name, more=more or "tags: [trial]", model=model or of_it)

    def add(self, **rows: Any) -> None:
        """Add so many rows by the name of their activation; a pair is (number, rating)."""
        told = []
        for name, number in rows.items():
            many, rating = number if isinstance(number, tuple) else (number, 4)
            told.append(f"{name}-{rating}-:{many}:{rating}")
        subprocess.run([PYTHON, "-c", MAKE, self.warehouse, CONTACT, *told], check=True)

    def connector(self, *arguments: str, **environment: str) -> Any:
        """The document of a command."""
        line = [PYTHON, "-m", "connector", "--config", self.config, *arguments, "--json"]
        env = {**os.environ, "ENGAGE_API_KEY": KEY, **environment}
        done = subprocess.run(line, capture_output=True, text=True, env=env, cwd=self.path)
        return json.loads(done.stdout)

    def ask(self, path: str) -> Any:
        """What the sandbox tells."""
        with urllib.request.urlopen(self.url + path, timeout=30) as answer:
            return json.load(answer)

    def stored(self) -> dict[str, int]:
        """How often each row is there: the truth."""
        found: dict[str, int] = {}
        for each in self.ask("/sandbox/interactions?limit=1000000"):
            key = each["payload"]["visitId"]
            found[key] = found.get(key, 0) + 1
        return found

    def close(self) -> None:
        """End the sandbox."""
        self._sandbox.terminate()
        self._sandbox.wait(30)
