"""Contacts as an Engage knows them: which one an identifier belongs to."""

from connector.destinations.answers import Response
from connector.destinations.api import Api
from connector.destinations.engage.errors import NO_SUCH_ROUTE
from connector.destinations.engage.grammar import ContactMapping, Identifier, is_guid
from connector.destinations.engage.pages import LONGEST_ID
from connector.destinations.http import is_page, json_of, text_of
from connector.rules.contacts import AMBIGUOUS
from connector.rules.delivery import (
    Ambiguous,
    Found,
    LookUp,
    Malformed,
    Missing,
    NotApplied,
)
from connector.rules.errors import DestinationUnusable


class Contacts(Api):
    """The contacts of one Engage."""

    _contacts_are_there = False

    async def look_up(self, contact: str, how: ContactMapping) -> LookUp:
        """Which contact `contact` is, by one GET; safe to repeat.

        Raises DestinationUnusable when no look-up could succeed.
        """
        assert how.identifier is not None  # only a mapping with a lookup has none
        params = {how.identifier.value: contact}
        if how.contact_type:
            params["contactType"] = how.contact_type
        response = await self.get("/contacts/id", params)
        if isinstance(response, str):
            return NotApplied(f"the contact look-up failed: {response}")
        if response.status_code == 404 and json_of(response) is None:
            await self._prove_that_contacts_can_be_looked_up(response)
            if "<" in text_of(response):  # somebody in between, who knows no contacts
                return NotApplied("the contact look-up was answered with HTTP 404 and a page")
        return self._look_up_result(self.useful(response), contact, how)

    async def _prove_that_contacts_can_be_looked_up(self, missing: Response) -> None:
        """A 404 without a word may be about the contact, or about the route: then no contact
        would be found, and the run stops. One in words of its own may come from somebody in
        between, at any time. Raises DestinationUnusable."""
        if not self._contacts_are_there or is_page(missing):
            response = self.useful(await self.get("/contacts/count"))
            if response.status_code != 200:
                raise DestinationUnusable("contacts cannot be looked up: HTTP 404", 404)
            self._contacts_are_there = True

    def _look_up_result(self, response: Response, contact: str, how: ContactMapping) -> LookUp:
        words = self.words(response)
        match response.status_code:
            case 200:
                content = json_of(response)
                found = content if isinstance(content, str) else text_of(response)[:LONGEST_ID]
                found = found.strip().strip('"')
                if is_guid(found):
                    return Found(found)
                return NotApplied("the contact look-up gave no contactId")
            case 404 if NO_SUCH_ROUTE.search(words):
                raise DestinationUnusable(f"contacts cannot be looked up: {words}", 404)
            case 404:
                return Missing(f"no contact{_of_type(how)} has this {how.word}")
            case 409 if "ContactWithKeyIsBeingCreated" in words:
                return Missing(f"the contact with this {how.word} is being created")
            case 409:
                return Ambiguous(self._ambiguous(response, how), 409)
            case 400 if "InvalidContactType" in words:
                raise DestinationUnusable(f"contact_type {how.contact_type} is unknown: {words}")
            case 400 | 422:
                phone = how.identifier is Identifier.MOBILE_PHONE and not contact.startswith("+")
                advice = (
                    "; a mobilePhone begins with its country code, such as +46" if phone else ""
                )
                reason = f"malformed contact identifier: {words}{advice}"
                return Malformed(reason, response.status_code)
            case _:
                raise DestinationUnusable(f"contacts cannot be looked up: {words}")

    def _ambiguous(self, response: Response, how: ContactMapping) -> str:
        content = json_of(response)
        details = content.get("messageDetails") if isinstance(content, dict) else None
        matches = details.get("multipleMatchesFound") if isinstance(details, dict) else None
        number = str(len(matches)) if isinstance(matches, list) else "several"
        advice = "" if how.contact_type else "; set contact.contact_type to say which kind is meant"
        return f"{AMBIGUOUS}: {number} contacts{_of_type(how)} have this {how.word}{advice}"


def _of_type(how: ContactMapping) -> str:
    return f" of the type {how.contact_type}" if how.contact_type else ""
