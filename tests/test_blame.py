"""Which parts of a row a reason is about."""

import pytest

from connector.destinations.engage import EngageActivation
from connector.rules.blame import blamed

VISITS = EngageActivation.model_validate(
    {
        "model": {"table": "visits"},
        "schema_id": "visit",
        "row_key": "id",
        "cursor": "changed",
        "start": "all",
        "contact": {"column": "mail", "identifier": "email"},
        "created_date": "seen_at",
        "payload": {"rating": "stars", "channel": {"value": "web"}},
    }
).named("visits")


RATING = ("rating", "stars", ("payload", "rating"))
CHANNEL = ("channel", None, ("payload", "channel"))
CONTACT = ("contact", "mail", ("contact",))


@pytest.mark.parametrize(
    ("reason", "parts"),
    [
        ("rating: an integer breaks the rule maximum 5", [RATING]),
        (
            "channel: a text breaks the rule enum; rating: NULL; rating: more",
            [CHANNEL, RATING],
        ),
        ("created_date: the column is NULL", [("created_date", "seen_at", ("created_date",))]),
        ("cursor: it is NULL", [("cursor", "changed", ("cursor",))]),
        ("contact: the column mail is NULL", [CONTACT]),
        ("no contact has this email, and the wait for it has ended", [CONTACT]),
        ("malformed contact identifier: email is no e-mail address", [CONTACT]),
        ("ambiguous contact: 2 contacts have this email", [CONTACT]),
        ("HTTP 400: rating is wrong", []),
        ("other: an integer breaks the rule maximum 5", []),
        ("", []),
    ],
)
def test_a_reason_names_what_it_is_about(
    reason: str, parts: list[tuple[str, str | None, tuple[str, ...]]]
) -> None:
    found = [(mapped.part, mapped.column, mapped.path) for mapped in blamed(VISITS, reason)]

    assert found == [(p, c, ("activations", "visits", *path)) for p, c, path in parts]
