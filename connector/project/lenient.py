"""The grammar of a project, asked where variables are not set and no secret is at hand."""

from collections.abc import Iterator, Mapping
from copy import deepcopy
from typing import Any

from connector.destinations.kinds import ANY_KIND, ActivationKeys, Kinds, Named
from connector.project.settings import Project, checked_of
from connector.rules.errors import Path as KeyPath
from connector.rules.errors import Problem, did_you_mean
from connector.rules.mistakes import missing_key
from connector.rules.written import Written

INSTEAD = {
    **dict.fromkeys(("url", "previous_url"), "https://not-set.invalid"),
    "timezone": "UTC",  # without any, what goes by it would be wrong in its turn
}
"""What stands for a variable that is not set while the grammar is asked, by the key."""


def grammar_of(written: Written) -> tuple[Project | None, list[Problem]]:
    """The project as far as it is right. What holds a variable that is not set is no mistake: first
    something stands in its place, then nothing does."""
    content = deepcopy(written.content)
    for path in written.unset:
        _put(content, path, _instead(path))
    checked = checked_of(content)
    wrong = {path for path in written.unset if any(_below(p.path, path) for p in checked.problems)}
    for path in wrong:
        _put(content, path, None)
    if wrong:
        checked = checked_of(content)
    left = [p for p in checked.problems if not any(_below(p.path, path) for path in wrong)]
    missing = {(path[:-1], missing_key(path)) for path in wrong}
    left = [p for p in left if (p.path, p.message) not in missing]
    return checked.project, [*left, *_of_no_kind(content)]


def _of_no_kind(content: Any) -> Iterator[Problem]:
    """Keys that no kind of destination knows, of activations that go to one whose type is not
    known: the grammar has not looked at them."""
    there = content.get("destinations") if isinstance(content, dict) else None
    unknown = [each for each in _mappings(there).values() if each.get("type") == ANY_KIND]
    if not unknown:
        return
    named, known = Named(content, Kinds()), ActivationKeys().all()
    for name, activation in _mappings(content.get("activations")).items():
        if named.kind_of_activation(activation) is None:
            for key in activation.keys() - known:
                said = f'unknown key "{key}"{did_you_mean(key, sorted(known))}'
                yield Problem(("activations", name, key), said, "unknown-key")


def _mappings(value: Any) -> Mapping[str, Mapping[str, Any]]:
    """Those of its values that are mappings."""
    found = value.items() if isinstance(value, dict) else ()
    return {name: each for name, each in found if isinstance(each, dict)}


def _instead(path: KeyPath) -> str:
    if path[:1] == ("destinations",) and path[2:] == ("type",):
        return ANY_KIND
    return INSTEAD.get(str(path[-1]), "not-set")


def _below(path: KeyPath, above: KeyPath) -> bool:
    return path[: len(above)] == above or above[: len(path)] == path != ()


def _put(content: Any, path: KeyPath, value: str | None) -> None:
    """Write `value` at `path`, or take the key out."""
    for key in path[:-1]:
        content = content[key]
    if value is None and isinstance(content, dict):
        content.pop(path[-1], None)
    else:
        content[path[-1]] = value
