"""Contacts, and how GET /contacts/id finds one of them."""

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from uuid import uuid4

from connector.basis import dataclass
from connector.sandbox.exchange import Refusal

CONTACT_TYPES = ("Member", "Contact")
GUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s.]+")
PHONE = re.compile(r"\+[1-9][0-9]{6,14}")
PHONE_LIKE = re.compile(r"\+?[0-9]{7,15}")
SOCIAL_SECURITY_NUMBER = re.compile(
    r"(?:[0-9]{2})?[0-9]{2}(?:0[1-9]|1[0-2])[0-9]{2}[-+]?[0-9]{4}"  # [YY]YYMMDD-NNNN
)

#: The fields by which a contact is found, as in the API.
FIELDS = ("email", "mobilePhone", "socialSecurityNumber", "memberNumber", "externalId")
ALL_FIELDS = ("contactId", "contactType", *FIELDS)
LOOKUPS = ("email", "mobilePhone", "socialSecurityNumber", "customKey", "any")
#: What a well-formed value looks like, and the code for one that is not.
FORMS = {
    "email": (EMAIL, "InvalidEmailAddress"),
    "mobilePhone": (PHONE, "InvalidPhoneNumber"),
    "socialSecurityNumber": (SOCIAL_SECURITY_NUMBER, "InvalidSocialSecurityNumber"),
}


@dataclass(frozen=True, slots=True)
class Contact:
    """A person that interactions can be about, found by the values of its FIELDS."""

    id: str
    contact_type: str
    fields: Mapping[str, str]


def parse_contact(fields: Mapping[str, object]) -> Contact:
    """Return the contact that a JSON object or a CSV row describes; without an id, with a new one.

    Raises ValueError for a field that does not exist, is no text, or is malformed.
    """
    values = _texts(fields)
    contact_id = values.get("contactId") or str(uuid4())
    if not GUID.fullmatch(contact_id):
        raise ValueError(f"contactId '{contact_id}' is not a GUID")
    for name in FORMS.keys() & values.keys():
        if not _is_valid(name, values[name]):
            raise ValueError(f"{name} '{values[name]}' is malformed")
    found_by = {name: values[name] for name in FIELDS if name in values}
    return Contact(contact_id.lower(), values.get("contactType", "Member"), found_by)


def _texts(fields: Mapping[str, object]) -> dict[str, str]:
    values: dict[str, str] = {}
    for name, value in fields.items():
        if name not in ALL_FIELDS:
            raise ValueError(f"unknown field '{name}', known are {', '.join(ALL_FIELDS)}")
        if value is not None and not isinstance(value, str):
            raise ValueError(f"{name} must be a string")
        if value and value.strip():
            values[name] = value.strip()
    return values


class Contacts:
    """All contacts, indexed by everything that finds one."""

    def __init__(self) -> None:
        self._by_id: dict[str, Contact] = {}
        self._by_key: dict[tuple[str, str], dict[str, Contact]] = defaultdict(dict)
        self._findable_from: dict[str, float] = {}
        self._became: dict[str, str] = {}
        self._types = {each.casefold() for each in CONTACT_TYPES}

    def __contains__(self, contact_id: str) -> bool:
        return contact_id in self._by_id

    def __len__(self) -> int:
        return len(self._by_id)

    def all(self) -> list[Contact]:
        """Return all contacts, first added first."""
        return list(self._by_id.values())

    def add(self, contact: Contact, findable_from: float) -> None:
        """Keep a contact, found from that time on. Raises ValueError for an id in use."""
        if contact.id in self._by_id:
            raise ValueError(f"contactId '{contact.id}' is in use")
        self._by_id[contact.id] = contact
        self._findable_from[contact.id] = findable_from
        self._types.add(contact.contact_type.casefold())
        for name, value in contact.fields.items():
            self._by_key[name, _folded(name, value)][contact.id] = contact

    def remove(self, contact_id: str) -> None:
        """Forget a contact. Raises Refusal for one that is not there."""
        contact = self._by_id.pop(contact_id, None)
        if contact is None:
            raise _not_found()
        del self._findable_from[contact_id]
        for found in self._by_key.values():  # by whatever finds it since it was merged
            found.pop(contact_id, None)

    def merge(self, old: str, into: str) -> None:
        """The contact `old` is gone, and what found it finds `into`. Raises Refusal for one
        that is not there."""
        if old not in self._by_id or into not in self._by_id or old == into:
            raise _not_found()
        del self._by_id[old]
        del self._findable_from[old]
        for found in self._by_key.values():
            if found.pop(old, None):
                found[into] = self._by_id[into]
        self._became[old] = into

    def became(self, contact_id: str) -> str:
        """Which contact it is by now, after all merges."""
        while contact_id in self._became:
            contact_id = self._became[contact_id]
        return contact_id

    def find(
        self,
        query: Mapping[str, str],
        now: float,
        *,
        custom_key: str = "either",
        unconfigured: Collection[str] = (),
    ) -> str:
        """Return the id of the one contact that the parameters of a look-up describe.

        `custom_key` is the field that customKey looks at, `unconfigured` what the environment is
        not set up for.

        Raises Refusal: 400 for a malformed question, 404 for no contact, 409 for several,
        500 for an identifier that the environment is not set up for.
        """
        wanted_type = self._wanted_type(query.get("contactType"))
        kind, value = _lookup(query)
        if kind in unconfigured:
            raise Refusal(500, "InvalidSystemConfiguration", f"{kind} is not configured")
        found = [
            contact.id
            for contact in self._with(_fields(kind, custom_key), value)
            if self._findable_from[contact.id] <= now
            and (wanted_type is None or contact.contact_type.casefold() == wanted_type)
        ]
        return _the_only(found)

    def _with(self, fields: Iterable[str], value: str) -> Iterable[Contact]:
        found: dict[str, Contact] = {}
        for field in fields:
            found |= self._by_key.get((field, _folded(field, value)), {})
        return found.values()

    def _wanted_type(self, given: str | None) -> str | None:
        if given is None:
            return None
        if given.casefold() not in self._types:
            raise Refusal(400, "InvalidContactType", f"Contact type '{given}' is invalid")
        return given.casefold()


def _lookup(query: Mapping[str, str]) -> tuple[str, str]:
    """Return the identifier that is asked for, and its value; `any` is narrowed to one kind."""
    given = [name for name in LOOKUPS if query.get(name)]
    if len(given) != 1:
        raise Refusal(400, "InvalidSearchQuery", f"Give exactly one of {', '.join(LOOKUPS)}")
    kind, value = given[0], query[given[0]].strip()
    if kind == "any":
        return _narrowed(value), value
    if not _is_valid(kind, value):
        raise Refusal(400, FORMS[kind][1], f"The {kind} is malformed")
    return kind, value


def _fields(kind: str, custom_key: str) -> tuple[str, ...]:
    """Return the fields of a contact that an identifier is looked for in."""
    if kind != "customKey":
        return (kind,)
    return ("memberNumber", "externalId") if custom_key == "either" else (custom_key,)


def _narrowed(value: str) -> str:
    """Return the first kind that the value could be: the search looks at no other."""
    if EMAIL.fullmatch(value):
        return "email"
    if SOCIAL_SECURITY_NUMBER.fullmatch(value):
        return "socialSecurityNumber"
    return "mobilePhone" if PHONE_LIKE.fullmatch(value) else "customKey"


def _is_valid(kind: str, value: str) -> bool:
    return kind not in FORMS or FORMS[kind][0].fullmatch(value) is not None


def _folded(field: str, value: str) -> str:
    """Return a value as it is compared: an e-mail address in any case, ten digits of a number."""
    if field == "socialSecurityNumber":
        return re.sub(r"[-+]", "", value)[-10:]
    return value.casefold() if field == "email" else value


def _the_only(found: list[str]) -> str:
    if not found:
        raise _not_found()
    if len(found) > 1:
        raise Refusal(
            409,
            "MultipleMatches",
            "Multiple contacts match",
            details={"multipleMatchesFound": found},
        )
    return found[0]


def _not_found() -> Refusal:
    return Refusal(404, "ContactNotFound", "Contact not found")
