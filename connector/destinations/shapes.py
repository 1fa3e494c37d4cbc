"""What payloads must be like at an API that keeps no schemas: as a file of the project says.

The file holds a JSON Schema, or one as Engage takes it (`jsonSchema` beside `id` and
`displayName`). An interaction is flat: types, formats and what is required are what counts.
"""

from collections.abc import Collection
from pathlib import Path
from typing import Any

import orjson

from connector.rules.activation import Activation
from connector.rules.errors import ConfigurationError, Problem
from connector.rules.schema import LocalSchema, definition_error


def local_shape(
    base: Path,
    activation: Activation,
    written: str,
    own: Collection[str] = (),
    keeper: str = "",
) -> LocalSchema:
    """The shape in the file `written`, relative to the folder `base`, for what `activation` sends
    as texts. `own`: names that are sent beside those in the file; `keeper`: who drops in silence
    what the file does not name. Raises ConfigurationError."""

    def refused(why: str) -> ConfigurationError:
        path = ("activations", activation.name, "schema")
        return ConfigurationError(
            Problem(path, f'activation "{activation.name}": {written}: {why}')
        )

    try:
        content: Any = orjson.loads((base / written).read_bytes())
    except OSError as error:
        raise refused(f"cannot be read ({error.strerror})") from error
    except orjson.JSONDecodeError as error:
        raise refused("is no JSON") from error
    rules = content.get("jsonSchema", content) if isinstance(content, dict) else None
    if not isinstance(rules, dict) or not isinstance(rules.get("properties"), dict):
        raise refused("expected a JSON Schema with properties")
    if found := definition_error(rules):
        raise refused(f"is no JSON Schema: {found[1]}")
    known = {**rules, "properties": {**rules["properties"], **{name: {} for name in own}}}
    return LocalSchema(written, known, own=frozenset(own), keeper=keeper)
