"""Contacts: how those that were found are kept for later runs, and how many identifiers matched."""

from dataclasses import asdict
from datetime import timedelta
from hashlib import blake2b
from typing import Any, Self

from connector.basis import dataclass
from connector.rules.activation import Contact
from connector.rules.delivery import Ambiguous, Found, LookUp, Malformed, Missing

AMBIGUOUS = "ambiguous contact"
"""How every reason begins that is about several contacts under one identifier."""
KNOWN_OTHERWISE = "recorded under another identifier"
"""The same of rows that are read anew, since what their contacts are known by was edited."""
LEAST_SHARE = 0.0001
"""To so much the share of identifiers that were found is told."""


@dataclass(frozen=True, slots=True)
class ContactCache:
    """How contacts that were found are kept for later runs: as contacts of one destination, each
    under a digest of its identifier that nobody can search without the `secret`."""

    destination: str
    secret: bytes
    span: timedelta
    """How long a contact is kept; 0: not at all."""

    @classmethod
    def of(cls, destination: str, url: str, secret: str, span: timedelta) -> Self:
        """The cache of contacts of the destination at `url`.

        What opens the destination is the secret, since every run has it and a copy of the ledger
        has not. With another one, or at another url, nothing of what was cached is found.
        """
        return cls(destination, blake2b(f"{url}\x00{secret}".encode()).digest(), span)

    def digest(self, contact: str, how: Contact) -> str:
        """16 bytes of keyed BLAKE2b in hex."""
        message = f"{how.kind}\x00{contact}".encode()
        return blake2b(message, digest_size=16, key=self.secret).hexdigest()


@dataclass(slots=True)
class Matches:
    """How many distinct identifiers a run asked for, and what became of them."""

    looked_up: int = 0
    """Asked at the destination."""
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
        return self.found + self.unknown + self.ambiguous + self.malformed

    @property
    def rate(self) -> float | None:
        """The share of identifiers that belong to one contact; None without identifiers. It is all
        of them, or none, where it is just that."""
        if not self.identifiers or self.found in (0, self.identifiers):
            return self.found / self.identifiers if self.identifiers else None
        return min(max(round(self.found / self.identifiers, 4), LEAST_SHARE), 1 - LEAST_SHARE)

    @property
    def document(self) -> dict[str, Any]:
        return {"identifiers": self.identifiers, **asdict(self), "match_rate": self.rate}
