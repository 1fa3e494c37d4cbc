"""What persons decide about rows and runs on the pages: asked, done, and told."""

import asyncio
import secrets
from collections.abc import Callable, Coroutine, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from connector.basis import dataclass
from connector.decisions.deciding import Decided
from connector.decisions.quarantine import Arrived, Discard, NeverArrived, Settle
from connector.decisions.retry import Retry
from connector.decisions.undo import Plan as UndoPlan
from connector.decisions.undo import Undo, Undone, may_appear
from connector.ledger.decisions import Person
from connector.project import look
from connector.project.app import App
from connector.rules.deed import Agree, Deed, Document, Done, Plan
from connector.rules.delivery import State
from connector.rules.errors import ConfigurationError, ConnectorError, StaleMove
from connector.rules.words import are, counted, rows
from connector.serve.service import Service
from connector.serve.web.meant import Meant, meant_by, several_meant_by
from connector.serve.web.page import confirm, form_of, lasting, moment, page, problem, said
from connector.serve.web.persons import person_of
from connector.show.verification import LISTS
from connector.sync.progress import Progress

MOMENT = 2.0
"""Seconds that a browser waits for a deed before it is shown how far it is."""
MOST_DECIDINGS = 20
MOST_TROUBLES = 5
"""Activations of which it is told what stood in the way."""
MOST_FOUND = 200
"""Rows of a verification that are listed."""
FINDINGS = {
    "missing": "missing at the destination",
    "doubled": "standing twice",
    "changed": "not as sent",
    "still_there": "taken back, and still there",
}

P = TypeVar("P", bound=Plan)
D = TypeVar("D", bound=Done)
Form = dict[str, str]


@dataclass(slots=True)
class Deciding(Progress):
    """A deed about many rows, while it goes on and for a while after it."""

    title: str
    place: str
    read: int = 0
    looked: tuple[int, int] = (0, 0)
    """So many, of how many."""
    found: Sequence[tuple[str, str]] = ()
    """Rows, each with what is to be said of it."""
    task: "asyncio.Task[str] | None" = None

    def reading(self, activation: str, rows: int) -> None:
        """`rows` of the model were read so far."""
        self.read = rows

    def counting(self, activation: str, verb: str, done: int, total: int) -> None:
        """`done` of `total` rows."""
        self.looking(done, total)

    def looking(self, done: int, total: int) -> None:
        """So many of them were looked at."""
        self.looked = (done, total)


# --- the deeds ----------------------------------------------------------------------------------


async def retry(request: Request) -> Response:
    """Map rows again, as the model and the schema are now."""
    return await _decide(request, RETRY)


async def discard(request: Request) -> Response:
    """Give rows up, for good."""
    return await _decide(request, DISCARD)


async def settle(request: Request) -> Response:
    """Say what became of a row in doubt."""
    form = await form_of(request)
    app, meant = Service.of(request).app, meant_by(form)
    activation = app.settings.activation(meant.activation)
    if meant.key is None or form.get("verdict") not in ("absent", "delivered"):
        raise ConfigurationError("say of one row whether it was delivered or not")
    if form["verdict"] == "absent":
        verdict: Arrived | NeverArrived = NeverArrived()
        told = "It is pending again; the next run sends it when it is due."
    else:
        verdict = Arrived(_interaction_id(form))
        told = "It counts as delivered, and is never sent again."
    deed = Settle(app, activation, meant.key, verdict, person_of(request, form))
    deciding = Deciding("Settling a doubt", meant.place)
    return await carry_out(request, form, deed, deciding, lambda done: told)


async def carry_out(
    request: Request, form: Form, deed: Deed[P, D], deciding: Deciding, told: Callable[[D], str]
) -> Response:
    """Ask, and once a yes is there do it and tell; where the rows are not those that were shown any
    more, lead back to them."""
    try:
        return await _asked_and_done(request, form, deed, deciding, told)
    except StaleMove as stale:
        back = meant_by(form).shown if "meant" in form else deciding.place
        return problem(request, stale, back=back)


async def _asked_and_done(
    request: Request, form: Form, deed: Deed[P, D], deciding: Deciding, told: Callable[[D], str]
) -> Response:
    """What takes longer than a moment goes on by itself, and has a page of its own meanwhile."""
    if form.get("confirmed") != "1":
        plan = await deed.plan()
        assert isinstance(plan.question, Agree)
        return confirm(request, plan.question.text, form, deciding.place, decides=True)

    async def work() -> str:
        return told(await deed.do(await deed.plan(), agreed=True))

    return await carry_on(request, deciding, work())


async def carry_on(
    request: Request, deciding: Deciding, work: Coroutine[Any, Any, str], stay: bool = False
) -> Response:
    """Begin `work`; what takes longer than a moment goes on by itself, and has a page of its own
    meanwhile. `stay`: what it found stands there, too."""
    task = deciding.task = Service.of(request).spawn(work)
    await asyncio.wait([task], timeout=MOMENT)
    if task.done() and (not stay or not deciding.found):
        return said(deciding.place, task.result())
    decidings: dict[str, Deciding] = request.app.state.decidings
    number = secrets.token_hex(4)
    decidings[number] = deciding
    for old in list(decidings)[:-MOST_DECIDINGS]:
        del decidings[old]
    return RedirectResponse(f"/decisions/{number}", 303)


def deciding(request: Request) -> Response:
    """How far a deed about many rows is, and in the end what came of it."""
    found: Deciding | None = request.app.state.decidings.get(request.path_params["number"])
    if found is None or found.task is None:
        raise ConfigurationError("it is not known any more; the story of each row tells its own")
    told = found.task.result() if found.task.done() else None
    content = {"deciding": found, "said_at_last": told, "here": request.scope["path"]}
    return page(request, "deciding.html", found.title, **content)


# --- about many rows, also of several activations -------------------------------------------------


@dataclass(frozen=True, slots=True)
class Verb:
    """What is done with rows. `title` and `ask`, the question about those of several activations,
    hold a place for how many they are; `told` says what came of it."""

    deed: Callable[[App, Meant, Person, Deciding], Deed[Any, Decided]]
    ask: str
    title: str
    told: Callable[[Decided], str]


RETRY = Verb(
    lambda app, meant, person, deciding: Retry(
        app, app.settings.activation(meant.activation), meant.selection, person, deciding
    ),
    "Try {} again, as the model is now?",
    "Trying {} again",
    lambda done: _retried(done),
)
DISCARD = Verb(
    lambda app, meant, person, _: Discard(
        app, app.recorded(meant.activation), meant.selection, person
    ),
    "Discard {} for good? Nothing brings them back.",
    "Discarding {}",
    lambda done: f"Discarded: {rows(len(done.rows))}.",
)


async def _decide(request: Request, verb: Verb) -> Response:
    form = await form_of(request)
    if several := several_meant_by(form):
        return await _together(request, form, several, verb)
    app, meant = Service.of(request).app, meant_by(form)
    deciding = Deciding(verb.title.format(rows(meant.count)), meant.place)
    deed = verb.deed(app, meant, person_of(request, form), deciding)
    return await carry_out(request, form, deed, deciding, verb.told)


async def _together(request: Request, form: Form, several: Sequence[Meant], verb: Verb) -> Response:
    """One activation after the other: what stands in the way of one leaves its rows as they are,
    and the others go on."""
    app, person = Service.of(request).app, person_of(request, form)
    for meant in several:
        app.recorded(meant.activation)
    number = rows(sum(meant.count for meant in several))
    if form.get("confirmed") != "1":
        listed = ", ".join(f"{meant.count:,} of {meant.activation}" for meant in several)
        question = f"{verb.ask.format(f'these {number}')} They are {listed}."
        return confirm(request, question, form, several[0].everywhere, decides=True)
    deciding = Deciding(verb.title.format(number), several[0].everywhere)

    async def work() -> str:
        whole, troubles = Decided("", person), list[str]()
        for meant in several:
            try:
                deed = verb.deed(app, meant, person, deciding)
                done = await deed.do(await deed.plan(), agreed=True)
            except ConnectorError as error:
                troubles.append(f"{meant.activation}: {error}.")
                continue
            whole.rows += done.rows
            whole.missing = [*whole.missing, *done.missing]
            if done.error:
                troubles.append(f"{meant.activation} was stopped: {done.error}.")
        left = len(troubles) - MOST_TROUBLES
        more = [f"So it is with {left} more."] if left > 0 else []
        return " ".join([verb.told(whole), *troubles[:MOST_TROUBLES], *more])

    return await carry_on(request, deciding, work())


# --- about a run --------------------------------------------------------------------------------


async def undo(request: Request) -> Response:
    """Take back what a run sent: shown first, and done when just that is agreed to."""
    form, run_id = await form_of(request), request.path_params["run_id"]
    service = Service.of(request)
    deciding = Deciding(f"Taking back run {run_id}", f"/runs/{run_id}")
    deed = Undo(service.app, run_id, person_of(request, form), None, deciding)
    plan = await deed.plan()
    if form.get("confirmed") == "1" and form.get("rows") == str(plan.requests):
        return await carry_out(request, form, deed, deciding, _undone)
    return page(
        request,
        "undo.html",
        f"Take back run {run_id}",
        here="/runs",
        plan=plan,
        figures=_figures(plan),
        takes=lasting(plan.seconds),
        changed=form.get("confirmed") == "1",
    )


def _figures(plan: UndoPlan) -> list[tuple[str, int]]:
    standing, seen = plan.standing, plan.look
    found = [
        ("To be deleted", plan.rows),
        ("Not there any more", seen.gone if seen else 0),
        ("Without an answer", seen.unanswered if seen else 0),
        ("Contacts", len(seen.contacts) if seen else 0),
        ("Not found before, asked for again", standing.not_found),
        ("Taken back before", standing.undone),
        ("Taken back by later runs", standing.removed),
        ("Taken back since, and sent again by later runs", standing.sent_again),
        ("Of persons forgotten", standing.forgotten),
    ]
    return [(name, number) for name, number in found if number or name == "To be deleted"]


def _undone(done: Undone) -> str:
    parts = [done.asked_again] if done.asked_again else []
    if done.rows or not parts:
        parts.insert(0, f"{counted(done.rows, 'interaction')} taken back.")
    if done.refused:
        parts.append(f"{rows(len(done.refused))} not deleted: {done.refused[0][1]}")
    if done.error:
        parts.append(f"It was stopped: {done.error}")
    if done.standing.delivered:
        parts.append(f"{are(done.standing.delivered)} still delivered of what the run sent.")
    if done.standing.not_found:
        parts.append(may_appear(done.standing, done.plan.run_id))
    return " ".join([*parts, *done.warnings])


async def verify(request: Request) -> Response:
    """Read back what a run delivered, and tell what is amiss."""
    run_id, app = request.path_params["run_id"], Service.of(request).app
    deciding = Deciding(f"Verifying run {run_id}", f"/runs/{run_id}")

    async def work() -> str:
        document, found = await look.verify(app, run_id, 1.0, deciding.looking)
        told = found.document(document, 1.0)
        deciding.found = _found(told)
        return _verdict(told)

    return await carry_on(request, deciding, work(), stay=True)


def _found(told: Document) -> list[tuple[str, str]]:
    """Row keys, each with what is amiss."""
    found = []
    for kind, words in FINDINGS.items():
        for each in told.get(kind, ()):
            also = ", ".join(_listed(each[name]) for name in LISTS if each.get(name))
            found.append((str(each["row_key"]), f"{words}{f': {also}' if also else ''}"))
    found += [
        (str(gap["example_key"]), f"{rows(gap['count'])} not proven: {gap['reason']}")
        for gap in told.get("incomplete", ())
    ]
    return found[:MOST_FOUND]


def _listed(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _verdict(told: Document) -> str:
    now = moment(datetime.now(UTC).isoformat())
    if told["ok"]:
        return f"{rows(told['checked'])} looked at: each is there, once and as it was sent ({now})."
    amiss = sum(len(told.get(kind, ())) for kind in FINDINGS)
    gaps = sum(gap["count"] for gap in told.get("incomplete", ()))
    parts = [f"{rows(told['checked'])} looked at: {amiss:,} not as they should be"]
    return f"{', '.join([*parts, *([f'{gaps:,} not proven'] if gaps else [])])} ({now})."


# --- parts --------------------------------------------------------------------------------------


def _interaction_id(form: Form) -> str | None:
    text = form.get("interaction_id", "").strip()
    if len(text.split()) > 1:
        raise ConfigurationError("the interaction's id is one word, as the destination shows it")
    return text or None


def _retried(decided: Decided) -> str:
    invalid = sum(row["state"] is State.INVALID for row in decided.rows)
    parts = [
        (len(decided.rows) - invalid, "pending now and sent by the next run"),
        (invalid, "invalid, as the model is now"),
        (len(decided.missing), "not in the model any more, and not changed"),
    ]
    told = [f"{are(number)} {what}" for number, what in parts if number]
    if decided.error:
        told.append(f"then it was stopped: {decided.error}")
    return f"{'; '.join(told)}." if told else "Nothing was changed."
