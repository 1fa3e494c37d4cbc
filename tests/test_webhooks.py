"""Whether a webhook is genuine, what Engage's say, and which rows they may be about."""

import json
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError

from connector.destinations.engage import EngageSettings
from connector.destinations.engage.webhooks import understand
from connector.rules.webhooks import Happened, Listening, News, signature_of, trace
from connector.serve.waking import Heard

# the worked example of Svix's documentation
SIGNING = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
BODY = b'{"test": 2432232314}'
NOW = 1614265330.0
SIGNED = {
    "svix-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
    "svix-timestamp": "1614265330",
    "svix-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
}
SHOWN = "a-secret-that-is-sent-along"
CONTACT = "cbe3f42c-c1d0-4721-b8ce-ab35001ce051"
EVENT = "31e61713-dd4d-4c3f-a470-990ef50b47c0"


def believes(secret: str, headers: dict[str, str], path: str | None = None, **more: Any) -> bool:
    ears = Listening(secret, understand)
    return ears.believes(headers, path, more.get("body", BODY), more.get("now", NOW))


def test_a_signature_of_svix_is_believed() -> None:
    plain = {name.replace("svix", "webhook"): value for name, value in SIGNED.items()}
    rotated = SIGNED | {"svix-signature": f"v1,b3RoZXI= {SIGNED['svix-signature']} v1a,eA=="}

    assert all(believes(SIGNING, headers) for headers in (SIGNED, plain, rotated))


@pytest.mark.parametrize(
    "headers",
    [
        {},
        SIGNED | {"svix-id": "msg_other"},
        SIGNED | {"svix-timestamp": "1614265331"},
        SIGNED | {"svix-timestamp": "²"},
        SIGNED | {"svix-timestamp": ""},
        SIGNED | {"svix-signature": "v1,"},
        SIGNED | {"svix-signature": SIGNED["svix-signature"].removeprefix("v1,")},
        SIGNED | {"svix-signature": "\udcff"},
        {"x-webhook-secret": SIGNING, "authorization": f"Bearer {SIGNING}"},
    ],
)
def test_nothing_else_is_believed_where_webhooks_are_signed(headers: dict[str, str]) -> None:
    assert not believes(SIGNING, headers)
    assert not believes(SIGNING, headers, path=SIGNING)


def test_a_signed_webhook_is_no_other_one_and_not_an_old_one() -> None:
    assert not believes(SIGNING, SIGNED, body=BODY + b" ")
    assert not believes(SIGNING, SIGNED, now=NOW + 301)
    assert not believes(SIGNING, SIGNED, now=NOW - 301)
    assert believes(SIGNING, SIGNED, now=NOW + 299)


def test_a_secret_of_ones_own_is_shown_in_the_path_or_a_header() -> None:
    assert believes(SHOWN, {}, path=SHOWN)
    assert believes(SHOWN, {"x-webhook-secret": SHOWN})
    assert believes(SHOWN, {"authorization": f"Bearer {SHOWN}"})
    for wrong in ("", SHOWN[:-1], SHOWN + "x", "ä" * 20):
        assert not believes(SHOWN, {"x-webhook-secret": wrong}, path=wrong)
    assert not believes(SHOWN, SIGNED)


@pytest.mark.parametrize("secret", ["short", "whsec_", "whsec_c2hvcnQ=", "whsec_*" + "a" * 40, ""])
def test_a_secret_that_could_be_guessed_is_refused(secret: str) -> None:
    with pytest.raises(ValidationError):
        EngageSettings(
            type="engage",
            url="https://x.voyado.com",
            api_key=SecretStr("k"),
            webhook_secret=SecretStr(secret),
        )


def test_the_signature_needs_no_padding_of_the_secret() -> None:
    padded = "whsec_" + "c29tZXRoaW5nIHNlY3JldCBoZXJl"
    assert signature_of(padded, "m", "1", b"") == signature_of(padded + "====", "m", "1", b"")


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (
            {
                "eventId": EVENT,
                "eventType": "contact.created",
                "isEncrypted": False,
                "payload": {"contactId": CONTACT, "email": "anna@example.com"},
                "tenant": "shop",
            },
            (Happened.CREATED, {CONTACT}, {"email"}),
        ),
        (
            {"type": "contact.deleted", "data": {"id": CONTACT}},
            (Happened.DELETED, {CONTACT}, set()),
        ),
        ({"eventType": "contact.deleted", "id": EVENT}, (Happened.DELETED, set(), set())),
        (
            {"event": "Contact Updated", "contact": {"mobilePhone": "+46701234567"}},
            (Happened.UPDATED, set(), {"mobilePhone"}),
        ),
        (
            {"eventType": "contact.created", "isEncrypted": True, "payload": "c2VjcmV0"},
            (Happened.CREATED, set(), set()),
        ),
    ],
)
def test_what_matters_is_found_wherever_it_stands(content: Any, expected: Any) -> None:
    news = understand(content)

    assert news is not None
    assert (news.happened, set(news.contact_ids), set(news.kinds)) == expected


@pytest.mark.parametrize(
    "content",
    [
        {},
        [],
        "contact.created",
        None,
        {"eventType": "point.balance.updated", "payload": {"contactId": CONTACT}},
        {"eventType": "contact.acceptsEmail.changed"},
        {"eventType": 3},
    ],
)
def test_what_is_about_no_contact_is_left_alone(content: Any) -> None:
    assert understand(content) is None


def test_a_payload_without_end_is_read_to_a_bound() -> None:
    deep: Any = {"email": "deep@example.com"}
    for _ in range(50):
        deep = {"inner": [deep]}
    content = {"type": "contact.created", "many": list(range(10_000)), "deep": deep}
    news = understand(json.loads(json.dumps(content)))

    assert news is not None
    assert len(news.values) <= 500
    assert not news.kinds


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Anna@Example.com ", "anna@example.com"),
        ("0701-23 45 67", "+46701234567"),
        ("19900101-1234", "9001011234"),
        ("C-17", "c 17"),
    ],
)
def test_spellings_of_one_identifier_leave_one_trace(one: str, other: str) -> None:
    assert trace(one) == trace(other) != trace("another@example.com")


def test_rows_are_woken_unnamed_only_where_a_new_contact_may_be_theirs() -> None:
    heard = Heard()
    heard.add(News(Happened.UPDATED))
    heard.add(News(Happened.CREATED, kinds=frozenset({"email"}), values=frozenset({"a@b.se"})))

    assert not heard.is_blind("email")
    assert heard.is_blind("customKey")
    assert heard.traces == {"abse"}


def test_what_is_heard_is_bounded_and_then_means_everything() -> None:
    heard = Heard()
    for number in range(6000):
        heard.add(News(Happened.DELETED, frozenset({f"{number}"})))
        told = frozenset(f"{number}-{i}-x" for i in range(5))
        heard.add(News(Happened.CREATED, kinds=frozenset({"email"}), values=told))

    assert heard.gone is None
    assert heard.is_blind("email")
    assert len(heard.traces) < 21_000
