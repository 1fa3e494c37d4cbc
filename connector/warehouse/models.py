"""From what the user wrote under `model:` to one SELECT that can stand inside another."""

import re
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

from sqlalchemy.engine import Dialect

from connector.basis.near import perhaps
from connector.rules.activation import Model
from connector.rules.dbt.manifest import read_manifest, relation_of
from connector.rules.errors import ConfigurationError, Problem, did_you_mean
from connector.rules.errors import Path as KeyPath
from connector.rules.variables import read_utf8

SQLGLOT_NAMES = {
    "default": "",
    "postgresql": "postgres",
    "mssql": "tsql",
    "mariadb": "mysql",
    "clickhousedb": "clickhouse",
    "awsathena": "athena",
}
"""What sqlglot calls a dialect of SQLAlchemy, where that is another name."""

OTHER_MODELS = "; a query is written {sql: …}, a table {table: …}, a model of dbt {dbt: …}"
QUERY = re.compile(r"\s*(select|with)\s", re.IGNORECASE)
LONGEST_NAME = 200
JINJA = re.compile(r"\{\{|\{%")


def query_of(
    model: Model, path: KeyPath, name: str, dialect: Dialect, base: Path, manifest: Path
) -> str:
    """The SELECT of a model, or of a lookup, without a trailing semicolon.

    `base` is where relative paths start, `manifest` dbt's target/manifest.json. Raises
    ConfigurationError when there is no such file, table or dbt model, or it is not one query.
    """
    if model.table:
        return f"select * from {'.'.join(quoted(p, dialect) for p in model.table.split('.'))}"
    if model.dbt:
        node = read_manifest(manifest, path).find(model.dbt, path)
        if relation := relation_of(node, path):
            return f"select * from {relation}"
        return one_query(node.code or "", dialect.name, node.called, path)
    if model.sql:
        return one_query(model.sql, dialect.name, name, path)
    assert model.file is not None
    if QUERY.match(model.file) and (
        len(model.file) > LONGEST_NAME or not (base / model.file).is_file()
    ):
        raise ConfigurationError(Problem(path, f"expected the path of a file{OTHER_MODELS}"))
    return one_query(text_of(base / model.file, path), dialect.name, model.file, path)


def quoted(name: str, dialect: Dialect) -> str:
    """`name` as an identifier, exactly. SQLAlchemy's own quoting is for statements that it builds:
    for some drivers it doubles `%`, which text() then does once more."""
    rules = dialect.identifier_preparer
    body = name.replace(rules.escape_quote, rules.escape_to_quote)
    return f"{rules.initial_quote}{body}{rules.final_quote}"


def one_query(sql: str, dialect: str, name: str, path: KeyPath = ()) -> str:
    """`sql` without its trailing semicolon, if it is exactly one query; else ConfigurationError.

    This guards against mistakes, not against attackers: the statement is wrapped in another
    SELECT, and the connection is read-only wherever the warehouse knows such a thing.
    """
    body, more = _split(sql, dialect)
    if JINJA.search(sql) and _has_jinja(sql, dialect):
        wrong = (
            "holds Jinja ({{ … }} or {% … %}), which dbt fills in and nobody here does; name dbt's"
            " model instead: model: {dbt: NAME}"
        )
    elif more:
        wrong = "holds more than one statement; a model is one SELECT"
    elif not _is_query(body, dialect):
        wrong = "is not a query; a model is one SELECT (WITH … is fine)"
    else:
        return body
    raise ConfigurationError(Problem(path, f"{name}: {wrong}"))


def _split(sql: str, dialect: str) -> tuple[str, bool]:
    """The first statement, and whether another follows; `;` in texts and comments do not count."""
    if dialect == "mssql":  # people write ;WITH there, whatever stands before it
        sql = re.sub(r"\A[\s;]+", "", sql)
    if ";" not in sql:
        return sql, False
    import sqlglot  # late, since commands that read no model should start at once
    from sqlglot.errors import SqlglotError

    try:
        tokens = sqlglot.tokenize(sql, read=SQLGLOT_NAMES.get(dialect, dialect))
    except (SqlglotError, ValueError):
        return sql, False  # the warehouse will judge; inside its wrapper two statements cannot run
    ends = [token.token_type.name == "SEMICOLON" for token in tokens]
    if True not in ends:
        return sql, False
    first = ends.index(True)
    return sql[: tokens[first].start], not all(ends[first:])


def _has_jinja(sql: str, dialect: str) -> bool:
    """Whether braces of Jinja stand outside of texts and comments: no dialect has such."""
    import sqlglot
    from sqlglot.errors import SqlglotError

    try:
        tokens = sqlglot.tokenize(sql, read=SQLGLOT_NAMES.get(dialect, dialect))
    except (SqlglotError, ValueError):
        return False
    kinds = [token.token_type.name for token in tokens]
    twice = any(pair == ("L_BRACE", "L_BRACE") for pair in pairwise(kinds))
    return twice or "BLOCK_START" in kinds


def _is_query(sql: str, dialect: str) -> bool:
    if dialect == "duckdb":
        return _is_duckdb_query(sql)
    import sqlglot
    from sqlglot import exp
    from sqlglot.errors import SqlglotError, TokenError

    try:
        parsed = sqlglot.parse_one(sql, read=SQLGLOT_NAMES.get(dialect, dialect))
    except TokenError:
        return True  # such as a text without an end: describing the model gives its own words
    except (SqlglotError, ValueError):
        words = sqlglot.tokenize(sql)[:1] if sql.strip() else []
        return bool(words) and words[0].text.lower() in ("select", "with", "values", "from", "(")
    writes = parsed.find(exp.Insert, exp.Update, exp.Delete, exp.Merge, exp.Into)
    return isinstance(parsed, exp.Query | exp.Values) and writes is None


def _is_duckdb_query(sql: str) -> bool:
    import duckdb

    try:
        statements = duckdb.extract_statements(sql)
    except duckdb.Error:
        return True  # not SQL at all: describing the model gives the parser's own words
    kinds = [s.type for s in statements]
    return kinds in ([duckdb.StatementType.SELECT], [duckdb.StatementType.MULTI])


def text_of(file: Path, path: KeyPath) -> str:
    """What a file of SQL holds. Raises ConfigurationError, with the line where it is no text."""
    try:
        return read_utf8(file)
    except FileNotFoundError:
        siblings = [p.name for p in file.parent.glob("*.sql")] if file.parent.is_dir() else []
        near = file.suffix == ".sql" or perhaps(file.name, siblings)
        hint = did_you_mean(file.name, siblings) if near else OTHER_MODELS
        raise ConfigurationError(Problem(path, f"there is no file {file}{hint}")) from None
    except ConfigurationError as error:
        raise ConfigurationError(*(replace(each, path=path) for each in error.problems)) from None
