"""Interaction schemas: what Engage accepts as one, and what it keeps of a payload."""

import re
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Any

from jsonschema_rs import Draft202012Validator, ValidationError, ValidationErrorKind

from connector.basis import dataclass

DIALECT = "https://json-schema.org/draft/2020-12/schema"
MOST_SCHEMAS = 15
MOST_SEGMENTED = 6
ID = re.compile(r"[A-Za-z0-9_-]+")

#: Says of each property type whether a value has it, as JSON Schema means it.
HAS_TYPE: dict[str, Callable[[object], bool]] = {
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "number": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
    "integer": lambda value: (
        (isinstance(value, int) and not isinstance(value, bool))
        or (isinstance(value, float) and value.is_integer())
    ),
}


class BadSchema(ValueError):
    """It breaks rules; `problems` has a sentence for each."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = list(problems)
        super().__init__("; ".join(self.problems))


class SchemaExists(ValueError):
    """There is one with this id already."""


class NoSuchSchema(LookupError):
    """There is none with this id."""


@dataclass(frozen=True, slots=True)
class Schema:
    """One registered schema, with its validator compiled once."""

    id: str
    display_name: str
    json_schema: dict[str, Any]
    created: float  #: seconds since 1970
    validator: Draft202012Validator
    types: dict[str, Callable[[object], bool]]

    def kept(self, payload: dict[str, Any], unknown: bool = False) -> dict[str, Any]:
        """Return what Engage keeps of a payload: no property of a wrong type, and none that is
        unknown unless `unknown`."""
        return {
            name: value
            for name, value in payload.items()
            if (self.types[name](value) if name in self.types else unknown)
        }

    def problems(self, kept: dict[str, Any], forgiven: Collection[str] = ()) -> list[str]:
        """Return how what is kept of a payload breaks the schema, one sentence each.

        The lack of a required property that is `forgiven` does not count.
        """
        if self.validator.is_valid(kept):
            return []
        return [
            error.message
            for error in self.validator.iter_errors(kept)
            if not _is_lack_of(error, forgiven)
        ]


def parse_schema(body: object, now: float, *, limited: bool = True) -> Schema:
    """Return the schema that a POST /interactionschemas describes. Raises BadSchema."""
    problems = list(_problems(body, limited))
    if problems:
        raise BadSchema(problems)
    assert isinstance(body, dict)  # what _problems found sound is an object
    rules = body["jsonSchema"]
    return Schema(
        id=body["id"],
        display_name=body["displayName"],
        json_schema=rules,
        created=now,
        validator=_compile(rules),
        types={name: HAS_TYPE[each["type"]] for name, each in rules["properties"].items()},
    )


class Schemas:
    """The registered schemas. Ids that differ in case only are one id."""

    def __init__(self) -> None:
        self._by_folded_id: dict[str, Schema] = {}
        self._former: dict[str, frozenset[str]] = {}

    def all(self) -> list[Schema]:
        """Return all schemas, first registered first."""
        return list(self._by_folded_id.values())

    def add(self, schema: Schema, *, limited: bool = True, compatible: bool = True) -> None:
        """Register a schema. Raises SchemaExists, or BadSchema for a limit that it passes, or,
        if it has to be `compatible`, for a property that it once had and lacks now."""
        folded = schema.id.casefold()
        if folded in self._by_folded_id:
            raise SchemaExists(schema.id)
        problems = []
        if limited and len(self._by_folded_id) >= MOST_SCHEMAS:
            problems.append(
                f"there are {MOST_SCHEMAS} schemas already, the most an environment may have"
            )
        if compatible:
            gone = self._former.get(folded, frozenset()) - schema.types.keys()
            problems += [
                f"property '{name}' of the former schema '{schema.id}' is missing"
                for name in sorted(gone)
            ]
        if problems:
            raise BadSchema(problems)
        self._by_folded_id[folded] = schema

    def get(self, schema_id: object, *, exact: bool = True) -> Schema:
        """Return the schema with this id, in this case if `exact`. Raises NoSuchSchema."""
        folded = schema_id.casefold() if isinstance(schema_id, str) else ""
        schema = self._by_folded_id.get(folded)
        if schema is None or (exact and schema.id != schema_id):
            raise NoSuchSchema(schema_id)
        return schema

    def remove(self, schema: Schema) -> None:
        """Forget a schema, but not which properties it had."""
        folded = schema.id.casefold()
        del self._by_folded_id[folded]
        self._former[folded] = self._former.get(folded, frozenset()) | schema.types.keys()


def _is_lack_of(error: ValidationError, names: Collection[str]) -> bool:
    kind = error.kind
    return isinstance(kind, ValidationErrorKind.Required) and kind.property in names


def _compile(rules: dict[str, Any]) -> Draft202012Validator:
    try:
        # Offline: a $ref must not make the sandbox fetch something.
        return Draft202012Validator(rules, validate_formats=True, offline=True)
    except ValidationError as error:
        raise BadSchema([f"jsonSchema: {error.message}"]) from error


def _problems(body: object, limited: bool) -> Iterator[str]:
    if not isinstance(body, dict):
        yield "the body is not an object"
        return
    if not isinstance(body.get("id"), str) or not ID.fullmatch(body["id"]):
        yield "id must consist of a-z, A-Z, 0-9, _ and -"
    if not isinstance(body.get("displayName"), str) or not body["displayName"].strip():
        yield "displayName is required"
    if not isinstance(body.get("jsonSchema"), dict):
        yield "jsonSchema must be an object"
        return
    yield from _rule_problems(body["jsonSchema"])
    if limited:
        yield from _segmentation_problems(body["jsonSchema"])


def _rule_problems(rules: dict[str, Any]) -> Iterator[str]:
    if rules.get("$schema") != DIALECT:
        yield f"jsonSchema.$schema must be {DIALECT}"
    if rules.get("type") != "object":
        yield "jsonSchema.type must be object"
    properties = rules.get("properties")
    if not isinstance(properties, dict):
        yield "jsonSchema.properties must be an object"
        return
    for name, each in properties.items():
        yield from _property_problems(name, each)
    yield from _required_problems(rules.get("required", []), properties)


def _required_problems(required: object, properties: Collection[str]) -> Iterator[str]:
    if not isinstance(required, list) or not all(isinstance(name, str) for name in required):
        yield "jsonSchema.required must be an array of names"
        return
    for name in required:
        if name not in properties:
            yield f"required property '{name}' is not among the properties"


def _property_problems(name: str, rules: object) -> Iterator[str]:
    if not isinstance(rules, dict):
        yield f"property '{name}' must be an object"
        return
    kind = rules.get("type")
    if not isinstance(kind, str) or kind not in HAS_TYPE:
        yield f"property '{name}': type must be string, number, integer or boolean"
    if name == "productSku" and kind != "string":
        yield "property 'productSku' is reserved and must be a string"
    for flag in ("showInContactCard", "addToSegmentation"):
        if rules.get(flag, "true") not in ("true", "false"):
            yield f'property \'{name}\': {flag} must be "true" or "false", as a string'
    order = rules.get("sortOrder", "0")
    if not isinstance(order, str) or not order.isdecimal():
        yield f"property '{name}': sortOrder must be a whole number, as a string"


def _segmentation_problems(rules: dict[str, Any]) -> Iterator[str]:
    properties = rules.get("properties")
    if not isinstance(properties, dict):
        return
    segmented = [
        name
        for name, each in properties.items()
        if isinstance(each, dict) and each.get("addToSegmentation") == "true"
    ]
    if len(segmented) > MOST_SEGMENTED:
        yield f"{len(segmented)} properties have addToSegmentation, at most {MOST_SEGMENTED} may"
