"""Propose a schema for a model, from the types of its columns or, where the warehouse does not tell
them, from its first rows."""

from collections.abc import Sequence
from pathlib import Path

from connector.rules.activation import Activation
from connector.rules.columns import Kind, Proposal, kind_of_type, kind_of_values, proposal
from connector.warehouse import Column, Reader

SAMPLE_ROWS = 2000
"""Rows whose values are looked at for columns without a type."""


def propose(schema_id: str, activation: Activation, reader: Reader) -> Proposal:
    """A schema that fits what `activation` maps, or its whole model when it maps nothing.

    Raises ConfigurationError when the model does not run or has not the columns.
    """
    activation, columns = reader.resolve(activation)
    return proposal(schema_id, _kinds(activation, columns, reader), activation)


def propose_for_model(schema_id: str, file: Path, reader: Reader) -> Proposal:
    """A schema that fits every column of the model in `file`. Raises ConfigurationError."""
    # a reader takes a model only inside an activation; of this one it asks nothing else
    activation = Activation.model_validate(
        {
            "model": {"file": str(file.resolve())},
            "schema_id": schema_id,
            "row_key": "any",
            "start": "all",
            "contact": {"column": "any", "identifier": "contactId"},
        }
    ).named(file.stem)
    columns = reader.columns(activation)
    return proposal(schema_id, _kinds(activation, columns, reader))


def _kinds(
    activation: Activation, columns: Sequence[Column], reader: Reader
) -> dict[str, Kind | None]:
    kinds = {column.name: kind_of_type(column.type) for column in columns}
    if untold := [column for column, kind in kinds.items() if kind is None]:
        rows = reader.sample(activation, untold, SAMPLE_ROWS)
        kinds |= {column: kind_of_values(row[i] for row in rows) for i, column in enumerate(untold)}
    return kinds
