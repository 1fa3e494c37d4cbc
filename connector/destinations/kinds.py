"""Which kinds of destinations there are, and what is written about each in activations.yaml.

Others bring theirs under the entry point `connector.destinations`: its name is the `type` in
activations.yaml, and what it names is a `Kind`. A file is read by kind: its destinations are looked
at first; each of them, and each activation, is then held against the classes of its kind. A part
whose kind is not known is held against what all kinds have.
"""

from collections.abc import Iterator, Mapping
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any, get_args

from pydantic import (
    ConfigDict,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    ValidationError,
    ValidationInfo,
)
from pydantic_core import CoreSchema, InitErrorDetails, core_schema

from connector.basis import dataclass
from connector.destinations.port import AnyKind, Kind
from connector.destinations.settings import DestinationSettings
from connector.rules.activation import Activation, Contact
from connector.rules.errors import ConfigurationError, Path, did_you_mean
from connector.rules.grammar import Closed

GROUP = "connector.destinations"
OWN: Mapping[str, str] = {
    "engage": "connector.destinations.engage",
    "survey_dynamix": "connector.destinations.survey_dynamix",
    "mxo": "connector.destinations.mxo",
}
"""By `type`, the module of each of ours."""
DEFAULT = "engage"
"""Of what kind a destination is that does not say it: that kind says what is missing."""


class Kinds(Mapping[str, AnyKind]):
    """By `type`. Each is loaded, and what others bring is looked for, where it is asked for."""

    def __init__(self) -> None:
        self._loaded: dict[str, AnyKind] = {}

    def __getitem__(self, name: str) -> AnyKind:
        if name not in self._loaded:
            own = OWN.get(name)
            self._loaded[name] = import_module(own).KIND if own else _load(_brought()[name])
        return self._loaded[name]

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys((*OWN, *_brought())))

    def __len__(self) -> int:
        return sum(1 for _ in self)


def _brought() -> dict[str, EntryPoint]:
    """Those of other distributions, by name."""
    return {entry.name: entry for entry in entry_points(group=GROUP) if entry.name not in OWN}


def _load(entry: EntryPoint) -> AnyKind:
    """Raises ConfigurationError for what is no kind of destination."""
    where = f'the destination type "{entry.name}", which comes from {entry.value},'
    try:
        kind = entry.load()
    except Exception as error:  # whatever it does when it is imported
        raise ConfigurationError(f"{where} cannot be loaded: {type(error).__name__}") from error
    if not isinstance(kind, Kind) or kind.name != entry.name:
        raise ConfigurationError(f"{where} is no Kind of that name")
    return kind


# --- what is written, by kind ---------------------------------------------------------------------


class AnyContact(Contact):
    """Of a contact, what all kinds of destinations know."""

    model_config = ConfigDict(extra="ignore")


class AnyActivation(Activation):
    """Of an activation, what all kinds of destinations know."""

    model_config = ConfigDict(extra="ignore")
    contact: AnyContact


ANY_KIND = "\0"
"""What stands for the type of a destination that is not known here, and in no file: it may have the
keys of any kind."""


class UnknownDestination(DestinationSettings):
    """Of a destination of no known kind: nothing but that."""

    model_config = ConfigDict(extra="ignore")


OF_NO_KIND: Mapping[str, type[Closed]] = {
    "settings": UnknownDestination,
    "activation": AnyActivation,
}


@dataclass(frozen=True, slots=True)
class Named:
    """The kinds that a file names. `content`: the file as it was parsed, whatever stands in it."""

    content: Any
    kinds: Mapping[str, AnyKind]

    def kind_of(self, destination: object) -> AnyKind | None:
        """The kind of one destination; the DEFAULT where it does not say. The only one there is
        where it says something else."""
        written = destination.get("type", DEFAULT) if isinstance(destination, dict) else DEFAULT
        kind = self.kinds.get(written) if isinstance(written, str) else None
        if kind is None and len(self.kinds) == 1:
            return next(iter(self.kinds.values()))
        return kind

    def kind_of_activation(self, activation: object) -> AnyKind | None:
        """The kind of the destination that an activation goes to; that of all where it does not
        say, or says something else."""
        there = self.content.get("destinations") if isinstance(self.content, dict) else None
        written = activation.get("destination") if isinstance(activation, dict) else None
        known = there if isinstance(there, dict) else {}
        its = isinstance(written, str) and written in known
        wanted = [known[written]] if its else list(known.values()) or [None]
        found = {id(kind): kind for kind in map(self.kind_of, wanted)}
        return next(iter(found.values())) if len(found) == 1 else None

    def model(self, part: str, written: object) -> type[Closed]:
        """The class of one destination (`settings`), or of one `activation`."""
        of = self.kind_of if part == "settings" else self.kind_of_activation
        kind = of(written)
        return getattr(kind, part) if kind else OF_NO_KIND[part]

    def refuse_unknown(self, destination: object) -> None:
        """Raises ValidationError for a destination of no kind that there is, of several."""
        if not isinstance(destination, dict) or self.kind_of(destination) is not None:
            return
        written = str(destination["type"])
        if written == ANY_KIND:
            return
        near = did_you_mean(written, list(self.kinds))
        why = ValueError(f'there is no kind of destination "{written}"{near}')
        error = InitErrorDetails(type="value_error", loc=("type",), input=None, ctx={"error": why})
        raise _wrong(error)


def _wrong(error: InitErrorDetails) -> ValidationError:
    return ValidationError.from_exception_data("destination", [error])


class ByKind:
    """A part of the grammar that is held against the class of its kind; the context of the reading
    is what the file has `Named`."""

    def __init__(self, part: str) -> None:
        """`part`: `settings` or `activation`, the attribute of a kind that has the class."""
        self.part = part

    def read(self, value: Any, info: ValidationInfo) -> Any:
        """`value` as an instance of its class. Raises ValidationError."""
        named = info.context
        assert isinstance(named, Named)
        if self.part == "settings":
            named.refuse_unknown(value)
        return named.model(self.part, value).model_validate(value)

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.with_info_plain_validator_function(self.read)

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        """One of the classes of all kinds: `type` tells destinations apart, and keys activations,
        which may fit several."""
        classes = [getattr(kind, self.part) for kind in Kinds().values()]
        for each in classes:
            each.model_rebuild()
        found = [
            each.__get_pydantic_json_schema__(each.__pydantic_core_schema__, handler)
            for each in classes
        ]
        return {"oneOf" if self.part == "settings" else "anyOf": found}


PARTS = {"destinations": "settings", "activations": "activation"}


def keys_at(named: Named, root: type[Closed], path: Path) -> list[str]:
    """The keys that the grammar has at `path`."""
    kind: Any = root
    for i, key in enumerate(path):
        if i == 1 and path[0] in PARTS:
            kind = named.model(PARTS[str(path[0])], named.content[path[0]][key])
            continue
        field = kind.model_fields.get(str(key))
        kind = (_closed_in(field.annotation) or kind) if field else kind  # or a name of a part
    return keys_of(kind)


def keys_of(part: type[Closed]) -> list[str]:
    """The keys that a part of the grammar has."""
    return [field.alias or name for name, field in part.model_fields.items()]


class ActivationKeys:
    """Which keys an activation may have, by the kind of its destination."""

    def __init__(self) -> None:
        self._kinds = Kinds()

    def all(self) -> set[str]:
        """Those of any kind."""
        return {key for kind in self._kinds.values() for key in keys_of(kind.activation)}

    def of(self, activation: Mapping[str, Any], content: Any) -> list[str]:
        """Those of one activation, in a file that holds `content`."""
        return keys_of(Named(content, self._kinds).model("activation", activation))

    def foreign(self, activation: Mapping[str, Any], content: Any) -> set[str]:
        """Those of a contact that only other kinds know; none where its kind is not known."""
        own = Named(content, self._kinds).kind_of_activation(activation)
        known = {key for kind in self._kinds.values() for key in _of_contact(kind.activation)}
        return known - _of_contact(own.activation) if own else set()


def _of_contact(activation: type[Closed]) -> set[str]:
    return set(keys_of(_closed_in(activation.model_fields["contact"].annotation)))


def _closed_in(annotation: Any) -> Any:
    """The part of the grammar inside an annotation such as `dict[str, X] | None`."""
    if isinstance(annotation, type) and issubclass(annotation, Closed):
        return annotation
    for argument in get_args(annotation):
        if found := _closed_in(argument):
            return found
    return None
