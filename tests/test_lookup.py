"""Answers about contacts: each asked for once, shared by all who wait, forgotten when refused."""

import asyncio
import tracemalloc
from collections import Counter
from datetime import timedelta
from typing import Any

import pytest

from connector.rules.activation import ContactMapping, Identifier
from connector.rules.contacts import ContactCache
from connector.rules.delivery import Ambiguous, Found, Malformed, Missing, NotApplied, Refused
from connector.rules.errors import DestinationUnusable
from connector.sync import lookup
from connector.sync.lookup import Contacts

EMAIL = ContactMapping(column="who", identifier=Identifier.EMAIL)
CACHE = ContactCache.of("engage", "https://acme.voyado.com", "key", timedelta(days=1))
ANNA = "anna@example.com"


class Asked:
    """Somebody who answers, and counts the questions."""

    def __init__(self, answers=None, known=None, pause=0.0):
        self.answers, self.known, self.pause = answers or {}, known or {}, pause
        self.singly: Counter[str] = Counter()
        self.together: list[Any] = []

    async def one(self, contact):
        self.singly[contact] += 1
        await asyncio.sleep(self.pause)
        answer = self.answers.get(contact, Found(f"id of {contact}"))
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def many(self, contacts):
        self.together.append(list(contacts))
        return {c: self.known[c] for c in contacts if c in self.known}


def contacts(asked, how=EMAIL, cache=CACHE):
    return Contacts(how, asked.one, asked.many, cache)


def test_an_identifier_is_asked_for_once_however_many_wait_for_it():
    asked = Asked(pause=0.01)

    async def work():
        found = contacts(asked)
        first = await asyncio.gather(*(found.of(ANNA) for _ in range(50)))
        return first, await found.of(ANNA), found

    first, later, found = asyncio.run(work())

    assert {*first, later} == {Found(f"id of {ANNA}")}
    assert asked.singly == {ANNA: 1}
    assert (found.matches.looked_up, found.matches.found) == (1, 1)


@pytest.mark.parametrize("answer", [Missing("?"), Ambiguous("2"), Malformed("!")])
def test_so_is_one_without_a_contact(answer):
    asked = Asked({ANNA: answer})

    async def work():
        found = contacts(asked)
        return [await found.of(ANNA) for _ in range(3)], found

    answers, found = asyncio.run(work())

    assert answers == [answer] * 3
    assert asked.singly == {ANNA: 1}
    assert (found.matches.identifiers, found.matches.rate, found.news(ANNA)) == (1, 0.0, None)


def test_a_look_up_that_failed_may_be_tried_again_and_is_not_counted():
    asked = Asked({ANNA: NotApplied("no answer")})

    async def work():
        found = contacts(asked)
        return [await found.of(ANNA) for _ in range(2)], found

    answers, found = asyncio.run(work())

    assert answers == [NotApplied("no answer")] * 2
    assert asked.singly == {ANNA: 2}
    assert (found.matches.looked_up, found.matches.identifiers) == (0, 0)


def test_what_stops_the_run_reaches_everyone_who_waits():
    asked = Asked({ANNA: DestinationUnusable("key refused")}, pause=0.01)

    async def work():
        found = contacts(asked)
        return await asyncio.gather(*(found.of(ANNA) for _ in range(3)), return_exceptions=True)

    assert [type(error) for error in asyncio.run(work())] == [DestinationUnusable] * 3


def test_what_is_read_ahead_is_not_asked_for_singly():
    asked = Asked(known={ANNA: Found("cached", cached=True)})

    async def work():
        found = contacts(asked)
        await found.ahead([ANNA, "bo@example.com", ANNA, "no address"])
        await found.ahead([ANNA, "no address"])
        return await found.of(ANNA), await found.of("bo@example.com"), found

    anna, bo, found = asyncio.run(work())

    assert (anna, bo) == (Found("cached", cached=True), Found("id of bo@example.com"))
    assert asked.together == [[ANNA, "bo@example.com"]]
    assert asked.singly == {"bo@example.com": 1}
    matches = found.matches
    assert (matches.cached, matches.looked_up, matches.malformed) == (1, 1, 1)


def test_what_was_asked_for_is_to_be_written_down_once_and_what_was_cached_not_at_all():
    asked = Asked(known={"bo@example.com": Found("cached", cached=True)})

    async def work():
        found = contacts(asked)
        await found.ahead(["bo@example.com"])
        await found.of(ANNA)
        return found

    found = asyncio.run(work())
    news = found.news(ANNA)

    assert (news.contact_id, news.identifier, news.refused) == (f"id of {ANNA}", "email", False)
    assert ANNA not in str(news).replace(news.contact_id, "")
    assert found.news(ANNA) is None
    assert found.news("bo@example.com") is None


def test_a_cached_answer_that_was_refused_is_asked_for_afresh_once():
    asked = Asked(known={ANNA: Found("old", cached=True)}, pause=0.01)

    async def work():
        found = contacts(asked)
        await found.ahead([ANNA])
        others = [found.of(ANNA) for _ in range(4)]  # of rows that come while it is asked for
        fresh = await asyncio.gather(found.of(ANNA, "old"), found.of(ANNA, "old"), *others)
        return fresh, await found.of(ANNA, f"id of {ANNA}"), await found.of(ANNA, "old"), found

    fresh, refused_again, late, found = asyncio.run(work())

    assert {*fresh, refused_again, late} == {Found(f"id of {ANNA}")}
    assert asked.singly == {ANNA: 1}
    assert (found.matches.cached, found.matches.looked_up, found.matches.identifiers) == (0, 1, 1)
    assert found.refusal(ANNA, "old").refused


def test_contact_ids_are_what_they_are():
    asked = Asked()
    guid = "3f2504e0-4f89-11d3-9a0c-0305e82c3301"

    async def work():
        found = contacts(asked, ContactMapping(column="who", identifier=Identifier.CONTACT_ID))
        await found.ahead([guid, "4711"])
        return await found.of(guid), await found.of("4711")

    good, bad = asyncio.run(work())

    assert good == Found(guid)
    assert isinstance(bad, Malformed)
    assert asked.singly == {}
    assert asked.together == []


@pytest.mark.long
def test_hundreds_of_thousands_of_identifiers_take_little_memory():
    number, page = 120_000, 500
    ids = "3f2504e0-4f89-11d3-9a0c-{:012x}"

    async def many(contacts):
        return {c: Found(ids.format(int(c.partition("@")[0])), cached=True) for c in contacts}

    async def work():
        found = Contacts(EMAIL, Asked().one, many, CACHE)
        tracemalloc.start()
        for first in range(0, number, page):
            await found.ahead(f"{n}@example.com" for n in range(first, first + page))
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return peak, found

    peak, found = asyncio.run(work())

    assert found.matches.found == number
    assert len(found._answers) <= lookup.MOST_REMEMBERED
    assert peak < 50_000_000


def test_what_is_asked_afresh_is_asked_after_the_question_and_not_before():
    """Somebody's question is under way: its answer may be of before."""
    asked = Asked(pause=0.01)

    async def work():
        found = contacts(asked)
        before = asyncio.ensure_future(found.of(ANNA))
        await asyncio.sleep(0)
        asked.answers[ANNA] = Found("merged")
        fresh = await asyncio.gather(*(found.afresh(ANNA) for _ in range(20)))
        await before
        return fresh, await found.of(ANNA), found

    fresh, later, found = asyncio.run(work())

    assert {*fresh, later} == {Found("merged")}
    assert asked.singly == {ANNA: 2}  # one for all who asked at once
    assert (found.matches.looked_up, found.matches.found) == (1, 1)
    assert found.news(ANNA).contact_id == "merged"


def test_what_cannot_be_asked_afresh_is_not_remembered():
    asked = Asked()

    async def work():
        found = contacts(asked)
        await found.of(ANNA)
        asked.answers[ANNA] = NotApplied("no answer")
        failed = await found.afresh(ANNA)
        asked.answers[ANNA] = Found("later")
        return failed, await found.of(ANNA)

    assert asyncio.run(work()) == (NotApplied("no answer"), Found("later"))


REFUSALS = {
    "404": (Refused("HTTP 404", 404), (True, True)),
    "400 of a contact": (Refused("HTTP 400: Contact 'x' is gone", 400), (True, True)),
    "422 of a contact": (Refused("HTTP 422: no such contact", 422), (True, True)),
    "400 of anything": (Refused("HTTP 400: bad", 400), (True, False)),
    "422 of anything": (Refused("HTTP 422: bad", 422), (False, False)),
}


@pytest.mark.parametrize("what", REFUSALS)
def test_a_refusal_that_does_not_speak_of_contacts_is_doubted_once(what):
    refused, expected = REFUSALS[what]

    async def work():
        found = contacts(Asked())
        answer = await found.of(ANNA)
        first = found.may_be_another(ANNA, answer, refused)
        assert await found.still_is(ANNA, answer)
        return first, found.may_be_another(ANNA, answer, refused)

    assert asyncio.run(work()) == expected


def test_a_contact_that_is_no_identifier_but_an_id_is_no_other():
    how = ContactMapping(column="who", identifier=Identifier.CONTACT_ID)
    found = contacts(Asked(), how=how)

    assert not found.may_be_another("x", Found("x"), Refused("HTTP 404: Contact not found", 404))


def test_another_row_that_was_quicker_spares_the_question():
    asked = Asked(pause=0.01)

    async def work():
        found = contacts(asked)
        old = await found.of(ANNA)
        asked.answers[ANNA] = Found("merged")
        still = await asyncio.gather(*(found.still_is(ANNA, old) for _ in range(20)))
        return still, found

    still, _ = asyncio.run(work())

    assert set(still) == {False}
    assert asked.singly == {ANNA: 2}
