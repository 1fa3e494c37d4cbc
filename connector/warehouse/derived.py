"""A model inside another statement, where a warehouse does not take every SELECT there.

SQL Server takes no WITH and no ORDER BY in a derived table, Oracle no AS before its name. Texts are
cut, and never written anew: what the user wrote stays as it is.
"""

from collections.abc import Iterator, Sequence
from typing import Any

SETS = {"UNION", "EXCEPT", "INTERSECT"}
KEEPS_ITS_ORDER = {"OFFSET", "FOR"}
"""With these SQL Server takes an ORDER BY in a derived table: paging, FOR XML."""


def as_table(dialect: str, query: str, name: str) -> str:
    """`query` as a derived table called `name`. The line end ends a comment at its end."""
    # MODEL begins a clause of Oracle's
    called = f'"{name}"' if dialect == "oracle" else f"as {name}"
    return f"(\n{query}\n) {called}"


def with_first(statement: str) -> str:
    """`statement` as SQL Server takes it: the WITH of its derived tables stands at its beginning,
    and those have no order of their own. As it is, where it is not understood."""
    import sqlglot  # late, since only one kind of warehouse needs it
    from sqlglot.errors import SqlglotError

    try:
        tokens = sqlglot.tokenize(statement, read="tsql")
        lifted, cuts = [], []
        for opening, closing in _queries(tokens):
            within = tokens[opening + 1 : closing]
            if body := _after_with(within):
                first, last = within[1].start, within[body].start
                lifted.append(statement[first:last].rstrip())
                cuts.append((within[0].start, last))
            cuts += _order(within[body:])
    except (SqlglotError, ValueError, LookupError):
        return statement
    for start, end in sorted(cuts, reverse=True):
        statement = statement[:start] + statement[end:]
    ahead = ",\n".join(lifted)
    return f"with {ahead}\n{statement}" if lifted else statement


def _queries(tokens: Sequence[Any]) -> Iterator[tuple[int, int]]:
    """Where the queries in parentheses open and close."""
    open_ones = []
    for place, token in enumerate(tokens):
        match token.token_type.name:
            case "L_PAREN":
                open_ones.append(place)
            case "R_PAREN":
                opening = open_ones.pop()
                if tokens[opening + 1].token_type.name in ("SELECT", "WITH"):
                    yield opening, place


def _outermost(tokens: Sequence[Any]) -> Iterator[tuple[int, str]]:
    """The place and the type of each token that stands in no parentheses."""
    depth = 0
    for place, token in enumerate(tokens):
        kind = token.token_type.name
        depth -= kind == "R_PAREN"
        if depth == 0:
            yield place, kind
        depth += kind == "L_PAREN"


def _after_with(tokens: Sequence[Any]) -> int:
    """Where what follows a WITH begins; 0 where there is none."""
    if tokens[0].token_type.name != "WITH":
        return 0
    before = ""
    is_body = False
    for place, kind in _outermost(tokens):
        if kind == "L_PAREN":
            is_body = before == "ALIAS"  # else the names of columns
        elif before == "R_PAREN" and is_body and kind != "COMMA":
            return place
        before = kind
    raise LookupError("a WITH without a query")


def _order(tokens: Sequence[Any]) -> list[tuple[int, int]]:
    """From where to where the ORDER BY of a query stands that has no meaning in a derived table."""
    kinds = list(_outermost(tokens))
    found = [place for place, kind in kinds if kind == "ORDER_BY"]
    names = {kind for _, kind in kinds}
    if not found or names & KEEPS_ITS_ORDER or ("TOP" in names and not names & SETS):
        return []
    return [(tokens[found[-1]].start, tokens[-1].end + 1)]
