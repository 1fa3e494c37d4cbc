"""Interactions as MXO takes them: the bytes of a request."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import orjson

from connector.destinations.bodies import Body, json_body
from connector.destinations.mxo.grammar import MxoActivation, OfflineForm
from connector.destinations.port import Item


def one(activation: MxoActivation, item: Item) -> Body:
    """An interaction of now."""
    return json_body(_record(activation, item, {}))


def past(activation: MxoActivation, items: Sequence[Item], form: OfflineForm) -> Body:
    """A list of past interactions."""
    many = [_record(activation, item, {"timestamp": _time(item, form)}) for item in items]
    return json_body({form.envelope: many} if form.envelope else many)


def _record(activation: MxoActivation, item: Item, when: dict[str, Any]) -> dict[str, Any]:
    pairs = properties(activation, item).items()
    return {
        "uri": activation.touchpoint,
        **when,
        "customerKey": item.contact,
        "customerKeyName": activation.contact.identifier,
        "properties": [{"name": name, "value": value} for name, value in pairs],
    }


def properties(activation: MxoActivation, item: Item) -> dict[str, str]:
    """The texts of a row by name, with its reference last."""
    found = {name: text(value) for name, value in orjson.loads(item.payload).items()}
    if activation.reference:
        found[activation.reference] = item.reference
    return found


def text(value: Any) -> str:
    """Properties of MXO are texts; a row that was recorded as such has no others."""
    return value if isinstance(value, str) else orjson.dumps(value).decode()


def _time(item: Item, form: OfflineForm) -> int | str:
    return item.created if form.timestamp == "iso" else milliseconds(item.created_at)


def milliseconds(moment: datetime) -> int:
    """Since 1970."""
    return round(moment.astimezone(UTC).timestamp() * 1000)
