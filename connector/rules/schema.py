"""Interaction schemas: what the destination accepts, and whether a mapping or a payload fits.

A destination may drop properties that a schema does not know, and ignore an interaction that breaks
its schema, both without a word. So both are found here, before.
"""

import re
from collections.abc import Callable, Collection
from dataclasses import field
from datetime import time, timedelta
from typing import Any

import jsonschema_rs

from connector.basis import dataclass
from connector.rules.errors import Path, Problem, did_you_mean
from connector.rules.values import Finer


@dataclass(frozen=True, slots=True)
class Property:
    """One property of a schema: its JSON types (empty: any) and its format."""

    name: str
    types: tuple[str, ...]
    format: str | None


@dataclass(frozen=True, slots=True)
class InteractionSchema:
    """A JSON Schema (draft 2020-12) under its id at the destination.

    Raises ValueError when `json_schema` is not a usable schema.
    """

    id: str
    json_schema: dict[str, Any]
    display_name: str = ""
    keeper: str = "the destination"
    """Who keeps it, for people."""
    text: bool = False
    """Every value is sent as a text, whatever it is held against."""
    _validator: jsonschema_rs.Draft202012Validator = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        validator = jsonschema_rs.Draft202012Validator(
            self.json_schema,
            validate_formats=True,
            offline=True,  # a $ref from outside must not make us fetch a URL or read a file
        )
        object.__setattr__(self, "_validator", validator)

    @property
    def properties(self) -> dict[str, Property]:
        """The properties that the destination keeps."""
        return {
            name: Property(name, _types(spec), spec.get("format"))
            for name, spec in self.json_schema.get("properties", {}).items()
            if isinstance(spec, dict)
        }

    def property_of(self, name: str) -> Property | None:
        """What a value must become to be sent as `name`; None: anything goes."""
        return self.properties.get(name)

    @property
    def required(self) -> list[str]:
        """The properties without which the destination ignores an interaction."""
        return list(self.json_schema.get("required", []))

    @property
    def _dropped(self) -> str:
        return f", so {self.keeper} would drop it in silence"

    def mapping_problems(self, mapped: Collection[str]) -> list[Problem]:
        """What is wrong with mapping the properties `mapped`, as paths under `payload`."""
        unknown = [
            Problem(
                ("payload", name),
                f'schema "{self.id}" has no property "{name}"{self._dropped}'
                + did_you_mean(name, list(self.properties)),
            )
            for name in mapped
            if name not in self.properties
        ]
        missing = [
            Problem(
                ("payload",),
                f'schema "{self.id}" requires the property "{name}"; map a column or a value to it',
            )
            for name in self.required
            if name not in mapped
        ]
        return unknown + missing

    def constant_problem(self, name: str, value: Any) -> str | None:
        """Why every interaction would break the schema with the constant `value` for `name`."""
        spec = self.json_schema.get("properties", {}).get(name, {})
        alone = InteractionSchema(self.id, {"properties": {name: spec}})
        return None if alone.accepts({name: value}) else alone.violations({name: value})

    def accepts(self, payload: Any) -> bool:
        """Whether the destination would keep `payload` (parsed JSON), formats asserted."""
        return self._validator.is_valid(payload)

    @property
    def accepting(self) -> Callable[[Any], bool]:
        """What `accepts` asks, for whom it is asked of every row."""
        return self._validator.is_valid

    def violations(self, payload: Any) -> str:
        """Why `accepts` says no: properties, kinds and rules, never a value."""
        reasons = sorted({self._explain(e, payload) for e in self._validator.iter_errors(payload)})
        return "; ".join(reasons)

    def _explain(self, error: jsonschema_rs.ValidationError, payload: Any) -> str:
        rule = str(error.schema_path[-1]) if error.schema_path else "schema"
        missing = [name for name in self.required if name not in payload]
        if rule == "required" and missing:
            return "; ".join(
                f"{name}: required, and the row has no value for it" for name in missing
            )
        if not error.instance_path:
            return f"the payload breaks the schema's rule {rule}"
        name = str(error.instance_path[0])
        spec = self.json_schema.get("properties", {}).get(name)
        wanted = spec.get(rule, "") if isinstance(spec, dict) else ""
        return f"{name}: {kind_of(payload[name])} breaks the rule {rule} {wanted}".rstrip()


@dataclass(frozen=True, slots=True)
class OpenSchema(InteractionSchema):
    """For a destination without schemas: any property that is named as `names` says, with any
    value."""

    json_schema: dict[str, Any] = field(default_factory=lambda: {"type": "object"})
    names: str = r"[A-Za-z][A-Za-z0-9_]*"

    def property_of(self, name: str) -> Property | None:
        """Anything, or a text where every value becomes one."""
        return Property(name, ("string",), None) if self.text else None

    def mapping_problems(self, mapped: Collection[str]) -> list[Problem]:
        """Properties that cannot be called so."""
        return [
            Problem(("payload", name), f'the property "{name}" must be named as {self.names}')
            for name in mapped
            if not re.fullmatch(self.names, name)
        ]


@dataclass(frozen=True, slots=True)
class LocalSchema(InteractionSchema):
    """A schema in a file of the project, for a destination that keeps none. `keeper`: who drops in
    silence what it does not name, if anybody does; `own`: names that are sent beside."""

    keeper: str = ""
    text: bool = True
    own: frozenset[str] = frozenset()

    @property
    def _dropped(self) -> str:
        return f", so {self.keeper} would drop it in silence" if self.keeper else ""

    def property_of(self, name: str) -> Property | None:
        """As the file says; a text for what is sent beside that."""
        if name in self.own:
            return Property(name, ("string",), None)
        return self.properties.get(name)


def definition_error(json_schema: dict[str, Any]) -> tuple[Path, str] | None:
    """Where and why `json_schema` is no usable JSON Schema; None when it is one."""
    try:
        InteractionSchema("", json_schema)
    except jsonschema_rs.ValidationError as error:
        return tuple(error.instance_path), error.message
    except ValueError as error:
        return (), str(error).partition("\n")[0]
    return None


def kind_of(value: object) -> str:
    """What a value is, for messages that must not show it."""
    match value:
        case None:
            return "NULL"
        case bool():
            return "a boolean"
        case int():
            return "an integer"
        case float():
            return "a number"
        case str():
            return "a text" if value else "an empty text"
        case bytes():
            return "bytes"
        case list() | tuple() | set():
            return "a list"
        case dict():
            return "a structure"
        case Finer():
            return kind_of(value.cut)
        case time():
            return "a time of day"
        case timedelta():
            return "an interval"
        case _:
            name = type(value).__name__.lower()
            return f"an {name}" if name[0] in "aeio" else f"a {name}"


def _types(spec: dict[str, Any]) -> tuple[str, ...]:
    types = spec.get("type", ())
    return (types,) if isinstance(types, str) else tuple(types)
