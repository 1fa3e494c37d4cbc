"""Interactions as MXO takes them: the bytes of a request."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import orjson

from connector.destinations.bodies import Body, json_body, json_lines
from connector.destinations.mxo.grammar import MxoActivation, MxoSettings, OfflineForm
from connector.destinations.port import Item


def one(activation: MxoActivation, item: Item) -> Body:
    """An interaction of now."""
    return json_body(_record(activation, item, {}))


def past(activation: MxoActivation, items: Sequence[Item], form: OfflineForm) -> Body:
    """A list of past interactions."""
    many = [_record(activation, item, {"timestamp": _time(item, form)}) for item in items]
    return json_body({form.envelope: many} if form.envelope else many)


def batch(activation: MxoActivation, items: Sequence[Item], settings: MxoSettings) -> Body:
    """Interactions to be processed later, in the order of the items."""
    form = dict if settings.properties == "object" else listed
    many = [_record(activation, item, {"timestamp": item.created}, form) for item in items]
    return json_body(many) if settings.batch.format == "json" else json_lines(many)


BESIDE, AROUND = 400, 30
"""Bytes of a record beside its properties, but for touchpoint and key, and around each property."""


def weigh(item: Item) -> int:
    """About how many bytes of a body a row takes, rather more than less."""
    return len(item.payload) + AROUND * item.payload.count(b":") + len(item.contact) * 4 + BESIDE


def listed(found: Mapping[str, str]) -> list[dict[str, str]]:
    """Properties as most calls take them."""
    return [{"name": name, "value": value} for name, value in found.items()]


def _record(
    activation: MxoActivation,
    item: Item,
    when: dict[str, Any],
    form: Callable[[dict[str, str]], object] = listed,
) -> dict[str, Any]:
    return {
        "uri": activation.touchpoint,
        **when,
        "customerKey": item.contact,
        "customerKeyName": activation.contact.identifier,
        "properties": form(properties(activation, item)),
    }


def properties(activation: MxoActivation, item: Item) -> dict[str, str]:
    """The texts of a row by name, with its reference last."""
    found: dict[str, str] = orjson.loads(item.payload)
    for name, value in found.items():
        if type(value) is not str:
            found[name] = text(value)
    if activation.reference:
        found[activation.reference] = item.reference
    return found


def text(value: Any) -> str:
    """Properties of MXO are texts; a row that was recorded as such has no others."""
    return orjson.dumps(value).decode()


def _time(item: Item, form: OfflineForm) -> int | str:
    return item.created if form.timestamp == "iso" else milliseconds(item.created_at)


def milliseconds(moment: datetime) -> int:
    """Since 1970."""
    return round(moment.astimezone(UTC).timestamp() * 1000)
