"""What decisions print: `quarantine`, `undo` and `forget`: the plan, and what came of it."""

from collections.abc import Sequence
from datetime import timedelta

from rich.console import Console

from connector.decisions.deciding import Decided, restored_notes
from connector.decisions.forget import Forgotten
from connector.decisions.forget import Plan as ForgetPlan
from connector.decisions.quarantine import may_have_arrived
from connector.decisions.retry import RunPlan, RunRetried
from connector.decisions.undo import Plan as UndoPlan
from connector.decisions.undo import Undone, may_appear
from connector.rules.delivery import State
from connector.rules.interaction import instant_text
from connector.rules.words import are, plural, were
from connector.show.layout import out, verbatim
from connector.show.texts import MOST_ROWS, duration, short_time, table_of

MOST_SHOWN = 20
"""Rows that are listed one by one; all of them are in the JSON."""


# --- rows in quarantine -------------------------------------------------------------------------


def retried(decided: Decided) -> None:
    """Rows that were tried again, for people."""
    console = out()
    name = verbatim(decided.activation)
    if not decided.rows and not decided.missing:
        console.print(f"[bold]{name}[/]: no such row is invalid or rejected; nothing was changed.")
        return
    invalid = [row for row in decided.rows if row.state is State.INVALID]
    if pending := len(decided.rows) - len(invalid):
        them = "it" if pending == 1 else "them"
        console.print(
            f"[bold]{name}[/]: {are(pending)} pending now; the next `connector sync` sends {them}."
        )
    if invalid:
        console.print(f"[bold]{name}[/]: {are(len(invalid))} invalid, as the model is now:")
        _some_rows(console, [(row.row_key, row.reason) for row in invalid])
    if decided.missing:
        console.print(
            f"[bold]{name}[/]: {are(len(decided.missing))} not in the model any more, and not"
            " changed:"
        )
        _some_rows(console, [(case.row_key, case.reason) for case in decided.missing])


def settled(decided: Decided) -> None:
    """A doubt that was settled, for people."""
    (row,) = decided.rows
    place = f"[bold]{verbatim(decided.activation)} / {verbatim(row.row_key)}[/]"
    if row.state is State.DELIVERED:
        id = f" as the interaction {verbatim(row.interaction_id)}" if row.interaction_id else ""
        what = f"delivered{id}; it is never sent again."
    elif row.due_at:
        until = short_time(instant_text(row.due_at + timedelta(seconds=1)))
        what = (
            "pending again. Its last request may still be under way, so it is not sent before"
            f" {until}; the first `connector sync` after that sends it."
        )
    else:
        what = "pending again; the next `connector sync` sends it."
    out().print(f"{place}: {what}")


def discarded(decided: Decided) -> None:
    """Rows that were given up, for people."""
    name = f"[bold]{verbatim(decided.activation)}[/]"
    if not decided.rows:
        out().print(f"{name}: no such row is in quarantine; nothing was changed.")
        return
    doubts = sum(row.was is State.IN_DOUBT for row in decided.rows)
    told = may_have_arrived(doubts, len(decided.rows))
    out().print(f"{name}: {are(len(decided.rows))} discarded and never sent.{told}")


# --- undo ---------------------------------------------------------------------------------------


def undo_plan(plan: UndoPlan) -> None:
    """What would be deleted, for people."""
    standing, look = plan.standing, plan.look
    contacts = len(look.contacts) if look else 0
    out().print(f"Run [bold]{plan.run_id}[/] of [bold]{verbatim(plan.activation)}[/]")
    _figures(
        (plan.rows, f"{plural(plan.rows, 'interaction')} to be deleted at {plan.home.url}", True),
        (look.gone if look else 0, "of them not there (any more)", False),
        (look.unanswered if look else 0, "of them without an answer when looked at", False),
        (contacts, f"{plural(contacts, 'contact')} in all", False),
        (standing.not_found, "not found before, and to be asked for once more", False),
        (standing.undone, f"{plural(standing.undone, 'row')} taken back before", False),
        (standing.forgotten, f"{plural(standing.forgotten, 'row')} of persons forgotten", False),
    )
    if plan.rows and look is None:
        out().print("  How many contacts they are about, and what is gone already: see --look.")
    _print(plan.notes)
    if plan.requests:
        out().print(f"This takes about {duration(plan.seconds)}.")
    else:
        out().print("There is nothing to be taken back.")


def undone(done: Undone) -> None:
    """What came of it, for people."""
    console = out()
    parts = [
        (done.deleted, "deleted"),
        (done.already_gone, "gone already"),
        (done.not_found, "not found, and very young"),
    ]
    how = ", ".join(f"{number:,} {words}" for number, words in parts if number)
    if done.rows or not done.rechecked:
        rows = plural(done.rows, "row")
        console.print(f"{done.rows:,} {rows} taken back{f' ({how})' if how else ''}.")
    if done.rechecked:
        there = f"{done.reappeared:,} there after all, and deleted now"
        what = plural(done.rechecked, "interaction")
        console.print(f"{done.rechecked:,} {what} asked for once more: {there}.")
    for key, reason in done.refused[:MOST_SHOWN]:
        console.print(f"  not deleted: {verbatim(key)}: {verbatim(reason)}")
    _print_more(len(done.refused))
    if done.standing.delivered:
        console.print(f"{are(done.standing.delivered)} still delivered of what the run sent.")
    if done.rows:
        console.print(
            "No sync sends them again, whatever changes in the model;"
            f" `connector release {done.plan.run_id}` would let them be sent once more.",
        )
    _print(done.warnings)
    if done.standing.not_found:
        _print([may_appear(done.standing, done.plan.run_id)])


# --- release ------------------------------------------------------------------------------------


def release_plan(plan: RunPlan) -> None:
    """What would be let go, for people."""
    console, rows = out(), plan.rows
    console.print(f"Run [bold]{plan.run_id}[/] of [bold]{verbatim(plan.activation.name)}[/]")
    which = f"{plural(len(rows), 'row')} that {'was' if len(rows) == 1 else 'were'} taken back"
    _figures((len(rows), f"{which} would be sent again", True))
    _print(plan.notes)
    if rows:
        console.print(
            "They are read from the model and mapped as of today; the next sync sends them, and"
            " starts what automations there are once more.",
        )


def released(done: RunRetried) -> None:
    """What came of it, for people."""
    console = out()
    them = "it" if done.released == 1 else "them"
    rows = plural(done.released, "row")
    console.print(f"{done.released:,} {rows} released; the next sync sends {them}.")
    _print(restored_notes(done.restored))
    for key in done.missing[:MOST_SHOWN]:
        console.print(f"  stays undone: {verbatim(key)}: the model has it no more")
    _print_more(len(done.missing))
    for key, reason in done.invalid[:MOST_SHOWN]:
        console.print(f"  stays undone: {verbatim(key)}: {verbatim(reason)}")
    _print_more(len(done.invalid))


# --- forget -------------------------------------------------------------------------------------


def forget_plan(plan: ForgetPlan) -> None:
    """What would be removed, for people. Shows no name of the person."""
    holding = "row holds" if len(plan.rows) == 1 else "rows hold"
    _figures((len(plan.rows), f"{holding} something of this contact", True))
    if plan.rows:
        states = (f"{n:,} {state.replace('_', ' ')}" for state, n in plan.states.items())
        out().print(f"             {', '.join(states)}; in {', '.join(plan.activations)}")
    if plan.interactions is not None:
        what = plural(len(plan.interactions), "interaction")
        _figures((len(plan.interactions), f"{what} to be deleted", True))
    _print(plan.notes)


def forgotten(done: Forgotten) -> None:
    """What came of it, for people."""
    out().print(f"{were(done.rows)} forgotten.")
    if done.plan.interactions is not None:
        what = plural(done.deleted, "interaction")
        out().print(f"{done.deleted:,} {what} deleted, and what belongs to it forgotten.")
    for key, reason in done.refused[:MOST_SHOWN]:
        out().print(f"  not deleted: {verbatim(key)}: {verbatim(reason)}")
    _print_more(len(done.refused))
    _print(done.warnings)


# --- all of them --------------------------------------------------------------------------------


def _some_rows(console: Console, rows: Sequence[tuple[str, str | None]]) -> None:
    table = table_of("row key", "reason")
    for key, reason in rows[:MOST_ROWS]:
        table.add(key, reason or "")
    table.print(console)
    if len(rows) > MOST_ROWS:
        console.print(f"… and {len(rows) - MOST_ROWS:,} more; --json has them all.")


def _print(notes: Sequence[str]) -> None:
    for note in notes:
        out().print(verbatim(note))


def _print_more(number: int) -> None:
    if number > MOST_SHOWN:
        out().print(f"  … and {number - MOST_SHOWN:,} more; --json has them all")


def _figures(*lines: tuple[int, str, bool]) -> None:
    """A number a line; those that are nothing only where they must be told all the same."""
    for number, words, always in lines:
        if number or always:
            out().print(f"  {number:>9,}  {verbatim(words)}")
