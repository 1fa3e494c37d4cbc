"""What the answers mean when one interaction is asked for, or deleted, by its id."""

import asyncio
from collections.abc import Callable, Iterator

import pytest

from connector.rules.delivery import Refused, Removed, Unknown
from connector.rules.errors import DestinationUnusable
from connector.rules.read_back import Absent, Shown
from connector.sandbox.engage.running import Running, running
from tests.destinations.engages import GUID, KEY, a_client
from tests.destinations.test_outcomes import answer_of, scripted
from tests.whole.shop import an_engage, behaving, contact_id

GONE = '{"errorCode": "InteractionNotFound", "message": "Interaction not found"}'
NO_ROUTE = '{"Message": "No HTTP resource was found that matches the request URI"}'


def ask(url: str, method: str = "delete", interaction_id: str = GUID) -> object:
    async def once() -> object:
        engage = a_client(url)
        try:
            return await getattr(engage, method)(interaction_id)
        finally:
            await engage.aclose()

    return asyncio.run(once())


@pytest.mark.parametrize(("status", "body"), [(200, ""), (202, "{}"), (204, "")])
def test_a_2xx_says_that_it_is_deleted(status: int, body: str) -> None:
    with scripted(status, body) as server:
        assert ask(server.url) == Removed(found=True)


@pytest.mark.parametrize(
    ("method", "gone"), [("delete", Removed(found=False)), ("interaction", Absent())]
)
@pytest.mark.parametrize("status", [404, 410])
def test_an_engage_that_knows_no_such_interaction_says_that_it_is_gone(
    status: int, method: str, gone: object
) -> None:
    with scripted(status, GONE) as server:
        assert ask(server.url, method) == gone
        assert server.requests == 1


@pytest.mark.parametrize("method", ["delete", "interaction"])
@pytest.mark.parametrize(
    ("status", "body"),
    [
        (401, ""),
        (403, "{}"),
        (301, ""),
        (404, ""),
        (404, "<html>not here</html>"),
        (404, '{"message": "no Route matched with those values"}'),
        (404, NO_ROUTE),
        (405, ""),
        (500, '{"errorCode": "InvalidSystemConfiguration"}'),
    ],
)
def test_an_answer_that_every_interaction_would_get_is_not_taken_for_gone(
    status: int, body: str, method: str
) -> None:
    """Somebody else's 404, under a wrong url, would otherwise make all seem to be taken back."""
    with (
        scripted(status, body, "Location: http://127.0.0.1:1/\r\n") as server,
        pytest.raises(DestinationUnusable),
    ):
        ask(server.url, method)


@pytest.mark.parametrize("method", ["delete", "interaction"])
@pytest.mark.parametrize("status", [404, 410])
@pytest.mark.parametrize("body", ["<html>not here</html>", "default backend - 404"])
def test_who_is_in_between_for_a_moment_is_not_taken_for_an_engage_that_was_there(
    body: str, status: int, method: str
) -> None:
    async def twice(url: str) -> object:
        engage = a_client(url)
        try:
            assert await engage.delete(GUID) == Removed(found=True)
            server.answer = answer_of(status, "")
            assert await engage.delete(GUID) == Removed(found=False)
            server.answer = answer_of(status, body)
            return await getattr(engage, method)(GUID)
        finally:
            await engage.aclose()

    with scripted(204) as server, pytest.raises(DestinationUnusable):
        asyncio.run(twice(server.url))


@pytest.mark.parametrize("status", [400, 409, 422])
def test_what_is_not_deleted_is_refused_in_the_destination_s_words(status: int) -> None:
    with scripted(status, '{"errorCode": "Locked", "message": "no"}') as server:
        assert ask(server.url) == Refused(f"HTTP {status}: Locked: no", status)


def test_a_page_of_somebody_else_is_no_deletion() -> None:
    with scripted(200, "<html>log in</html>") as server:
        assert isinstance(ask(server.url), Unknown)


def test_errors_are_asked_again_and_then_unknown() -> None:
    with scripted(500, "{}") as server:
        assert ask(server.url) == Unknown("HTTP 500")
        assert server.requests == 4


@pytest.fixture
def sandbox() -> Iterator[Running]:
    with running(engage=an_engage(), api_key=KEY) as server:
        yield server


@pytest.mark.parametrize("error_body", ["json", "empty"])
def test_a_real_server_s_404_is_told_from_a_wrong_url(sandbox: Running, error_body: str) -> None:
    sandbox.behaviour = behaving(error_body=error_body)

    assert ask(sandbox.url, "interaction") == Absent()
    assert ask(sandbox.url, "delete") == Removed(found=False)
    with pytest.raises(DestinationUnusable):
        ask(f"{sandbox.url}/elsewhere")


def test_what_is_there_is_shown_with_its_contact(sandbox: Running) -> None:
    body = b'{"contactId": "%b", "schemaId": "visit", "payload": {"visitId": "1"}}'
    receipt = sandbox.engage.receive(body % contact_id(1).encode())

    shown = ask(sandbox.url, "interaction", str(receipt.id))
    deleted = ask(sandbox.url, "delete", str(receipt.id))

    assert isinstance(shown, Shown)
    assert shown.contact_id == contact_id(1)
    assert deleted == Removed(found=True)
    assert ask(sandbox.url, "delete", str(receipt.id)) == Removed(found=False)


def test_what_is_too_late_to_be_asked_again_is_told_by_its_answer_and_not_as_a_stop() -> None:
    """A deletion is not asked for once its deadline has passed."""

    async def once(url: str, stopping: Callable[[], object]) -> object:
        engage = a_client(url)
        try:
            return await engage.heeding(stopping).delete(GUID)
        finally:
            await engage.aclose()

    def asked(why: object) -> tuple[object, int]:
        with scripted(500, "") as server:
            answer = asyncio.run(once(server.url, lambda: server.requests > 0 and why))
            return answer, server.requests

    late = "more than 5 s after it was put on record"

    assert asked(late) == (Unknown(f"HTTP 500; it is too late to ask again: {late}"), 1)
    assert asked(True) == (Unknown("the run was to stop (HTTP 500)"), 1)
