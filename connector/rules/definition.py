"""A schema as a file holds it and as Engage takes it, `{id, displayName, jsonSchema}`, and Engage's
rules for one (developer.voyado.com, "Interactions").

One form for files, for what is sent and for what comes back, so that nothing has to be translated
and every rule can be told about the very key that breaks it.
"""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

import orjson

from connector.basis import dataclass
from connector.rules.errors import Path, Problem, did_you_mean
from connector.rules.schema import InteractionSchema, definition_error

DIALECT = "https://json-schema.org/draft/2020-12/schema"
TYPES = ("string", "number", "integer", "boolean")
FLAGS = ("showInContactCard", "addToSegmentation")
ID = re.compile(r"[A-Za-z0-9_-]+")
MOST_SCHEMAS = 15
"""Schemas that one environment of Engage may have."""
MOST_SEGMENTED = 6
"""Properties of one schema that may be used in segmentation."""
PRODUCT = "productSku"
"""The reserved name of the property that says which product an interaction is about."""

KEYS = ("id", "displayName", "jsonSchema")
NESTING = ("properties", "items", "prefixItems", "patternProperties", "additionalProperties")
FORMATS = (
    *("date-time", "date", "time", "duration", "email", "idn-email", "hostname", "idn-hostname"),
    *("ipv4", "ipv6", "uri", "uri-reference", "iri", "iri-reference", "uri-template", "uuid"),
    *("json-pointer", "relative-json-pointer", "regex"),
)
WHOLE_KEYWORDS = ("$schema", "type", "properties", "required")
PROPERTY_KEYWORDS = (
    *("type", "format", "displayName", *FLAGS, "sortOrder"),
    *("minimum", "maximum", "minLength", "maxLength", "pattern", "enum"),
)
"""What people write, and may misspell; JSON Schema has more."""


@dataclass(frozen=True, slots=True)
class Definition:
    """What a schema consists of. `json_schema` is the object under `jsonSchema`, as it stands."""

    id: str
    display_name: str
    json_schema: Mapping[str, Any]

    @property
    def content(self) -> dict[str, Any]:
        """The one form: what a file holds, and the body of the request that creates it."""
        return {
            "id": self.id,
            "displayName": self.display_name,
            "jsonSchema": dict(self.json_schema),
        }

    @property
    def schema(self) -> InteractionSchema:
        """What rows are held against. Raises ValueError when that is not possible."""
        return InteractionSchema(self.id, dict(self.json_schema), self.display_name, "Engage")

    @property
    def properties(self) -> dict[str, Any]:
        found = self.json_schema.get("properties")
        return dict(found) if isinstance(found, Mapping) else {}

    @property
    def segmented(self) -> list[str]:
        """The properties that may be used in segmentation."""
        return [name for name, spec in self.properties.items() if _is_segmented(spec)]

    @property
    def required(self) -> list[str]:
        """The properties without which an interaction is ignored."""
        found = self.json_schema.get("required")
        return [str(name) for name in found] if isinstance(found, list | tuple) else []


def definition_of(content: Any) -> Definition:
    """The schema in `content`. Raises ValueError when it has not the form of one."""
    if not isinstance(content, Mapping) or not isinstance(content.get("jsonSchema"), Mapping):
        raise ValueError("expected id, displayName and jsonSchema")
    if not isinstance(content.get("id"), str) or not isinstance(content.get("displayName"), str):
        raise ValueError("expected id and displayName to be texts")
    return Definition(content["id"], content["displayName"], content["jsonSchema"])


def problems(content: Any) -> list[Problem]:
    """Every rule that `content` breaks, with the path of the key that breaks it."""
    if not isinstance(content, Mapping):
        return [Problem((), "a schema is a mapping with id, displayName and jsonSchema")]
    found = [*_head_problems(content), *_unsendable(content, ())]
    json_schema = content.get("jsonSchema")
    if isinstance(json_schema, Mapping):
        found += _whole_problems(json_schema)
        if not found and (error := definition_error(dict(json_schema))):
            path, message = error
            found.append(Problem(("jsonSchema", *path), f"is no JSON Schema: {message}"))
    return found


def advice(content: Any) -> list[Problem]:
    """What breaks no rule and is likely not meant, for a `content` without `problems`."""
    definition = definition_of(content)
    found = list(_misspelt(definition.json_schema, WHOLE_KEYWORDS, ("jsonSchema",)))
    for name, spec in definition.properties.items():
        found += _property_advice(name, spec)
    return found


def capitals_clash(schema_id: str, others: Collection[str]) -> str | None:
    """Why `schema_id` cannot stand beside `others`: Engage may fold the case of ids."""
    for other in others:
        if other != schema_id and other.casefold() == schema_id.casefold():
            return (
                f'"{schema_id}" differs from "{other}" in capitals only, and Engage may take both'
                " for one"
            )
    return None


def _head_problems(content: Mapping[str, Any]) -> Iterator[Problem]:
    for key in content:
        if key not in KEYS:
            yield Problem((key,), f'unknown key "{key}"{did_you_mean(key, KEYS)}')
    yield from (Problem((), f'the key "{key}" is missing') for key in KEYS if key not in content)
    schema_id = content.get("id", "x")
    if not isinstance(schema_id, str):
        yield Problem(("id",), f"id: expected a text{_quote(schema_id)}")
    elif not ID.fullmatch(schema_id):
        yield Problem(("id",), 'id: only a-z, A-Z, 0-9, "_" and "-" are allowed, at least one')
    if not _is_name(content.get("displayName", "x")):
        yield Problem(("displayName",), "displayName: expected a text that is not empty")
    if not isinstance(content.get("jsonSchema", {}), Mapping):
        yield Problem(("jsonSchema",), "jsonSchema: expected a mapping")


def _whole_problems(rules: Mapping[str, Any]) -> Iterator[Problem]:
    at: Path = ("jsonSchema",)
    for key, value in (("$schema", DIALECT), ("type", "object")):
        if rules.get(key) != value:
            path = (*at, key) if key in rules else at
            yield Problem(path, f"jsonSchema.{key} must be {value}")
    properties = rules.get("properties")
    if not isinstance(properties, Mapping):
        path = (*at, "properties") if "properties" in rules else at
        yield Problem(path, "jsonSchema.properties must be a mapping of the properties")
        return
    for name, spec in properties.items():
        yield from _property_problems(name, spec)
    yield from _segmentation_problems(properties)
    if "required" in rules:
        yield from _required_problems(rules["required"], properties)


def _required_problems(required: Any, properties: Mapping[str, Any]) -> Iterator[Problem]:
    path: Path = ("jsonSchema", "required")
    if not isinstance(required, list) or not all(isinstance(name, str) for name in required):
        yield Problem(path, "required: expected a list of names of properties")
        return
    for i, name in enumerate(required):
        if name not in properties:
            hint = did_you_mean(name, list(properties))
            yield Problem((*path, i), f'required: there is no property "{name}"{hint}')
        elif name in required[:i]:
            yield Problem((*path, i), f'required: "{name}" stands twice')


def _property_problems(name: str, spec: Any) -> Iterator[Problem]:
    at: Path = ("jsonSchema", "properties", name)
    if not isinstance(spec, Mapping):
        yield Problem(at, f"{name}: expected a mapping with type, displayName and so on")
        return
    yield from _type_problems(name, spec, at)
    yield from (
        Problem((*at, key), f"{name}: {key} would nest; an interaction is flat")
        for key in NESTING
        if key in spec
    )
    if "format" in spec and not isinstance(spec["format"], str):
        yield Problem((*at, "format"), f"{name}: format: expected a text such as date-time")
    if "displayName" not in spec:
        yield Problem(at, f"{name}: the key displayName is missing; Engage shows it to people")
    elif not _is_name(spec["displayName"]):
        yield Problem(
            (*at, "displayName"), f"{name}: displayName: expected a text that is not empty"
        )
    yield from _flag_problems(name, spec, at)


def _type_problems(name: str, spec: Mapping[str, Any], at: Path) -> Iterator[Problem]:
    kind = spec.get("type")
    if kind is None and "type" not in spec:
        yield Problem(at, f"{name}: the key type is missing; one of {', '.join(TYPES)}")
    elif kind in ("object", "array"):
        yield Problem((*at, "type"), f"{name}: an interaction is flat; one of {', '.join(TYPES)}")
    elif kind not in TYPES:
        hint = did_you_mean(kind, TYPES) if isinstance(kind, str) else f"; {', '.join(TYPES)}"
        yield Problem((*at, "type"), f"{name}: type: expected one of four{hint}")
    elif name == PRODUCT and kind != "string":
        yield Problem((*at, "type"), f"{PRODUCT} is a reserved name, and its type must be string")


def _flag_problems(name: str, spec: Mapping[str, Any], at: Path) -> Iterator[Problem]:
    for flag in FLAGS:
        if flag in spec and spec[flag] not in ("true", "false"):
            hint = _quote(spec[flag])
            yield Problem((*at, flag), f'{name}: {flag}: expected the text "true" or "false"{hint}')
    order = spec.get("sortOrder", "0")
    if not isinstance(order, str) or not (order.isascii() and order.isdecimal()):
        hint = _quote(order)
        yield Problem(
            (*at, "sortOrder"), f'{name}: sortOrder: expected a text of digits such as "0"{hint}'
        )


def _segmentation_problems(properties: Mapping[str, Any]) -> Iterator[Problem]:
    segmented = [name for name, spec in properties.items() if _is_segmented(spec)]
    for name in segmented[MOST_SEGMENTED:]:
        yield Problem(
            ("jsonSchema", "properties", name, "addToSegmentation"),
            f"{name}: is one of {len(segmented)} properties with addToSegmentation, and at most"
            f" {MOST_SEGMENTED} may have it",
        )


def _unsendable(value: Any, path: Path) -> Iterator[Problem]:
    """Values that YAML can write and JSON cannot."""
    match value:
        case Mapping():
            for key, each in value.items():
                yield from _unsendable(each, (*path, key))
        case list():
            for i, each in enumerate(value):
                yield from _unsendable(each, (*path, i))
        case _:
            try:
                lost = orjson.loads(orjson.dumps(value)) != value
            except (TypeError, orjson.JSONDecodeError):
                lost = True
            if lost:
                yield Problem(path, f"{path[-1] if path else 'it'}: cannot be written as JSON")


def _property_advice(name: str, spec: Mapping[str, Any]) -> Iterator[Problem]:
    at: Path = ("jsonSchema", "properties", name)
    yield from _misspelt(spec, PROPERTY_KEYWORDS, at)
    if "showInContactCard" not in spec:
        yield Problem(
            at, f'{name}: without showInContactCard ("true" or "false"), which Voyado asks for'
        )
    form = spec.get("format")
    if form is not None and spec["type"] != "string":
        yield Problem((*at, "format"), f"{name}: format means something for the type string only")
    elif form is not None and form not in FORMATS:
        hint = did_you_mean(form, FORMATS)
        yield Problem((*at, "format"), f'{name}: JSON Schema knows no format "{form}"{hint}')
    if name != PRODUCT and name.replace("_", "").lower() == PRODUCT.lower():
        yield Problem(at, f"{name}: the reserved name is spelt {PRODUCT}")


def _misspelt(spec: Mapping[str, Any], known: Sequence[str], at: Path) -> Iterator[Problem]:
    """Keywords that do nothing and are near to one that does."""
    for key in spec:
        if key not in known and (near := get_close_matches(key, known, n=1, cutoff=0.8)):
            yield Problem((*at, key), f'the keyword "{key}" does nothing; is "{near[0]}" meant?')


def _is_segmented(spec: Any) -> bool:
    return isinstance(spec, Mapping) and spec.get("addToSegmentation") == "true"


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _quote(value: Any) -> str:
    """What to write instead of a value that is right but for its quotes."""
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return f'; put it in quotes: "{text}"' if isinstance(value, bool | int) else ""
