"""Interactions as they are sent, one or many in a body, and what is wrong with them."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal

import orjson

from connector.basis import dataclass
from connector.sandbox.exchange import Refusal

Form = Literal["list", "object", "either"]
Time = Literal["none", "iso", "milliseconds", "either"]
KEYS = ("uri", "timestamp", "customerKey", "customerKeyName", "properties", "device")


@dataclass(frozen=True, slots=True)
class Record:
    """An interaction that was sent."""

    uri: str
    customer: str  #: the key, "" for nobody
    timestamp: str
    properties: Mapping[str, str]
    raw: Any  #: as it was sent
    problem: str | None  #: why it is not valid

    def reference(self, name: str) -> str:
        """The row that it is about: the property of that name; all of it where there is none."""
        if reference := self.properties.get(name):
            return reference
        return orjson.dumps(self.raw, option=orjson.OPT_SORT_KEYS).decode()


def json_of(body: bytes) -> Any:
    """Return what is in a body. Raises Refusal for what is no JSON."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        raise Refusal(400, "malformed", "The body is not JSON") from None


def many_of(body: bytes, content_type: bytes) -> list[Any]:
    """Return the records in the body of a batch: a JSON array, or a line each. Raises Refusal."""
    kind = content_type.split(b";")[0].strip().lower()
    if kind == b"application/x-ndjson":
        return [json_of(line) for line in body.splitlines() if line.strip()]
    if kind != b"application/json":
        raise Refusal(400, "malformed", "The Content-Type must be JSON or NDJSON")
    records = json_of(body)
    if not isinstance(records, list):
        raise Refusal(400, "malformed", "The body is not an array")
    return records


def record_of(raw: Any, *, form: Form, time: Time, nobody: bool = False) -> Record:
    """Return a record, valid or not; `nobody`: it may be of no customer."""
    problems: list[str] = []
    given = raw if isinstance(raw, dict) else {}
    if given is not raw:
        problems.append("it is not an object")
    uri = given.get("uri")
    if not isinstance(uri, str) or "://" not in uri:
        problems.append("uri is missing or not fully qualified")
    if not _is_time(given.get("timestamp"), time):
        problems.append("timestamp is missing or malformed")
    customer = _customer(given)
    if not customer and not nobody:
        problems.append("customerKey is missing")
    properties = _properties(given.get("properties", [] if form != "object" else {}), form)
    if properties is None:
        problems.append("properties are malformed")
    return Record(
        uri=uri if isinstance(uri, str) else "",
        customer=customer,
        timestamp=str(given.get("timestamp", "")),
        properties=properties or {},
        raw=raw,
        problem="; ".join(problems) or None,
    )


def _customer(given: Mapping[str, Any]) -> str:
    """The value of the key; any key of the configuration may stand for itself."""
    others = [name for name in given if name not in KEYS]
    own = others[0] if "customerKey" not in given and len(others) == 1 else "customerKey"
    value = given.get(own)
    return value if isinstance(value, str) else ""


def _is_time(value: object, time: Time) -> bool:
    match time, value:
        case "none", _:
            return True
        case (("milliseconds" | "either"), int()) if not isinstance(value, bool):
            return True
        case (("iso" | "either"), str()):
            try:
                return value[10:11] in ("T", "t") and bool(datetime.fromisoformat(value))
            except ValueError:
                return False
        case _:
            return False


def _properties(given: object, form: Form) -> dict[str, str] | None:
    """By name; None for what is malformed: all values are texts."""
    if isinstance(given, dict) and form != "list":
        pairs: Sequence[tuple[Any, Any]] = list(given.items())
    elif isinstance(given, list) and form != "object":
        if not all(isinstance(each, dict) and {"name", "value"} <= each.keys() for each in given):
            return None
        pairs = [(each["name"], each["value"]) for each in given]
    else:
        return None
    if not all(isinstance(name, str) and isinstance(value, str) for name, value in pairs):
        return None
    return dict(pairs)
