"""What was not checked here, counted loudly at the end: a promise that a machine cannot look at is
not one that holds there."""

import re
from collections import Counter
from collections.abc import Generator, Iterable
from typing import Any

import pytest

from connector.rules.words import counted

PARTS = {
    "of the page (no browser: apt-get install chromium, pip install playwright)": (
        "no Chromium|no Playwright"
    ),
    "of the page for readers with aids (no axe-playwright-python)": "axe-playwright-python",
    "with MariaDB (no server: apt-get install mariadb-server-core)": "mariadbd|pymysql",
    "with PostgreSQL (no server, and no package that brings one)": "PostgreSQL to start|pgserver",
    "with BigQuery, ClickHouse or Snowflake (no emulator: make emulators)": (
        "emulator of|clickhouse_connect|snowflake.sqlalchemy|sqlalchemy_bigquery"
    ),
    "with Redshift (no driver)": "psycopg2|sqlalchemy_redshift",
    "that take rights this process has not (to mount, to make a PID namespace)": (
        "can be mounted|no unshare|PID namespaces|closed to who runs|read-only to root"
    ),
    "with other programs (dbt, helm, promtool, systemd-analyze)": (
        "dbt is not here|helm is not|promtool is not|systemd-analyze"
    ),
    "with libraries that are not installed": (
        "could not import|not installed|no exporter|engage-connector\\[|hatchling|schemathesis"
    ),
    "with what this system has not (IPv6, Linux)": "IPv6|only Linux has it|/proc",
}
"""What a promise needs, as it is told, and the reasons for which tests are skipped without it. What
has another reason does not apply at all, or is said by who ran the tests."""


def absences(reasons: Iterable[str]) -> list[str]:
    """How many promises were not looked at, by what they need, the most first."""
    found = Counter[str]()
    for reason in reasons:
        part = next((what for what, words in PARTS.items() if re.search(words, reason)), None)
        if part is not None:
            found[part] += 1
    return [f"{counted(number, 'promise')} {what}" for what, number in found.most_common()]


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_terminal_summary(terminalreporter: Any) -> Generator[None, object, object]:
    done = yield  # below everything else, where it is read
    for line in absences(map(_reason, terminalreporter.stats.get("skipped", ()))):
        terminalreporter.write_line(f"NOT CHECKED HERE: {line}", yellow=True, bold=True)
    return done


def _reason(report: Any) -> str:
    where = report.longrepr
    return str(where[2] if isinstance(where, tuple) else where)
