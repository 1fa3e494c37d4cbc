"""What `undo`, `release`, `forget` and `prune` print: the plan, and what came of it."""

from connector.decisions.forgotten import Forgotten
from connector.decisions.forgotten import Plan as ForgetPlan
from connector.decisions.prune import STAYS
from connector.decisions.prune import Done as PruneDone
from connector.decisions.prune import Plan as PrunePlan
from connector.decisions.retry import RunPlan, RunRetried
from connector.decisions.undo import Plan as UndoPlan
from connector.decisions.undo import Undone, may_appear
from connector.ledger.records import instant
from connector.rules.words import are, by_state, counted, plural, rows, span_text, were
from connector.show.blocks import duration, figures, notes, rows_with_reasons
from connector.show.layout import out, verbatim

# --- undo ---------------------------------------------------------------------------------------


def show_undo_plan(plan: UndoPlan) -> None:
    """What would be deleted."""
    standing, look = plan.standing, plan.look
    contacts = len(look.contacts) if look else 0
    out().print(f"Run [bold]{plan.run_id}[/] of [bold]{verbatim(plan.activation)}[/]")
    figures(
        (plan.rows, f"{plural(plan.rows, 'interaction')} to be deleted at {plan.home.url}", True),
        (look.gone if look else 0, "of them not there (any more)", False),
        (look.unanswered if look else 0, "of them without an answer when looked at", False),
        (contacts, f"{plural(contacts, 'contact')} in all", False),
        (standing.not_found, "not found before, and to be asked for once more", False),
        (standing.undone, f"{plural(standing.undone, 'row')} taken back before", False),
        (standing.removed, f"{plural(standing.removed, 'row')} taken back by later runs", False),
        (standing.sent_again, "taken back since, and sent again by later runs", False),
        (standing.forgotten, f"{plural(standing.forgotten, 'row')} of persons forgotten", False),
    )
    if plan.rows and look is None:
        out().print("  How many contacts they are about, and what is gone already: see --look.")
    notes(plan.notes)
    if plan.requests:
        out().print(f"This takes about {duration(plan.seconds)}.")
    else:
        out().print("There is nothing to be taken back.")


def show_undone(done: Undone) -> None:
    """What came of it."""
    console = out()
    parts = [
        (done.deleted, "deleted"),
        (done.already_gone, "gone already"),
        (done.not_found, "not found, and very young"),
    ]
    how = ", ".join(f"{number:,} {what}" for number, what in parts if number)
    if done.rows or not done.rechecked:
        console.print(f"{rows(done.rows)} taken back{f' ({how})' if how else ''}.")
    if done.asked_again:
        console.print(done.asked_again)
    rows_with_reasons("not deleted", done.refused)
    if done.standing.delivered:
        console.print(f"{are(done.standing.delivered)} still delivered of what the run sent.")
    if done.rows:
        console.print(
            "No sync sends them again, whatever changes in the model;"
            f" `connector release {done.plan.run_id}` would let them be sent once more.",
        )
    notes([*done.warnings, *done.plan.not_brought_back])
    if done.standing.not_found:
        notes([may_appear(done.standing, done.plan.run_id)])


# --- release ------------------------------------------------------------------------------------


def show_release_plan(plan: RunPlan) -> None:
    """What would be sent again."""
    console, number = out(), len(plan.rows)
    console.print(f"Run [bold]{plan.run_id}[/] of [bold]{verbatim(plan.activation.name)}[/]")
    which = f"{plural(number, 'row')} that {'was' if number == 1 else 'were'} taken back"
    figures((number, f"{which} would be sent again", True))
    notes(plan.notes)
    if number:
        console.print(
            "They are read from the model and mapped as of today; the next sync sends them, and"
            " starts what automations there are once more.",
        )


def show_released(done: RunRetried) -> None:
    """What came of it."""
    console = out()
    them = "it" if done.released == 1 else "them"
    console.print(f"{rows(done.released)} released; the next sync sends {them}.")
    notes(done.restored_notes)
    rows_with_reasons("stays undone", [(key, "the model has it no more") for key in done.missing])
    rows_with_reasons("stays undone", done.invalid)


# --- forget -------------------------------------------------------------------------------------


def show_forget_plan(plan: ForgetPlan) -> None:
    """What would be removed. Shows no name of the person."""
    holding = "row holds" if len(plan.rows) == 1 else "rows hold"
    figures((len(plan.rows), f"{holding} something of this contact", True))
    if plan.rows:
        out().print(f"             {by_state(plan.states)}; in {', '.join(plan.activations)}")
    if (number := plan.to_be_deleted) is not None:
        figures((number, f"{plural(number, 'interaction')} to be deleted", True))
    notes(plan.notes)


def show_forgotten(done: Forgotten) -> None:
    """What came of it."""
    out().print(f"{were(done.rows)} forgotten.")
    if done.plan.interactions is not None:
        what = counted(done.deleted, "interaction")
        out().print(f"{what} deleted, and what belongs to it forgotten.")
    rows_with_reasons("not deleted", done.refused)
    notes(done.warnings)


def show_prune_plan(plan: PrunePlan) -> None:
    """What would be pruned of each activation."""
    if plan.empty:
        out().print(f"Nothing is older than {span_text(plan.span)}.")
        return
    for name, old in plan.old.items():
        what = f"{counted(old.rows, 'row')} and {counted(old.runs, 'run')}"
        out().print(f"{verbatim(name)}: {what} of before {instant(old.before)}")
    notes([STAYS])


def show_pruned(done: PruneDone) -> None:
    """What was pruned of each activation."""
    for name, pruned in done.pruned.items():
        what = f"{counted(pruned.rows, 'row')} and {counted(pruned.runs, 'run')} pruned"
        left = "" if pruned.done else "; the rest is left"
        out().print(f"{verbatim(name)}: {what}{left}")
    notes(done.busy.values())
