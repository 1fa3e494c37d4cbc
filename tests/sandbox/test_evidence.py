"""What an Engage may do to those who take its words for more: merges, repeats, stale lists."""

import time

import pytest

from connector.sandbox.behaviour import Faults
from connector.sandbox.engage.behaviour import Behaviour
from connector.sandbox.engage.store import Engage
from connector.sandbox.exchange import Refusal
from tests.whole.shop import an_engage, contact_id


def stored(engage: Engage, contact: int) -> str:
    """Store an interaction about a contact; its id."""
    body = (
        b'{"contactId": "%b", "schemaId": "visit", "payload": {"visitId": "v"}}'
        % contact_id(contact).encode()
    )
    return engage.receive(body).id or ""


def listed(engage: Engage, contact: int) -> list[str]:
    """What the contact's list shows."""
    return [each.id for each in engage.page(contact_id(contact), "visit").items]


def test_what_was_sent_about_a_contact_that_was_merged_is_the_others() -> None:
    engage = an_engage()
    first, second = stored(engage, 1), stored(engage, 2)

    engage.merge_contacts(contact_id(1), contact_id(2))

    assert listed(engage, 1) == []
    assert set(listed(engage, 2)) == {first, second}
    assert engage.find_contact({"email": "c1@example.com"}) == contact_id(2)
    assert engage.interaction(first).contact_id == contact_id(2)
    with pytest.raises(Refusal):
        stored(engage, 1)


def test_a_merged_contact_may_be_followed_and_its_list_refused() -> None:
    engage = an_engage()
    engage.behaviour = Behaviour(merged_contact="follows", merged_list="404")
    engage.merge_contacts(contact_id(1), contact_id(2))
    engage.merge_contacts(contact_id(2), contact_id(3))

    name = stored(engage, 1)

    assert listed(engage, 3) == [name]
    with pytest.raises(Refusal):
        listed(engage, 1)


def test_a_contact_that_is_not_there_cannot_be_merged() -> None:
    engage = an_engage()

    for old, into in ((1, 70), (70, 1), (1, 1)):
        with pytest.raises(Refusal):
            engage.merge_contacts(contact_id(old), contact_id(into))


def test_a_contact_that_was_merged_into_another_goes_with_it() -> None:
    engage = an_engage()
    engage.merge_contacts(contact_id(1), contact_id(2))
    engage.remove_contact(contact_id(2))

    for number in (1, 2):
        with pytest.raises(Refusal):
            engage.find_contact({"email": f"c{number}@example.com"})


@pytest.mark.parametrize("how", ["by its id", "with its schema"])
def test_what_was_deleted_is_listed_for_a_while(how: str) -> None:
    now = [time.time() + 1]
    engage = an_engage()
    engage.clock = lambda: now[0]
    engage.behaviour = Behaviour(listed_after_delete=30)
    name = stored(engage, 1)
    if how == "by its id":
        engage.remove_interaction(name)
    else:
        schema = engage.schema("visit")
        engage.remove_schema("visit")
        engage.add_schema(
            {
                "id": "visit",
                "displayName": schema.display_name,
                "jsonSchema": schema.json_schema,
            }
        )

    at_once = (listed(engage, 1), engage.interactions())
    now[0] += 31

    assert at_once == ([name], [])
    assert listed(engage, 1) == []


def test_the_age_of_a_repeated_id_is_no_share() -> None:
    assert Faults(repeat_before=1.0, repeat_older_than=10).repeat_older_than == 10
