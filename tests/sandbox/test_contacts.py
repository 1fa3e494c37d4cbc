"""GET /contacts/id and the other routes of contacts."""

from uuid import UUID

import pytest

BO = "2e40b702-1111-4222-8333-000000000002"
CIA = "2e40b702-1111-4222-8333-000000000003"


@pytest.fixture(autouse=True)
def more_contacts(engage):
    engage.add_contact(
        {
            "contactId": BO,
            "email": "shared@example.com",
            "mobilePhone": "+46701234567",
            "socialSecurityNumber": "19800101-1234",
            "memberNumber": "M-1",
            "externalId": "x-1",
        }
    )
    engage.add_contact(
        {
            "contactId": CIA,
            "contactType": "Contact",
            "email": "shared@example.com",
            "externalId": "M-1",
        }
    )


def code_of(answer):
    return answer.status_code, answer.json()["errorCode"]


def test_a_contact_is_answered_as_a_bare_json_string(api):
    answer = api.find(email="anna@example.com")

    assert answer.status_code == 200
    assert answer.text == f'"{api.anna}"'


@pytest.mark.parametrize(
    "query",
    [
        {"mobilePhone": "+46701234567"},
        {"socialSecurityNumber": "800101-1234"},
        {"socialSecurityNumber": "198001011234"},
        {"customKey": "x-1"},
        {"email": "SHARED@example.com", "contactType": "member"},
        {"any": "+46701234567"},
        {"any": "8001011234"},
        {"any": "x-1"},
    ],
)
def test_every_identifier_finds_its_contact(api, query):
    assert api.find(**query).json() == BO


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ({"email": "anna"}, "InvalidEmailAddress"),
        ({"email": "a b@example.com"}, "InvalidEmailAddress"),
        ({"mobilePhone": "0701234567"}, "InvalidPhoneNumber"),
        ({"mobilePhone": "phone"}, "InvalidPhoneNumber"),
        ({"socialSecurityNumber": "12345"}, "InvalidSocialSecurityNumber"),
        ({"email": "anna@example.com", "contactType": "Alien"}, "InvalidContactType"),
        ({}, "InvalidSearchQuery"),
        ({"email": ""}, "InvalidSearchQuery"),
        ({"email": "anna@example.com", "customKey": "x-1"}, "InvalidSearchQuery"),
        ({"externalId": "x-1"}, "InvalidSearchQuery"),
    ],
)
def test_a_malformed_question_has_its_own_code(api, query, code):
    assert code_of(api.find(**query)) == (400, code)


@pytest.mark.parametrize(
    "query",
    [
        {"email": "nobody@example.com"},
        {"customKey": "nothing"},
        {"email": "anna@example.com", "contactType": "Contact"},
    ],
)
def test_nobody_is_404(api, query):
    assert code_of(api.find(**query)) == (404, "ContactNotFound")


def test_several_contacts_are_409_and_named(api):
    answer = api.find(email="shared@example.com")

    assert code_of(answer) == (409, "MultipleMatches")
    assert answer.json()["messageDetails"] == {"multipleMatchesFound": [BO, CIA]}


def test_a_contact_type_narrows(api):
    assert api.find(email="shared@example.com", contactType="Contact").json() == CIA


def test_a_plus_that_is_not_encoded_is_a_space(api):
    answer = api.http.get("/api/v3/contacts/id?mobilePhone=+46701234567")

    assert code_of(answer) == (400, "InvalidPhoneNumber")


def test_any_stops_at_the_first_kind_that_validates(api, engage):
    engage.add_contact({"contactId": api.nobody, "memberNumber": "70123456"})

    assert api.find(customKey="70123456").json() == api.nobody
    assert code_of(api.find(any="70123456")) == (404, "ContactNotFound")


def test_custom_key_is_what_the_environment_says(api):
    assert code_of(api.find(customKey="M-1")) == (409, "MultipleMatches")
    api.behave(custom_key="memberNumber")
    assert api.find(customKey="M-1").json() == BO
    api.behave(custom_key="externalId")
    assert api.find(customKey="M-1").json() == CIA


def test_an_identifier_can_be_unconfigured(api):
    api.behave(unconfigured={"socialSecurityNumber"})

    answer = api.find(socialSecurityNumber="800101-1234")

    assert code_of(answer) == (500, "InvalidSystemConfiguration")
    assert api.find(email="anna@example.com").status_code == 200


def test_a_new_contact_is_found_only_after_a_delay(api, clock):
    api.behave(contact_delay=30)

    made = api.http.post("/api/v3/contacts", json={"email": "new@example.com", "firstName": "N"})

    assert made.status_code == 201
    assert UUID(made.json())
    clock.advance(29)
    assert api.find(email="new@example.com").status_code == 404
    clock.advance(1)
    assert api.find(email="new@example.com").json() == made.json()
    assert api.send(contactId=made.json()).status_code == 200


@pytest.mark.parametrize(
    "body", [{"email": "x"}, {"email": 7}, {"contactId": "x"}, {"contactId": BO}]
)
def test_a_malformed_contact_is_not_made(api, body):
    answer = api.http.post("/api/v3/contacts", json=body)

    assert code_of(answer) == (422, "ValidationError")
    assert api.http.get("/api/v3/contacts/count").json() == 3


def test_contacts_are_counted(api, engage):
    answer = api.http.get("/api/v3/contacts/count")

    assert answer.text == "3"
    assert [contact.id for contact in engage.contacts()] == [api.anna, BO, CIA]


@pytest.mark.parametrize("status", [200, 204])
def test_a_deleted_contact_is_404_from_then_on(api, status):
    api.behave(delete_status=status)
    api.send()

    assert api.http.delete(f"/api/v3/contacts/{api.anna.upper()}").status_code == status

    assert code_of(api.http.delete(f"/api/v3/contacts/{api.anna}")) == (404, "ContactNotFound")
    assert code_of(api.find(email="anna@example.com")) == (404, "ContactNotFound")
    assert api.send().status_code == 404
    assert len(api.read().json()["items"]) == 1
