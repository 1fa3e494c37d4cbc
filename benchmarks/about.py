"""What was measured, and on what."""

import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.world import REQUIREMENTS, ROOT

OURS = ("duckdb", "httpx", "httptools", "orjson", "psycopg", "sqlalchemy", "uvloop")


def machine() -> str:
    """The processor, its cores and the memory."""
    gigabytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{_processor()}, {os.cpu_count()} cores, {gigabytes:.0f} GiB, {platform.system()}"


def versions() -> str:
    """Python's and the libraries', the connector's first."""
    import sqlite3

    ours = [f"{name} {version(name)}" for name in OURS]
    pinned = [line for line in REQUIREMENTS.read_text().splitlines() if "==" in line]
    theirs = [" ".join(line.split("==")) for line in pinned]
    python = f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}"
    return f"{python}, {', '.join(ours)}; the others: {', '.join(theirs)}"


def moment(arguments: str) -> dict[str, Any]:
    """When a bench was run, of which commit, and how."""
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "commit": _git("rev-parse", "--short=10", "HEAD"),
        "changed": bool(_git("status", "--porcelain", "--", "connector", "benchmarks")),
        "command": f"python -m benchmarks{arguments}",
        "load": os.getloadavg()[1],
    }


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True)
    return done.stdout.strip()
