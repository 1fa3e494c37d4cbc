"""What people ask of the ledger; nothing private is in an answer."""

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest
from sqlalchemy import event

from connector.ledger.approvals import Held
from connector.ledger.aside import Aside
from connector.ledger.ownership import owners
from connector.ledger.processes import this_process
from connector.ledger.records import COUNTS, Learnt, Tally
from connector.ledger.replacing import to_be_moved
from connector.ledger.reports import Reports
from connector.ledger.run_list import Which, newest_of
from connector.ledger.takeback import DELETED, TakenBack
from connector.rules.delivery import Accepted, NotApplied, Refused, State
from connector.rules.errors import LedgerUnavailable
from connector.rules.hold import Hold
from connector.rules.watermark import Watermark
from tests.ledger.factories import (
    CONTACT,
    CONTACT_ID,
    REVIEWS,
    SECRET,
    a_mark,
    a_row,
    an_identity,
    an_invalid_row,
    answered,
    begun,
    closing,
    content_of,
    delivered,
    doubted,
    due,
    execute,
    expire_lease,
    opening,
    refused,
    sent,
    staged,
    waits,
)

NONE_OF_ALL = dict.fromkeys((state.value for state in State), 0)


def test_a_ledger_that_does_not_exist_answers_that_nothing_is_there():
    nothing = Reports(None)

    assert nothing.watermark(REVIEWS) == (Watermark(), False)
    assert nothing.known(REVIEWS, ["r1"]) == {}
    assert nothing.counts(REVIEWS) == NONE_OF_ALL
    assert nothing.runs() == []
    assert nothing.run("x") is None
    assert nothing.delivery(REVIEWS, "r1") is None
    assert nothing.similar_keys(REVIEWS, "r") == []
    assert nothing.quarantine() == []
    assert nothing.identity(REVIEWS) is None
    assert nothing.delivered("x", nothing.now(), 0, 1) == []
    assert nothing.owners(REVIEWS, ["i-1"]) == {}
    assert nothing.unsettled(REVIEWS, CONTACT_ID) == []


def test_what_is_told_of_many_at_once_is_what_is_told_of_each(ledger, reports, engine):
    delivered(ledger, staged(ledger, "r1", "r2", an_invalid_row("r3")), "r1")
    for name in ("paused", "done", "dead"):
        run = ledger.begin(name, an_identity())
        if name != "dead":
            ledger.finish(run, "succeeded", Tally())
    expire_lease(engine)
    for status in ("held", "stopped"):
        run = ledger.begin("held", an_identity())
        ledger.finish(run, status, Tally(notes=[f"it was {status}"]))
    hold = Hold(3, 2, 1).text
    execute(engine, f"update watermarks set held = '{hold}' where activation = 'held'")
    ledger.pause("paused", "anna")
    execute(engine, "update deliveries set suspect = true where row_key = 'r2'")

    names = [REVIEWS, "paused", "done", "dead", "held", "never"]
    now = datetime.now().astimezone()
    found, held = reports.standings(names), reports.holds(names)
    days, delivered_lately = reports.days_of(names, now, 3), reports.delivered_since(names, now, 3)

    assert list(found) == names
    for name in names:
        one = found[name]
        assert one.counts == reports.counts(name)
        assert [one.last_run] == (reports.runs(name, 1) or [None])
        assert one.paused_by == reports.paused_by(name)
        assert one.watermark == reports.watermark(name)[0]
        assert one.is_suspect == reports.is_suspect(name)
        assert one.is_held == (reports.held(name) is not None) == (name in held)
        assert days[name] == reports.days(name, now, 3)
        numbers = [day["delivered"] for day in days[name]]
        assert delivered_lately[name] == (sum(numbers), numbers[-1])
    assert delivered_lately[REVIEWS][0] == 1
    assert held["held"] == Held("it was held", Hold(3, 2, 1), None)
    assert found[REVIEWS].is_suspect
    assert found["dead"].last_run["status"] == "stopped"
    assert found["never"].last_run is None


@pytest.mark.parametrize("ended_ahead", [True, False], ids=["ended ahead", "ended put back"])
def test_a_run_under_a_clock_that_was_ahead_is_not_the_newest_until_its_time_comes(
    ledger, reports, engine, ended_ahead
):
    """Else what has become of later ones would not be told for as long."""
    month = 30 * 86_400_000

    def newest() -> str:
        return str(reports.standings([REVIEWS])[REVIEWS].last_run["run_id"])

    earlier = ledger.begin(REVIEWS, an_identity())
    ledger.finish(earlier, "succeeded", Tally())
    ahead = ledger.begin(REVIEWS, an_identity())
    execute(
        engine, f"update runs set started_at = started_at + {month} where run_id = '{ahead.run_id}'"
    )
    assert newest() == ahead.run_id  # it goes on
    ledger.finish(ahead, "succeeded", Tally())
    if not ended_ahead:
        assert newest() == ahead.run_id
    else:
        execute(engine, f"update runs set finished_at = started_at where run_id = '{ahead.run_id}'")

    later = ledger.begin(REVIEWS, an_identity())
    assert newest() == later.run_id
    ledger.finish(later, "stopped", Tally())

    assert newest() == later.run_id
    execute(engine, f"delete from runs where run_id <> '{ahead.run_id}'")
    assert newest() == ahead.run_id  # there is no other


def test_when_a_model_was_read_is_not_known_where_that_is_still_to_come(ledger, reports, engine):
    """Since the clock was put back: to say just now would hide for as long that it is not read."""
    run = staged(ledger, "r1")
    ledger.finish(run, "succeeded", Tally())
    execute(engine, "update watermarks set read_at = changed_at - 5000")
    assert 5_000 <= reports.standings([REVIEWS])[REVIEWS].read_ago < 600_000

    execute(engine, "update watermarks set read_at = changed_at + 20000")
    assert reports.standings([REVIEWS])[REVIEWS].read_ago == 0
    execute(engine, "update watermarks set read_at = changed_at + 86400000")

    found = reports.standings([REVIEWS])[REVIEWS]
    assert (found.read_at is None, found.read_ago) == (False, None)


def test_a_row_is_found_in_every_activation_by_just_its_key(ledger, reports, engine):
    staged(ledger, "r1", "r10", an_invalid_row("R1"))
    expire_lease(engine)
    run = ledger.begin("another", an_identity())
    ledger.stage(run, [a_row("r1")], [], a_mark(), begun=True)

    assert [each["activation"] for each in reports.with_key("r1")] == ["another", REVIEWS]
    (found,) = reports.with_key("R1")
    assert (found["row_key"], found["state"]) == ("R1", "invalid")
    assert found["reason"]
    renamed = Reports(engine, {"opinions": REVIEWS})
    assert [each["activation"] for each in renamed.with_key("r10")] == ["opinions"]
    assert reports.with_key("r") == []


def test_many_activations_take_as_many_statements_as_one(ledger, reports, engine):
    names = [f"a{number}" for number in range(12)]
    for name in names:
        ledger.finish(ledger.begin(name, an_identity()), "succeeded", Tally())

    def statements(asked: list[str]) -> int:
        seen: list[str] = []

        def note(_c: Any, _cursor: Any, text: str, *_: Any) -> None:
            seen.append(text)

        event.listen(reports._engine, "before_cursor_execute", note)
        reports.standings(asked)
        reports.days_of(asked, datetime.now().astimezone(), 30)
        reports.delivered_since(asked, datetime.now().astimezone(), 30)
        reports.holds(asked)
        reports.last_receipts(asked)
        event.remove(reports._engine, "before_cursor_execute", note)
        return len(seen)

    assert statements(names) == statements(names[:1]) <= 18


def test_an_activation_that_never_ran_has_nothing(reports):
    assert reports.watermark(REVIEWS) == (Watermark(), False)
    assert reports.counts(REVIEWS) == NONE_OF_ALL
    assert reports.delivery(REVIEWS, "r1") is None


def test_both_sides_know_the_same_rows_and_the_same_watermark(ledger, reports):
    staged(ledger, "r1", an_invalid_row("r2"))

    keys = ["r1", "r2", "r3"]
    assert reports.known(REVIEWS, keys) == ledger.known(REVIEWS, keys)
    assert reports.known(REVIEWS, keys).keys() == {"r1", "r2"}
    assert reports.watermark(REVIEWS) == ledger.watermark(REVIEWS) == (a_mark(), True)


def test_counts_have_every_state(ledger, reports):
    run = staged(ledger, "r1", "r2", "r3", an_invalid_row("r4"))
    delivered(ledger, run, "r1")
    doubted(ledger, run, "r2")

    expected = {"delivered": 1, "in_doubt": 1, "pending": 1, "invalid": 1}
    assert reports.counts(REVIEWS) == NONE_OF_ALL | expected


def test_runs_come_newest_first_and_as_many_as_asked_for(ledger, engine, reports):
    ids: list[str] = []
    for _ in range(3):
        run = begun(ledger)
        ledger.finish(run, "succeeded", Tally(), None)
        execute(engine, "update runs set started_at = started_at - 1000")
        ids.insert(0, run.run_id)
    other = begun(ledger, "another")

    assert [run["run_id"] for run in reports.runs(REVIEWS)] == ids
    assert [run["run_id"] for run in reports.runs(REVIEWS, limit=2)] == ids[:2]
    assert [run["run_id"] for run in reports.runs()] == [other.run_id, *ids]


def test_runs_are_narrowed_down_by_how_they_are_told(ledger, engine, reports):
    died, ended, alive = (begun(ledger, name) for name in ("died", "ended", "alive"))
    ledger.finish(ended, "stopped", Tally(), None)
    execute(engine, "update leases set expires_at = 1 where activation = 'died'")
    execute(engine, "update runs set started_at = 1000 where activation = 'died'")

    def ids(limit: int | None = 20, **which: Any) -> list[str]:
        return [run["run_id"] for run in reports.runs(None, limit, Which(**which))]

    assert ids(status="running") == [alive.run_id]
    assert ids(status="stopped") == [ended.run_id, died.run_id]
    assert ids(1, status="stopped") == [ended.run_id]
    assert ids(before=1001) == [died.run_id]
    assert set(ids(since=1001)) == {ended.run_id, alive.run_id}
    assert ids(status="succeeded") == ids(tag="none") == []
    execute(engine, "update runs set started_at = 1000")
    every = sorted([died.run_id, ended.run_id, alive.run_id], reverse=True)
    assert ids(2) == every[:2]
    assert ids(2, after=every[1]) == every[2:]
    assert ids(after="nobody") == []


@pytest.mark.parametrize(
    ("which", "index"),
    [
        (Which(), "runs_in_order"),
        (Which(status="succeeded"), "runs_in_order"),
        (Which(since=1001), "runs_in_order"),
        (Which(after="a run"), "runs_in_order"),
        (Which(status="stopped"), "runs_not_well"),
        (Which(status="held"), "runs_not_well"),
    ],
)
def test_the_newest_runs_are_found_in_their_order_and_not_by_sorting_all(engine, which, index):
    def newest(connection):
        if connection.dialect.name == "postgresql":  # for three runs it would read the table
            connection.exec_driver_sql("set local enable_seqscan = off")
            connection.exec_driver_sql("set local enable_sort = off")
        return connection.execute(newest_of(which).limit(20)).all()

    plan = plan_of(engine, newest)

    assert index in plan
    assert "TEMP B-TREE" not in plan


def test_what_a_mirror_is_held_with_is_found_without_reading_every_row(reports, engine):
    asked = []

    def remember(connection, cursor, statement, parameters, *rest):
        if "changes" in statement:
            asked.append((f"explain query plan {statement}", parameters))

    event.listen(reports._engine, "before_cursor_execute", remember)
    reports.held_rows(REVIEWS)
    event.remove(reports._engine, "before_cursor_execute", remember)

    assert asked
    if engine.dialect.name == "sqlite":  # the other knows how many there are of each
        with engine.begin() as connection:
            plans = [str(connection.exec_driver_sql(*each).all()) for each in asked]
        assert not [plan for plan in plans if "deliveries_key" in plan or "TEMP B-TREE" in plan]


def test_the_next_rows_of_a_replaced_schema_are_found_without_reading_every_row(engine):
    def next_rows(connection):
        if connection.dialect.name == "postgresql":  # for no rows at all it would read the table
            connection.exec_driver_sql("set local enable_seqscan = off")
        return connection.execute(to_be_moved(REVIEWS, 1, after=7)).all()

    plan = plan_of(engine, next_rows)

    assert "migrated_rows" in plan
    assert "deliveries_key" not in plan
    assert "TEMP B-TREE" not in plan


def test_a_run_tells_how_it_ended(ledger, reports):
    run = staged(ledger, "r1")
    counts: dict[str, Any] = {"read": 9, "staged": 8, "delivered": 7, "invalid": 6, "rejected": 5}
    tally = Tally(
        **counts,
        submitted=1,
        resent=2,
        assumed=3,
        removed=4,
        replaced=5,
        waiting=4,
        in_doubt=3,
        pending=2,
        notes=["a sentence", "two: ö"],
    )
    ledger.finish(run, "attention", tally, LedgerUnavailable("what stopped it"))

    document = reports.run(run.run_id)

    started, ended = document.pop("started_at"), document.pop("finished_at")
    assert datetime.fromisoformat(started) == run.started_at
    assert datetime.fromisoformat(ended) >= run.started_at
    assert document == {
        "run_id": run.run_id,
        "activation": REVIEWS,
        "status": "attention",
        **counts,
        "submitted": 1,
        "resent": 2,
        "assumed": 3,
        "removed": 4,
        "replaced": 5,
        "waiting": 4,
        "in_doubt": 3,
        "pending": 2,
        "undone": 0,
        "watermark": "1",
        "error": "what stopped it",
        "kind": "ledger",
        "retryable": True,
        "notes": ["a sentence", "two: ö"],
        "contacts": None,
        "by": None,
        "tag": None,
        "done": None,
        "next_window": None,
        "for_window": 0,
        "next_turn": None,
        "for_turn": 0,
        "next_try": None,
        "resting": 0,
        "rests_for": None,
        "too_young": 0,
        "next_settling": None,
    }


def test_a_run_that_goes_on_has_no_end_yet(ledger, reports):
    run = begun(ledger)

    document = reports.run(run.run_id)

    assert (document["status"], document["finished_at"]) == ("running", None)
    assert (document["notes"], document["error"], document["watermark"]) == ([], None, None)
    assert reports.run("unknown") is None


def test_a_run_that_died_or_fell_silent_does_not_pass_for_one_that_goes_on(ledger, engine, reports):
    died, silent, alive = (begun(ledger, name) for name in ("died", "silent", "alive"))
    another = replace(this_process(), born="another")
    execute(engine, f"update leases set holder = '{another.text}' where activation = 'died'")
    execute(engine, "update leases set expires_at = 1 where activation = 'silent'")

    found = {run["activation"]: run["status"] for run in reports.runs()}

    assert found == {"died": "stopped", "silent": "stopped", "alive": "running"}
    assert "ended or fallen silent" in reports.run(died.run_id)["error"]
    assert reports.run(silent.run_id)["finished_at"] is None
    assert reports.run(alive.run_id)["error"] is None


def test_the_story_of_a_row_has_every_attempt(ledger, reports):
    run = staged(ledger, "r1")
    answered(ledger, run, "r1", NotApplied("HTTP 429", 429))
    delivered(ledger, run, "r1")

    story = reports.delivery(REVIEWS, "r1")

    times = [story.pop("since")]
    times += [attempt.pop(name) for attempt in story["attempts"] for name in ("opened_at",)]
    times += [attempt.pop("closed_at") for attempt in story["attempts"]]
    assert all(datetime.fromisoformat(time).tzinfo for time in times)
    common = {"run_id": run.run_id}
    assert [event["what"] for event in story.pop("story")] == ["attempt 1", "attempt 2"]
    assert story == {
        "activation": REVIEWS,
        "row_key": "r1",
        "destination": "engage",
        "address": None,
        "suspect": False,
        "held": None,
        "change": None,
        "state": "delivered",
        "reason": None,
        "interaction_id": "i-1",
        "due_at": None,
        "waiting_since": None,
        **common,
        "attempts": [
            {"number": 1, "outcome": "not_applied", "http_status": 429, "reason": "HTTP 429"}
            | common,
            {"number": 2, "outcome": "accepted", "http_status": 201, "reason": None} | common,
        ],
        "decisions": [],
        "pruned": None,
    }


def test_a_waiting_row_tells_since_when_and_until_when(ledger, reports):
    run = staged(ledger, "r1")
    ledger.record(run, [waits(due(ledger)["r1"])])

    story = reports.delivery(REVIEWS, "r1")

    since = datetime.fromisoformat(story["waiting_since"])
    assert (datetime.fromisoformat(story["due_at"]) - since).total_seconds() == 3600
    assert (story["state"], story["attempts"]) == ("waiting", [])


def test_quarantine_has_what_waits_for_a_person_and_the_oldest_first(ledger, engine, reports):
    run = staged(ledger, "pending", "doubt", "rejected", "delivered", an_invalid_row("invalid"))
    execute(engine, "update deliveries set changed_at = 1")
    delivered(ledger, run, "delivered")
    doubted(ledger, run, "doubt")
    execute(engine, "update deliveries set changed_at = changed_at - 60000 where changed_at > 1")
    ledger.record(run, [refused(due(ledger)["rejected"])])

    rows = reports.quarantine(REVIEWS)

    assert [(row["row_key"], row["state"], row["reason"]) for row in rows] == [
        ("invalid", "invalid", "rating: missing"),
        ("doubt", "in_doubt", "no answer"),
        ("rejected", "rejected", "several contacts have this email"),
    ]
    assert rows[0]["since"] == "1970-01-01T00:00:00.001Z"
    assert reports.quarantine(REVIEWS, limit=2) == rows[:2]
    assert reports.quarantine() == rows
    assert reports.quarantine("another") == []
    assert reports.quarantine(key="DOU") == reports.quarantine(key="do*") == rows[1:2]
    assert reports.quarantine(since=2) == rows[1:]
    assert [g["example_key"] for g in reports.quarantine_groups(key="*", since=2)] == [
        "doubt",
        "rejected",
    ]

    oldest = reports.quarantine_rows(Aside(), 2, None, backwards=False)
    rest = reports.quarantine_rows(Aside((REVIEWS,)), 2, oldest[-1][0], backwards=False)
    newest = reports.quarantine_rows(Aside(), 1, None, backwards=True)
    assert [row for _, row in oldest + rest] == rows
    assert newest == rest
    figures = reports.quarantine_figures(Aside(), [(0, 3_600_000)])
    assert {(each.state, each.reason, each.number, each.key) for each in figures} == {
        (row["state"], row["reason"], 1, row["row_key"]) for row in rows
    }
    assert [each.day for each in figures if each.state == "invalid"] == [0]
    for some, keys in (
        (Aside(key="D*"), ["doubt"]),
        (Aside(key="D"), ["doubt", "invalid", "rejected"]),
        (Aside(states=(State.INVALID,)), ["invalid"]),
        (Aside(("another",)), []),
        (Aside(reason="SEVERAL"), ["rejected"]),
    ):
        assert sorted(row["row_key"] for row in reports.every_quarantined(some)) == keys


def test_rows_of_the_same_contact_are_known_while_the_ledger_keeps_it(ledger, reports):
    run = staged(ledger, "pending", "doubt", "delivered", an_invalid_row("invalid"))
    delivered(ledger, run, "delivered")
    doubted(ledger, run, "doubt")

    (found,) = reports.siblings(REVIEWS, "pending")

    assert (found["row_key"], found["state"]) == ("doubt", "in_doubt")
    assert reports.siblings(REVIEWS, "delivered") is None
    assert reports.siblings(REVIEWS, "invalid") is None
    assert CONTACT not in json.dumps(found)


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("ORDER", {"Order-1", "order-2"}),
        ("_", {"a_b"}),
        ("%", {"5%"}),
        ("\\", {"c\\d"}),
        ("nothing like it", set()),
    ],
)
def test_similar_keys_hold_what_was_asked_whatever_the_capitals(ledger, reports, asked, found):
    staged(ledger, "Order-1", "order-2", "a_b", "axb", "5%", "50", "c\\d")

    assert set(reports.similar_keys(REVIEWS, asked)) == found


def test_no_more_similar_keys_than_asked_for(ledger, reports):
    staged(ledger, *[f"r{number}" for number in range(10)])

    assert len(reports.similar_keys(REVIEWS, "r")) == 5
    assert len(reports.similar_keys(REVIEWS, "r", limit=3)) == 3


# --- reading back ---------------------------------------------------------------------------------

LATER = 60_000


def rows_of(reports, run, after=0, limit=100, until=None):
    until = reports.now() + LATER if until is None else until
    return reports.delivered(run.run_id, until, after, limit)


def test_the_delivered_rows_of_a_run_come_in_pages_in_the_order_of_staging(ledger, reports):
    run = staged(ledger, "r1", "r2", "r3", "r4", an_invalid_row("r5"))
    for key in ("r3", "r1", "r2"):
        delivered(ledger, run, key, f"i-{key}")

    first = rows_of(reports, run, limit=2)
    second = rows_of(reports, run, after=first[-1].id, limit=2)

    assert [row.row_key for row in first + second] == ["r1", "r2", "r3"]
    assert rows_of(reports, run, after=second[-1].id) == []
    row = first[0]
    assert (row.state, row.run_id, row.interaction_id) == ("delivered", run.run_id, "i-r1")
    assert row.digest == content_of(a_row("r1")).digest
    assert abs(row.changed_at - reports.now()) < LATER


def test_rows_that_moved_later_another_runs_and_those_taken_back_are_left_out(
    ledger, engine, reports
):
    run = staged(ledger, "r1", "r2", "r3")
    for key in ("r1", "r2", "r3"):
        delivered(ledger, run, key, f"i-{key}")
    execute(engine, "update deliveries set state = 'undone' where row_key = 'r2'")
    execute(engine, "update deliveries set run_id = 'another' where row_key = 'r3'")

    assert [row.row_key for row in rows_of(reports, run)] == ["r1"]
    assert rows_of(reports, run, until=rows_of(reports, run)[0].changed_at - 1) == []


def test_an_interaction_has_the_row_that_owns_it_at_that_destination(ledger, engine, reports):
    run = staged(ledger, "r1", "r2")
    delivered(ledger, run, "r1", "12345678-1")
    delivered(ledger, run, "r2", "12345678-2")
    execute(engine, "update deliveries set state = 'undone' where row_key = 'r2'")
    for name, destination in (("neighbour", "engage"), ("stranger", "elsewhere")):
        other = ledger.begin(name, an_identity(destination=destination))
        ledger.stage(other, [a_row("x")], [], a_mark(), begun=True)
        (row,) = ledger.due(name, State.PENDING, 0, 9)
        opened = opening(row)
        ledger.record(other, [opened])
        ledger.record(other, [closing(opened, Accepted(f"12345678-{name}", 200))])

    many = [f"12345678-{number}" for number in range(2500)]
    owners = reports.owners(REVIEWS, [*many, "12345678-neighbour", "12345678-stranger"])

    assert {i: row.row_key for i, row in owners.items()} == {
        "12345678-1": "r1",
        "12345678-2": "r2",
        "12345678-neighbour": "x",
    }
    assert reports.owners(REVIEWS, []) == {}


def plan_of(engine, query, *arguments):
    """How the database goes about the last statement of `query`."""
    seen = []

    def remember(connection, cursor, statement, parameters, *rest):
        seen.append((statement, parameters))

    with engine.begin() as connection:
        event.listen(connection, "before_cursor_execute", remember)
        query(connection, *arguments)
        statement, parameters = seen[-1]
        word = "explain query plan" if engine.dialect.name == "sqlite" else "explain"
        rows = connection.exec_driver_sql(f"{word} {statement}", parameters)
        return "\n".join(str(row) for row in rows)


@pytest.mark.parametrize("ids", [["10000005"], ["10000005", "10000007"]])
@pytest.mark.parametrize("analyzed", [False, True])
def test_owners_are_found_by_an_index_and_not_by_reading_every_row(ledger, engine, ids, analyzed):
    staged(ledger, *[f"r{number}" for number in range(3000)])
    execute(
        engine,
        "update deliveries set state = 'delivered', payload = null, contact = null,"
        " interaction_id = cast(10000000 + id as varchar(20))",
    )
    if analyzed or engine.dialect.name == "postgresql":  # which does it by itself
        execute(engine, "analyze")

    plan = plan_of(engine, owners, REVIEWS, ids)

    assert "deliveries_interaction" in plan


def test_rows_without_an_answer_are_known_by_their_contact(ledger, reports):
    run = staged(ledger, "doubt", "sending", "pending", "delivered")
    doubted(ledger, run, "doubt")
    sent(ledger, run, "sending")
    delivered(ledger, run, "delivered")

    found = reports.unsettled(REVIEWS, CONTACT_ID.upper())

    keys = ledger.known(REVIEWS, ["doubt", "sending"])
    assert {row.id for row in found} == {known.id for known in keys.values()}
    assert {row.payload for row in found} == {content_of(a_row()).payload.decode()}
    assert all(datetime.fromisoformat(row.created_date) for row in found)
    assert reports.unsettled(REVIEWS, "another") == reports.unsettled("x", CONTACT_ID) == []


def test_what_an_activation_is_can_be_asked_for(ledger, reports):
    begun(ledger)

    assert reports.identity(REVIEWS) == an_identity(renamed_from=None)
    assert reports.identity("another") is None


def test_no_report_shows_a_contact_or_a_payload(ledger, reports):
    run = staged(ledger, "r1", "r2", an_invalid_row("r3"))
    doubted(ledger, run, "r1")

    told = json.dumps(
        [
            reports.delivery(REVIEWS, "r1"),
            reports.delivery(REVIEWS, "r2"),
            reports.quarantine(),
            reports.runs(),
            reports.counts(REVIEWS),
        ]
    )

    for private in (CONTACT, CONTACT_ID, SECRET):
        assert private not in told


def test_who_uses_a_schema_is_told_with_the_states_of_its_rows(ledger, reports):
    run = staged(ledger, "r1", "r2", an_invalid_row("r3"))
    delivered(ledger, run, "r1")
    begun(ledger, "empty")

    assert reports.schema_uses(None, ["engage"]) == [
        {"activation": "empty", "schema_id": "review", "counts": {}},
        {
            "activation": REVIEWS,
            "schema_id": "review",
            "counts": {"delivered": 1, "invalid": 1, "pending": 1},
        },
    ]
    assert reports.schema_uses(None, ["elsewhere"]) == []
    assert Reports(None).schema_uses(None, ["engage"]) == []


def test_a_run_is_under_way_as_long_as_it_holds_its_activation(ledger, reports):
    assert reports.run_under_way(REVIEWS) is None

    run = begun(ledger)
    assert reports.run_under_way(REVIEWS) == run.run_id

    ledger.finish(run, "succeeded", Tally(), None)
    assert reports.run_under_way(REVIEWS) is None


def test_a_run_tells_what_it_has_done_while_it_goes_on(ledger, reports):
    run = begun(ledger)
    rows = [a_row("r1"), a_row("r2"), a_row("r3"), an_invalid_row("r4")]
    ledger.stage(run, rows, [], a_mark(4), True, Learnt(read=5))
    delivered(ledger, run, "r1")
    answered(ledger, run, "r2", Refused("no", 400))
    sent(ledger, run, "r3")

    document = reports.run(run.run_id)

    told = {name: document[name] for name in (*COUNTS, "undone", "status", "watermark")}
    assert told == {
        "read": 5, "staged": 4, "delivered": 1, "invalid": 1, "rejected": 1, "waiting": 0,
        "removed": 0, "replaced": 0, "submitted": 0, "resent": 0, "assumed": 0, "in_doubt": 0,
        "pending": 0, "undone": 0,
        "status": "running", "watermark": "4",
    }  # fmt: skip
    assert reports.runs(REVIEWS) == [document]


def test_a_killed_run_has_told_what_it_had_done(ledger, engine, reports):
    run = staged(ledger, "r1", "r2", "r3")
    delivered(ledger, run, "r1")
    sent(ledger, run, "r2")
    expire_lease(engine)
    seen = reports.run(run.run_id)
    begun(ledger)  # the next run finds it dead, and settles what it left behind
    settled = reports.run(run.run_id)

    for document in (seen, settled):
        assert document["status"] == "stopped"
        figures = [document[name] for name in ("staged", "delivered", "in_doubt", "pending")]
        assert figures == [3, 1, 1, 1]
        assert document["watermark"] == "1"


def test_a_run_tells_how_many_of_its_rows_were_taken_back(ledger, reports):
    run = staged(ledger, "r1", "r2", "r3")
    for number, key in enumerate(("r1", "r2", "r3")):
        delivered(ledger, run, key, f"i-{number}")
    ledger.finish(run, "succeeded", Tally(read=3, staged=3, delivered=3), None)
    back = [TakenBack(row, DELETED) for row in ledger.deletable(run.run_id, 0, 2)]
    assert ledger.take_back(run, "person: anna", back) == [True, True]

    assert (reports.run(run.run_id)["delivered"], reports.run(run.run_id)["undone"]) == (3, 2)


def test_where_there_is_no_ledger_every_thread_is_told_of_an_empty_one():
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda _: Reports(None).counts(REVIEWS), range(20)))

    assert found == [dict.fromkeys((state.value for state in State), 0)] * 20
    assert (Reports(None).runs(), Reports(None).quarantine(), Reports(None).services()) == (
        [],
        [],
        [],
    )
    assert Reports(None).delivery(REVIEWS, "r1") is None


DAY, HALF_AN_HOUR, HOUR = 86_400_000, 1_800_000, 3_600_000
IN_WINTER = [(0, HOUR), (100 * DAY - HOUR, 2 * HOUR), (200 * DAY - HOUR, HOUR)]
"""Clocks an hour ahead of UTC, and two from the 100th day to the 200th."""


@pytest.mark.parametrize(
    ("at", "day"),
    [
        (50 * DAY - HALF_AN_HOUR, 50),  # 00:30 by clocks an hour ahead
        (50 * DAY - HOUR - HALF_AN_HOUR, 49),  # 23:30 of the day before
        (150 * DAY - HOUR - HALF_AN_HOUR, 150),  # 00:30 by clocks two hours ahead
        (250 * DAY - HOUR - HALF_AN_HOUR, 249),
    ],
)
def test_a_day_is_that_of_clocks_as_they_were_set_then(ledger, engine, reports, at, day):
    run = staged(ledger, an_invalid_row("invalid"))
    ledger.finish(run, "succeeded", Tally())
    execute(engine, f"update runs set started_at = {at}, finished_at = {at}")
    execute(engine, f"update deliveries set changed_at = {at}")

    (ran,) = reports.days_in_runs(REVIEWS, 0, IN_WINTER)
    (figure,) = reports.quarantine_figures(Aside(), IN_WINTER)

    assert (ran.day, figure.day) == (day, day)
