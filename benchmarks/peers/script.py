"""The obvious script: what is later than the watermark, one POST after the other.

It remembers nothing else: what was under way when it dies is sent again, or never.
"""

import sys
from pathlib import Path

import duckdb
import requests

from benchmarks.peers.body import COLUMNS, body_of

warehouse, url = sys.argv[1:]
state = Path("watermark.txt")
watermark = state.read_text() if state.exists() else "0001-01-01"

session = requests.Session()
session.headers["apikey"] = "bench"
with duckdb.connect(warehouse, read_only=True) as connection:
    cursor = connection.execute(
        f"select {COLUMNS} from reviews where reviewed_at > ?::timestamp order by reviewed_at",
        [watermark],
    )
    names = [column[0] for column in cursor.description]
    while batch := cursor.fetchmany(1000):
        for values in batch:
            row = dict(zip(names, values, strict=True))
            session.post(f"{url}/api/v3/interactions", json=body_of(row)).raise_for_status()
        state.write_text(row["reviewed_at"].isoformat())
