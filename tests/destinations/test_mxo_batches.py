"""What MXO says of a batch, in all the ways it may, and what that means for each row."""

import asyncio
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import NAMESPACE_URL, uuid5

import orjson
import pytest

from connector.destinations.answers import Headers, Response
from connector.destinations.mxo import batches
from connector.destinations.mxo.batches import Entry, Status
from connector.destinations.mxo.client import Mxo
from connector.destinations.port import Answer, Doubt, Item, Parcel
from connector.rules.delivery import NotApplied, Outcome, Submitted, Unknown
from connector.rules.errors import DestinationUnusable
from connector.rules.read_back import (
    Absent,
    Here,
    Split,
    TurnedDown,
    Undecided,
    Underway,
    Unread,
    Verdict,
)
from connector.sandbox.mxo.running import Running, running
from tests.destinations.mxos import SECRET, a_client, an_activation, an_item, behave, opened

BATCH = str(uuid5(NAMESPACE_URL, "batch"))
OLD = timedelta(minutes=5)
ROWS = 6


@pytest.fixture
def sandbox() -> Iterator[Running]:
    with running(secret=SECRET) as sandbox:
        behave(sandbox, process_delay=0)
        yield sandbox


def items(rows: int = ROWS) -> list[Item]:
    """Rows, each with a reference as they are in life."""
    reference = "c" + "a" * 25
    return [
        replace(an_item(n), reference=f"{reference}{chr(97 + n)}", place=n) for n in range(rows)
    ]


async def posted(there: Mxo, name: str = BATCH, rows: int = ROWS, again: bool = False) -> Answer:
    await there.wire.come_near()
    return await there.send(an_activation(), Parcel(name, tuple(items(rows)), again))


async def asked(
    there: Mxo, name: str = BATCH, rows: int = ROWS, age: timedelta = OLD, **says: Any
) -> Mapping[int, Verdict]:
    async def nothing(ids: Sequence[str]) -> set[str]:
        return set()

    doubts = [Doubt(item, name, age, rows=rows, **says) for item in items(rows)]
    return await there.settle(an_activation(), doubts, nothing)


def came_of(sandbox: Running, rows: int = ROWS, again: bool = False, **keys: Any) -> Outcome:
    async def run() -> Outcome:
        async with opened(sandbox, "batch", **keys) as there:
            return (await posted(there, rows=rows, again=again)).whole

    return asyncio.run(run())


def settled(sandbox: Running, age: timedelta = OLD, **says: Any) -> Mapping[int, Verdict]:
    """What is said of a batch that was sent, as soon as it is processed."""

    async def run() -> Mapping[int, Verdict]:
        async with opened(sandbox, "batch") as there:
            await there.preflight(an_activation())
            await posted(there)
            sandbox.finish()
            return await asked(there, age=age, **says)

    return asyncio.run(run())


def the_one(verdicts: Mapping[int, Verdict]) -> Verdict:
    assert len(set(map(type, verdicts.values()))) == 1, verdicts
    return next(iter(verdicts.values()))


# --- what goes out --------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["json", "ndjson"])
@pytest.mark.parametrize("properties", ["list", "object"])
def test_a_batch_goes_under_its_own_id_in_the_order_of_its_rows(
    form: str, properties: str, sandbox: Running
) -> None:
    behave(sandbox, properties_form=properties)

    outcome = came_of(sandbox, batch={"format": form}, properties=properties)

    assert outcome == Submitted(None, 200)
    (batch,) = sandbox.store.batches()
    assert batch.id == BATCH
    assert [record.customer for record in batch.records] == [f"k{n}" for n in range(ROWS)]
    assert not any(record.problem for record in batch.records)
    assert sandbox.requests.last is not None
    body = sandbox.requests.last[2]
    first = orjson.loads(body.splitlines()[0] if form == "ndjson" else body)
    record = first if form == "ndjson" else first[0]
    assert record["timestamp"] == "2026-11-01T10:00:00.000Z"
    texts = {"storeNo": "12", "connectorRef": items()[0].reference}
    named = [{"name": name, "value": value} for name, value in texts.items()]
    assert record["properties"] == (named if properties == "list" else texts)


def test_a_row_weighs_at_least_what_it_takes(sandbox: Running) -> None:
    there = a_client(sandbox, "batch")
    wide = b'{"a":"1","b":"","comment":"' + b"x" * 500 + b'"}'
    for item in (an_item(), an_item(payload=wide), an_item(payload=b"{}")):
        body = there.compose(an_activation(), Parcel(BATCH, (item,))).body

        assert len(body) <= there.weigh(item)


def test_batches_may_go_to_another_host(sandbox: Running) -> None:
    there = a_client(sandbox, "batch", batch_url="https://batches.example.com")

    look = there.compose(an_activation(), Parcel(BATCH, tuple(items(1))))

    assert look.url.startswith("https://batches.example.com/batchv2/interactions/")
    assert look.headers == (("batchId", BATCH),)


# --- what comes back ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("switches", "expected"),
    [
        ({}, Submitted(None, 200)),
        ({"batch_status": 202}, Submitted(None, 202)),
        ({"batch_id_in": "header"}, Submitted(None, 200)),
        ({"batch_id_in": "none"}, Submitted(None, 200)),
        *(({"id_name": name}, Submitted(None, 200)) for name in ("batchId", "id", "jobId")),
    ],
)
def test_a_batch_that_is_taken_over_is_submitted(
    switches: dict[str, Any], expected: Outcome, sandbox: Running
) -> None:
    behave(sandbox, **switches)

    assert came_of(sandbox) == expected


@pytest.mark.parametrize(
    ("status", "content", "kind", "expected"),
    [
        (202, b"", "", Submitted),
        (202, b"", "application/json", Submitted),
        (202, b"Accepted", "text/plain", Submitted),
        (201, b"Batch accepted", "", Submitted),
        (200, b"Accepted", "text/plain", Unknown),
        (202, b"<html>Please wait</html>", "text/html", Unknown),
        (202, b'{"batchId":"', "application/json", Unknown),
        (202, b'{"batchId":"', "", Unknown),
    ],
)
def test_a_status_that_says_that_it_was_taken_over_needs_no_json(
    status: int, content: bytes, kind: str, expected: type[Outcome], sandbox: Running
) -> None:
    there = a_client(sandbox, "batch")
    response = Response(status, Headers.of({"Content-Type": kind}), content)

    assert type(there._success(response, "", Parcel(BATCH, tuple(items())))) is expected


@pytest.mark.parametrize(
    "word", ["PartiallySucceeded", "COMPLETED_WITH_ERRORS", "Done with errors", "Partial success"]
)
def test_a_batch_that_went_well_in_part_has_ended(word: str) -> None:
    status = batches.status_in({"status": word})

    assert status is not None
    assert status.has_ended(ROWS)


@pytest.mark.parametrize("shown", ["body", "header"])
def test_another_id_than_ours_is_kept(shown: str, sandbox: Running) -> None:
    behave(sandbox, own_id="ignored", batch_id_in=shown)

    outcome = came_of(sandbox)

    (batch,) = sandbox.store.batches()
    assert outcome == Submitted(batch.id, 200)
    assert batch.id != BATCH


@pytest.mark.parametrize(
    "switches",
    [
        *({"faults": {fault: 1}} for fault in ("reset_before", "reset_after", "html_after")),
        *({"faults": {fault: 1}} for fault in ("truncate_after", "cut_after")),
        *({"faults": {"status_after": {status: 1}}} for status in (408, 409, 410, 500, 503)),
        *({"faults": {"status_before": {status: 1}}} for status in (400, 413, 422, 504)),
        {"bad_record": "refused", "bad_customers": ["k2"]},
        {"most_records": 2},
        {"most_bytes": 10},
    ],
)
def test_nothing_else_says_what_became_of_a_batch(
    switches: dict[str, Any], sandbox: Running
) -> None:
    behave(sandbox, **switches)

    assert isinstance(came_of(sandbox), Unknown)
    assert isinstance(came_of(sandbox, 1), Unknown | Submitted)


def test_a_busy_answer_is_not_applied(sandbox: Running) -> None:
    behave(sandbox, faults={"too_many": 1})

    outcome = came_of(sandbox)

    assert isinstance(outcome, NotApplied)
    assert outcome.busy


@pytest.mark.parametrize(
    "keys", [{"site_key": "ANOTHER"}, {"workspace_id": "another"}, {"client_secret": "wrong"}]
)
def test_what_every_batch_would_be_told_stops_the_run(
    keys: dict[str, Any], sandbox: Running
) -> None:
    with pytest.raises(DestinationUnusable):
        came_of(sandbox, **keys)

    assert sandbox.store.batches() == []


@pytest.mark.parametrize("same_id", ["twice", "409", "400", "ignored"])
def test_an_answer_to_a_batch_that_went_before_proves_nothing(
    same_id: str, sandbox: Running
) -> None:
    behave(sandbox, same_id=same_id, process_delay=60)
    came_of(sandbox)

    assert isinstance(came_of(sandbox, again=True), Unknown)


# --- what became of it ----------------------------------------------------------------------------


def test_a_batch_without_errors_is_processed(sandbox: Running) -> None:
    assert set(settled(sandbox).values()) == {Here(None, "processed")}


@pytest.mark.parametrize("by", ["reference", "index", "line", "customer_key"])
@pytest.mark.parametrize("form", ["array", "object", "ndjson"])
@pytest.mark.parametrize("counts", ["plain", "records"])
@pytest.mark.parametrize("bad", [["k1", "k4"], ["k0"], ["k5", "k0"]], ids="-".join)
def test_the_rows_that_errors_name_are_turned_down_and_the_others_are_processed(
    by: str, form: str, counts: str, bad: list[str], sandbox: Running
) -> None:
    behave(
        sandbox,
        process_delay=0,
        errors_by=by,
        errors_form=form,
        counts=counts,
        bad_customers=bad,
        status_name="state",
    )

    verdicts = settled(sandbox)

    for row, verdict in verdicts.items():
        refused = f"k{row}" in bad
        assert isinstance(verdict, TurnedDown if refused else Here), (row, verdict)
        if isinstance(verdict, TurnedDown):
            assert verdict.reason == "the customer key is not valid"


@pytest.mark.parametrize(
    "switches",
    [
        {"errors_by": "text"},
        {"errors_cut": 1},
        {"errors_cut": 0},
        {"errors_delay": 3600},
        {"errors_delay": 3600, "errors_early": "404"},
        {"counts": "missing"},
        {"counts": "missing", "errors_by": "text"},
    ],
)
def test_errors_that_do_not_add_up_prove_nothing_of_the_others(
    switches: dict[str, Any], sandbox: Running
) -> None:
    behave(sandbox, process_delay=0, bad_customers=["k1", "k4"], **switches)

    verdicts = settled(sandbox)

    assert not any(isinstance(verdict, Here) for verdict in verdicts.values())
    for row, verdict in verdicts.items():
        if isinstance(verdict, TurnedDown):
            assert row in (1, 4)
        else:
            assert isinstance(verdict, Undecided)
            assert verdict.lasting


def test_errors_may_be_shown_later_than_the_status(sandbox: Running) -> None:
    behave(sandbox, process_delay=0, bad_customers=["k1"], errors_delay=60)

    assert isinstance(the_one(settled(sandbox, age=timedelta(seconds=1))), Underway)


def test_a_batch_that_failed_as_a_whole_is_turned_down_as_far_as_that_is_told(
    sandbox: Running,
) -> None:
    behave(sandbox, process_delay=0, failing=1)
    assert isinstance(the_one(settled(sandbox)), TurnedDown)

    sandbox.store.reset()
    behave(sandbox, process_delay=0, failing=1, counts="missing")
    verdict = the_one(settled(sandbox))
    assert isinstance(verdict, Undecided)
    assert verdict.lasting


@pytest.mark.parametrize(
    ("word", "age", "expected"),
    [
        ("QUEUED", timedelta(hours=2), Underway),
        ("in-progress", timedelta(hours=2), Underway),
        ("QUEUED", timedelta(days=2), Undecided),
        ("GRILLED", timedelta(minutes=50), Underway),
        ("GRILLED", timedelta(hours=2), Undecided),
    ],
)
def test_a_batch_is_under_way_until_it_says_otherwise(
    word: str, age: timedelta, expected: type[Verdict], sandbox: Running
) -> None:
    behave(sandbox, stuck=1, words={"queued": word})

    verdict = the_one(settled(sandbox, age=age))

    assert type(verdict) is expected
    assert not isinstance(verdict, Undecided) or not verdict.lasting


def test_a_batch_that_stopped_half_way_has_not_ended(sandbox: Running) -> None:
    half = Status("completed", records=6, done=3, bad=0)

    assert not half.has_ended(6)
    assert Status("completed", records=6, done=6, bad=0).has_ended(6)


def test_a_status_that_counts_other_rows_than_ours_proves_nothing() -> None:
    doubts = [Doubt(item, BATCH, OLD, rows=3) for item in items(3)]
    verdicts = batches.ended(doubts, Status("done", records=2, bad=0), [], patient=False)

    assert isinstance(the_one(verdicts), Undecided)


@pytest.mark.parametrize(
    ("told", "errors"),
    [
        ({"failed": 1}, 1),
        ({"totalRecords": 3, "errorCount": 0}, 0),
        ({"counts": {"succeeded": 2}}, 1),
        ({"succeeded": 2, "failed": 1}, 1),
        ({"succeeded": 2, "failed": 0}, None),
        ({"total": 4, "failed": 0}, None),
        ({"processed": 3}, None),
        ({"failed": True}, None),
        ({"totalRecords": "3", "errorCount": "1"}, 1),
        ({"totalRecords": 3.0, "failed": 2.0}, 2),
        ({"total": 3.0, "failed": "2.00"}, 2),
        ({"failed": 1.5}, None),
        ({"totalRecords": "many", "errorCount": "some"}, None),
        ({}, None),
    ],
)
def test_the_number_of_errors_is_known_where_the_numbers_agree(
    told: dict[str, Any], errors: int | None
) -> None:
    status = batches.status_in({"status": "Completed", **told})

    assert status is not None
    assert status.word == "completed"
    assert status.errors(3) == errors


@pytest.mark.parametrize(
    ("said", "word"),
    [
        ([{"batchId": BATCH, "status": "COMPLETED"}], "completed"),
        ({"id": BATCH, "status": {"state": "COMPLETED", "failed": 0}}, "completed"),
        ({"data": [], "status": {"status": "running"}}, "running"),
        ({"status": "success", "data": {"status": "PROCESSING", "failed": 0}}, "processing"),
        ({"status": "success", "job": {"jobStatus": {"state": "Done"}}}, "done"),
        ([{"status": "COMPLETED"}, {"status": "COMPLETED"}], None),
        ({"status": 200}, None),
        ([], None),
    ],
)
def test_the_word_of_a_status_is_the_one_about_the_batch(said: object, word: str | None) -> None:
    status = batches.status_in(said)

    assert (status and status.word) == word


def test_what_failed_is_counted_among_those_done_or_beside_them() -> None:
    beside = {"status": "completed", "total": 6, "processed": 4, "failed": 2}
    among = {"status": "completed", "total": 6, "processed": 6, "failed": 2}
    half_way = {"status": "completed", "total": 6, "processed": 3, "failed": 2}

    statuses = [batches.status_in(each) for each in (beside, among, half_way)]

    assert [each and each.has_ended(6) for each in statuses] == [True, True, False]


@pytest.mark.parametrize(
    "said",
    [
        {"3": {"message": "no number"}, "5": {"message": "no number"}},
        {"errors": {"3": "no number", "5": "no number"}},
        {"errors": {items()[3].reference: ["no number"], items()[5].reference: ["no number"]}},
        [{"index": "3", "message": "no number"}, {"index": "5", "message": "no number"}],
    ],
)
def test_errors_may_stand_under_their_rows(said: object) -> None:
    entries = batches.errors_in(orjson.dumps(said), items(), ROWS)

    assert entries is not None
    assert [entry.place for entry in entries] == [3, 5]


def test_no_errors_are_none_however_they_are_wrapped() -> None:
    assert batches.errors_in(b'{"errors":[],"count":0}', items(), ROWS) == []


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ({"status_faults": {"status": {500: 1}}}, Unread),
        ({"status_faults": {"html": 1}}, Unread),
        ({"status_faults": {"truncate": 1}}, Unread),
        ({"status_faults": {"reset": 1}}, Unread),
        ({"error_faults": {"status": {503: 1}}}, Unread),
        ({"error_faults": {"html": 1}}, Undecided),
    ],
)
def test_what_cannot_be_read_settles_nothing(
    answer: dict[str, Any], expected: type[Verdict], sandbox: Running, monkeypatch: Any
) -> None:
    monkeypatch.setattr("connector.destinations.http.GET_PAUSES", (0.01,))

    async def run() -> Mapping[int, Verdict]:
        async with opened(sandbox, "batch") as there:
            behave(sandbox, process_delay=0, bad_customers=["k1"])
            await there.preflight(an_activation())
            await posted(there)
            sandbox.finish()
            behave(sandbox, process_delay=0, bad_customers=["k1"], **answer)
            return await asked(there)

    assert type(the_one(asyncio.run(run()))) is expected


# --- what is not found ----------------------------------------------------------------------------


def not_found(sandbox: Running, **says: Any) -> Verdict:
    """What is said of a batch that is not there."""

    async def run() -> Mapping[int, Verdict]:
        async with opened(sandbox, "batch") as there:
            await there.preflight(an_activation())
            return await asked(there, **says)

    return the_one(asyncio.run(run()))


@pytest.mark.parametrize("body", ["json", "empty", "html"])
def test_a_batch_that_never_came_is_absent(body: str, sandbox: Running) -> None:
    behave(sandbox, error_body=body)

    assert not_found(sandbox) == Absent()


def test_a_batch_that_may_have_been_forgotten_is_for_a_person(sandbox: Running) -> None:
    verdict = not_found(sandbox, unasked=timedelta(hours=2))

    assert isinstance(verdict, Undecided)
    assert verdict.lasting


def test_a_page_in_place_of_what_it_says_of_no_batch_proves_nothing(sandbox: Running) -> None:
    async def run() -> Mapping[int, Verdict]:
        async with opened(sandbox, "batch") as there:
            await there.preflight(an_activation())
            behave(sandbox, error_body="html")
            return await asked(there)

    assert isinstance(the_one(asyncio.run(run())), Unread)


@pytest.mark.parametrize("status", [400, 413, 422])
def test_a_batch_that_was_refused_and_is_not_there_goes_again_in_halves(
    status: int, sandbox: Running
) -> None:
    verdict = not_found(sandbox, http_status=status, reason="a record is not valid")

    assert verdict == Split("a record is not valid")


def test_a_row_without_a_batch_on_record_is_for_a_person(sandbox: Running) -> None:
    async def run() -> Mapping[int, Verdict]:
        async with opened(sandbox, "batch") as there:
            return await asked(there, name="")

    verdict = the_one(asyncio.run(run()))

    assert isinstance(verdict, Undecided)
    assert verdict.lasting


def test_a_destination_that_knows_every_batch_knows_none(sandbox: Running) -> None:
    came_of(sandbox)
    always: Any = lambda _: (sandbox.store.batches()[0], 0.0)  # noqa: E731
    sandbox.store.batch = always  # type: ignore[method-assign]

    async def run() -> None:
        async with opened(sandbox, "batch") as there:
            await there.preflight(an_activation())

    with pytest.raises(DestinationUnusable, match="nobody has sent"):
        asyncio.run(run())


# --- errors, however they are written -------------------------------------------------------------

REF = [item.reference for item in items()]
PLACES: Sequence[tuple[Any, list[int | None]]] = [
    ([], []),
    ({"errors": []}, []),
    ([{"record": {"connectorRef": REF[2]}, "error": "no"}], [2]),
    ([f"record {REF[3]} is not valid"], [3]),
    ([{"index": 0}, {"index": 5}], [0, 5]),
    ([{"index": 6}, {"index": 1}], [5, 0]),
    ([{"lineNumber": 1}, {"line_number": 6}], [0, 5]),
    ([{"customerKey": "k4"}], [4]),
    ([{"customerKey": "nobody"}], [None]),
    ([{"index": 99}], [None]),
    ([{"index": 2, "message": REF[3]}], [None]),
    ([{"index": 2, "customerKey": "k1"}, {"index": 3}], [1, 2]),
    ([{"index": 2, "customerKey": "k2"}, {"index": 3}], [2, 3]),
    ([{"index": 2, "customerKey": "k4"}], [None]),
    ([{"index": 3, "record": {"connectorRef": REF[2]}}, {"index": 1}], [2, 0]),
    ([{"index": 1, "customerKey": "k1"}, {"index": 3, "customerKey": "k2"}], [None, None]),
    ([{"message": f"{REF[2]} {REF[3]}"}], [None]),
    ([{"message": "something"}], [None]),
    ([None], [None]),
]


@pytest.mark.parametrize(("written", "expected"), PLACES)
def test_an_error_is_a_rows_where_it_can_be_no_other(
    written: Any, expected: list[int | None]
) -> None:
    entries = batches.errors_in(orjson.dumps(written), items(), ROWS)

    assert entries is not None
    assert [entry.place for entry in entries] == expected


def test_an_error_of_a_row_that_a_person_has_decided_takes_nothing_from_the_others() -> None:
    written = orjson.dumps([{"message": REF[0]}, {"message": REF[1]}])
    left = items()[1:]
    entries = batches.errors_in(written, left, ROWS)
    doubts = [Doubt(item, BATCH, OLD, rows=ROWS) for item in left]

    verdicts = batches.ended(doubts, Status("done", ROWS, ROWS, None, 2), entries, patient=False)

    assert Counter(type(verdict) for verdict in verdicts.values()) == {TurnedDown: 1, Here: 4}


@pytest.mark.parametrize(
    ("status", "entries", "expected"),
    [
        # the word says errors, the number none, and one is named
        (Status("completedwitherrors", ROWS, bad=0), [Entry("bad", 1)], {Undecided: 1, Here: 5}),
        (Status("completedwitherrors", ROWS, bad=0), [], {Here: 6}),
        # two rows are bad, one is named twice, and the other stands on a page that nobody read
        (
            Status("done", ROWS, good=4, bad=2),
            [Entry("bad", 1), Entry("worse", 1)],
            {TurnedDown: 1, Undecided: 5},
        ),
        # as many errors as there are rows, and all of them are two rows': of these it is certain
        (
            Status("done", ROWS, bad=6),
            [Entry("bad", n % 2) for n in range(ROWS)],
            {TurnedDown: 2, Undecided: 4},
        ),
        (Status("done", ROWS, good=0, bad=6), [Entry("bad", 1)] * 6, {TurnedDown: 6}),
        (Status("done", ROWS, bad=6), [Entry("bad", 1)], {TurnedDown: 6}),
        (Status("done", ROWS, bad=6), [Entry("bad", n) for n in range(6)], {TurnedDown: 6}),
        # nothing is counted, and the list of errors is empty
        (Status("completed"), [], {Here: 6}),
        (Status("completedwitherrors"), [], {Undecided: 6}),
        (Status("completed", ROWS - 1), [], {Undecided: 6}),
        (Status("completed", 0), [], {Undecided: 6}),
        (Status("completedwitherrors", ROWS, bad=0), None, {Undecided: 6}),
        (Status("completedwithwarnings", ROWS, bad=0), None, {Here: 6}),
        (Status("failed"), [], {Undecided: 6}),
        (Status("completed"), None, {Undecided: 6}),
    ],
)
def test_an_ended_batch_is_believed_as_far_as_it_adds_up(
    status: Status, entries: list[Entry] | None, expected: dict[type[Verdict], int]
) -> None:
    doubts = [Doubt(item, BATCH, OLD, rows=ROWS) for item in items()]

    verdicts = batches.ended(doubts, status, entries, patient=False)

    assert Counter(map(type, verdicts.values())) == expected


def test_a_batch_of_which_records_are_left_has_not_ended() -> None:
    status = batches.status_in({"status": "COMPLETED", "total": 6, "failed": 0, "pending": 2})

    assert status is not None
    assert not status.has_ended(6)


@pytest.mark.parametrize(
    ("content", "headers", "expected"),
    [
        ({"id": "trace-77", "batch": {"batchId": BATCH}}, {}, BATCH),
        ({"id": "trace-77"}, {"batchId": BATCH}, BATCH),
        ({"batchId": 0, "id": "b1"}, {}, "b1"),
        ({"batchId": "ab\0cd"}, {}, None),
        ({"batchId": "x" * 999}, {}, None),
        ({"jobId": 7}, {}, "7"),
    ],
)
def test_the_id_of_a_batch_is_what_is_called_so(
    content: dict[str, Any], headers: dict[str, str], expected: str | None
) -> None:
    assert batches.id_in(content, headers) == expected


def test_where_another_id_is_not_known_ours_is_asked_for(sandbox: Running) -> None:
    behave(sandbox, process_delay=0)

    async def run() -> Mapping[int, Verdict]:
        async with opened(sandbox, "batch") as there:
            await there.preflight(an_activation())
            await posted(there)
            sandbox.finish()
            return await asked(there, "trace-77", submitted=True, ours=BATCH)

    assert set(asyncio.run(run()).values()) == {Here(None, "processed")}


@pytest.mark.parametrize(
    ("content", "submitted", "hours", "expected"),
    [
        ({"result": "done"}, True, 0.5, Underway),
        ({"result": "done"}, True, 2, Undecided),
        ({"result": "done"}, False, 2, None),
        ("COMPLETED", True, 2, None),
        (None, True, 25, Undecided),
    ],
)
def test_a_batch_whose_status_nobody_can_read_is_for_a_person_in_the_end(
    content: object, submitted: bool, hours: float, expected: type[Verdict] | None
) -> None:
    doubt = Doubt(items()[0], BATCH, timedelta(hours=hours), submitted=submitted)

    verdict = batches.unreadable(doubt, content)

    assert (verdict and type(verdict)) == expected
    if isinstance(verdict, Undecided):
        assert "no status that can be read" in verdict.reason


def test_places_may_be_written_with_a_fraction_of_nothing() -> None:
    written = [{"index": 0.0, "message": "bad"}, {"index": 3.0, "message": "worse"}]

    entries = batches.errors_in(orjson.dumps(written), items(), ROWS)

    assert entries == [Entry("bad", 0), Entry("worse", 3)]


def test_an_error_without_words_is_told_by_its_code_and_what_is_inside() -> None:
    written = [{"index": 0, "code": "E17", "errors": [{"field": "amount"}]}, {"index": 1}]
    entries = batches.errors_in(orjson.dumps(written), items(), ROWS)
    doubts = [Doubt(item, BATCH, OLD, rows=ROWS) for item in items()]

    told = batches.ended(doubts, Status("done", ROWS, bad=2), entries, patient=False)

    reasons = [verdict.reason for verdict in told.values() if isinstance(verdict, TurnedDown)]
    assert reasons == ['E17 [{"field":"amount"}]', batches.NO_REASON]


def test_two_errors_of_one_row_are_one_row() -> None:
    doubts = [Doubt(item, BATCH, OLD, rows=ROWS) for item in items()]
    twice = [Entry("bad", 1), Entry("worse", 1)]

    verdicts = batches.ended(doubts, Status("done", ROWS, ROWS, None, 1), twice, patient=False)

    assert Counter(type(verdict) for verdict in verdicts.values()) == {TurnedDown: 1, Here: 5}


@pytest.mark.parametrize("content", [b"<html>", b"7", b'"text"', b"{", b'{"a":1}\nno'])
def test_what_is_no_list_of_errors_is_none(content: bytes) -> None:
    assert batches.errors_in(content, items(), ROWS) is None
