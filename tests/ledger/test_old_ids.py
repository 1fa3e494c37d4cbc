"""A ledger of before keeps what it knows of deleted interactions."""

from alembic import command
from alembic.config import Config
from sqlalchemy import Engine, create_engine

from connector.ledger.engine import writing_engine
from connector.ledger.ownership import digest_of
from tests.ledger.factories import execute, select

ROW = (
    "insert into deliveries (id, activation, row_key, state, attempt, run_id, changed_at, contact,"
    " created_date, payload) values ({id}, 'a', 'k{id}', 'pending', 1, 'run', 1, 'c', 'd', '{{}}')"
)
DECISION = (
    "insert into decisions (delivery_id, at, by, decision, was, state, reason)"
    " values ({id}, 1, 'person', '{word}', 'undone', 'pending', '{reason}')"
)


def at_version_one(url) -> Engine:
    plain = create_engine(url)
    config = Config()
    config.set_main_option("script_location", "connector.ledger:migrations")
    with plain.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
    return plain


def test_what_was_released_or_migrated_before_is_owned_still(fresh_url):
    old = at_version_one(fresh_url)
    execute(
        old,
        *(ROW.format(id=number) for number in (1, 2, 3, 4)),
        DECISION.format(id=1, word="released", reason="was the interaction i-1"),
        DECISION.format(id=2, word="released", reason="was the interaction None"),
        DECISION.format(id=2, word="deleted", reason="was the interaction i-2"),
        "insert into migrations (id, destination, schema_id, step, was, definition, interactions,"
        " by, started_at, changed_at) values (1, 'e', 's', 'moved', '{}', '{}', 1, 'p', 1, 1)",
        "insert into migrated_rows (delivery_id, migration, moved, interaction_id)"
        " values (3, 1, true, 'i-3'), (4, 1, false, 'i-4')",
    )
    old.dispose()

    engine = writing_engine(fresh_url)

    rows = select(engine, "select delivery_id, digest from removed_interactions order by 1")
    assert [tuple(row) for row in rows] == [(1, digest_of("i-1")), (3, digest_of("i-3"))]
    engine.dispose()
