"""What a run did is found between the deliveries that its record names, and nowhere else."""

from sqlalchemy import event

from connector.ledger import paging
from connector.ledger.records import Tally
from connector.ledger.takeback import Standing
from tests.ledger.factories import begun, delivered, execute, select, staged

FOREVER = 2**53


def a_finished_run(ledger, *keys):
    """A run that has delivered `keys`."""
    run = staged(ledger, *keys)
    for key in keys:
        delivered(ledger, run, key, f"i-{key}")
    ledger.finish(run, "succeeded", Tally(), None)
    return run.run_id


def span(engine, run_id):
    query = f"select first_delivery, last_delivery from runs where run_id = '{run_id}'"
    (row,) = select(engine, query)
    return tuple(row)


def ids(engine, *keys):
    found = {row.row_key: row.id for row in select(engine, "select row_key, id from deliveries")}
    return tuple(found[key] for key in keys)


def found_of(reports, run_id):
    """All that is asked of a run's rows, and the number of statements that it took."""
    statements = []
    note = lambda *given: statements.append(given[2])  # noqa: E731
    event.listen(reports._engine, "before_cursor_execute", note)
    found = (
        [row.row_key for row in reports.delivered(run_id, FOREVER, 0, 100)],
        [row.row_key for row in reports.deletable(run_id)],
        reports.standing(run_id),
        reports.delivered_alone(run_id),
    )
    event.remove(reports._engine, "before_cursor_execute", note)
    return found, len([each for each in statements if "deliveries" in each])


def test_a_run_is_looked_for_where_it_has_been_however_many_rows_there_are(
    ledger, engine, reports, monkeypatch
):
    monkeypatch.setattr(paging, "WINDOW", 2)
    a_finished_run(ledger, "a1", "a2", "a3")
    run_id = a_finished_run(ledger, "b1", "b2")
    before = found_of(reports, run_id)
    a_finished_run(ledger, *(f"c{number}" for number in range(20)))

    assert found_of(reports, run_id) == before
    assert before[0] == (["b1", "b2"], ["b1", "b2"], Standing(delivered=2), 2)
    assert before[1] <= 6  # a page each; that of the newest row is not asked for
    assert span(engine, run_id) == ids(engine, "b1", "b2")


def test_a_run_that_moves_an_older_row_has_it_in_its_span(ledger, engine, reports):
    first = staged(ledger, "old", "other")
    ledger.finish(first, "succeeded", Tally(), None)
    second = staged(ledger, "new")
    assert span(engine, second.run_id) == ids(engine, "new", "new")
    delivered(ledger, second, "old")

    assert span(engine, second.run_id) == ids(engine, "old", "new")
    assert span(engine, first.run_id) == ids(engine, "old", "other")
    assert found_of(reports, second.run_id)[0][1] == ["old"]


def test_a_run_that_touches_nothing_is_looked_for_nowhere(ledger, engine, reports):
    a_finished_run(ledger, "a1")
    run = begun(ledger)

    assert span(engine, run.run_id) == (0, 0)
    assert found_of(reports, run.run_id) == (([], [], Standing(), 0), 0)


def test_a_run_of_an_older_connector_is_looked_for_everywhere(ledger, engine, reports):
    """One that goes on, too: it says nothing of where its rows are, so that stays unknown."""
    run = staged(ledger, "a1", "a2")
    execute(engine, "update runs set first_delivery = null, last_delivery = null")
    run.footing.span = None
    delivered(ledger, run, "a1", "i-1")

    assert span(engine, run.run_id) == (None, None)
    found, _ = found_of(reports, run.run_id)
    assert found == (["a1"], ["a1"], Standing(delivered=1, unsent=1), 1)
