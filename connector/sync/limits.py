"""When a run is held until a person approves it: too many rows, too many refused, other keys, rows
that are too old, contacts that are not found, a model that is empty.

The one place where a run is judged, by pure functions of its activation and its figures: `check`,
`preview` and the page say with them what a run would say.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import field, replace

from connector.basis import dataclass
from connector.rules.activation import Activation
from connector.rules.delivery import State
from connector.rules.gauge import Gauge, Sample
from connector.rules.grammar import Limits, Times
from connector.rules.history import ENOUGH, History, may_be_chance
from connector.rules.hold import Hold
from connector.rules.turnover import MOST, Turnover
from connector.rules.words import SUCH, counted, limit_text, naming, percent, share_text, span_text

FIRST_SYNC_ROWS = 100_000
"""A first sync of more rows is held where no limit is written: it may be a whole history, which
would start an automation for each of its rows."""
FEW = 10
"""So many rows are never too many times what is usual."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What a run has seen of its model, or would: rows `staged` for the first time, those that are
    `invalid` or `rejected` without a request, what became of rows that should have been read again;
    `empty`: there is none."""

    staged: int = 0
    invalid: int = 0
    turnover: Turnover | None = None
    empty: bool = False
    rejected: int = 0


@dataclass(frozen=True, slots=True)
class Compared:
    """What the rows to be sent are compared with. `sample`: of their contacts; None: none was
    looked up."""

    history: History = field(default_factory=History)
    sample: Sample | None = None


def figures_of(due: int, first: bool, seen: Seen) -> Hold:
    """What a run is judged by that has read its model."""
    again, gone = (seen.turnover.again, seen.turnover.gone) if seen.turnover else (0, 0)
    return Hold(
        due,
        seen.staged,
        seen.invalid,
        first,
        again=again,
        gone=gone,
        emptied=seen.empty,
        rejected=seen.rejected,
    )


def compared(figures: Hold, limits: Limits, with_what: Compared) -> Hold:
    """The figures of a run that has just read its model, with what is usual beside them."""
    history, sample = with_what.history, with_what.sample or Sample()
    always = history.with_rows >= ENOUGH and limits.empty == "hold"
    return replace(
        figures,
        usual_rows=history.rows.median,
        rows_runs=history.rows.runs,
        weekday=history.weekday,
        looked_up=sample.looked_up,
        found=sample.found,
        usual_match=history.match.median,
        match_runs=history.match.runs,
        emptied=figures.emptied and always,
        runs_with_rows=history.with_rows,
    )


def aged(figures: Hold, gauge: Gauge) -> Hold:
    """The figures with how old the rows are now, which changes while they are held."""
    return replace(figures, old=gauge.old, oldest=gauge.oldest_text, old_keys=gauge.old_keys)


def as_it_stands(held: Hold, counts: Mapping[State, int]) -> Hold:
    """The figures of a held run, less what persons have retried or discarded meanwhile."""
    return replace(
        held,
        due=counts.get(State.PENDING, 0),
        invalid=min(held.invalid, counts.get(State.INVALID, 0)),
        rejected=min(held.rejected, counts.get(State.REJECTED, 0)),
    )


def passed_limit(activation: Activation, figures: Hold) -> str | None:
    """Why a run with these figures is to be held; None when it may go."""
    limits = activation.limits
    if figures.build:
        return figures.build
    refused = figures.invalid + figures.rejected
    share = refused / figures.staged if figures.staged else 0
    return (
        emptied(activation, figures)
        or keys_changed(activation, figures)
        or too_many(activation, figures)
        or too_old(activation, figures)
        or unmatched(activation, figures)
        or (
            refusals(activation, figures)
            if limits.refused is not None and share > limits.refused
            else None
        )
    )


def not_judged(limits: Limits, figures: Hold) -> Iterator[str]:
    """Limits that cannot hold a run yet, and why."""
    if isinstance(limits.rows, Times) and figures.usual_rows is None:
        on = f" on {figures.weekday}s" if figures.weekday else ""
        yield (
            f"limits.rows ({limits.rows}) is not judged yet: {figures.rows_runs} of {ENOUGH} runs"
            f"{on} that had something to send are on record"
        )
    if limits.matched is not None and figures.usual_match is None:
        yield (
            f"limits.matched is not judged yet: {figures.match_runs} of {ENOUGH} runs that looked"
            " contacts up are on record"
        )


def approving(activation: Activation) -> str:
    """Which command lets go what is held."""
    if activation.limits.approval == "other":
        return "`connector approve` by somebody else than who asked for it"
    return f"`connector sync {activation.name} --approve`"


def lets_go(activation: Activation) -> str:
    """That an approval does so."""
    return f"{approving(activation)} lets exactly these go"


def giving_up(activation: Activation) -> str:
    """Which command gives up what is held."""
    return f"connector quarantine discard {activation.name} --state pending"


def emptied(activation: Activation, figures: Hold) -> str | None:
    """That a model has no row at all that always had some."""
    if not figures.emptied or activation.limits.empty == "allow":
        return None
    return (
        f"held: the model has no row at all, and had rows in each of {figures.runs_with_rows} runs"
        " before, as when a table is emptied and not filled again. It goes on by itself as soon as"
        f" the model has rows; {approving(activation)} lets it go as it is, and"
        " `limits: {empty: allow}` says that it may be empty"
    )


def too_many(activation: Activation, figures: Hold) -> str | None:
    """That more rows are to be sent than one run may, or than is usual."""
    limits = activation.limits
    due, most = figures.due, limits.rows
    if isinstance(most, Times):
        usual = figures.usual_rows
        if usual is not None and due > max(most.factor * usual, FEW):
            return (
                f"held: {due} rows are to be sent, and runs on {figures.weekday}s usually have"
                f" {usual:g} (the median of {figures.rows_runs} runs): more than limits.rows"
                f" ({most}) lets go; {lets_go(activation)}, a higher limit lets all go"
            )
    elif most is not None:
        if due > most:
            return (
                f"held: {due} rows are to be sent and limits.rows is {most};"
                f" {lets_go(activation)}, a higher limit lets all go"
            )
        return None
    if figures.first and due > FIRST_SYNC_ROWS:
        return (
            f"held: {due} rows are to be sent by the first sync, and no"
            f" {'number as ' if most else ''}limits.rows is written; {lets_go(activation)}, and a"
            " limit of your own says what is usual"
        )
    return None


def too_old(activation: Activation, figures: Hold) -> str | None:
    """That rows to be sent happened long ago."""
    limits = activation.limits
    if limits.older_than is None or not figures.old:
        return None
    such = f", such as {', '.join(figures.old_keys)}" if figures.old_keys else ""
    return naming(
        f"held: {figures.old} of {counted(figures.due, 'row')} to be sent happened longer ago than"
        f" limits.older_than ({span_text(limits.older_than)}), the oldest at"
        f" {figures.oldest}{SUCH}; the destination would act on them as if they were new."
        f" {lets_go(activation)}, and `{giving_up(activation)}` gives them up",
        such,
    )


def unmatched(activation: Activation, figures: Hold) -> str | None:
    """That far fewer contacts are found than usual."""
    most, usual, looked_up = activation.limits.matched, figures.usual_match, figures.looked_up
    if most is None or not usual or not looked_up:
        return None
    share = figures.found / looked_up
    fall = 1 - share / usual
    if fall <= most or may_be_chance(figures.found, looked_up, usual):
        return None
    return (
        f"held: of {counted(looked_up, 'contact identifier')} that were looked up before the first"
        f" send, {share_text(share)} belong to a contact, and {share_text(usual)} usually do (the"
        f" median of {figures.match_runs} runs): {share_text(fall)} fewer, and limits.matched is"
        f" {limit_text(most)}. Contacts may be missing at the destination, or be written in"
        f" another way; {lets_go(activation)} all the same"
    )


def keys_changed(activation: Activation, figures: Hold) -> str | None:
    """That the rows to be sent are likely rows that were sent, under other keys."""
    written = activation.limits.changed_keys
    most = MOST if written is None else written
    if not figures.due or not figures.again or figures.gone / figures.again <= most:
        return None
    return (
        f"held: {figures.gone} of {figures.again} rows that are read again are gone, and as many"
        " unknown ones are there: the row key seems to change between two readings, as uuid() or a"
        " new number for each row does, and what was sent would be sent again. Make it the same at"
        f" each reading and give these rows up (`{giving_up(activation)}`); or, if they are other"
        f" rows, {lets_go(activation)}, and"
        f" limits.changed_keys (now {percent(most)}) says what is usual"
    )


def refusals(activation: Activation, figures: Hold) -> str:
    """That too many rows are invalid or were rejected."""
    limits = activation.limits
    kinds = {"invalid": figures.invalid, "rejected": figures.rejected}
    found = " and ".join(f"{number} {word}" for word, number in kinds.items() if number)
    return (
        f"held: {found} of {figures.staged} rows, and limits.refused is"
        f" {limit_text(limits.refused or 0)}; `connector quarantine list` says why, and"
        f" {approving(activation)} lets the others go"
    )


FEW_TAKEN_BACK, MOST_TAKEN_BACK = 10, 0.1
"""What a mirror may always take back, and the largest share of its rows where none is written."""


def by_itself(activation: Activation) -> str:
    """How a mirror that is held goes on."""
    return (
        "it is read again at each run, and goes on by itself once it is within the limits;"
        f" {approving(activation)} lets these go"
    )


def reason_without_keys(activation: Activation, figures: Hold) -> str:
    """Why a run with these figures is held, without a row key, which may be an address."""
    nameless = replace(figures, old_keys=())
    reason = mirror_passed_limit(activation, nameless, ()) if nameless.live else None
    return reason or passed_limit(activation, nameless) or "held"


def mirror_passed_limit(
    activation: Activation, figures: Hold, examples: Sequence[str]
) -> str | None:
    """Why a mirror with these figures takes nothing back and sends nothing; None when it may go.
    `examples`: some row keys of what it is about."""
    reason = _mirror_reason(activation, figures)
    such = f" (such as {', '.join(examples)})" if examples else ""
    return naming(reason, such) if reason else None


def _mirror_reason(activation: Activation, figures: Hold) -> str | None:
    """The same, with SUCH where examples are named."""
    limits = activation.limits
    live = f"{figures.live:,}"
    if figures.empty and figures.live:
        keyless = counted(figures.without_key, "row")
        none = f"row with a row key ({keyless} without)" if figures.without_key else "row at all"
        return (
            f"held: the model has no {none}, and {live} are live at the destination{SUCH};"
            f" {by_itself(activation)}"
        )
    share = MOST_TAKEN_BACK if limits.removed is None else limits.removed
    taken = figures.removed + figures.unlike
    if taken >= FEW_TAKEN_BACK and taken > share * figures.live:
        ways = (
            (figures.removed, "are not in the model any more"),
            (figures.unlike, "cannot be sent as they read now, or are about another contact"),
        )
        (first, way), *others = ((number, way) for number, way in ways if number)
        more = "".join(f" and {number:,} {way}" for number, way in others)
        return (
            f"held: {first:,} of {live} rows that are live at the destination {way}{more}{SUCH},"
            f" and limits.removed is {limit_text(share)}; {by_itself(activation)}"
        )
    share = MOST_TAKEN_BACK if limits.replaced is None else limits.replaced
    judged = figures.edited or limits.replaced is not None
    if judged and figures.replaced >= FEW_TAKEN_BACK and figures.replaced > share * figures.live:
        what = "schema" if figures.edited == ("schema",) else "activation"
        why = f"after an edit of the {what} " if figures.edited else ""
        return (
            f"held: {figures.replaced:,} of {live} rows that are live at the destination read"
            f" differently {why}now{SUCH}, and limits.replaced is {limit_text(share)}: each would"
            f" be taken back and sent anew; {by_itself(activation)}"
        )
    return None
