"""Interactions as Survey Dynamix shows them, and what a row has to be known by among them."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import orjson

from connector.basis import dataclass
from connector.destinations.answers import Response
from connector.destinations.http import json_of
from connector.destinations.port import Item
from connector.destinations.survey_dynamix.grammar import (
    OWN,
    PUNCTUATION,
    REFERENCE,
    SurveyDynamixActivation,
)
from connector.rules.read_back import Shown, Stored

WHOLE = re.compile(r"c[a-z2-7]{26}")
"""A reference of a row as the connector makes them."""

KEYS, VALUES = ("custom_key", "key", "name"), ("custom_value", "value")
"""What a pair of metadata may call its two halves."""


def path_of(interaction_id: str) -> str:
    """Where an interaction is asked for."""
    return f"/interactions/{quote(interaction_id, safe='')}"


@dataclass(frozen=True, slots=True)
class Resource:
    """An interaction as it is shown."""

    id: str
    external_ref: str
    data: Mapping[str, str]
    said: Mapping[str, Any]

    @property
    def reference(self) -> str:
        """The row's own."""
        return self.data.get(REFERENCE) or self.external_ref

    @property
    def tells(self) -> bool:
        """Whether its metadata were shown: what shows none may be a row's all the same."""
        return bool(self.data)

    def text(self, name: str) -> str:
        """What it says under `name`; empty where that is nothing."""
        found = self.said.get(name)
        return found if isinstance(found, str) else "" if found is None else str(found)

    @property
    def scheduled_at(self) -> datetime | None:
        """When it is, or was, due."""
        return moment_of(self.text("scheduled_at"))

    @property
    def shown(self) -> Shown:
        """As work compares it with what was sent."""
        payload = {name: self.text(name) for name in OWN if self.said.get(name) is not None}
        if self.external_ref == self.reference:
            payload.pop("external_ref", None)  # it is not the row's to say
        payload |= {name: text for name, text in self.data.items() if name != REFERENCE}
        stored = Stored(self.id, self.scheduled_at, payload, self.reference)
        contact = self.text("email") if self.text("survey_type") == "email" else ""
        return Shown(contact or self.text("phone_number") or self.text("email"), stored)


@dataclass(frozen=True, slots=True)
class Read:
    """Interactions that are listed; `gap`: why there may be more."""

    found: Sequence[Resource]
    gap: str | None = None
    answered: bool = True


@dataclass(frozen=True, slots=True)
class Found:
    """What there is of a row. `altered`: what may be its interaction, with a reference that was
    changed; `nameless`: what may be, and shows no metadata; `gap`: why there may be more."""

    mine: Sequence[Resource]
    gap: str | None = None
    answered: bool = True
    altered: Sequence[Resource] = ()
    nameless: Sequence[Resource] = ()


def resource(content: object) -> Resource | None:
    """An interaction, as far as `content` is one."""
    if not isinstance(content, dict):
        return None
    number = content.get("id")
    if not re.fullmatch(r"0*[1-9][0-9]*", str(number)):  # 0 is shown where none was given
        return None
    found = Resource(str(number), "", metadata(content.get("interaction_data")), content)
    return replace(found, external_ref=found.text("external_ref"))


def metadata(listed: object) -> dict[str, str]:
    """Custom keys and their values: pairs in a list, or an object by key."""
    if isinstance(listed, dict):
        return {str(key): str(value) for key, value in listed.items()}
    pairs = [each for each in listed if isinstance(each, dict)] if isinstance(listed, list) else []
    named = [(_first_of(each, KEYS), _first_of(each, VALUES)) for each in pairs]
    return {str(name): str(value) for name, value in named if name is not None}


def _first_of(pair: Mapping[str, Any], names: Sequence[str]) -> Any:
    return next((pair[name] for name in names if name in pair), None)


def answered(content: object) -> Resource | None:
    """The interaction in an answer: bare, wrapped, or in a list of one."""
    for name in ("interaction", "interactions", "data"):
        if isinstance(content, dict) and isinstance(content.get(name), dict | list):
            content = content[name]
    if isinstance(content, list) and len(content) == 1:
        (content,) = content
    return resource(_bare(content))


def _bare(content: object) -> object:
    """A resource as it is, also out of an object that wraps it."""
    inner = content.get("interaction") if isinstance(content, dict) else None
    return inner if isinstance(inner, dict) else content


def page_of(response: Response) -> list[Resource] | None:
    """One page of a list; None for anything else. An empty one may have no body."""
    return page_of_content(response.status_code, json_of(response))


def page_of_content(status: int | None, content: object) -> list[Resource] | None:
    """The same, of an answer with this status and JSON."""
    if status == 204:
        return []
    content = content if status == 200 else None
    if isinstance(content, dict):
        wrapped = [content[name] for name in ("interactions", "data") if name in content]
        content = wrapped[0] if wrapped else None
    found = [resource(_bare(each)) for each in content] if isinstance(content, list) else [None]
    page = [each for each in found if each is not None]
    return page if len(page) == len(found) else None


def time_text(moment: datetime) -> str:
    """An instant as the API has it: UTC, in whole seconds."""
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(" ", "seconds")


def moment_of(text: str) -> datetime | None:
    """An instant as it is shown; None where it cannot be read."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def said_of(item: Item) -> dict[str, str]:
    """What a row says beside contact and time; texts, but in a preview that has asked nobody."""
    content = orjson.loads(item.payload)
    return {n: v if isinstance(v, str) else orjson.dumps(v).decode() for n, v in content.items()}


def external_ref_of(item: Item) -> str:
    """What a row can be listed by."""
    return said_of(item).get("external_ref") or item.reference


def is_altered(shown: str, sent: str) -> bool:
    """Whether `shown` may be what became of `sent`: cut short, or in other capitals."""
    return bool(shown) and shown != sent and sent.casefold().startswith(shown.casefold())


def is_surely_of(found: Resource, activation: SurveyDynamixActivation, item: Item) -> bool:
    """Whether the interaction in an answer can be no other row's. It shows the row's own reference;
    or it says nothing of any, and of nobody else; or, with a reference that other rows may have
    too, it is about the same person at the same time, of whom there can be no second one."""
    if item.reference in (found.external_ref, found.data.get(REFERENCE)):
        return True
    person = found.text(activation.contact.identifier.value)
    same = bool(person) and _plain(person) == _plain(item.contact)
    if external_ref_of(item) == item.reference:
        return same or not person
    due = found.scheduled_at
    at_the_time = due is not None and time_text(due) == time_text(
        activation.due_at(item.created_at)
    )
    return same and at_the_time and activation.when_pending != "force"


def is_nameless(found: Resource, activation: SurveyDynamixActivation, item: Item) -> bool:
    """Whether it may be the row's interaction, and what would tell is not shown: it is of nobody
    else, and has the row's own `external_ref` but no metadata, or else no `external_ref` at all."""
    sent, shown = external_ref_of(item), found.external_ref
    person = found.text(activation.contact.identifier.value)
    if person and _plain(person) != _plain(item.contact):
        return False
    if sent == item.reference:
        return not shown and not found.tells
    return not found.tells and (shown == sent or is_altered(shown, sent))


def _plain(person: str) -> str:
    return PUNCTUATION.sub("", person).casefold()
