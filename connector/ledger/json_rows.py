"""Many rows in one parameter, so that one statement does for all of them.

A statement that is executed once for each row costs a multiple, in PostgreSQL even a way there and
back; and only one statement for all can return which of them it has moved.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from sqlalchemy import (
    BigInteger,
    FromClause,
    Integer,
    Select,
    String,
    bindparam,
    cast,
    column,
    func,
    select,
)
from sqlalchemy.types import TypeEngine

ROWS = "json_rows"
"""The name of the parameter."""
TYPES: dict[str, TypeEngine[Any]] = {
    "id": BigInteger(),
    "attempt": Integer(),
    "fence": BigInteger(),
    "writes": BigInteger(),
    "number": BigInteger(),
    "place": Integer(),
    "due_at": BigInteger(),
    "until": BigInteger(),
    "status": Integer(),
    "boot": BigInteger(),
    "boot_at": BigInteger(),
    "destination_at": BigInteger(),
    "high": BigInteger(),
    "low": BigInteger(),
}
"""Of fields that are not texts."""


def json_rows(dialect: str, *fields: str) -> FromClause:
    """Something to select from, with these fields of each row in the parameter ROWS."""
    columns = [column(name, TYPES.get(name, String())) for name in fields]
    if dialect == "postgresql":
        from sqlalchemy.dialects.postgresql import JSONB

        rows = func.jsonb_to_recordset(cast(bindparam(ROWS), JSONB))
        return rows.table_valued(*columns).render_derived(name="entry", with_types=True)
    each = func.json_each(bindparam(ROWS)).table_valued("value")
    extracted = [
        func.json_extract(each.c.value, f"$.{c.name}", type_=c.type).label(c.name) for c in columns
    ]
    return select(*extracted).subquery("entry")


def json_texts(dialect: str) -> Select[tuple[str]]:
    """The texts in the parameter ROWS, to be in which a column may be asked."""
    if dialect == "postgresql":
        from sqlalchemy.dialects.postgresql import JSONB

        texts = func.jsonb_array_elements_text(cast(bindparam(ROWS), JSONB))
        return select(texts.column_valued("text"))
    return select(func.json_each(bindparam(ROWS)).table_valued("value").c.value)


def in_one(rows: Sequence[Mapping[str, Any] | str], **others: Any) -> dict[str, Any]:
    """The parameters of a statement over `json_rows`; `others` are the same for all of them."""
    try:
        return {ROWS: orjson.dumps(rows).decode(), **others}
    except orjson.JSONEncodeError as error:  # half a character, say: no database takes it either
        raise UnicodeError(str(error)) from None
