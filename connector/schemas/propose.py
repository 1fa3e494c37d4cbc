"""Propose a schema for a model, from the types of its columns or, where the warehouse does not tell
them, from its first rows. Reads the warehouse, sends nothing."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from connector.rules.activation import Activation
from connector.rules.columns import (
    Kind,
    Proposal,
    kind_of_type,
    kind_of_values,
    property_name,
    proposal,
)
from connector.rules.dbt.manifest import Described
from connector.rules.definition import ID
from connector.rules.errors import ConfigurationError
from connector.warehouse import Column, Reader, Warehouse

SAMPLE_ROWS = 2000
"""Rows whose values are looked at for columns without a type."""


def propose(
    warehouse: Warehouse,
    activation: Activation | None,
    model: Path | None,
    schema_id: str | None,
    described: Sequence[Described],
) -> Proposal:
    """A schema that fits what `activation` maps, or its whole model when it maps nothing; or every
    column of the model in a file.

    `described`: what dbt says of its columns. Raises ConfigurationError when the model does not
    run or has not the columns.
    """
    if (activation is None) == (model is None):
        raise ConfigurationError("name an activation, or a file with --model; one of the two")
    default = activation.target if activation else property_name(model.stem if model else "")
    chosen_id = schema_id or default
    if not ID.fullmatch(chosen_id):
        raise ConfigurationError(
            f'"{chosen_id}" is no id of a schema: only a-z, A-Z, 0-9, "_" and "-" are allowed;'
            " give one with --id"
        )
    with warehouse.open() as reader:
        if activation:
            resolved, columns = reader.resolve(activation)
            kinds = _kinds(resolved, _typed(columns, described), reader)
            texts = {each.name.casefold(): each.description for each in described}
            said = {c.name: text for c in columns if (text := texts.get(c.name.casefold()))}
            return proposal(chosen_id, kinds, resolved, said)
        assert model is not None
        reading = _activation_of(model)
        return proposal(chosen_id, _kinds(reading, reader.columns(reading), reader))


def _typed(columns: Sequence[Column], described: Sequence[Described]) -> list[Column]:
    """The columns, with dbt's word for the type of those of which the warehouse tells none."""
    types = {each.name.casefold(): each.type for each in described}
    return [
        column if column.type else replace(column, type=types.get(column.name.casefold(), ""))
        for column in columns
    ]


def _activation_of(model: Path) -> Activation:
    """A reader takes a model only inside an activation; of this one it asks nothing else."""
    return Activation.model_validate(
        {
            "model": {"file": str(model.resolve())},
            "row_key": "any",
            "start": "all",
            "contact": {"column": "any"},
        }
    ).named(model.stem)


def _kinds(
    activation: Activation, columns: Sequence[Column], reader: Reader
) -> dict[str, Kind | None]:
    kinds = {column.name: kind_of_type(column.type) for column in columns}
    if untold := [column for column, kind in kinds.items() if kind is None]:
        rows = reader.sample(activation, untold, SAMPLE_ROWS)
        kinds |= {column: kind_of_values(row[i] for row in rows) for i, column in enumerate(untold)}
    return kinds
