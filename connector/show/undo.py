"""What `undo`, `release` and `forget` print: the plan, the question, and what came of it."""

from collections.abc import Sequence
from typing import Any

from connector.decisions.forget import Forgotten
from connector.decisions.forget import Plan as ForgetPlan
from connector.decisions.release import ReleasedRows
from connector.decisions.undo import Plan as UndoPlan
from connector.decisions.undo import Undone
from connector.ledger.reports import Document
from connector.ledger.takeback import Sent, Standing
from connector.rules.errors import ConnectorError, unlocated, why
from connector.show.blocks import are, duration, figures, notes, plural, were
from connector.show.failures import show_failure
from connector.show.layout import out, verbatim
from connector.sync.run import RESTORED

MOST_SHOWN = 20
"""Rows that are listed one by one; all of them are in the JSON."""
STAYS = (
    "Mails already sent stay sent, and points already given stay given: deleting an interaction"
    " takes back nothing that an automation did because of it."
)
NONE_THERE = (
    "None of the interactions was there to be deleted. If they were sent to another Engage than {},"
    " they are still there."
)
MAY_APPEAR = (
    "{} not found when they were to be deleted, and so soon after they were sent that they may yet"
    " appear. They count as undone; `connector undo {}` once more, in some minutes, makes sure."
)


# --- undo ---------------------------------------------------------------------------------------


def undo_document(plan: UndoPlan, done: Undone | None, by: str) -> Document:
    """An undoing, planned or done, for programs."""
    standing = done.standing if done else plan.standing
    look = plan.look
    return {
        "run_id": plan.run_id,
        "activation": plan.activation,
        "destination": plan.destination,
        "status": _status(done),
        "rows": plan.rows,
        "contacts": len(look.contacts) if look else None,
        "already_gone": look.gone if look else None,
        "looked_at": look.asked - look.unanswered if look else 0,
        "undone": done.rows if done else 0,
        "deleted": done.deleted if done else 0,
        "were_gone": done.already_gone if done else 0,
        "not_found": done.not_found if done else 0,
        "rechecked": done.rechecked if done else 0,
        "reappeared": done.reappeared if done else 0,
        "refused": [{"row_key": k, "reason": r} for k, r in done.refused] if done else [],
        "standing": _standing_document(standing),
        "by": by,
        "notes": _undo_notes(plan, done),
        "error": str(done.error) if done and done.error else None,
        **why(done.error if done else None),
    }


def _standing_document(standing: Standing) -> Document:
    return {
        "delivered": standing.delivered,
        "without_id": standing.without_id,
        "undone": standing.undone,
        "not_found": standing.not_found,
        "forgotten": standing.forgotten,
        "in_doubt": standing.in_doubt,
        "unsent": standing.unsent,
    }


def _status(done: Any) -> str:
    """The word for how it ended, as runs have it; `planned` where nothing was done."""
    if done is None:
        return "planned"
    return "stopped" if done.error else ("attention" if done.exit_code else "succeeded")


def undo_plan(plan: UndoPlan) -> None:
    """What would be deleted, for people."""
    standing, look = plan.standing, plan.look
    contacts = len(look.contacts) if look else 0
    out().print(f"Run [bold]{plan.run_id}[/] of [bold]{verbatim(plan.activation)}[/]")
    figures(
        (plan.rows, f"{plural(plan.rows, 'interaction')} to be deleted at {plan.url}", True),
        (look.gone if look else 0, "of them not there (any more)", False),
        (look.unanswered if look else 0, "of them without an answer when looked at", False),
        (contacts, f"{plural(contacts, 'contact')} in all", False),
        (standing.not_found, "not found before, and to be asked for once more", False),
        (standing.undone, f"{plural(standing.undone, 'row')} taken back before", False),
        (standing.forgotten, f"{plural(standing.forgotten, 'row')} of persons forgotten", False),
    )
    if plan.rows and look is None:
        out().print("  How many contacts they are about, and what is gone already: see --look.")
    notes(_undo_notes(plan, None))
    if plan.requests:
        out().print(f"This takes about {duration(plan.seconds)}.")
    else:
        out().print("There is nothing to be taken back.")


def undo_question(plan: UndoPlan) -> str:
    """What a person is asked."""
    if plan.rows:
        return f"Delete {plan.rows:,} {plural(plan.rows, 'interaction')} at {plan.url}?"
    what = plural(plan.requests, "interaction")
    return f"Ask for {plan.requests:,} {what} once more, and delete what is there?"


def _undo_notes(plan: UndoPlan, done: Undone | None) -> list[str]:
    """What a person should know beyond the numbers."""
    standing, look = (done.standing if done else plan.standing), plan.look
    notes = [STAYS] if plan.rows else []
    if plan.running and not done:
        notes.append("The run is not recorded as ended; while it goes on, nothing can be deleted.")
    if look and look.gone == look.asked > 0 and not done:
        notes.append(
            f"None of the interactions is to be seen at {plan.url}. If they were sent to another"
            " Engage, do not go on: they would count as undone and stay where they are."
        )
    notes += _restored(done)
    if done and done.rows and not done.deleted and not plan.standing.undone:
        notes.append(NONE_THERE.format(plan.url))
    if standing.without_id:
        notes.append(
            f"{are(standing.without_id)} delivered as a person says, without an interaction's id,"
            " and cannot be taken back from here."
        )
    if standing.in_doubt:
        notes.append(
            f"{are(standing.in_doubt)} in doubt and may have arrived. A sync finds out; undo the"
            " run again afterwards."
        )
    if standing.unsent:
        notes.append(
            f"{are(standing.unsent)} recorded for this run and not sent; the next sync sends them."
        )
    if standing.not_found:
        notes.append(MAY_APPEAR.format(were(standing.not_found), plan.run_id))
    return notes


def undone(plan: UndoPlan, done: Undone) -> None:
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
            f" `connector release {plan.run_id}` would let them be sent once more.",
        )
    notes(_restored(done))
    if done.rows and not done.deleted and not plan.standing.undone:
        notes([NONE_THERE.format(plan.url)])
    if done.standing.not_found:
        notes([MAY_APPEAR.format(were(done.standing.not_found), plan.run_id)])


# --- release ------------------------------------------------------------------------------------


def release_document(
    run_id: str,
    activation: str,
    rows: Sequence[Sent],
    standing: Standing,
    done: ReleasedRows | None,
    by: str,
) -> Document:
    """A release, planned or done, for programs."""
    return {
        "run_id": run_id,
        "activation": activation,
        "status": _status(done),
        "rows": len(rows),
        "released": done.released if done else 0,
        "missing": done.missing if done else [],
        "invalid": [{"row_key": k, "reason": r} for k, r in done.invalid] if done else [],
        "standing": _standing_document(standing),
        "by": by,
        "notes": _release_notes(standing) + _restored(done),
        "error": str(done.error) if done and done.error else None,
        **why(done.error if done else None),
    }


def release_plan(run_id: str, activation: str, rows: Sequence[Sent], standing: Standing) -> None:
    """What would be let go, for people."""
    console = out()
    console.print(f"Run [bold]{run_id}[/] of [bold]{verbatim(activation)}[/]")
    which = f"{plural(len(rows), 'row')} that {'was' if len(rows) == 1 else 'were'} taken back"
    figures((len(rows), f"{which} would be sent again", True))
    notes(_release_notes(standing))
    if rows:
        console.print(
            "They are read from the model and mapped as of today; the next sync sends them, and"
            " starts what automations there are once more.",
        )


def _release_notes(standing: Standing) -> list[str]:
    notes = []
    if standing.not_found:
        notes.append(
            f"{were(standing.not_found)} not found when they were taken back, moments after they"
            " were sent; they can be released once `connector undo` has asked for them again."
        )
    if standing.forgotten:
        notes.append(f"{were(standing.forgotten)} forgotten for good and not released.")
    return notes


def released(done: ReleasedRows) -> None:
    """What came of it, for people."""
    console = out()
    them = "it" if done.released == 1 else "them"
    rows = plural(done.released, "row")
    console.print(f"{done.released:,} {rows} released; the next sync sends {them}.")
    notes(_restored(done))
    for key in done.missing[:MOST_SHOWN]:
        console.print(f"  stays undone: {verbatim(key)}: the model has it no more")
    _print_more(len(done.missing))
    for key, reason in done.invalid[:MOST_SHOWN]:
        console.print(f"  stays undone: {verbatim(key)}: {verbatim(reason)}")
    _print_more(len(done.invalid))


# --- forget -------------------------------------------------------------------------------------


def forget_document(plan: ForgetPlan, done: Forgotten | None, by: str) -> Document:
    """A forgetting, planned or done, for programs."""
    found = None if plan.interactions is None else len(plan.interactions)
    return {
        "status": _status(done),
        "rows": len(plan.rows),
        "states": plan.states,
        "activations": plan.activations,
        "row_keys_that_stay": plan.keys,
        "interactions": found,
        "interactions_of_others": plan.foreign,
        "forgotten": done.rows if done else 0,
        "deleted": done.deleted if done else 0,
        "refused": [{"row_key": k, "reason": r} for k, r in done.refused] if done else [],
        "by": by,
        "notes": _what_stays(plan) + (_what_to_know(plan, done) if done else []),
        "error": str(done.error) if done and done.error else None,
        **why(done.error if done else None),
    }


def forget_plan(plan: ForgetPlan) -> None:
    """What would be removed, for people. Shows no name of the person."""
    holding = "row holds" if len(plan.rows) == 1 else "rows hold"
    figures((len(plan.rows), f"{holding} something of this contact", True))
    if plan.rows:
        states = (f"{n:,} {state.replace('_', ' ')}" for state, n in plan.states.items())
        out().print(f"             {', '.join(states)}; in {', '.join(plan.activations)}")
    if plan.interactions is not None:
        what = plural(len(plan.interactions), "interaction")
        figures((len(plan.interactions), f"{what} to be deleted", True))
    notes(_what_stays(plan))


def _what_stays(plan: ForgetPlan) -> list[str]:
    notes = []
    if doubts := plan.states.get("in_doubt"):
        notes.append(
            f"{are(doubts)} in doubt: what they sent may have arrived, and nobody will look for it"
            " any more. A sync before this settles them."
        )
    if plan.keys:
        notes.append(
            f"{plan.keys:,} {'row key holds' if plan.keys == 1 else 'row keys hold'} what was given"
            " itself. That stays, since row keys keep rows from being sent again; row keys without"
            " personal data are better."
        )
    if plan.interactions is None:
        notes.append(
            "Delivered rows hold no contact. Their interactions stay at the destination, unless"
            " --delete-interactions is given."
        )
    notes += [
        f'At "{destination}" no contact goes with what was given, so no interactions could be'
        " looked for there; give the contactId if there may be some."
        for destination in plan.unknown
    ]
    if plan.foreign:
        notes.append(
            f"{plan.foreign:,} other {plural(plan.foreign, 'interaction')} of this contact"
            f" {'stays' if plan.foreign == 1 else 'stay'}: not from here."
        )
    return notes


def _what_to_know(plan: ForgetPlan, done: Forgotten) -> list[str]:
    notes = [*_restored(done), *([STAYS] if done.deleted else [])]
    notes.append(
        "What was forgotten is never sent. New rows of this contact would be: leave them out in the"
        " model. Backups of the ledger hold what they held."
    )
    if not done.error and not done.overwritten:
        notes.append(
            "What was removed may stand in the database's files for a while, until they are"
            " vacuumed (PostgreSQL) or nobody reads them any more (SQLite)."
        )
    return notes


def forgotten(plan: ForgetPlan, done: Forgotten) -> None:
    """What came of it, for people."""
    out().print(f"{were(done.rows)} forgotten.")
    if plan.interactions is not None:
        what = plural(done.deleted, "interaction")
        out().print(f"{done.deleted:,} {what} deleted, and what belongs to it forgotten.")
    for key, reason in done.refused[:MOST_SHOWN]:
        out().print(f"  not deleted: {verbatim(key)}: {verbatim(reason)}")
    _print_more(len(done.refused))
    notes(_what_to_know(plan, done))


# --- all of them --------------------------------------------------------------------------------


def stopped(error: ConnectorError | None) -> None:
    """What stopped it, if something did, on standard error."""
    if error:
        show_failure(error, unlocated, as_document=False)


def _print_more(number: int) -> None:
    if number > MOST_SHOWN:
        out().print(f"  … and {number - MOST_SHOWN:,} more; --json has them all")


def _restored(done: Undone | ReleasedRows | Forgotten | None) -> list[str]:
    return [RESTORED.format(reason=done.restored)] if done and done.restored else []
