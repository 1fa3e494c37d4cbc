"""The `connector sandbox` command: a sandbox in the foreground, filled from a project's files."""

from collections.abc import Mapping
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from connector.basis import dataclass
from connector.basis.near import perhaps
from connector.rules.errors import CannotListen, ConfigurationError
from connector.sandbox import TYPES

Model = TypeVar("Model", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a sandbox listens, and the key that it takes: the secret part of its credentials."""

    host: str
    port: int
    api_key: str


@dataclass(frozen=True, slots=True)
class Files:
    """What a sandbox is filled with, and how it behaves; None for what is there by default."""

    schemas: Path | None = None
    contacts: Path | None = None
    behaviour: Path | None = None


def start(type: str, place: Place, files: Files) -> None:
    """Serve until Ctrl-C. Raises ConfigurationError for a type that there is none of and for files
    that cannot be loaded, CannotListen when the port is taken."""
    if type not in TYPES:
        known = ", ".join(TYPES)
        raise ConfigurationError(f"there is no sandbox of type '{type}', only of {known}")
    try:
        import_module(f"connector.sandbox.{type}.running").start(place, files)
    except ValueError as error:
        raise ConfigurationError(str(error)) from None
    except OSError as error:
        said = error.strerror or error
        raise CannotListen(f"cannot listen on {place.host}:{place.port}: {said}") from None


def behaviour_of(model: type[Model], file: Path | None) -> Model:
    """Return the behaviour that a file describes, the default one without a file."""
    if file is None:
        return model()
    try:
        return model.model_validate_json(file.read_bytes())
    except OSError as error:
        raise ConfigurationError(f"cannot read {file}: {error.strerror}") from None
    except ValidationError as error:
        found = error.errors(include_input=False, include_url=False)
        mistakes = "; ".join(_mistake(each, model) for each in found)
        raise ConfigurationError(f"{file}: {mistakes}") from None


def _mistake(error: ErrorDetails, model: type[BaseModel]) -> str:
    *above, last = (str(key) for key in error["loc"] or ("",))
    where = ".".join((*above, last))
    if error["type"] == "extra_forbidden":
        known = () if above else tuple(model.model_fields)
        return f'there is no switch "{where}"{perhaps(last, known)}'
    return f"{where}: {error['msg']}".removeprefix(": ")


def switches_of(type: str, measured: Mapping[str, Any]) -> dict[str, Any]:
    """Switches of a sandbox of this type that behaves as was measured, as far as there are some."""
    name = f"connector.sandbox.{type}.measured"
    if type not in TYPES or find_spec(name) is None:
        return {}
    return dict(import_module(name).switches(measured["answers"]))


def only_behaviour(files: Files, type: str) -> None:
    """Raises ValueError where a sandbox is to be filled that holds nothing before it is used."""
    if files.schemas or files.contacts:
        raise ValueError(f"a sandbox of type '{type}' takes no schemas and no contacts")
