"""Let the warehouse itself say whether a row has changed, by a digest of its columns, and give rows
by their keys: so that a model of millions of rows is compared without any of them being read.

Two rows have one digest only if all their values are the same. What a session is set to (its zone,
how it writes times and floats) is in no digest.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, time
from decimal import Decimal
from hashlib import md5
from typing import Any
from uuid import UUID

DIGEST = "::digest"
"""Stands in a scan for the digest of a row; no column has such a name without a type."""
MAKERS = ("duckdb", "postgresql")
"""The dialects whose warehouses make digests."""

POSTGRESQL_EXACT = {
    # what these have as text hangs on the session; what they send in binary form does not
    "17": "encode({}, 'hex')",
    "700": "encode(float4send({}), 'hex')",
    "701": "encode(float8send({}), 'hex')",
    "790": "cast(cast({} as numeric) as text)",
    "1082": "encode(date_send({}), 'hex')",
    "1083": "encode(time_send({}), 'hex')",
    "1114": "encode(timestamp_send({}), 'hex')",
    "1184": "encode(timestamptz_send({}), 'hex')",
    "1186": "encode(interval_send({}), 'hex')",
    "1266": "encode(timetz_send({}), 'hex')",
}
"""By the number of a type: bytea, the floats, money, times."""
DUCKDB_EXACT = {
    "BLOB": "hex({})",
    # as text it is written in the session's zone; only the infinite ones have no number
    "TIMESTAMP WITH TIME ZONE": (
        "case when isinf({0}) then cast({0} as varchar) else cast(epoch_us({0}) as varchar) end"
    ),
    "TIMESTAMPTZ_NS": (
        "case when isinf({0}) then cast({0} as varchar) else cast(epoch_ns({0}) as varchar) end"
    ),
}

WITHOUT_MD5 = {
    # where only approved cryptography is allowed (FIPS), PostgreSQL's md5() fails; a part is enough
    "postgresql": "left(encode(sha256(convert_to({}, getdatabaseencoding())), 'hex'), 32)"
}

POSTGRESQL_KEYS = {
    "16": "boolean",
    "20": "bigint",
    "21": "smallint",
    "23": "integer",
    "25": "text",
    "700": "real",
    "701": "double precision",
    "1043": "text",
    "1082": "date",
    "1083": "time",
    "1114": "timestamp",
    "1184": "timestamptz",
    "1700": "numeric",
    "2950": "uuid",
}
"""Types whose values are found by their text, by number; all of what they hold comes from there."""
DUCKDB_KEYS = re.compile(
    r"U?(TINY|SMALL|BIG|HUGE)?INT(EGER)?|VARCHAR|BOOLEAN|DATE|TIME|UUID|FLOAT|DOUBLE"
    r"|TIMESTAMP(_S|_MS)?|TIMESTAMP WITH TIME ZONE|DECIMAL(\(\d+, ?\d+\))?"
)


def digest(dialect: str, columns: Sequence[tuple[str, str]], codes: Iterable[str]) -> str:
    """The digest of the quoted `columns`, each with the driver's word for its type; all that
    `codes` say goes in too.

    Each value has its length before it, so no two rows make one text; NULL has none.
    """
    said = md5(repr(tuple(codes)).encode(), usedforsecurity=False).hexdigest()
    # DuckDB reads a column of a CSV file of which nothing but the text is asked for as it is
    # written there, so that 10:00 and 10:00:00 are two; so the value itself is asked for NULL
    parts = (
        f"case when {column} is null then '-' else coalesce(length({text}) || ':' || {text}, '?')"
        " end"
        for column, text in ((name, _exact(dialect, kind, name)) for name, kind in columns)
    )
    whole = " || ".join((f"'{said}'", *parts))
    return WITHOUT_MD5.get(dialect, "md5({})").format(whole)


def _exact(dialect: str, kind: str, column: str) -> str:
    """All that a value of `column` is, as a text."""
    exact = DUCKDB_EXACT if dialect == "duckdb" else POSTGRESQL_EXACT
    return f"({exact.get(kind, 'cast({} as text)').format(column)})"


def found_by_keys(
    dialect: str, columns: Sequence[tuple[str, str | None]], keys: Sequence[Sequence[Any]]
) -> tuple[str, Mapping[str, list[str]]] | None:
    """The condition of rows whose `columns`, each with the word for its type, hold one of `keys`;
    and its binds. A column of which texts are compared has None for its type. None where these
    are not found exactly: by their type, or since a value has no text."""
    wanted = [(column, _key_type(dialect, kind)) for column, kind in columns]
    texts = [[literal(value) for value in values] for values in zip(*keys, strict=True)]
    if None in (kind for _, kind in wanted) or any(None in each for each in texts):
        return None
    binds = {
        f"connector_key_{n}": [text for text in each if text is not None]
        for n, each in enumerate(texts)
    }
    lists = ", ".join(
        f"unnest(cast(cast(:{bind} as text[]) as {kind}[]))"
        for bind, (_, kind) in zip(binds, wanted, strict=True)
    )
    names = ", ".join(column for column, _ in wanted)
    return f" where ({names}) in (select {lists})", binds


def one_text_is_one_key(dialect: str, kind: str) -> bool:
    """Whether all values of such a column that a row key writes alike are one group to the
    warehouse, too: not floats, which a driver may round, nor what it has no word for."""
    floats = ("700", "701", "FLOAT", "DOUBLE")
    known = dialect in MAKERS and _key_type(dialect, kind) is not None
    return known and kind not in floats


def repeated(dialect: str, columns: Sequence[tuple[str, str, str]], model: str) -> str:
    """The query of the keys that stand more than once in `model`. Of each of their columns: its
    name, the word for its type, and what is selected of it."""
    groups, selected = [], []
    for name, kind, sql in columns:
        group = name
        # only equal texts are one, whatever a collation takes for equal
        if dialect == "duckdb" and kind == "VARCHAR":
            group, sql = f"encode({name})", f"decode(encode({name}))"
        elif _key_type(dialect, kind) == "text":
            group = sql = f'{name} collate "C"'
        groups.append(group)
        selected.append(sql)
    by = ", ".join(groups)
    return f"select {', '.join(selected)} from {model} group by {by} having count(*) > 1"


def _key_type(dialect: str, kind: str | None) -> str | None:
    """The type that a text is made, to be compared with such a column."""
    if kind is None:
        return "text"
    if dialect == "duckdb":
        return kind if DUCKDB_KEYS.fullmatch(kind) else None
    return POSTGRESQL_KEYS.get(kind)


def literal(value: Any) -> str | None:
    """What makes the same value when the warehouse reads it; None where nothing surely does."""
    match value:
        case str():
            return value
        case bool():
            return "true" if value else "false"
        case float():
            return repr(value)
        case int() | Decimal() | UUID():
            return str(value)
        case date() | time():
            return value.isoformat()
        case _:
            return None
