"""Contact identifiers: which are malformed, how they are cached, and how many of them matched.

Identifiers are compared as they stand in the row, to the letter: whether Engage takes two
spellings for one (capitals in an e-mail address, blanks in a number) is documented nowhere, so
each spelling is looked up for itself.
"""

import re
from dataclasses import dataclass
from datetime import timedelta
from hashlib import blake2b
from typing import Any, Self

from connector.rules.activation import ContactMapping, Identifier
from connector.rules.delivery import Ambiguous, Found, LookUp, Malformed, Missing

GUID = re.compile(r"\{?[0-9a-fA-F]{8}-?([0-9a-fA-F]{4}-?){3}[0-9a-fA-F]{12}\}?")
EMAIL = re.compile(r"[^@\s]+@[^@\s]+")
LONGEST_EMAIL = 320
"""Sixty-four characters before the @, and 255 after it (RFC 5321)."""
PHONE = re.compile(r"(\+|00)?[0-9]{5,15}")
"""At most fifteen digits (E.164)."""
PHONE_PUNCTUATION = re.compile(r"[\s\-./()]")
NATIONAL_NUMBER = re.compile(r"[0-9A-Za-z+\-/. ]{6,20}")
FEWEST_DIGITS = 6
"""A national number holds a date of birth, whatever the country."""
LONGEST_KEY = 1000
AMBIGUOUS = "ambiguous contact"
"""How every reason begins that is about several contacts under one identifier."""
CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def malformed(contact: str, identifier: Identifier | None) -> Malformed | None:
    """Why no contact can have this identifier; None where only Engage can say.

    Refuses what is certainly no identifier of its kind, and nothing else: countries and tenants
    differ, and a look-up costs less than a row that is wrongly rejected.
    """
    good: object
    match identifier:
        case _ if CONTROL.search(contact) or not contact.strip():
            return _malformed("it is empty, or holds line breaks or the like")
        case Identifier.CONTACT_ID:
            good, reason = is_guid(contact), "contactId is not a GUID"
        case Identifier.EMAIL:
            good = len(contact) <= LONGEST_EMAIL and EMAIL.fullmatch(contact)
            reason = "email is no e-mail address"
        case Identifier.MOBILE_PHONE:
            good = PHONE.fullmatch(PHONE_PUNCTUATION.sub("", contact))
            reason = "mobilePhone is no telephone number"
        case Identifier.SOCIAL_SECURITY_NUMBER:
            digits = sum(character.isdigit() for character in contact)
            good = NATIONAL_NUMBER.fullmatch(contact) and digits >= FEWEST_DIGITS
            reason = "socialSecurityNumber is no such number"
        case _:
            good = len(contact) <= LONGEST_KEY
            reason = f"it is longer than {LONGEST_KEY} characters"
    return None if good else _malformed(reason)


def is_guid(text: str) -> bool:
    """Whether `text` can be the id of a contact; the empty GUID is nobody's."""
    return bool(GUID.fullmatch(text) and set(text) - set("{0-}"))


def _malformed(reason: str) -> Malformed:
    return Malformed(f"malformed contact identifier: {reason}")


@dataclass(frozen=True, slots=True)
class ContactCache:
    """How contacts that were found are kept for later runs: as contacts of one destination, each
    under a digest of its identifier that nobody can search without the `secret`."""

    destination: str
    secret: bytes
    span: timedelta
    """How long a contact is kept; 0: not at all."""

    @classmethod
    def of(cls, destination: str, url: str, api_key: str, span: timedelta) -> Self:
        """The cache of contacts of the Engage at `url`.

        The API key is the secret, since every run has it and a copy of the ledger has not. With
        another key, or at another Engage, nothing of what was cached is found.
        """
        return cls(destination, blake2b(f"{url}\x00{api_key}".encode()).digest(), span)

    def digest(self, contact: str, how: ContactMapping) -> str:
        """16 bytes of keyed BLAKE2b in hex."""
        message = "\x00".join((str(how.identifier), how.contact_type or "", contact)).encode()
        return blake2b(message, digest_size=16, key=self.secret).hexdigest()


@dataclass(slots=True)
class Matches:
    """How many distinct identifiers a run asked for, and what became of them."""

    looked_up: int = 0
    """Asked at Engage."""
    cached: int = 0
    """Known from an earlier run's look-up."""
    found: int = 0
    unknown: int = 0
    ambiguous: int = 0
    malformed: int = 0

    def count(self, answer: LookUp, by: int = 1) -> None:
        """One identifier more, or with `by` -1 one less, that has this answer."""
        match answer:
            case Found():
                self.found += by
                self.cached += by * answer.cached
            case Missing():
                self.unknown += by
            case Ambiguous():
                self.ambiguous += by
            case Malformed():
                self.malformed += by

    @property
    def identifiers(self) -> int:
        """All that have an answer."""
        return self.found + self.unknown + self.ambiguous + self.malformed

    @property
    def rate(self) -> float | None:
        """The share of identifiers that belong to one contact; None without identifiers."""
        return round(self.found / self.identifiers, 4) if self.identifiers else None

    @property
    def document(self) -> dict[str, Any]:
        """As the run's record and ``--json`` have it."""
        return {
            "identifiers": self.identifiers,
            "looked_up": self.looked_up,
            "cached": self.cached,
            "found": self.found,
            "unknown": self.unknown,
            "ambiguous": self.ambiguous,
            "malformed": self.malformed,
            "match_rate": self.rate,
        }
