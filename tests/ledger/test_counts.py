"""What was counted as it moved is what a recount finds, whatever moved the rows."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import make_url

from connector.ledger.counts import state_counts
from connector.ledger.engine import writing_engine
from connector.ledger.migrations.versions import v0023_checks_without_lists
from connector.ledger.records import Tally
from connector.ledger.tables import COUNTED
from connector.rules.delivery import State
from tests.ledger.factories import (
    REVIEWS,
    an_identity,
    delivered,
    execute,
    select,
    staged,
)
from tests.ledger.test_promises import a_row_in, columns, insert, move, way_to
from tests.targets import a_share_of_the_examples

DAY = 86_400_000
RECOUNTED = f"""
    select activation, state, changed_at / {DAY}, count(*) from deliveries
    where state in {COUNTED} group by 1, 2, 3 order by 1, 2, 3
"""
COUNTS = "select * from delivery_counts where number <> 0 order by 1, 2, 3"


def counted(engine):
    return [tuple(row) for row in select(engine, COUNTS)]


def recounted(engine):
    return [tuple(row) for row in select(engine, RECOUNTED)]


@pytest.mark.parametrize("state", list(State))
def test_a_row_is_counted_on_whatever_way_it_came(engine, state):
    a_row_in(engine, "r1", state)
    a_row_in(engine, "r2", state)

    assert counted(engine) == recounted(engine)
    with engine.begin() as c:
        assert state_counts(c, REVIEWS) == {state.value: 2}


STEPS = st.lists(
    st.tuples(
        st.sampled_from("abcdef"),
        st.sampled_from([*(s.value for s in State), "gone", "renamed"]),
        st.sampled_from([1, DAY - 1, DAY, 3 * DAY + 5]),
    ),
    max_size=25,
)


@a_share_of_the_examples(0.4)
@given(steps=STEPS)
def test_counts_are_a_recount_after_any_story(tmp_path_factory, steps):
    engine = writing_engine(make_url(f"sqlite:///{tmp_path_factory.mktemp('l')}/ledger.db"))
    tell(engine, steps)
    engine.dispose()


@a_share_of_the_examples(0.1)
@given(steps=STEPS)
def test_counts_are_a_recount_after_any_story_in_postgresql(postgresql_engine, steps):
    execute(postgresql_engine, "delete from deliveries", "delete from delivery_counts")
    tell(postgresql_engine, steps)


@pytest.fixture(scope="module")
def postgresql_engine(request):
    server = request.getfixturevalue("postgresql")
    engine = writing_engine(server.new(template=request.getfixturevalue("migrated_postgresql")))
    yield engine
    engine.dispose()


def tell(engine, steps):
    """Move rows past every method of the ledger, many in one statement where there are several."""
    for key, what, at in steps:
        there = [row.state for row in select(engine, "select state from deliveries")]
        if what == "gone":
            execute(engine, "delete from deliveries where row_key = :k", k=key)
        elif what == "renamed":
            execute(engine, "update deliveries set activation = activation || 'x'")
        elif not there and len(way_to(State(what))) == 1:
            insert(engine, key, columns(State(what), changed_at=at))
        else:
            a_row_in_one_go(engine, key, State(what), at)
        assert counted(engine) == recounted(engine)


def a_row_in_one_go(engine, key, state, at):
    execute(engine, "delete from deliveries where row_key = :k", k=key)
    first, *rest = way_to(state)
    insert(engine, key, columns(first, changed_at=at))
    for each in rest:
        move(engine, key, columns(each, changed_at=at + DAY))


def test_many_rows_that_are_moved_by_one_statement_are_counted(engine):
    for number in range(5):
        a_row_in(engine, f"r{number}", State.DELIVERED)
    execute(engine, "update deliveries set state = 'undone' where row_key in ('r1', 'r2', 'r3')")

    assert counted(engine) == recounted(engine)
    assert {row[1]: row[3] for row in counted(engine)} == {"delivered": 2, "undone": 3}


def test_a_renamed_activation_takes_its_counts_along(ledger, engine, reports):
    run = staged(ledger, "r1", "r2")
    delivered(ledger, run, "r1")
    ledger.finish(run, "succeeded", Tally(), None)
    ledger.begin("opinions", an_identity(renamed_from=REVIEWS))

    assert reports.counts("opinions")["delivered"] == 1
    assert reports.counts("opinions")["pending"] == 1
    assert reports.counts(REVIEWS)["delivered"] == 0
    assert counted(engine) == recounted(engine)


def test_deliveries_are_told_by_the_day_on_which_they_were_made(ledger, engine, reports):
    run = staged(ledger, "r1", "r2")
    delivered(ledger, run, "r1")
    delivered(ledger, run, "r2", "i-2")
    execute(
        engine, "update deliveries set changed_at = changed_at - :d where row_key = 'r2'", d=DAY
    )

    days = reports.days(REVIEWS, datetime.now(UTC), 3)

    assert [day["delivered"] for day in days] == [0, 1, 1]
    assert days[-1]["day"] == datetime.now(UTC).date().isoformat()


def test_when_a_row_was_delivered_last_is_told_by_the_run_that_did_it(ledger, engine, reports):
    assert reports.last_delivered([REVIEWS, "others"]) == {}
    first = staged(ledger, "r1", "r2")
    delivered(ledger, first, "r1")
    at_first = reports.last_delivered([REVIEWS])[REVIEWS]
    ledger.finish(first, "succeeded", Tally(delivered=1))
    idle = staged(ledger)
    ledger.finish(idle, "succeeded", Tally())

    ((began, ended),) = select(
        engine, f"select started_at, finished_at from runs where run_id = '{first.run_id}'"
    )
    assert at_first == began
    assert reports.last_delivered([REVIEWS, "others"]) == {REVIEWS: ended}  # not by the idle one
    # long ago: the runs since then are not looked at, and the day alone is known without them
    execute(engine, "update delivery_counts set day = day - 40 where state = 'delivered'")
    assert reports.last_delivered([REVIEWS])[REVIEWS] == (began // DAY - 40) * DAY


def test_a_ledger_of_before_is_counted_once(tmp_path):
    url = make_url(f"sqlite:///{tmp_path}/ledger.db")
    engine = writing_engine(url)
    for number, state in enumerate(set(State) - {State.REMOVED}):  # which came later
        a_row_in(engine, f"r{number}", state)
    before = counted(engine)
    as_it_was_before(engine)
    engine.dispose()
    engine = writing_engine(url)

    assert counted(engine) == before == recounted(engine)
    engine.dispose()


OF_RUNS = ("runs_in_order", "runs_not_well")


def as_it_was_before(engine):
    """Take back what the migration made."""
    with engine.begin() as c:
        c.exec_driver_sql("pragma writable_schema = 1")
        for _, old, new, _ in v0023_checks_without_lists.CHECKS:
            change = "update sqlite_master set sql = replace(sql, ?, ?) where name = 'deliveries'"
            c.exec_driver_sql(change, (new, old))
        c.exec_driver_sql("pragma writable_schema = reset")
    triggers = select(engine, "select name from sqlite_master where name like 'deliveries_%count%'")
    execute(
        engine,
        *(f"drop trigger {row.name}" for row in triggers),
        "drop trigger deliveries_undone",
        "drop table delivery_counts",
        "drop trigger deliveries_submitted",
        "drop trigger deliveries_replaced",
        "drop table changes",
        *(f"alter table deliveries drop column {name}" for name in ("about", "source")),
        "drop index attempts_request",
        "drop table requests",
        *(f"drop table {name}" for name in ("trials", "receipts", "verifications", "probes")),
        *(f"drop table {name}" for name in ("approvals", "audit", "turns")),
        *(f"drop table {name}" for name in ("rates", "rate_shares", "tempos")),
        *(f"drop table {name}" for name in ("pruned", "pruned_keys", "pruned_interactions")),
        *(f"drop index {name}" for name in ("removed_interactions_of", *OF_RUNS)),
        *(f"alter table attempts drop column {name}" for name in ("request", "place")),
        *(
            f"alter table runs drop column {name}"
            for name in (
                *("undone", "kind", "retryable", "submitted", "resent", "assumed"),
                *("due", "matched", "empty", "comparable"),
                *("removed", "replaced", "by", "dbt_model", "relation", "done", "rests"),
                *("first_delivery", "last_delivery"),
            )
        ),
        "drop index runs_by_tag",
        "alter table runs drop column tag",
        "alter table watermarks drop column left_behind",
        "alter table watermarks drop column origin",
        "alter table watermarks drop column reference_prefix",
        "alter table watermarks drop column identifier",
        "drop table services",
        "update alembic_version set version_num = '0005'",
    )
