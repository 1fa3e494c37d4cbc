"""One row as the warehouse has it now, and what becomes of it; nothing of it is recorded."""

from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any

from connector.ledger.questions import Questions
from connector.rules.interaction import Interaction, Invalid
from connector.sync.reading import Source, plan


@dataclass(frozen=True, slots=True)
class RowNow:
    """A row: the columns that the activation names, and the interaction that it becomes, or why it
    becomes none."""

    columns: Mapping[str, Any]
    content: Interaction | Invalid


def row_now(source: Source[Questions], row_key: str) -> RowNow | None:
    """The row under `row_key`, wherever it stands in the model; None where there is none. The first
    row of a key counts, as it does when rows are recorded. Raises ConfigurationError."""
    reading = plan(source)
    named = set(reading.activation.columns.values())
    with closing(replace(reading, lower=None).rows()) as batches:
        for rows in batches:
            for key, row in reading.keyed(rows):
                if key == row_key:
                    cells = zip(reading.scan.columns, row, strict=True)
                    shown = {name: _shown(value) for name, value in cells if name in named}
                    return RowNow(shown, reading.mapper(row))
    return None


def _shown(value: Any) -> Any:
    """A value as JSON has it; what JSON does not know as a text."""
    return value if value is None or isinstance(value, bool | int | float) else str(value)
