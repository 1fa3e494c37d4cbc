"""FILE ARGUMENTS…: the connector, which writes to FILE how many statements it made, to the ledger
and the warehouse, and how many of them began a transaction that writes."""

import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from sqlalchemy import event
from sqlalchemy.engine import Engine

from connector.cli.main import run


def main() -> None:
    """Count, and end as the connector does."""
    file, *arguments = sys.argv[1:]
    made: Counter[str] = Counter(ledger=0, warehouse=0, writing=0)

    @event.listens_for(Engine, "before_cursor_execute")
    def count(connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        made["warehouse" if connection.dialect.name == "duckdb" else "ledger"] += 1
        made["writing"] += statement == "BEGIN IMMEDIATE"

    code = run(arguments)
    Path(file).write_text(json.dumps(made))
    sys.exit(code)


if __name__ == "__main__":
    main()
