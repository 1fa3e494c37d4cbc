"""Which kinds of destinations there are: our own, and those that other distributions bring.

Others bring theirs under the entry point `connector.destinations`: its name is the `type` in
activations.yaml, and what it names is a `Kind`.
"""

from collections.abc import Iterator, Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from connector.destinations import engage
from connector.destinations.port import AnyKind, Kind
from connector.rules.errors import ConfigurationError

GROUP = "connector.destinations"
OWN: Mapping[str, AnyKind] = {kind.name: kind for kind in (engage.KIND,)}


class Kinds(Mapping[str, AnyKind]):
    """By `type`. What others bring is looked for, and loaded, only where it is asked for."""

    def __init__(self) -> None:
        self._loaded: dict[str, AnyKind] = dict(OWN)

    def __getitem__(self, name: str) -> AnyKind:
        if name not in self._loaded:
            self._loaded[name] = _load(_brought()[name])
        return self._loaded[name]

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys((*OWN, *_brought())))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def of(self, type_name: Any) -> AnyKind | None:
        """The kind that `type` names, whatever stands there; None where there is none such."""
        if not isinstance(type_name, str):
            return None
        return self.get(type_name)


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
