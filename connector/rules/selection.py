"""Choose activations: by name, by a pattern such as `crm_*`, by `tag:NAME` or `owner:NAME`."""

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from connector.rules.activation import Activation
from connector.rules.errors import ConfigurationError, did_you_mean

WILD = frozenset("*?[")
SHOWN = 5


def is_name(selector: str) -> bool:
    """Whether one activation is named, and no more than that can be meant."""
    return ":" not in selector and not WILD & set(selector)


def select(selectors: Sequence[str], known: Mapping[str, Activation], file: str) -> list[str]:
    """The names that `selectors` choose, each once, in the order of the selectors and then of the
    `file`. Raises ConfigurationError for one that chooses none."""
    chosen: dict[str, None] = {}
    for selector in selectors:
        if is_name(selector):
            found = [selector] if selector in known else []
        else:
            found = [name for name, each in known.items() if _fits(selector, name, each)]
        if not found:
            raise ConfigurationError(_none(selector, known, file))
        chosen |= dict.fromkeys(found)
    return list(chosen)


def select_one(selector: str, known: Mapping[str, Activation], file: str) -> str:
    """The one name that `selector` chooses; a name alone is not looked for, since rows may be
    recorded of what is configured no more. Raises ConfigurationError."""
    if is_name(selector):
        return selector
    found = select([selector], known, file)
    if len(found) > 1:
        some = ", ".join(found[:SHOWN]) + (" …" if len(found) > SHOWN else "")
        raise ConfigurationError(
            f'"{selector}" chooses {len(found)} activations, and one is wanted: {some}'
        )
    return found[0]


def is_chosen(selectors: Sequence[str], name: str, activation: Activation | None) -> bool:
    """Whether one of `selectors` chooses the activation `name`; None: it is configured no more, and
    is known by its name alone."""
    return any(
        name == each if is_name(each) else activation is not None and _fits(each, name, activation)
        for each in selectors
    )


def is_meant(selector: str, name: str, keys: Any) -> bool:
    """Whether `selector` chooses the activation `name` as it is written, with mistakes in it."""
    by, colon, pattern = selector.partition(":")
    if not colon:
        return name == selector if is_name(selector) else fnmatchcase(name, selector)
    key = {"tag": "tags", "owner": "owner"}.get(by, "")
    words = keys.get(key) if isinstance(keys, Mapping) else None
    each = words if isinstance(words, list) else [words]
    return any(isinstance(word, str) and fnmatchcase(word, pattern) for word in each)


def _fits(selector: str, name: str, activation: Activation) -> bool:
    by, colon, pattern = selector.partition(":")
    if not colon:
        return fnmatchcase(name, selector)
    return any(fnmatchcase(word, pattern) for word in _words(by, activation))


def _words(by: str, activation: Activation) -> Sequence[str]:
    match by:
        case "tag":
            return activation.tags
        case "owner":
            return (activation.owner,) if activation.owner else ()
    raise ConfigurationError(
        f'"{by}:" chooses no activations; write a name, a pattern such as crm_*, tag:NAME or'
        " owner:NAME"
    )


def _none(selector: str, known: Mapping[str, Activation], file: str) -> str:
    by, colon, wanted = selector.partition(":")
    if is_name(selector):
        return f'there is no activation "{selector}" in {file}{did_you_mean(selector, list(known))}'
    if not colon:
        return f'no activation in {file} fits "{selector}"{did_you_mean("", list(known))}'
    there = sorted({word for each in known.values() for word in _words(by, each)})
    return f'no activation in {file} has the {by} "{wanted}"{did_you_mean(wanted, there)}'
