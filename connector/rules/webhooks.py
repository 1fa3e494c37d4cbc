"""Webhooks of an API: whether one is genuine, and what one may say about contacts.

Whoever signs (Svix and all who follow the same scheme) is believed by the signature, others by a
secret that they show. What a webhook says is a hint and nothing more: rows that wait are looked up
earlier because of it, or a contact once more. So one that is repeated, late or wrong costs look-ups
at most.
"""

import hmac
from base64 import b64decode, b64encode
from binascii import Error as NotBase64
from collections.abc import Callable, Mapping
from dataclasses import field
from enum import StrEnum
from hashlib import sha256

from connector.basis import dataclass

SIGNING = "whsec_"
"""How a secret begins that signs, and is never sent along."""
TOLERANCE = 300.0
"""Seconds that a signature's time may be away from ours, as Svix's own libraries have it."""
PREFIXES = ("svix-", "webhook-")
"""How the headers begin: as Svix has them, and as the scheme has them without its name."""
MOST_SIGNATURES = 20
FEWEST_CHARACTERS, FEWEST_BYTES = 16, 16
"""Of a secret that is shown, and of one that signs: nobody finds those by trying."""
NUMBER_TAIL = 7
"""Digits at the end of a number that are the same however its beginning is written."""


class Happened(StrEnum):
    """What became of contacts."""

    CREATED = "created"
    UPDATED = "updated"
    DELETED = "deleted"


@dataclass(frozen=True, slots=True)
class News:
    """What one webhook says of a contact. `contact_ids`: what the destination may know it by;
    `kinds`: the kinds of identifiers that are told (`Contact.word`); `values`: all that is told
    of it, those identifiers among it."""

    happened: Happened
    contact_ids: frozenset[str] = frozenset()
    kinds: frozenset[str] = frozenset()
    values: frozenset[str] = field(default=frozenset(), repr=False)


@dataclass(frozen=True, slots=True)
class Listening:
    """How webhooks of one destination are taken. `understand`: what the JSON of one says; None:
    nothing that matters here."""

    secret: str = field(repr=False)
    understand: Callable[[object], News | None]

    def believes(
        self, headers: Mapping[str, str], in_path: str | None, body: bytes, now: float
    ) -> bool:
        """Whether it comes from whoever has the secret. `headers`: by names in small letters;
        `now`: seconds since 1970. Takes as long for a wrong secret as for the right one."""
        if self.secret.startswith(SIGNING):
            return is_signed(self.secret, headers, body, now)
        scheme, _, token = headers.get("authorization", "").partition(" ")
        shown = (
            in_path,
            headers.get("x-webhook-secret"),
            token if scheme.lower() == "bearer" else None,
        )
        return sum(_is_equal(each, self.secret) for each in shown if each is not None) > 0


def is_signed(secret: str, headers: Mapping[str, str], body: bytes, now: float) -> bool:
    """Whether `body` was signed with `secret` lately: HMAC-SHA256 over id, time and body."""
    for prefix in PREFIXES:
        named = [headers.get(prefix + name) for name in ("id", "timestamp", "signature")]
        if all(named):
            message_id, timestamp, signatures = map(str, named)
            break
    else:
        return False
    if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= 12):
        return False
    expected = signature_of(secret, message_id, timestamp, body)
    shown = signatures.split(" ")[:MOST_SIGNATURES]
    genuine = sum(_is_equal(each, expected) for each in shown)
    return genuine > 0 and abs(now - int(timestamp)) <= TOLERANCE


def signature_of(secret: str, message_id: str, timestamp: str, body: bytes) -> str:
    """What stands in the header of signatures."""
    signed = f"{message_id}.{timestamp}.".encode() + body
    return "v1," + b64encode(hmac.new(_key(secret), signed, sha256).digest()).decode()


def is_signed_by_dbt(secret: str, authorization: str | None, body: bytes) -> bool:
    """Whether `body` was signed as dbt Cloud does it: the header `Authorization` is the HMAC-SHA256
    over it, in hex. It says no time, so one that is sent again is as genuine."""
    expected = hmac.new(secret.encode(), body, sha256).hexdigest()
    return _is_equal((authorization or "").strip().lower(), expected)


@dataclass(frozen=True, slots=True)
class JobEnded:
    """A job of dbt Cloud that has succeeded. `event`: the id of what told it; `job`: its own."""

    event: str
    job: str


def job_ended(content: object) -> JobEnded | None:
    """What a webhook of dbt Cloud says, where that is of use: a job that has failed, was cancelled
    or has only begun is not."""
    if not isinstance(content, dict) or content.get("eventType") != "job.run.completed":
        return None
    data = content.get("data")
    if not isinstance(data, dict) or str(data.get("runStatus")).lower() != "success":
        return None
    return JobEnded(str(content.get("eventId", "")), str(data.get("jobId", "")))


def refuse_weak(secret: str) -> None:
    """Raises ValueError for a secret that cannot be used, or could be found by trying."""
    if secret.startswith(SIGNING):
        try:
            long_enough = len(_key(secret)) >= FEWEST_BYTES
        except NotBase64:
            long_enough = False
        if not long_enough:
            raise ValueError(f"expected a signing secret as it is shown: {SIGNING} and base64")
    elif len(secret) < FEWEST_CHARACTERS or not (secret.isascii() and secret.isprintable()):
        raise ValueError(
            f"expected a signing secret ({SIGNING}…), or one of at least {FEWEST_CHARACTERS}"
            " printable characters"
        )


def trace(identifier: str) -> str:
    """The same for spellings of one identifier; at times for other ones, too."""
    plain = "".join(c for c in identifier.casefold() if c.isalnum())
    return plain[-NUMBER_TAIL:] if plain.isdigit() else plain


def _key(secret: str) -> bytes:
    text = secret.removeprefix(SIGNING).rstrip("=")
    return b64decode(text + "=" * (-len(text) % 4), validate=True)


def _is_equal(given: str, secret: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "replace"), secret.encode())
