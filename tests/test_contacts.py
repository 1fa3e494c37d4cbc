"""Contact identifiers: what is certainly malformed, how they are cached, how many matched."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.destinations.engage import ContactMapping, Identifier
from connector.destinations.engage.grammar import malformed
from connector.rules.contacts import ContactCache, Matches
from connector.rules.delivery import Ambiguous, Found, LookUp, Malformed, Missing

GUID = "3f2504e0-4f89-11d3-9a0c-0305e82c3301"
DAY = timedelta(days=1)

GOOD = {
    Identifier.CONTACT_ID: [GUID, GUID.upper(), f"{{{GUID}}}"],
    Identifier.EMAIL: ["anna@example.com", "Åsa.Ö+x@exämple.se", "o'hara@localhost", "a@b"],
    Identifier.MOBILE_PHONE: ["+46701234567", "+46 70-123 45 67", "0046701234567", "0701234567"],
    Identifier.SOCIAL_SECURITY_NUMBER: [
        *("19121212-1212", "121212+1212", "121212121212"),  # Sweden
        *("01010112345", "010101 12345", "010101-1234", "131052-308T", "131052A3085"),
    ],
    Identifier.CUSTOM_KEY: ["1", "M-0815", "åäö 漢字", "k" * 1000, "anna@example.com"],
    Identifier.ANY: ["anna@example.com", "+46701234567", "M-0815"],
}
BAD = {
    Identifier.CONTACT_ID: ["4711", GUID[:-1], GUID + "0", "0" * 8 + "-0000-0000-0000-" + "0" * 12],
    Identifier.EMAIL: [
        "anna",
        "@example.com",
        "anna@",
        "a b@example.com",
        "a@b@c",
        "a" * 320 + "@b",
    ],
    Identifier.MOBILE_PHONE: ["anna", "+46", "1" * 16, "+46 7O1 23", "070-123 45 67 ext. 8"],
    Identifier.SOCIAL_SECURITY_NUMBER: ["unknown", "12345", "1" * 21, "19121212_1212"],
    Identifier.CUSTOM_KEY: ["k" * 1001],
    Identifier.ANY: ["k" * 1001],
}


@pytest.mark.parametrize(("kind", "value"), [(k, v) for k, values in GOOD.items() for v in values])
def test_what_might_be_an_identifier_is_asked_for(kind, value):
    assert malformed(value, kind) is None


@pytest.mark.parametrize(("kind", "value"), [(k, v) for k, values in BAD.items() for v in values])
def test_what_is_certainly_none_is_malformed_and_not_repeated_in_the_reason(kind, value):
    found = malformed(value, kind)

    assert found is not None
    assert found.startswith("malformed contact identifier: ")
    assert value not in found


@pytest.mark.parametrize("kind", [*Identifier, None])
@pytest.mark.parametrize("value", ["", "  ", "a\nb@example.com", "+4670\x001234567", "\t"])
def test_nothing_and_control_characters_are_malformed_for_every_kind(kind, value):
    assert malformed(value, kind)


@given(st.text(max_size=400), st.sampled_from([*Identifier, None]))
def test_every_text_has_an_answer(value, kind):
    found = malformed(value, kind)

    assert found is None or "malformed" in found


def mapping(identifier="email", contact_type=None):
    return ContactMapping(column="who", identifier=identifier, contact_type=contact_type)


def test_a_digest_tells_identifiers_kinds_types_keys_and_engages_apart():
    a = ContactCache.of("engage", "https://a.voyado.com", "key", DAY)
    digests = [
        a.digest("anna@example.com", mapping()),
        a.digest("Anna@example.com", mapping()),
        a.digest("anna@example.com", mapping("customKey")),
        a.digest("anna@example.com", mapping(contact_type="Member")),
        ContactCache.of("engage", "https://a.voyado.com", "key2", DAY).digest(
            "anna@example.com", mapping()
        ),
        ContactCache.of("engage", "https://b.voyado.com", "key", DAY).digest(
            "anna@example.com", mapping()
        ),
    ]

    assert len(set(digests)) == len(digests)
    again = ContactCache.of("other name", "https://a.voyado.com", "key", timedelta(0))
    assert again.digest("anna@example.com", mapping()) == digests[0]
    assert all(len(digest) == 32 for digest in digests)


def test_the_match_rate_is_the_share_of_identifiers_that_belong_to_one_contact():
    matches = Matches()
    answers: list[LookUp] = [
        Found("a"),
        Found("b", cached=True),
        Missing("?"),
        Ambiguous("2"),
        Malformed("!"),
    ]

    assert Matches().rate is None
    for answer in answers:
        matches.count(answer)

    assert (matches.identifiers, matches.cached) == (5, 1)
    assert matches.rate == 0.4
    for answer in answers:
        matches.count(answer, -1)
    assert matches == Matches()


def test_the_match_rate_is_all_or_none_only_where_it_is_just_that():
    assert Matches(found=99_999, unknown=1).rate == 0.9999
    assert Matches(found=1, unknown=99_999).rate == 0.0001
    assert Matches(found=100_000).rate == 1
    assert Matches(unknown=100_000).rate == 0
