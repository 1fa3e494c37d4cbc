"""What is sent about one row, in no API's dialect, and how to know it again when it is read back.

A digest must be the same for what was sent and for what a destination shows of it, so it knows
values and not how they are written: no order of properties, 4.0 is 4, and times are instants to
the second, since a destination may keep no more.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import field
from datetime import UTC, datetime
from hashlib import blake2b
from itertools import combinations
from typing import Any

import orjson

from connector.basis import dataclass

PAYLOAD_BYTES, CREATED_BYTES = 12, 4
CREATED, PAYLOAD = "createdDate", "payload"
"""What may differ, under the names that the destination has for it."""
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NUMBER = re.compile(r"-?(0|[1-9]\d{0,17})(\.\d{1,17})?")
MOST_CHOICES = 8
"""Properties of which each choice is tried: as many as a byte has bits."""
INTEGERS = range(-(2**63), 2**63)
INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")


@dataclass(frozen=True, slots=True)
class Interaction:
    """One happening of one contact.

    `contact` is the value of the contact column as text; what kind of identifier it is stands in
    the activation. `created` is an instant in RFC 3339, or None where it is the time of staging.
    `payload` is the JSON object, byte for byte as it will be sent. `made`: the digest, where it was
    made from the values themselves.
    """

    contact: str
    created: str | None
    payload: bytes
    made: str | None = field(default=None, repr=False, compare=False)

    @property
    def digest(self) -> str:
        """Of the payload, and of `created` where it is given, in hex. It says nothing about the
        contact, and stays in the ledger when the content is gone."""
        if self.made is not None:
            return self.made
        digest = _payload_digest(orjson.loads(self.payload))
        if self.created is not None:
            digest += _created_digest(_second(datetime.fromisoformat(self.created)))
        return digest


@dataclass(frozen=True, slots=True)
class Invalid:
    """A row that cannot become an interaction. `reason` names properties and kinds, no values."""

    reason: str


def instant_text(moment: datetime) -> str:
    """An aware `moment` in UTC with milliseconds, as Engage's own clients write it.

    Microseconds appear only where they are not zero, so that nothing is cut off.
    """
    utc = moment.astimezone(UTC)
    precision = "milliseconds" if utc.microsecond % 1000 == 0 else "microseconds"
    return utc.isoformat(timespec=precision).replace("+00:00", "Z")


def about_of(key: str, contact: str) -> str:
    """A short hash of whom a row is about, keyed with the identity of the ledger that keeps it: by
    it one sees that a row is about somebody else now, and no more."""
    return blake2b(contact.encode(errors="replace"), key=key.encode(), digest_size=6).hexdigest()


def differences(digest: str, created: datetime | None, payload: Mapping[str, Any]) -> list[str]:
    """Which of CREATED and PAYLOAD are not what they were when `digest` was made.

    `created` None: it could not be read, which differs too, where it was sent.
    """
    length = 2 * PAYLOAD_BYTES
    then_payload, then_created = digest[:length], digest[length:]
    differ = []
    if then_created and then_created not in _created_digests(created):
        differ.append(CREATED)
    if then_payload != _payload_digest(payload):
        differ.append(PAYLOAD)
    return differ


def differences_in_meaning(
    digest: str, created: datetime | None, payload: Mapping[str, Any]
) -> list[str]:
    """The same of a destination that may keep numbers as texts, or texts of digits as numbers."""
    differ = differences(digest, created, payload)
    if PAYLOAD in differ:
        then = digest[: 2 * PAYLOAD_BYTES]
        if any(then == _payload_digest(each) for each in _written_otherwise(payload)):
            differ.remove(PAYLOAD)
    return differ


def same_in_meaning(one: Any, other: Any) -> bool:
    """Whether two values of parsed JSON are the same, or a number and the text of that number."""
    if canonical({"": one}) == canonical({"": other}):
        return True
    return any(
        value is not None and canonical({"": value}) == canonical({"": there})
        for value, there in ((_other(one), other), (_other(other), one))
    )


def _written_otherwise(payload: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The payload with its numbers as texts, and texts as numbers: each choice of properties where
    these are few, else all that are texts, or numbers."""
    others = {name: other for name, v in payload.items() if (other := _other(v)) is not None}
    texts = [name for name in others if isinstance(payload[name], str)]
    chosen: Iterable[Collection[str]] = [texts, others.keys() - set(texts)]
    if len(others) <= MOST_CHOICES:
        chosen = (some for n in range(1, len(others) + 1) for some in combinations(others, n))
    for names in chosen:
        yield {**payload, **{name: others[name] for name in names}}


def _other(value: Any) -> Any:
    """A number as a text, a text as the number that it is; None where it is neither."""
    if isinstance(value, str) and NUMBER.fullmatch(value):
        return float(value) if "." in value else int(value)
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def canonical(payload: Mapping[str, Any]) -> bytes:
    """The same bytes for two payloads (parsed JSON) with the same values. NULL is no value."""
    values = {name: plain(value) for name, value in payload.items() if value is not None}
    return orjson.dumps(values, option=orjson.OPT_SORT_KEYS)


def plain(value: Any) -> Any:
    """A `value` of parsed JSON in the one form that stands for all its writings; exact types, for
    True is not 1."""
    kind = type(value)
    if kind is str:
        return _instant(value) if len(value) >= 20 and value[10] == "T" else value
    if kind is float and value.is_integer() and int(value) in INTEGERS:
        return int(value)
    if kind is int and value not in INTEGERS:  # as JSON readers with 64 bits have it
        return float(value)
    return value


def _instant(text: str) -> Any:
    """A time as a list, which no text of a flat payload can be mistaken for."""
    if not INSTANT.fullmatch(text):
        return text
    try:
        return [_second(datetime.fromisoformat(text))]
    except ValueError:  # such as a 30th of February: a text like any other
        return text


def _payload_digest(payload: Mapping[str, Any]) -> str:
    return blake2b(canonical(payload), digest_size=PAYLOAD_BYTES).hexdigest()


def _created_digest(second: int) -> str:
    return blake2b(b"%d" % second, digest_size=CREATED_BYTES).hexdigest()


def _created_digests(shown: datetime | None) -> list[str]:
    """Of the time that is shown, and of the second before where it may have been rounded up."""
    if shown is None:
        return []
    second = _second(shown)
    seconds = [second, second - 1] if shown.microsecond < 500_000 else [second]
    return [_created_digest(each) for each in seconds]


def _second(moment: datetime) -> int:
    """The second since 1970 in which an aware `moment` lies."""
    since = moment - EPOCH
    return since.days * 86400 + since.seconds
