"""What each answer of MXO means for a row that is sent by itself, or as a past one; and tokens."""

import asyncio
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any

import orjson
import pytest

from connector.destinations.answers import Response
from connector.destinations.port import Doubt, Parcel
from connector.rules.delivery import (
    Accepted,
    NotApplied,
    Outcome,
    Refused,
    Unknown,
)
from connector.rules.errors import DestinationUnusable, KeyRefused
from connector.rules.read_back import Absent, Here, Undecided, Verdict
from connector.sandbox.mxo.running import Running, running
from tests.destinations.mxos import (
    SECRET,
    a_client,
    an_activation,
    an_item,
    behave,
    opened,
    sent,
)


@pytest.fixture
def sandbox() -> Iterator[Running]:
    with running(secret=SECRET) as sandbox:
        behave(sandbox)
        yield sandbox


def came_of(sandbox: Running, mode: str = "single", rows: int = 1, **keys: Any) -> Outcome:
    """What came of sending so many rows in one request."""

    async def run() -> Outcome:
        async with opened(sandbox, mode, **keys) as there:
            return (await sent(there, [an_item(n) for n in range(rows)])).of(0)

    return asyncio.run(run())


def effects(sandbox: Running) -> dict[str, int]:
    return {name: took.effects for name, took in sandbox.truth().items()}


# --- one interaction ------------------------------------------------------------------------------


def test_a_single_interaction_is_sent_with_its_key_its_texts_and_its_reference(
    sandbox: Running,
) -> None:
    assert came_of(sandbox) == Accepted(None, 200)

    assert sandbox.requests.last is not None
    method, path, body = sandbox.requests.last
    assert (method, path) == (
        "PUT",
        f"/one/oauth2/rt/api/2.0/interaction?sk={sandbox.site_key}",
    )
    assert orjson.loads(body) == {
        "uri": "store://pos/visit",
        "customerKey": "k0",
        "customerKeyName": "customerkey",
        "properties": [
            {"name": "storeNo", "value": "12"},
            {"name": "connectorRef", "value": "row0"},
        ],
    }
    assert effects(sandbox) == {"row0": 1}


def test_the_reference_may_stay_at_home(sandbox: Running) -> None:
    there = a_client(sandbox, "single")
    activation = an_activation(reference=False, contact={"column": "c", "identifier": "loyaltyId"})

    body = orjson.loads(there.compose(activation, Parcel("p", (an_item(),))).body)

    assert body["properties"] == [{"name": "storeNo", "value": "12"}]
    assert body["customerKeyName"] == "loyaltyId"


def test_what_is_no_text_in_a_row_becomes_one(sandbox: Running) -> None:
    there = a_client(sandbox, "single")
    item = an_item(payload=b'{"amount":4.5,"member":true}')

    body = orjson.loads(there.compose(an_activation(), Parcel("p", (item,))).body)

    assert {each["name"]: each["value"] for each in body["properties"]} == {
        "amount": "4.5",
        "member": "true",
        "connectorRef": "row1",
    }


FAULTS: Sequence[tuple[dict[str, Any], type[Outcome]]] = [
    ({"faults": {"reset_before": 1}}, Unknown),
    ({"faults": {"reset_after": 1}}, Unknown),
    ({"faults": {"hang_before": 1, "hang_seconds": 30}}, Unknown),
    ({"faults": {"hang_after": 1, "hang_seconds": 30}}, Unknown),
    ({"faults": {"truncate_after": 1}}, Unknown),
    ({"faults": {"cut_after": 1}}, Unknown),
    ({"faults": {"html_after": 1}}, Unknown),
    *(({"faults": {"status_after": {s: 1}}}, Unknown) for s in (408, 410, 500, 502, 503, 504)),
    *(({"faults": {"status_before": {s: 1}}}, Unknown) for s in (408, 410, 500, 502, 503, 504)),
    *(({"faults": {"status_before": {s: 1}}}, Refused) for s in (400, 413, 422)),
    ({"faults": {"too_many": 1}}, NotApplied),
    ({"bad_customers": ["k0"]}, Refused),
    ({"bad_customers": ["k0"], "error_body": "html"}, Refused),
    ({"bad_customers": ["k0"], "error_body": "empty"}, Refused),
    ({"inner_status": 400}, Unknown),
    ({"inner_status": 500, "inner_stored": True}, Unknown),
    ({"uris": ["other://"], "unknown_uri": "400"}, Refused),
    ({"faults": {"late_commit": 1, "late_answer": "reset"}}, Unknown),
]


@pytest.mark.parametrize(
    ("inside", "expected"),
    [(200, Accepted), ("200", Accepted), ("400", Unknown), (None, Unknown), (True, Unknown)],
)
def test_the_number_inside_may_be_written_as_a_text(
    inside: object, expected: type[Outcome], sandbox: Running
) -> None:
    there = a_client(sandbox, "single")
    response = Response(200, content=orjson.dumps({"statusCode": inside, "tid": "t1"}))

    assert type(there._success(response, "", Parcel("p", (an_item(),)))) is expected


@pytest.mark.parametrize("mode", ["single", "offline"])
@pytest.mark.parametrize(("switches", "expected"), FAULTS)
def test_an_answer_means_what_it_proves(
    mode: str, switches: dict[str, Any], expected: type[Outcome], sandbox: Running
) -> None:
    behave(sandbox, offline="on", **switches)

    outcome = came_of(sandbox, mode, timeout="0.5s")

    assert type(outcome) is expected
    taken = sum(effects(sandbox).values())
    assert not isinstance(outcome, Refused | NotApplied) or taken == 0
    assert not isinstance(outcome, Accepted) or taken == 1


@pytest.mark.parametrize(
    ("mode", "switches", "keys"),
    [
        ("single", {}, {"site_key": "ANOTHER"}),
        ("single", {"unknown_site_status": 403}, {"site_key": "ANOTHER"}),
        ("single", {"uris": ["other://"], "unknown_uri": "404"}, {}),
        ("single", {"permission": "none"}, {}),
        ("single", {"faults": {"status_before": {405: 1}}}, {}),
        ("single", {"faults": {"status_before": {302: 1}}}, {}),
        ("offline", {}, {}),
    ],
)
def test_what_every_row_would_be_told_stops_the_run(
    mode: str, switches: dict[str, Any], keys: dict[str, Any], sandbox: Running
) -> None:
    behave(sandbox, **switches)

    with pytest.raises(DestinationUnusable):
        came_of(sandbox, mode, **keys)

    assert effects(sandbox) == {}


@pytest.mark.parametrize("mode", ["single", "offline"])
def test_what_leads_elsewhere_after_the_work_is_no_redirect(mode: str, sandbox: Running) -> None:
    behave(sandbox, offline="on", faults={"status_after": {303: 1}})

    outcome = came_of(sandbox, mode)

    assert isinstance(outcome, Unknown)
    assert "is the url right?" in outcome.distrust
    assert effects(sandbox) == {"row0": 1}


# --- past interactions ----------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["array", "object"])
@pytest.mark.parametrize("timestamp", ["milliseconds", "iso"])
def test_past_interactions_go_in_one_list(form: str, timestamp: str, sandbox: Running) -> None:
    behave(sandbox, offline="on", offline_form=form, offline_time=timestamp)
    written = {"timestamp": timestamp, **({"envelope": "interactions"} if form == "object" else {})}

    outcome = came_of(sandbox, "offline", 3, offline=written, batch={"rows": 100})

    assert outcome == Accepted(None, 200)
    assert effects(sandbox) == {"row0": 1, "row1": 1, "row2": 1}
    assert sandbox.requests.last is not None
    body = orjson.loads(sandbox.requests.last[2])
    first = (body if form == "array" else body["interactions"])[0]
    assert (
        first["timestamp"]
        == {
            "milliseconds": 1793527200000,
            "iso": "2026-11-01T10:00:00.000Z",
        }[timestamp]
    )


def test_a_refused_list_says_of_no_row_that_it_was_not_taken(sandbox: Running) -> None:
    behave(sandbox, offline="on", bad_customers=["k1"])

    assert isinstance(came_of(sandbox, "offline", 3, batch={"rows": 3}), Unknown)
    assert isinstance(came_of(sandbox, "offline", 1), Accepted)


# --- doubts ---------------------------------------------------------------------------------------


def settled(sandbox: Running, mode: str, on_unknown: str, doubt: Doubt, **keys: Any) -> Verdict:
    """What is said of a row of which nobody can be asked."""

    async def nothing(ids: Sequence[str]) -> set[str]:
        return set()

    async def run() -> Verdict:
        async with opened(sandbox, mode, **keys) as there:
            activation = an_activation(on_unknown=on_unknown)
            return (await there.settle(activation, [doubt], nothing))[1]

    return asyncio.run(run())


@pytest.mark.parametrize(
    ("on_unknown", "expected"),
    [
        ("park", Undecided),
        ("resend", Absent),
        ("assume_delivered", Here),
    ],
)
def test_what_nobody_can_know_is_as_the_activation_says(
    on_unknown: str, expected: type[Verdict], sandbox: Running
) -> None:
    verdict = settled(sandbox, "single", on_unknown, Doubt(an_item(), "p1", timedelta(0)))

    assert type(verdict) is expected
    if isinstance(verdict, Undecided):
        assert verdict.lasting
    assert sandbox.requests.count() == 0


@pytest.mark.parametrize("on_unknown", ["park", "resend", "assume_delivered"])
def test_what_was_refused_is_not_lost_whatever_the_activation_says_of_that(
    on_unknown: str, sandbox: Running
) -> None:
    doubt = Doubt(an_item(), "p1", timedelta(0), http_status=400, reason="HTTP 400: no")

    verdict = settled(sandbox, "offline", on_unknown, doubt)

    assert isinstance(verdict, Undecided)
    assert verdict.lasting
    assert "HTTP 400: no" in verdict.reason


@pytest.mark.parametrize(("rows", "advised"), [(3, True), (1, False)])
def test_to_send_one_by_one_is_advised_where_several_go_together(
    rows: int, advised: bool, sandbox: Running
) -> None:
    doubt = Doubt(an_item(), "p1", timedelta(0), http_status=402, reason="HTTP 402")

    verdict = settled(sandbox, "offline", "park", doubt, batch={"rows": rows})

    assert isinstance(verdict, Undecided)
    assert ("one by one" in verdict.reason) is advised


# --- tokens ---------------------------------------------------------------------------------------


def test_one_token_serves_many_and_is_fetched_once(sandbox: Running) -> None:
    async def run() -> list[Outcome]:
        async with opened(sandbox, "single", concurrency=8) as there:
            answers = [sent(there, [an_item(n)]) for n in range(8)]
            return [answer.whole for answer in await asyncio.gather(*answers)]

    assert asyncio.run(run()) == [Accepted(None, 200)] * 8
    assert sandbox.store.tokens.made == 1


def test_a_token_that_dies_in_mid_run_costs_one_more_and_no_row(sandbox: Running) -> None:
    async def run() -> list[Outcome]:
        found = []
        async with opened(sandbox, "single") as there:
            for _ in range(3):
                found.append((await sent(there, [an_item(0)])).whole)
                if len(found) == 1:
                    sandbox.store.tokens.revoke()
        return found

    first, second, third = asyncio.run(run())

    assert first == Accepted(None, 200)
    assert second == NotApplied("HTTP 401: the token had expired", 401, again=True)
    assert isinstance(third, Accepted)
    assert sandbox.store.tokens.made == 2
    assert effects(sandbox) == {"row0": 2}  # the same row was sent twice, by this test


@pytest.mark.parametrize(("expires_in", "life"), [("there", 3600), ("absent", 1), ("wrong", 1)])
def test_tokens_are_renewed_as_their_life_is_told_or_when_they_are_refused(
    expires_in: str, life: float, sandbox: Running
) -> None:
    behave(sandbox, expires_in=expires_in, token_uses=2)

    async def run() -> list[Outcome]:
        found: list[Outcome] = []
        async with opened(sandbox, "single") as there:
            while sum(isinstance(each, Accepted) for each in found) < 6:
                found.append((await sent(there, [an_item(len(found))])).whole)
                assert len(found) < 20
        return found

    found = asyncio.run(run())

    assert all(isinstance(each, Accepted) or each.again for each in found)  # type: ignore[union-attr]
    assert set(effects(sandbox).values()) == {1}


def test_a_wrong_secret_stops_the_run_before_any_row(sandbox: Running) -> None:
    with pytest.raises(KeyRefused) as refused:
        came_of(sandbox, client_secret="wrong-one")

    assert "wrong-one" not in str(refused.value)
    assert sandbox.requests.count("PUT /interaction") == 0


def test_tokens_that_are_never_taken_stop_the_run(sandbox: Running) -> None:
    behave(sandbox, token_life=0)

    async def run() -> None:
        async with opened(sandbox, "single") as there:
            for _ in range(4):
                outcome = (await sent(there, [an_item()])).whole
                assert isinstance(outcome, NotApplied)
                assert outcome.again

    with pytest.raises(KeyRefused):
        asyncio.run(run())
    assert effects(sandbox) == {}
