"""A receipt: what a verification found, in a small document that shows whether it was changed."""

import hashlib
import hmac
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from enum import StrEnum
from typing import Any

from connector.basis import dataclass

ALGORITHM = "HMAC-SHA256"
KIND = b"connector receipt 1\n"
"""What stands before the document when it is signed, so that no other text of ours passes for
one."""
SIGNATURE = "signature"
FOUND = ("missing", "twice", "changed")
"""What deviates, by kind."""


class Verdict(StrEnum):
    """What a verification comes to."""

    OK = "ok"
    """Everything that was looked at is there, once, as it was sent."""
    NOTHING = "nothing"
    """There was nothing to look at."""
    NOT_PROVEN = "not_proven"
    """Nothing was found amiss, and something could not be looked at."""
    DEVIATION = "deviation"
    """Something is missing, stands twice, or is not as it was sent."""


@dataclass(frozen=True, slots=True)
class Deviation:
    """A row that is not at the destination as it was sent. `found`: how it deviates, of FOUND."""

    delivery_id: int
    row_key: str
    run_id: str
    found: tuple[str, ...]


def deviations_text(deviations: Iterable[Deviation]) -> str:
    """Deviations, to be kept."""
    return json.dumps([asdict(each) for each in deviations])


def deviations_of(text: str) -> tuple[Deviation, ...]:
    """What `deviations_text` wrote."""
    kept = [{**each, "found": tuple(each["found"])} for each in json.loads(text)]
    return tuple(Deviation(**each) for each in kept)


# --- the keys that were looked at ----------------------------------------------------------------


def key_digest(row_key: str) -> bytes:
    """Of one row key, before it goes into `keys_digest`."""
    return hashlib.sha256(row_key.encode()).digest()


def keys_digest(digests: Iterable[bytes]) -> str:
    """Of many row keys, in whatever order they were met: SHA-256 of the SHA-256 of each, sorted."""
    return hashlib.sha256(b"".join(sorted(digests))).hexdigest()


# --- signing -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Signed:
    """A document, byte for byte as it was signed, and its signature. `key`: which one signed it."""

    document: str
    key: str
    signature: str

    @property
    def content(self) -> dict[str, Any]:
        """The receipt with its signature, as it is handed out."""
        signature = {"algorithm": ALGORITHM, "key": self.key, "value": self.signature}
        return {**json.loads(self.document), SIGNATURE: signature}


def canonical(content: Mapping[Any, Any]) -> str:
    """The one writing of a document that is signed."""
    return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def name_of(secret: bytes) -> str:
    """What tells keys apart, and gives none away."""
    return hashlib.sha256(b"connector receipt key\n" + secret).hexdigest()[:16]


def sign(content: Mapping[str, Any], secret: bytes) -> Signed:
    """`content`, signed."""
    document = canonical(content)
    return Signed(document, name_of(secret), _seal(document, secret))


class Seal(StrEnum):
    """What a signature says."""

    UNCHANGED = "unchanged"
    CHANGED = "changed"
    """The document, or the signature, is not what was written."""
    OTHER_KEY = "other_key"
    """Another key has signed it, so nobody can say here."""
    UNSIGNED = "unsigned"
    """It is no receipt, or has no signature."""


def check(signed: Signed, secret: bytes) -> Seal:
    """Whether a receipt is what was signed with `secret`."""
    if signed.key != name_of(secret):
        return Seal.OTHER_KEY
    right = _seal(signed.document, secret)
    return Seal.UNCHANGED if hmac.compare_digest(right, signed.signature) else Seal.CHANGED


def check_content(content: object, secret: bytes) -> Seal:
    """The same of a receipt as it was handed out, however its JSON is written by now."""
    match content:
        case {
            "signature": {"algorithm": "HMAC-SHA256", "key": str(key), "value": str(value)},
            **rest,
        }:
            ascii_value = value if value.isascii() else ""
            return check(Signed(canonical(rest), key, ascii_value), secret)
        case _:
            return Seal.UNSIGNED


def _seal(document: str, secret: bytes) -> str:
    return hmac.new(secret, KIND + document.encode(errors="replace"), "sha256").hexdigest()
