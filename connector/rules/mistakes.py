"""Mistakes in a configuration, in words for people.

Never with the value that was found: that could be a secret.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from pydantic import ValidationError

from connector.basis.near import perhaps
from connector.rules.errors import Path as KeyPath
from connector.rules.errors import Problem, did_you_mean

Keys = Callable[[KeyPath], Sequence[str]]
"""The keys that may stand at a place."""


def mistakes(error: ValidationError, content: Any, keys: Keys) -> list[Problem]:
    """What is wrong with the `content` of a configuration, one for each place."""
    found = dict[KeyPath, list[Problem]]()
    for each in error.errors(include_input=False, include_url=False):
        path = _in_the_file(tuple(each["loc"]), content, each["type"] == "missing")
        found.setdefault(path, []).append(_problem(each, path, keys, _at(content, path)))
    return [_one_of_many(some) for some in found.values()]


def missing_key(path: KeyPath) -> str:
    """That the key is missing, and in which part of an activation: `defaults` may have begun it
    elsewhere in the file."""
    within = path[2:-1] if path[:1] == ("activations",) else ()
    where = f" in {'.'.join(str(each) for each in within)}" if within else ""
    return f'the key "{path[-1]}" is missing{where}'


def _in_the_file(path: KeyPath, content: Any, missing: bool) -> KeyPath:
    """`path` without the names that the code has for forms, where one of several is allowed.
    `missing`: its last key is not there."""
    found: KeyPath = ()
    for depth, key in enumerate(path):
        there = _has(content, key)
        content = content[key] if there else content
        if there or (missing and depth == len(path) - 1):
            found = (*found, key)
    return found


def _has(content: Any, key: str | int) -> bool:
    if isinstance(content, list):
        return isinstance(key, int) and key < len(content)
    return isinstance(content, dict) and key in content


def _at(content: Any, path: KeyPath) -> Any:
    """What stands at `path`; None where nothing does."""
    for key in path:
        if not _has(content, key):
            return None
        content = content[key]
    return content


def _one_of_many(problems: Sequence[Problem]) -> Problem:
    """What is wrong with a value that may have one of several forms, and has none."""
    first, *others = problems
    said = [first.message, *(other.message.partition(": ")[2] for other in others)]
    return replace(first, message=", or ".join(dict.fromkeys(said)))


def _one_of(expected: str, found: Any) -> str:
    """That one of the `expected` words belongs there, and which of them is near to what was
    `found`."""
    near = perhaps(found, re.findall("'([^']*)'", expected)) if isinstance(found, str) else ""
    return f"expected {expected}{near}".replace("False", "false")


def _problem(error: Any, path: KeyPath, keys: Keys, found: Any) -> Problem:
    last = path[-1] if path else ""
    if isinstance(last, int):
        last = f"{path[-2]}, entry {last + 1}"
    match error["type"]:
        case "extra_forbidden":
            known = keys(path[:-1])
            said = f'unknown key "{last}"{did_you_mean(str(last), known)}'
            return Problem(path, said, "unknown-key")
        case "missing":
            return Problem(path[:-1], missing_key(path), "missing-key")
        case "value_error":
            said = str(error["ctx"]["error"])
        case "string_type":
            said = "expected a text; put it in quotes if it is one"
        case "model_type" | "model_attributes_type" | "dict_type":
            quotes = "; put it in quotes if it is a column's name" * (path[-2:-1] == ("payload",))
            said = f"expected keys with their values{quotes}"
        case "too_short":
            said = "expected one entry at least"
        case "string_too_short":
            said = "expected a text that is not empty"
        case "tuple_type":
            said = "expected a name in quotes, or a list of names"
        case "literal_error" | "enum":
            said = _one_of(error["ctx"]["expected"], found)
        case _:
            said = error["msg"].replace("Input should be", "expected").split(", unable")[0]
            said = f"{said[0].lower()}{said[1:]}"
    return Problem(path, f"{last}: {said}", "wrong-value")
