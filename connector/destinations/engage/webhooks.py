"""What Engage's webhooks say of contacts.

The kinds of events are documented, the shape of what comes with them only in each client's own
portal, and it may be encrypted. So what is known is looked for wherever it may stand: an event's
type, the contactId, identifiers by their names.
"""

from collections.abc import Iterator
from itertools import islice
from uuid import UUID

from connector.rules.webhooks import Happened, News

TYPES = ("eventType", "type", "event", "eventName")
"""Keys under which an event's type may stand."""
NAMES = {
    "email": "email",
    "emailaddress": "email",
    "mobilephone": "mobilePhone",
    "mobilephonenumber": "mobilePhone",
    "phonenumber": "mobilePhone",
    "phone": "mobilePhone",
    "socialsecuritynumber": "socialSecurityNumber",
}
"""By a key in small letters, the kind of identifier under it, as the grammar calls it."""
MOST_VALUES = 500
LONGEST_VALUE = 1000
DEEPEST = 8

Told = tuple[str, str, int]
"""The key, its value as text, and how deep it stands."""


def understand(content: object) -> News | None:
    """What a webhook says; None for what is about no contact."""
    if not isinstance(content, dict):
        return None
    words = "".join(next((t for k in TYPES if isinstance(t := content.get(k), str)), "").split())
    letters = "".join(c for c in words.lower() if c.isalpha())
    happened = next((h for h in Happened if letters.endswith(f"contact{h}")), None)
    if happened is None:
        return None
    told = list(islice(_walked("", content, 0), MOST_VALUES))
    ids = {v for key, v, depth in told if _is_guid(v) and _names_a_contact(key, depth)}
    kinds = {NAMES[key] for key, _, _ in told if key in NAMES}
    return News(
        happened,
        frozenset(ids),
        frozenset(kinds),
        frozenset(value for key, value, _ in told if key not in map(str.lower, TYPES)),
    )


def _is_guid(text: str) -> bool:
    try:
        return bool(UUID(text).int)
    except ValueError:
        return False


def _names_a_contact(key: str, depth: int) -> bool:
    """An event has an id, too, which stands at the top."""
    return key == "contactid" or (key == "id" and depth > 1)


def _walked(key: str, value: object, depth: int) -> Iterator[Told]:
    """All single values in what was sent."""
    if isinstance(value, dict) and depth < DEEPEST:
        for name, inner in value.items():
            plain = "".join(c for c in str(name).lower() if c.isalnum())
            yield from _walked(plain, inner, depth + 1)
    elif isinstance(value, list) and depth < DEEPEST:
        for inner in value:
            yield from _walked(key, inner, depth + 1)
    elif isinstance(value, str) and 0 < len(value) <= LONGEST_VALUE:
        yield key, value, depth
    elif isinstance(value, int) and not isinstance(value, bool):
        yield key, str(value), depth
