"""Mistakes in a configuration, in words for people.

Never with the value that was found: that could be a secret.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from pydantic import ValidationError

from connector.rules.errors import Path as KeyPath
from connector.rules.errors import Problem, did_you_mean

Keys = Callable[[KeyPath], Sequence[str]]
"""The keys that may stand at a place."""


def mistakes(error: ValidationError, content: Any, keys: Keys) -> list[Problem]:
    """What is wrong with the `content` of a configuration, one for each place."""
    found = dict[KeyPath, list[Problem]]()
    for each in error.errors(include_input=False, include_url=False):
        path = _in_the_file(tuple(each["loc"]), content)
        found.setdefault(path, []).append(_problem(each, path, keys))
    return [_one_of_many(some) for some in found.values()]


def _in_the_file(path: KeyPath, content: Any) -> KeyPath:
    """`path` as far as the file goes: where one of several forms is allowed, it ends in the names
    that the code has for these."""
    for depth, key in enumerate(path):
        if not isinstance(content, dict | list):
            return path[:depth]
        try:
            content = content[key]  # type: ignore[index]
        except (KeyError, IndexError, TypeError):
            return path  # what is missing stands nowhere
    return path


def _one_of_many(problems: Sequence[Problem]) -> Problem:
    """What is wrong with a value that may have one of several forms, and has none."""
    first, *others = problems
    said = [first.message, *(other.message.partition(": ")[2] for other in others)]
    return replace(first, message=", or ".join(dict.fromkeys(said)))


def _problem(error: Any, path: KeyPath, keys: Keys) -> Problem:
    last = path[-1] if path else ""
    if isinstance(last, int):
        last = f"{path[-2]}, entry {last + 1}"
    match error["type"]:
        case "extra_forbidden":
            known = keys(path[:-1])
            said = f'unknown key "{last}"{did_you_mean(str(last), known)}'
            return Problem(path, said, "unknown-key")
        case "missing":
            return Problem(path[:-1], f'the key "{last}" is missing', "missing-key")
        case "value_error":
            said = str(error["ctx"]["error"])
        case "string_type":
            said = "expected a text; put it in quotes if it is one"
        case "model_type" | "model_attributes_type" | "dict_type":
            said = "expected keys with their values; put it in quotes if it is a name"
        case "tuple_type":
            said = "expected a name in quotes, or a list of names"
        case "literal_error":
            said = f"expected {error['ctx']['expected']}".replace("False", "false")
        case _:
            said = error["msg"].replace("Input should be", "expected").split(", unable")[0]
            said = f"{said[0].lower()}{said[1:]}"
    return Problem(path, f"{last}: {said}", "wrong-value")
