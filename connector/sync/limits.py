"""When a run is held until a person approves it: too many rows, too many refused, other keys."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from connector.ledger.records import Hold
from connector.rules.delivery import State
from connector.rules.grammar import Limits
from connector.rules.turnover import MOST, Turnover

FIRST_SYNC_ROWS = 100_000
"""A first sync of more rows is held where no limit is written: it may be a whole history, which
would start an automation for each of its rows."""


def as_it_stands(held: Hold, counts: Mapping[State, int]) -> Hold:
    """The figures of a held run, less what persons have retried or discarded meanwhile."""
    return replace(
        held,
        due=counts.get(State.PENDING, 0),
        invalid=min(held.invalid, counts.get(State.INVALID, 0)),
        rejected=min(held.rejected, counts.get(State.REJECTED, 0)),
    )


def passed_limit(limits: Limits, figures: Hold) -> str | None:
    """Why a run with these figures is to be held; None when it may go."""
    if reason := keys_changed(limits, figures):
        return reason
    if limits.rows is not None and figures.due > limits.rows:
        return (
            f"held: {figures.due} rows are to be sent and limits.rows is {limits.rows};"
            " `connector sync --approve` lets exactly these go, a higher limit lets all go"
        )
    if limits.rows is None and figures.first and figures.due > FIRST_SYNC_ROWS:
        return (
            f"held: {figures.due} rows are to be sent by the first sync, and no limits.rows is"
            " written; `connector sync --approve` lets exactly these go, and a limit of your own"
            " says what is usual"
        )
    refused = figures.invalid + figures.rejected
    share = refused / figures.staged if figures.staged else 0
    if limits.refused is not None and share > limits.refused:
        return refusals(limits, figures)
    return None


def figures_of(due: int, staged: int, invalid: int, first: bool, turnover: Turnover | None) -> Hold:
    """What a run is judged by that has read its model."""
    again, gone = (turnover.again, turnover.gone) if turnover else (0, 0)
    return Hold(due, staged, invalid, first, again=again, gone=gone)


def keys_changed(limits: Limits, figures: Hold) -> str | None:
    """That the rows to be sent are likely rows that were sent, under other keys."""
    most = MOST if limits.changed_keys is None else limits.changed_keys
    if not figures.due or not figures.again or figures.gone / figures.again <= most:
        return None
    return (
        f"held: {figures.gone} of {figures.again} rows that are read again are gone, and as many"
        " unknown ones are there: the row key seems to change between two readings, as uuid() or a"
        " new number for each row does, and what was sent would be sent again. Make it the same at"
        " each reading and give these rows up (`connector quarantine discard ACTIVATION --state"
        " pending`); or, if they are other rows, `connector sync --approve` lets exactly these go,"
        f" and limits.changed_keys (now {most:.0%}) says what is usual"
    )


def refusals(limits: Limits, figures: Hold) -> str:
    """That too many rows are invalid or were rejected."""
    kinds = {"invalid": figures.invalid, "rejected": figures.rejected}
    found = " and ".join(f"{number} {word}" for word, number in kinds.items() if number)
    return (
        f"held: {found} of {figures.staged} rows, and limits.refused is {limits.refused or 0:.1%};"
        " `connector quarantine list` says why, and `connector sync --approve` lets the others go"
    )


FEW_TAKEN_BACK, MOST_TAKEN_BACK = 10, 0.1
"""What a mirror may always take back, and the largest share of its rows where none is written."""
BY_ITSELF = (
    "it is read again at each run, and goes on by itself once it is within the limits;"
    " `connector sync --approve` lets these go"
)


def mirror_passed_limit(
    limits: Limits, figures: Hold, edited: bool, examples: Sequence[str]
) -> str | None:
    """Why a mirror with these figures takes nothing back and sends nothing; None when it may go.
    `edited`: what is sent was edited; `examples`: some row keys of what it is about."""
    such = f" (such as {', '.join(examples)})" if examples else ""
    live = f"{figures.live:,}"
    if figures.empty and figures.live:
        return (
            f"held: the model has no row at all, and {live} are live at the destination{such};"
            f" {BY_ITSELF}"
        )
    share = MOST_TAKEN_BACK if limits.removed is None else limits.removed
    if figures.removed >= FEW_TAKEN_BACK and figures.removed > share * figures.live:
        return (
            f"held: {figures.removed:,} of {live} rows that are live at the destination are not in"
            f" the model any more{such}, and limits.removed is {share:.1%}; {BY_ITSELF}"
        )
    share = MOST_TAKEN_BACK if limits.replaced is None else limits.replaced
    judged = edited or limits.replaced is not None
    if judged and figures.replaced >= FEW_TAKEN_BACK and figures.replaced > share * figures.live:
        why = "after an edit of the activation " if edited else ""
        return (
            f"held: {figures.replaced:,} of {live} rows that are live at the destination read"
            f" differently {why}now{such}, and limits.replaced is {share:.1%}: each would be taken"
            f" back and sent anew; {BY_ITSELF}"
        )
    return None
