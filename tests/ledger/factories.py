"""Runs and rows for the ledger's tests: one line each."""

from collections.abc import Collection
from datetime import timedelta
from typing import Any

from sqlalchemy import Engine, text

from connector.ledger.records import Closing, Delivery, Identity, Opening, Run, SetAside, Staged
from connector.ledger.store import Ledger
from connector.rules.delivery import Accepted, Outcome, State, Unknown
from connector.rules.interaction import Interaction, Invalid
from connector.rules.watermark import Kind, Watermark

REVIEWS = "reviews"
CONTACT = "anna@example.com"
SECRET = "a rather private opinion"
CONTACT_ID = "c-1"


def an_identity(**over: Any) -> Identity:
    """What the activation `reviews` is."""
    plain = {"destination": "engage", "schema_id": "review", "row_key": ("id",)}
    return Identity(**{**plain, "renamed_from": False, **over})


def a_row(key: str = "r1", text: str = SECRET, **over: Any) -> Staged:
    """A row that can be sent."""
    return Staged(key, Interaction(CONTACT, None, f'{{"text": "{text}"}}'.encode()), **over)


def content_of(row: Staged) -> Interaction:
    """What is to be sent of a row that can be."""
    assert isinstance(row.content, Interaction)
    return row.content


def an_invalid_row(key: str = "r1", reason: str = "rating: missing") -> Staged:
    """A row that cannot become an interaction."""
    return Staged(key, Invalid(reason))


def begun(ledger: Ledger, activation: str = REVIEWS) -> Run:
    """A run that holds its activation."""
    return ledger.begin(activation, an_identity())


def a_mark(value: int = 1) -> Watermark:
    """A watermark on an integer cursor."""
    return Watermark("id", Kind.INTEGER, value)


def staged(ledger: Ledger, *rows: str | Staged) -> Run:
    """A run that has recorded `rows`; keys alone stand for rows that can be sent."""
    run = begun(ledger)
    staged_rows = [a_row(row) if isinstance(row, str) else row for row in rows]
    ledger.stage(run, staged_rows, [], a_mark(), begun=True)
    return run


def due(ledger: Ledger, state: State = State.PENDING) -> dict[str, Delivery]:
    """Every row that may be tried now, by its key."""
    return {d.row_key: d for d in ledger.due(REVIEWS, state, after=0, limit=1000)}


def opening(delivery: Delivery) -> Opening:
    """An attempt on `delivery`."""
    return Opening(delivery, CONTACT_ID)


def sent(ledger: Ledger, run: Run, *keys: str) -> dict[str, Opening]:
    """Open an attempt on each pending row of `keys`, as if its request were on the wire."""
    rows = due(ledger)
    openings = {key: opening(rows[key]) for key in keys}
    assert ledger.record(run, list(openings.values())) == [True] * len(keys)
    return openings


def closing(opened: Opening, outcome: Outcome, rest: timedelta = timedelta(0)) -> Closing:
    """What the attempt `opened` brought."""
    return Closing(opened.delivery.id, opened.number, outcome, rest)


def answered(ledger: Ledger, run: Run, key: str, outcome: Outcome) -> Opening:
    """Send the pending row `key` and record its outcome."""
    opened = sent(ledger, run, key)[key]
    assert ledger.record(run, [closing(opened, outcome)]) == [True]
    return opened


def delivered(ledger: Ledger, run: Run, key: str, interaction_id: str = "i-1") -> Opening:
    """Send the pending row `key` and have it accepted."""
    return answered(ledger, run, key, Accepted(interaction_id, 201))


def doubted(ledger: Ledger, run: Run, key: str) -> Opening:
    """Send the pending row `key` and get no answer."""
    return answered(ledger, run, key, Unknown("no answer"))


def waits(delivery: Delivery, rest: timedelta = timedelta(hours=1)) -> SetAside:
    """The contact of `delivery` is unknown."""
    return SetAside(delivery, State.WAITING, "no contact has this email", rest)


def refused(delivery: Delivery) -> SetAside:
    """The contact of `delivery` is ambiguous."""
    return SetAside(delivery, State.REJECTED, "several contacts have this email")


def stored(engine: Engine, key: str = "r1") -> Any:
    """The row under `key` as it stands in the table."""
    return only(engine, "select * from deliveries where row_key = :key", key=key)


def attempts(engine: Engine, key: str = "r1") -> list[Any]:
    """The attempts on the row under `key`, oldest first."""
    return select(
        engine,
        "select a.* from attempts a join deliveries d on d.id = a.delivery_id"
        " where d.row_key = :key order by a.number",
        key=key,
    )


def states(engine: Engine, keys: Collection[str] | None = None) -> dict[str, str]:
    """The state of every row by key."""
    found = dict(map(tuple, select(engine, "select row_key, state from deliveries")))
    return {key: found[key] for key in keys} if keys else found


def only(engine: Engine, query: str, **binds: Any) -> Any:
    """The one row that `query` gives."""
    (row,) = select(engine, query, **binds)
    return row


def select(engine: Engine, query: str, **binds: Any) -> list[Any]:
    """What `query` gives, past every method of the ledger."""
    with engine.begin() as connection:
        return list(connection.execute(text(query), binds))


def execute(engine: Engine, *statements: str, **binds: Any) -> None:
    """Change the database past every method of the ledger, in one transaction."""
    with engine.begin() as connection:
        for statement in statements:
            connection.execute(text(statement), binds)


def expire_lease(engine: Engine) -> None:
    """As if the holder had been silent for longer than its lease."""
    execute(engine, "update leases set expires_at = 1")


def forget_holder(engine: Engine) -> None:
    """As if the holder lived on another host, where nobody can see whether it is alive."""
    execute(engine, "update leases set holder = null")
