"""A project that has run for months, for looking at its pages: python -m tests.web.filled FOLDER

Its activations are synced once for real; what came before that is written into the ledger.
"""

import argparse
import json
import random
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path

import duckdb

from connector.sandbox.engage.running import Running, running
from tests.whole.shop import an_engage

KINDS = ("product_reviews", "repairs", "wishlist", "bookings", "returns", "store_visits")
LANDS = "se no dk fi de nl be fr uk ie at ch pl cz es pt it gr ee lv lt hu ro bg hr si sk lu us ca"
LANDS += " au nz jp kr mx br ar cl co pe is mt cy ca_qc us_ny us_ca us_tx za ae sg in"
HEAD = """
version: 1
name: Nordic Outdoor
environment: production
warehouse: {{url: "duckdb:///shop.duckdb", timezone: Europe/Stockholm}}
destinations:
  engage:
    {{type: engage, url: "{url}", api_key: "{key}", requests_per_second: 40, settle_after: 1s}}
  engage_b2b:
    {{type: engage, url: "{url}", api_key: "{key}", requests_per_second: 40, settle_after: 1s}}
activations:
"""
ACTIVATION = """
  {name}:
    description: {text} of the shop
    destination: {destination}
    tags: [{tag}, crm]
    owner: anna
    schedule: {{cron: "{cron}", timezone: Europe/Stockholm}}
    model: {{sql: "select * from visits where part = {part}"}}
    schema_id: visit
    row_key: id
    cursor: seen_at
    start: all
    contact: {{column: contact, identifier: email}}
    created_date: seen_at
    payload: {{visitId: id, productSku: sku, rating: rating}}
    limits: {{rows: {most}, refused: 5%}}{verify}
"""
VISITS = """
create or replace table visits as
select 'r' || g as id, timestamp '2026-01-01' + g * interval 1 hour as seen_at,
       'c' || (g % 10) || '@example.com' as contact, 'sku-' || (g % 50) as sku,
       1 + g % 5 as rating, g % 7 as part
from range(0, 140) t(g)
"""
REASONS = (
    ("rejected", "contact not found: looked up for 3 days"),
    ("invalid", "rating: an integer breaks the rule maximum 5"),
    ("invalid", "productSku: a text breaks the rule maxLength 20"),
    ("rejected", "HTTP 400: the interaction was refused"),
)
QUARANTINED = """
insert into visits
select 'q' || g, timestamp '2026-01-01', 'c' || (g % 9) || '@example.com', 'sku-' || g, 9, g % 3
from range(0, {}) t(g)
"""
"""What waits in quarantine stands in the model, too, behind the watermark."""
DEEDS: tuple[tuple[str, dict[str, object]], ...] = (
    ("retried", {"decision": "retried"}),
    ("retried", {"decision": "retried"}),
    ("discarded", {"decision": "discarded"}),
    ("settled", {"decision": "not_delivered"}),
    ("paused", {}),
    ("resumed", {"paused_by": "anna"}),
    ("edited", {"parts": ["model", "payload"]}),
    ("approval_refused", {"why": "the rows are not those that were shown any more"}),
)
HOUR = 3_600_000
SETTLED = 1.5
"""Seconds, a little more than `settle_after` above."""


def names_of(number: int) -> list[str]:
    """So many names of activations."""
    if number <= len(KINDS):
        return list(KINDS[:number])
    return [f"{kind}_{land}" for land in LANDS.split() for kind in KINDS][:number]


def write_project(folder: Path, names: list[str], url: str, key: str, held: int = 0) -> None:
    """The configuration and its warehouse; the last `held` activations are held at once."""
    with closing(duckdb.connect(str(folder / "shop.duckdb"))) as warehouse:
        warehouse.execute(VISITS)
    text = HEAD.format(url=url, key=key)
    for number, name in enumerate(names):
        text += ACTIVATION.format(
            name=name,
            text=name.replace("_", " ").capitalize(),
            destination="engage_b2b" if number % 3 == 2 else "engage",
            tag="daily" if number % 2 else "hourly",
            cron=f"{number % 60} */{1 + number % 6} * * *",
            part=number % 7,
            most=10 if number >= len(names) - held else 10_000,
            verify='\n    verify: {cron: "0 0 1 1 *", sample: 100%}' if number % 3 == 0 else "",
        )
    (folder / "activations.yaml").write_text(text)


def fill(
    ledger: Path, names: list[str], days: int = 90, delivered: int = 0, quarantined: int = 0
) -> None:
    """Write `days` of runs into the ledger, `delivered` rows and `quarantined` ones."""
    dice, now = random.Random(7), int(time.time() * 1000)
    with closing(sqlite3.connect(ledger)) as db, db:
        guard = "select sql from sqlite_master where name = 'deliveries_first_state'"
        (first_state,) = db.execute(guard).fetchone()
        db.execute("drop trigger deliveries_first_state")  # rows begin in the middle of their lives
        for number, name in enumerate(names):
            _write_runs(db, name, number, days, dice, now)
        for number in range(0, delivered, 10_000):
            rows = range(number, min(number + 10_000, delivered))
            db.executemany(
                "insert into deliveries (activation, row_key, state, attempt, run_id, changed_at,"
                " interaction_id, digest, created_date) values (?, ?, 'delivered', 1, 'old', ?, ?,"
                " 'd', '2026-01-01T00:00:00Z')",
                [
                    (names[i % len(names)], f"old-{i}", _some_time(dice, now, days), f"{i:08x}-o")
                    for i in rows
                ],
            )
        for i in range(quarantined):
            name, at = names[i % 3], now - dice.randrange(60 * 24) * HOUR
            _write_quarantined(db, i, name, at, REASONS[min(dice.randrange(10) // 3, 3)])
        _write_deeds(db, names, dice, now)
        db.execute(first_state)


def _write_deeds(db: sqlite3.Connection, names: list[str], dice: random.Random, now: int) -> None:
    """What persons did in the last weeks."""
    for back in range(250, 0, -1):
        what, details = DEEDS[dice.randrange(len(DEEDS))]
        db.execute(
            'insert into audit (at, "by", what, activation, details) values (?, ?, ?, ?, ?)',
            (
                now - back * 3 * HOUR - dice.randrange(HOUR),
                dice.choice(("anna", "bert", "vera")),
                what,
                names[dice.randrange(len(names))],
                json.dumps(
                    details | {"rows": dice.randrange(1, 40)} if "decision" in details else details
                ),
            ),
        )


def _write_quarantined(
    db: sqlite3.Connection, i: int, name: str, at: int, why: tuple[str, str]
) -> None:
    """A row that waits for a person; each fortieth is in doubt, after a second attempt."""
    doubt = i % 40 == 0
    state, reason = ("in_doubt", "no answer within 30 s") if doubt else why
    payload = json.dumps({"visitId": f"q{i}", "rating": 9})
    body = (None, None, None) if state == "invalid" else (f"c{i % 9}@example.com", "d", payload)
    number = db.execute(
        "insert into deliveries (activation, row_key, state, attempt, run_id, changed_at, reason,"
        " contact, digest, payload, created_date, contact_id) values"
        " (?, ?, ?, ?, 'old', ?, ?, ?, ?, ?, '2026-01-01T00:00:00Z', ?)",
        (name, f"q{i}", state, 2 * doubt, at, reason, *body, f"c{i % 9}" if doubt else None),
    ).lastrowid
    for attempt, outcome, status in ((1, "not_applied", 503), (2, "unknown", None)) * doubt:
        began = at - (3 - attempt) * 60_000
        db.execute(
            "insert into attempts (delivery_id, number, run_id, opened_at, closed_at, outcome,"
            " http_status, reason) values (?, ?, 'old', ?, ?, ?, ?, ?)",
            (number, attempt, began, began + 30_000, outcome, status, "no answer within 30 s"),
        )


def _some_time(dice: random.Random, now: int, days: int) -> int:
    """More of them lately, and less on Sundays. Dice are thrown alike on each day of the week."""
    back, moves = int(days * (1 - dice.random() ** 0.7)), dice.random() < 0.8
    back += (now // (24 * HOUR) - back) % 7 == 3 and moves
    return now - back * 24 * HOUR


def _write_runs(
    db: sqlite3.Connection, name: str, number: int, days: int, dice: random.Random, now: int
) -> None:
    step, trouble = (1 + number % 6) * HOUR, number % 7 == 3
    for back in range(days * 24 * HOUR // step, 0, -1):
        began = now - back * step - dice.randrange(60_000)
        bad = dice.random() < (0.2 if trouble else 0.02)
        status = ("stopped" if dice.random() < 0.5 else "attention") if bad else "succeeded"
        sent = 0 if status == "stopped" else int(dice.expovariate(1 / (20 + 5 * (number % 9))))
        refused = dice.randrange(5) if status == "attention" else 0
        error = "HTTP 503 from the destination" if status == "stopped" else None
        db.execute(
            "insert into runs (run_id, activation, status, started_at, finished_at, read, staged,"
            " delivered, invalid, rejected, error, kind, retryable, matched, comparable, by)"
            " values (?, ?, ?, ?, ?, ?, ?, ?, ?, 0, ?, ?, ?, ?, 1, 'schedule')",
            (
                f"{number:03}-{back:06}",
                name,
                status,
                began,
                began + 900 + sent * 27 + dice.randrange(2_000),
                sent + refused,
                sent + refused,
                sent,
                refused,
                error,
                "destination" if error else None,
                bool(error),
                0.9 + dice.random() * 0.1,
            ),
        )


@dataclass(frozen=True)
class Size:
    """How much a project has: `held` activations are, `days` of runs lie behind it."""

    activations: int = 5
    delivered: int = 20_000
    quarantined: int = 0
    held: int = 1
    days: int = 90


def make_project(
    folder: Path, sandbox: Running, size: Size, connector: Callable[..., object]
) -> list[str]:
    """Make it in a folder, unless it is there; `connector` runs a command on it. Returns the names
    of its activations."""
    names, ledger = names_of(size.activations), folder / ".connector" / "ledger.db"
    if ledger.exists():
        return names
    write_project(folder, names, sandbox.url, sandbox.api_key, size.held)
    connector("sync")
    time.sleep(SETTLED)  # younger ones are not verified
    connector("receipts", names[0], "--now")
    engage = sandbox.engage
    if stored := engage.interactions():
        engage.remove_interaction(stored[0].id)
    connector("receipts", names[0], "--now")
    with closing(duckdb.connect(str(folder / "shop.duckdb"))) as warehouse:
        warehouse.execute(QUARANTINED.format(size.quarantined))
    fill(ledger, names, size.days, size.delivered, size.quarantined)
    return names


def main() -> None:
    """Make a project in a folder and serve it until it is interrupted."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    for name, default in asdict(Size()).items():
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--port", type=int, default=8080)
    asked = vars(parser.parse_args())
    folder, port = asked.pop("folder"), asked.pop("port")
    folder.mkdir(parents=True, exist_ok=True)

    def connector(*words: str) -> None:
        subprocess.run([sys.executable, "-m", "connector", *words], cwd=folder, check=False)

    # the same place each time: what is recorded went there
    with running(engage=an_engage(), port=port + 1000) as sandbox:
        make_project(folder, sandbox, Size(**asked), connector)
        connector("serve", "--port", str(port))


if __name__ == "__main__":
    main()
