"""What the answers of a Survey Dynamix mean, and how doubts about them end: row by row of the
table, against the sandbox."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar
from unittest import mock
from urllib.parse import parse_qsl

import orjson
import pytest
from pydantic import ValidationError

from connector.destinations import http
from connector.destinations.answers import Response
from connector.destinations.pacing import Pacer
from connector.destinations.port import Doubt, Item, Parcel, References, Wiring
from connector.destinations.survey_dynamix import (
    KIND,
    SurveyDynamixActivation,
    SurveyDynamixSettings,
)
from connector.destinations.survey_dynamix.client import SurveyDynamix
from connector.destinations.survey_dynamix.shown import page_of
from connector.rules.delivery import Accepted, NotApplied, Outcome, Refused, Removed, Unknown
from connector.rules.errors import ConfigurationError, DestinationUnusable, KeyRefused
from connector.rules.read_back import Absent, Here, Shown, Undecided, Unread, Verdict
from connector.sandbox.survey_dynamix import api
from connector.sandbox.survey_dynamix.behaviour import Behaviour
from connector.sandbox.survey_dynamix.running import CUSTOMER, Running, running

T = TypeVar("T")
LATER = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=2)
KEYS: dict[str, Any] = {
    "model": {"table": "parcels"},
    "survey_id": 493,
    "survey_type": "email",
    "row_key": "parcel_no",
    "start": "all",
    "contact": {"column": "email", "identifier": "email"},
    "scheduled_at": "ask_at",
}


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "GET_PAUSES", (0.001, 0.001))


@pytest.fixture
def sandbox() -> Iterator[Running]:
    with running() as sandbox:
        yield sandbox


def settings(sandbox: Running, **keys: Any) -> SurveyDynamixSettings:
    way_in = {} if "token" in keys else {"customer": CUSTOMER, "auth_token": sandbox.secret}
    return KIND.settings.model_validate(
        {"type": "survey_dynamix", "url": sandbox.url, "timeout": "2s", **way_in, **keys}
    )


def activation(**keys: Any) -> SurveyDynamixActivation:
    return SurveyDynamixActivation.model_validate({**KEYS, **keys}).named("survey")


def an_item(number: int = 1, contact: str = "", **payload: str) -> Item:
    reference = References("survey").of(f"p{number}")
    created = LATER.isoformat()
    body = orjson.dumps(payload)
    return Item(number, reference, contact or f"c{number}@example.com", created, body)


def doubt(item: Item) -> Doubt:
    return Doubt(item, f"{item.reference}.1", timedelta(hours=1))


def with_client(sandbox: Running, work: Callable[[SurveyDynamix], Awaitable[T]], **keys: Any) -> T:
    async def go() -> T:
        client = SurveyDynamix(settings(sandbox, **keys), Wiring(Pacer(1000), Path()))
        try:
            return await work(client)
        finally:
            await client.aclose()

    return asyncio.run(go())


async def sent(
    client: SurveyDynamix, item: Item, how: SurveyDynamixActivation | None = None
) -> Outcome:
    await client.wire.come_near()
    answer = await client.send(how or activation(), Parcel(item.reference, (item,)))
    return answer.whole


def send(
    sandbox: Running, item: Item, how: SurveyDynamixActivation | None = None, **keys: Any
) -> Outcome:
    return with_client(sandbox, lambda client: sent(client, item, how), **keys)


def settle(
    sandbox: Running,
    item: Item,
    how: SurveyDynamixActivation | None = None,
    owned: Sequence[str] = (),
) -> Verdict:
    async def of_rows(ids: Sequence[str]) -> set[str]:
        return set(ids) & set(owned)

    async def ask(client: SurveyDynamix) -> Verdict:
        verdicts = await client.settle(how or activation(), [doubt(item)], of_rows)
        return verdicts[item.delivery_id]

    return with_client(sandbox, ask)


def behave(sandbox: Running, **switches: Any) -> None:
    sandbox.behaviour = Behaviour.model_validate(switches)


# --- what an answer means -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "switches",
    [
        {},
        {"success_status": 201},
        {"answer_form": "wrapped"},
        {"answer_form": "list", "id_form": "text", "link_name": "weblink"},
    ],
)
def test_an_id_in_any_form_is_accepted(sandbox: Running, switches: dict[str, Any]) -> None:
    behave(sandbox, **switches)

    outcome = send(sandbox, an_item())

    (stored,) = sandbox.store.interactions()
    assert outcome == Accepted(str(stored.id), switches.get("success_status", 200))


@pytest.mark.parametrize("name", [0, "0", "000", None, True, "", "7a", [7]])
def test_an_id_that_is_none_leaves_a_doubt(sandbox: Running, name: object) -> None:
    answer = Response(200, content=orjson.dumps({"id": name, "survey_id": 493}))

    async def ask(client: SurveyDynamix) -> Outcome:
        with mock.patch.object(client, "post", return_value=answer):
            return (await client.send(activation(), Parcel("p", (an_item(),)))).whole

    assert with_client(sandbox, ask) == Unknown("HTTP 200 without an interaction", 200)


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (400, Refused),
        (422, Refused),
        (303, Unknown),
        (408, Unknown),
        (410, Unknown),
        (418, Unknown),
        (500, Unknown),
        (503, Unknown),
        (401, KeyRefused),
        (403, KeyRefused),
        (302, DestinationUnusable),
        (404, DestinationUnusable),
        (405, DestinationUnusable),
    ],
)
def test_the_status_of_an_error_says_whom_it_is_about(
    sandbox: Running, status: int, expected: type
) -> None:
    behave(sandbox, faults={"status_before": {status: 1}})

    if issubclass(expected, Exception):
        with pytest.raises(expected):
            send(sandbox, an_item())
    else:
        outcome = send(sandbox, an_item())
        assert isinstance(outcome, expected)
        assert getattr(outcome, "http_status", None) == status


@pytest.mark.parametrize(
    "fault", ["reset_after", "truncate_after", "cut_after", "no_id_after", "html_after"]
)
def test_a_stored_one_whose_answer_is_lost_is_in_doubt_and_found(
    sandbox: Running, fault: str
) -> None:
    behave(sandbox, faults={fault: 1})
    item = an_item()

    outcome = send(sandbox, item)

    assert isinstance(outcome, Unknown)
    assert not outcome.distrust
    (stored,) = sandbox.store.interactions()
    assert settle(sandbox, item) == Here(str(stored.id))


def test_too_many_requests_are_not_applied(sandbox: Running) -> None:
    behave(sandbox, faults={"too_many": 1}, retry_after=3)

    outcome = send(sandbox, an_item())

    assert isinstance(outcome, NotApplied)
    assert (outcome.busy, outcome.retry_after) == (True, timedelta(seconds=3))


def test_an_answer_about_another_row_is_a_doubt_and_ends_the_trust(sandbox: Running) -> None:
    send(sandbox, an_item(1))
    behave(sandbox, faults={"repeat_after": 1})

    outcome = send(sandbox, an_item(2))

    assert isinstance(outcome, Unknown)
    assert "another interaction" in outcome.distrust
    assert isinstance(settle(sandbox, an_item(2)), Here)


@pytest.mark.parametrize("when_pending", ["reject", "force"])
def test_an_answer_about_another_row_of_the_same_external_ref_is_a_doubt(
    sandbox: Running, when_pending: str
) -> None:
    how = activation(external_ref="order_no", when_pending=when_pending)
    person = "anna@example.com" if when_pending == "force" else ""
    send(sandbox, an_item(1, person, external_ref="A-1"), how)
    behave(sandbox, faults={"repeat_before": 1})

    outcome = send(sandbox, an_item(2, person, external_ref="A-1"), how)

    assert isinstance(outcome, Unknown)
    assert "another interaction" in outcome.distrust
    assert isinstance(settle(sandbox, an_item(2, person, external_ref="A-1"), how), Absent)


def test_whose_an_answer_is_may_be_seen_only_later(sandbox: Running) -> None:
    how = activation(external_ref="order_no", when_pending="force")
    item = an_item(external_ref="A-1")
    behave(sandbox, read_back_delay=60)

    outcome = send(sandbox, item, how)

    assert isinstance(outcome, Unknown)
    assert not outcome.distrust
    behave(sandbox)
    assert isinstance(settle(sandbox, item, how), Here)


def test_an_answer_that_shows_who_and_when_needs_no_second_look(sandbox: Running) -> None:
    how = activation(external_ref="order_no")
    behave(sandbox, read_faults={"status": {503: 1}})

    assert isinstance(send(sandbox, an_item(1, external_ref="A-1"), how), Accepted)
    assert isinstance(send(sandbox, an_item(2, external_ref="A-1"), how), Accepted)


def test_a_reference_that_is_cut_short_is_delivered_and_ends_the_trust(sandbox: Running) -> None:
    behave(sandbox, reference_cut=12)

    outcome = send(sandbox, an_item())

    assert isinstance(outcome, Accepted)
    assert "references are not kept" in outcome.distrust


def test_a_reference_of_somebody_else_may_be_cut_since_ours_is_beside_it(sandbox: Running) -> None:
    behave(sandbox, reference_cut=3)
    how, item = activation(external_ref="order_no"), an_item(external_ref="A-100200")

    outcome = send(sandbox, item, how)

    assert isinstance(outcome, Accepted)
    assert not outcome.distrust
    assert isinstance(settle(sandbox, item, how), Here)


def test_an_error_tells_no_secret(sandbox: Running) -> None:
    how = activation(payload={})
    item = an_item(contact=f"{sandbox.secret} {CUSTOMER}")

    outcome = send(sandbox, item, how)

    assert isinstance(outcome, Refused)
    assert sandbox.secret not in outcome.reason


def test_a_token_alone_opens_it_too(sandbox: Running) -> None:
    assert isinstance(send(sandbox, an_item(), token=sandbox.secret), Accepted)
    with pytest.raises(KeyRefused):
        send(sandbox, an_item(2), token="another")


# --- a survey is pending --------------------------------------------------------------------------


def pending(sandbox: Running, when: Any, created: datetime = LATER) -> Outcome:
    """What comes of a second survey for somebody who has one pending."""
    send(sandbox, an_item(1, "anna@example.com"))
    item = an_item(2, "anna@example.com")
    again = Item(2, item.reference, item.contact, created.isoformat(), item.payload)
    return send(sandbox, again, activation(when_pending=when))


def test_a_row_whose_person_has_one_pending_is_rejected(sandbox: Running) -> None:
    outcome = pending(sandbox, "reject")

    assert outcome == Refused("HTTP 409: a survey for this person is pending already", 409)


def test_it_waits_where_the_activation_says_so_and_until_then(sandbox: Running) -> None:
    outcome = pending(sandbox, {"wait": "2d"})

    assert isinstance(outcome, NotApplied)
    assert outcome.alone

    over = pending(sandbox, {"wait": "2d"}, LATER - timedelta(days=3))
    assert isinstance(over, Refused)
    assert "the wait for its end is over" in over.reason


def test_it_is_forced_only_where_the_activation_says_so(sandbox: Running) -> None:
    assert isinstance(pending(sandbox, "force"), Accepted)
    assert len(sandbox.store.interactions()) == 2


def test_a_409_that_an_earlier_request_of_the_row_has_caused_is_its_delivery(
    sandbox: Running,
) -> None:
    send(sandbox, an_item())
    (stored,) = sandbox.store.interactions()

    assert send(sandbox, an_item()) == Accepted(str(stored.id), 409)


@pytest.mark.parametrize("fault", [{"status": {503: 1}}, {"html": 1}, {"truncate": 1}])
def test_a_409_of_which_nobody_can_read_whose_it_is_stays_in_doubt(
    sandbox: Running, fault: dict[str, Any]
) -> None:
    send(sandbox, an_item())
    behave(sandbox, read_faults=fault)

    outcome = send(sandbox, an_item())

    assert isinstance(outcome, Unknown)
    assert outcome.http_status == 409


# --- the form -------------------------------------------------------------------------------------


def form_of(item: Item, how: SurveyDynamixActivation) -> dict[str, str]:
    with running() as sandbox:

        async def composed(client: SurveyDynamix) -> bytes:
            return client.compose(how, Parcel(item.reference, (item,))).body

        body = with_client(sandbox, composed).decode()
    assert "+" not in body
    return dict(parse_qsl(body, keep_blank_values=True))


def test_the_form_says_everything_once_in_the_words_of_the_api() -> None:
    item = an_item(contact="+46701234567", orderNo="A+1", agent_id="12")
    how = activation(
        survey_type="sms",
        survey_id="511",
        contact={"column": "mobile", "identifier": "phone_number"},
    )

    assert form_of(item, how) == {
        "survey_id": "511",
        "survey_type": "sms",
        "phone_number": "+46701234567",
        "scheduled_at": f"{LATER:%Y-%m-%d %H:%M:%S}",
        "orderNo": "A+1",
        "agent_id": "12",
        "external_ref": item.reference,
    }


def test_an_own_external_ref_puts_the_reference_beside_it() -> None:
    how = activation(external_ref="order_no", when_pending="force")

    form = form_of(an_item(external_ref="A-1"), how)

    assert (form["external_ref"], form["connector_ref"]) == ("A-1", an_item().reference)
    assert form["_force_new"] == "true"
    without = form_of(an_item(), how)
    assert without["external_ref"] == without["connector_ref"] == an_item().reference


def test_what_a_row_was_recorded_with_counts_not_what_was_edited_since() -> None:
    form = form_of(an_item(external_ref="A-1"), activation())

    assert (form["external_ref"], form["connector_ref"]) == ("A-1", an_item().reference)


def test_the_time_is_utc_and_in_whole_seconds() -> None:
    item = Item(1, "c1", "a@b.c", "2026-11-01T10:00:00.987+02:00", b"{}")

    assert form_of(item, activation())["scheduled_at"] == "2026-11-01 08:00:00"
    later = activation(scheduled_at={"after": "15m"})
    assert form_of(item, later)["scheduled_at"] == "2026-11-01 08:15:00"


# --- doubts ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("answer_form", ["wrapped", "list"])
@pytest.mark.parametrize("when_pending", ["reject", "force"])
def test_metadata_may_be_an_object(sandbox: Running, when_pending: str, answer_form: str) -> None:
    how = activation(external_ref="order_no", when_pending=when_pending)
    behave(sandbox, shown_data="object", answer_form=answer_form)

    assert isinstance(send(sandbox, an_item(external_ref="A-1"), how), Accepted)
    assert isinstance(settle(sandbox, an_item(external_ref="A-1"), how), Here)


@pytest.mark.parametrize("when_pending", ["reject", "force"])
def test_absence_is_not_believed_where_the_reference_stands_in_metadata_that_are_not_shown(
    sandbox: Running, when_pending: str
) -> None:
    how = activation(external_ref="order_no", when_pending=when_pending)
    item = an_item(external_ref="A-1")
    behave(sandbox, shown_data="never", faults={"reset_after": 1})
    send(sandbox, item, how)
    (stored,) = sandbox.store.interactions()

    verdict = settle(sandbox, item, how)

    assert isinstance(verdict, Undecided)
    assert str(stored.id) in verdict.reason
    another = an_item(2, external_ref="A-1")  # of somebody else
    assert isinstance(settle(sandbox, another, how), Absent)
    assert isinstance(settle(sandbox, item, how, owned=[str(stored.id)]), Absent)


def test_an_answer_is_doubted_and_no_other_one_where_metadata_are_not_shown(
    sandbox: Running,
) -> None:
    how = activation(external_ref="order_no", when_pending="force")
    behave(sandbox, shown_data="never")

    outcome = send(sandbox, an_item(external_ref="A-1"), how)

    assert isinstance(outcome, Unknown)
    assert not outcome.distrust


def test_absence_is_not_believed_where_references_are_not_shown(sandbox: Running) -> None:
    behave(sandbox, shown_external_ref=False, faults={"reset_after": 1})
    send(sandbox, an_item())

    assert isinstance(settle(sandbox, an_item()), Undecided)
    assert isinstance(settle(sandbox, an_item(2)), Absent)


@pytest.mark.parametrize(
    ("content", "ids"),
    [
        ([{"interaction": {"id": 7}}, {"id": 8}], ["7", "8"]),
        ({"interactions": [{"id": 7}], "total": 1}, ["7"]),
        ({"data": []}, []),
        ({"message": "no list"}, None),
        ([{"interaction": {"uuid": "7"}}], None),
    ],
)
def test_a_list_may_wrap_what_it_shows(content: object, ids: list[str] | None) -> None:
    page = page_of(Response(200, content=orjson.dumps(content)))

    assert (None if page is None else [each.id for each in page]) == ids


FILTERS = [
    {},
    {"empty_list": "array"},
    {"reference_filter": "ignored"},
    {"reference_filter": "case_blind", "id_form": "text"},
]


@pytest.mark.parametrize("switches", FILTERS)
@pytest.mark.parametrize("own", [None, "A-1"])
def test_a_row_is_found_by_its_reference_among_others(
    sandbox: Running, switches: dict[str, Any], own: str | None
) -> None:
    said = {"external_ref": own} if own else {}
    how = activation(external_ref="order_no") if own else activation()
    for number in range(1, 4):
        send(sandbox, an_item(number, **said), how)
    behave(sandbox, **switches)

    verdict = settle(sandbox, an_item(2, **said), how)

    assert isinstance(verdict, Here)
    found = sandbox.store.interaction(verdict.interaction_id or "")
    assert found.reference == an_item(2).reference
    assert isinstance(settle(sandbox, an_item(9, **said), how), Absent)


def test_what_is_owned_by_a_row_settles_no_doubt(sandbox: Running) -> None:
    send(sandbox, an_item())
    (stored,) = sandbox.store.interactions()

    verdict = settle(sandbox, an_item(), owned=[str(stored.id)])

    assert verdict == Absent([str(stored.id)])  # the work asks whose it is


def test_what_stands_twice_is_for_a_person(sandbox: Running) -> None:
    for _ in range(2):
        send(sandbox, an_item(), activation(when_pending="force"))

    verdict = settle(sandbox, an_item())

    assert isinstance(verdict, Undecided)
    assert "stands twice" in verdict.reason


@pytest.mark.parametrize("fault", [{"status": {500: 1}}, {"html": 1}, {"reset": 1}])
def test_a_list_that_cannot_be_read_settles_nothing(sandbox: Running, fault: Any) -> None:
    behave(sandbox, read_faults=fault)

    assert isinstance(settle(sandbox, an_item()), Unread)


@pytest.mark.parametrize("cut", [5, 26])
def test_absence_is_not_believed_where_references_are_cut_short(sandbox: Running, cut: int) -> None:
    behave(sandbox, reference_cut=cut, faults={"reset_after": 1})
    send(sandbox, an_item())

    verdict = settle(sandbox, an_item())

    assert isinstance(verdict, Undecided)
    assert verdict.lasting


def test_a_list_of_several_pages_is_read_to_its_end(
    sandbox: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("connector.destinations.survey_dynamix.client.LIMIT", 3)
    behave(sandbox, reference_filter="ignored")
    for number in range(1, 9):
        send(sandbox, an_item(number))

    assert isinstance(settle(sandbox, an_item(8)), Here)
    assert isinstance(settle(sandbox, an_item(9)), Absent)


def test_a_list_that_moves_while_it_is_read_proves_nothing(
    sandbox: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("connector.destinations.survey_dynamix.client.LIMIT", 3)
    behave(sandbox, reference_filter="ignored")
    for number in range(1, 9):
        send(sandbox, an_item(number))
    third, listed = sandbox.store.interactions()[2], sandbox.store.listed

    def moving(*wanted: Any) -> Any:
        found = listed(*wanted)
        if third.removed_at is None:
            sandbox.store.delete(str(third.id))  # after the first page
        return found

    with mock.patch.object(sandbox.store, "listed", moving):
        verdict = settle(sandbox, an_item(9))

    assert isinstance(verdict, Unread)
    assert "changed while it was read" in verdict.reason


# --- one interaction ------------------------------------------------------------------------------


def test_an_interaction_is_shown_as_it_was_sent(sandbox: Running) -> None:
    how = activation(external_ref="order_no")
    send(sandbox, an_item(external_ref="A-1", agent_id="7", orderNo="42"), how)
    send(sandbox, an_item(2, agent_id="7", orderNo="43"))
    ids = [str(each.id) for each in sandbox.store.interactions()]

    async def shown(client: SurveyDynamix) -> list[Any]:
        return [await client.interaction(name) for name in ids]

    first, second = with_client(sandbox, shown)

    assert isinstance(first, Shown)
    assert isinstance(second, Shown)
    assert first.stored.payload == {"external_ref": "A-1", "agent_id": "7", "orderNo": "42"}
    assert second.stored.payload == {"agent_id": "7", "orderNo": "43"}
    assert first.stored.created == second.stored.created == LATER
    assert first.stored.reference == an_item(1).reference
    assert second.stored.reference == an_item(2).reference
    assert second.contact_id == "c2@example.com"


@pytest.mark.parametrize("gone", [404, 410])
def test_it_is_deleted_until_it_has_started(sandbox: Running, gone: int) -> None:
    behave(sandbox, gone_status=gone, delete_status=204)
    send(sandbox, an_item())
    send(sandbox, an_item(2))
    first, second = (str(each.id) for each in sandbox.store.interactions())

    def delete(name: str) -> Any:
        return with_client(sandbox, lambda client: client.delete(name))

    assert delete(first) == Removed(found=True)
    assert delete(first) == Removed(found=False)
    sandbox.clock.advance(3 * 3600)
    refused = delete(second)
    assert isinstance(refused, Refused)
    assert "it has started" in refused.reason
    assert sandbox.store.surveys() == 1


def test_a_wrong_url_makes_nothing_seem_gone(sandbox: Running) -> None:
    with pytest.raises(DestinationUnusable, match="shows no surveys"):
        with_client(sandbox, lambda client: client.delete("1"), url=f"{sandbox.url}/elsewhere")


@pytest.mark.parametrize("gone", [404, 410])
@pytest.mark.parametrize("asked", ["interaction", "delete"])
def test_a_page_of_somebody_in_between_makes_nothing_seem_gone(
    sandbox: Running, asked: str, gone: int
) -> None:
    """Also where the API has answered before: it may be away for a moment."""
    send(sandbox, an_item())
    (there,) = sandbox.store.interactions()
    answer = Response(gone, content=b"<html>no such page</html>")

    async def ask(client: SurveyDynamix) -> Any:
        await client.preflight(activation())
        assert isinstance(await client.interaction(str(there.id)), Shown)
        away = pytest.raises(DestinationUnusable, match="shows no interactions")
        with mock.patch.object(client, "ask", return_value=answer), away:
            await getattr(client, asked)(str(there.id))
        with mock.patch.object(client, "ask", side_effect=_first(answer, client.ask)):
            return await getattr(client, asked)(str(there.id))

    # an API may have such a page of its own
    assert with_client(sandbox, ask) == (Absent() if asked == "interaction" else Removed(False))


def _first(answer: Response, ask: Callable[..., Awaitable[Response | str]]) -> Any:
    """Gives `answer`, and from then on what is really answered."""
    given: list[Response] = []

    async def once(*arguments: Any, **keys: Any) -> Response | str:
        if not given:
            given.append(answer)
            return answer
        return await ask(*arguments, **keys)

    return once


def test_a_person_is_listed_by_email_alone(sandbox: Running) -> None:
    send(sandbox, an_item(1))
    send(sandbox, an_item(2))
    first, _ = sandbox.store.interactions()

    def of(person: str) -> set[str]:
        return with_client(sandbox, lambda client: client.of_person(person, "493"))

    assert of("c1@example.com") == {str(first.id)}
    with pytest.raises(ConfigurationError, match="cannot be listed by phone number"):
        of("+46701234567")


def test_a_survey_that_is_not_there_is_told_before_anything_is_read(sandbox: Running) -> None:
    with pytest.raises(ConfigurationError, match="there is no survey 7"):
        with_client(sandbox, lambda client: client.preflight(activation(survey_id=7)))


@pytest.mark.parametrize("listed", [True, False])
def test_surveys_that_are_not_shown_stand_in_no_way(sandbox: Running, listed: bool) -> None:
    hidden = {f"GET /surveys{part}": api.HANDLERS[f"GET /surveys{part}"] for part in ("", "/{id}")}
    with mock.patch.dict(api.HANDLERS):
        for route in hidden:
            del api.HANDLERS[route]
        if listed:
            shape = with_client(sandbox, lambda client: client.preflight(activation()))
            assert shape.id == "493"
        else:
            del api.HANDLERS["GET /interactions"]
            with pytest.raises(DestinationUnusable, match="is the url right"):
                with_client(sandbox, lambda client: client.preflight(activation()))


# --- the grammar ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"payload": {"call_type": "x"}}, '"call_type" is a name of Survey Dynamix'),
        ({"payload": {"connector_ref": "x"}}, '"connector_ref" is a name of'),
        ({"payload": {"_force_new": "x"}}, "a letter first"),
        ({"payload": {"1st": "x"}}, "a letter first"),
        ({"scheduled_at": {"column": "a", "after": "1h"}}, "expected a column, or"),
        ({"scheduled_at": {"after": "1h", "timezone": "UTC"}}, "belongs to a column"),
        ({"when_pending": "no"}, "expected reject, force, or a wait"),
        ({"when_pending": {"wait": "soon"}}, "expected a duration"),
        ({"survey_type": "sms"}, "needs contact.identifier: phone_number"),
        ({"survey_type": "post"}, "Input should be"),
        ({"contact": {"column": "c", "identifier": "contactId"}}, "Input should be"),
        ({"survey_id": 0}, "greater than 0"),
        ({"created_date": "x"}, "Extra inputs"),
    ],
)
def test_a_wrong_activation_is_refused(keys: dict[str, Any], expected: str) -> None:
    with pytest.raises(ValidationError, match=re.escape(expected)):
        activation(**keys)


@pytest.mark.parametrize(
    "keys",
    [
        {},
        {"customer": "c"},
        {"auth_token": "t"},
        {"customer": "c", "auth_token": "t", "token": "t"},
        {"customer": "a:b", "auth_token": "t"},
        {"token": "with\nbreak"},
    ],
)
def test_there_is_one_way_in(keys: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        KIND.settings.model_validate(
            {"type": "survey_dynamix", "url": "https://eu1.surveydynamix.com", **keys}
        )


def test_a_row_is_too_late_by_the_time_that_was_planned_for_it() -> None:
    now = datetime(2026, 11, 3, 12, tzinfo=UTC)
    at = activation(stale_after="1d")
    after = activation(stale_after="1d", scheduled_at={"after": "2h"})

    assert at.too_late(now - timedelta(hours=23), now) is None
    assert "stale_after" in (at.too_late(now - timedelta(hours=25), now) or "")
    assert after.too_late(now - timedelta(hours=25), now) is None
    assert after.too_late(None, now) is None
    assert activation().too_late(now - timedelta(days=900), now) is None


@pytest.mark.parametrize(
    ("identifier", "contact", "good"),
    [
        ("email", "anna@example.com", True),
        ("email", "anna", False),
        ("phone_number", "+46701234567", True),
        ("phone_number", "0701234567", True),
        ("phone_number", "anna@example.com", False),
    ],
)
def test_only_what_is_certainly_nobody_is_malformed(
    identifier: str, contact: str, good: bool
) -> None:
    kind = "email" if identifier == "email" else "sms"
    how = activation(survey_type=kind, contact={"column": "c", "identifier": identifier})

    assert (how.contact.malformed(contact) is None) == good
