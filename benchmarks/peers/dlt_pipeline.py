"""A dlt pipeline that does the job, as its documentation does reverse ETL: an incremental resource
into a custom destination, which gets ten rows at a time and posts each.
"""

import sys
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import dlt
import duckdb
from dlt.common.schema import TTableSchema
from dlt.common.typing import TDataItems
from dlt.sources.helpers import requests

from benchmarks.peers.body import COLUMNS, body_of

BEGINNING = "0001-01-01"
warehouse, url = sys.argv[1:]


@dlt.resource(primary_key="review_id")
def reviews(
    reviewed_at: dlt.sources.incremental[datetime] = dlt.sources.incremental("reviewed_at"),  # noqa: B008
) -> Iterator[list[dict[str, Any]]]:
    """The reviews that are later than those of the last run."""
    query = f"select {COLUMNS} from reviews where reviewed_at > ?::timestamp order by reviewed_at"
    with duckdb.connect(warehouse, read_only=True) as connection:
        cursor = connection.execute(query, [reviewed_at.last_value or BEGINNING])
        names = [column[0] for column in cursor.description]
        while rows := cursor.fetchmany(1000):
            yield [dict(zip(names, row, strict=True)) for row in rows]


@dlt.destination(batch_size=10)
def engage(items: TDataItems, table: TTableSchema) -> None:
    """Post each of `items`."""
    for row in items:
        body = body_of(row)
        requests.post(f"{url}/api/v3/interactions", json=body, headers={"apikey": "bench"})


pipeline = dlt.pipeline("reviews", destination=engage, pipelines_dir=".")
pipeline.run(reviews())
