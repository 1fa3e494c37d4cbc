"""Limits in words: what holds a run of an activation, and who lets it go."""

from collections.abc import Iterator

from connector.rules.activation import Activation
from connector.rules.grammar import Limits, Times
from connector.rules.words import limit_text, span_text
from connector.sync.limits import MOST_TAKEN_BACK


def limits_text(found: Activation) -> str:
    """What holds a run: what is written, and what a mirror is held for where nothing is."""
    return ", ".join(_holding(found.limits, found.mirrors)) or "none"


def _holding(limits: Limits, mirror: bool) -> Iterator[str]:
    match limits.rows:
        case Times(factor):
            yield f"{factor:g} times the usual rows"
        case int(most):
            yield f"{most:,} rows"
    if limits.refused is not None:
        yield f"{limit_text(limits.refused)} invalid or rejected"
    if limits.changed_keys is not None:
        yield f"{limit_text(limits.changed_keys)} of the rows under other keys"
    if limits.matched is not None:
        yield f"{limit_text(limits.matched)} fewer contacts found than usual"
    if limits.older_than is not None:
        yield f"rows older than {span_text(limits.older_than)}"
    if mirror:
        removed = MOST_TAKEN_BACK if limits.removed is None else limits.removed
        yield f"{limit_text(removed)} of the live rows taken back"
        written = limits.replaced is not None
        replaced = MOST_TAKEN_BACK if limits.replaced is None else limits.replaced
        yield f"{limit_text(replaced)} of them replaced{'' if written else ' after an edit'}"
        yield "a model without rows"
    elif limits.empty == "hold":
        yield "a model without rows that always had some"


def approval_text(limits: Limits) -> str:
    """Who lets a held run go, and for how long that holds."""
    who = "by anyone"
    if limits.approval == "other":
        who = "by somebody else than who asked for the run or edited last"
    return f"{who}; holds for {span_text(limits.approval_for)}"
