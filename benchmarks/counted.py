"""FILE ARGUMENTS…: the connector, which writes to FILE how much of the warehouse came to Python.

Of rows of which no more is read than the key and the digest, the number alone: nothing of what they
hold has come.
"""

import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from connector.cli.main import run
from connector.warehouse import DIGEST, Reader, Scan

Batches = Iterator[Sequence[Sequence[Any]]]


def main() -> None:
    """Count, and end as the connector does."""
    file, *arguments = sys.argv[1:]
    read: Counter[str] = Counter(compared=0, payloads=0, payload_bytes=0)
    for name in ("rows", "rows_of"):
        setattr(Reader, name, counting(getattr(Reader, name), read))
    code = run(arguments)
    Path(file).write_text(json.dumps(read))
    sys.exit(code)


def counting(method: Callable[..., Batches], read: Counter[str]) -> Callable[..., Batches]:
    """`method` of a reader, which also counts what it gives."""

    def counted(reader: Reader, activation: Any, scan: Scan, *others: Any) -> Batches:
        for batch in method(reader, activation, scan, *others):
            if scan.columns == (*scan.key, DIGEST):
                read["compared"] += len(batch)
            else:
                read["payloads"] += len(batch)
                read["payload_bytes"] += sum(len(str(value)) for row in batch for value in row)
            yield batch

    return counted


if __name__ == "__main__":
    main()
