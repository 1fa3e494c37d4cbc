"""Read rows once more that are recorded, as the model has them today, and map them anew."""

from collections.abc import Collection, Generator
from contextlib import closing
from dataclasses import replace
from datetime import datetime

from connector.rules.interaction import Interaction, Invalid
from connector.rules.mapping import RowMapper
from connector.rules.schema import InteractionSchema
from connector.rules.turnover import Keyed
from connector.sync.flow import Flow
from connector.sync.reading import Source, plan


def read_again(
    flow: Flow,
    schema: InteractionSchema,
    now: datetime,
    keys: Collection[str],
    history: bool = False,
) -> Generator[tuple[str, Interaction | Invalid], None, None]:
    """The rows with these keys. The first row of a key counts, as it does when rows are recorded.

    They are read from where the activation starts, whatever its watermark is, since what was
    corrected lies behind it; with `history` from the beginning of the model. Raises what the flow
    is stopped by.
    """
    left = set(keys)
    with closing(read_all_again(flow, schema, now, history)) as batches:
        for mapper, keyed in batches:
            for key, row in keyed:
                if key in left:
                    left.discard(key)
                    yield key, mapper(row)
            if not left:
                return


def read_all_again(
    flow: Flow, schema: InteractionSchema, now: datetime, history: bool
) -> Generator[tuple[RowMapper, list[Keyed]], None, None]:
    """All rows, batch by batch, each under its key, and what maps them."""
    read = 0
    with flow.warehouse.open() as reader:
        source = Source(flow.activation, schema, reader, flow.ledger, flow.zone, now)
        reading = plan(source)
        # what lies before `start:` is history, and stays so
        lower = None if history else reading.bottom
        with closing(replace(reading, lower=lower).rows()) as batches:
            for rows in batches:
                yield reading.mapper, reading.keyed(rows)
                read += len(rows)
                flow.progress.reading(flow.name, read)
                flow.stop.raise_error()
