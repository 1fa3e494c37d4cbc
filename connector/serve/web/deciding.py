"""What persons decide about rows on the pages: asked, done, and told."""

import asyncio
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from connector.decisions.deciding import Decided
from connector.decisions.quarantine import Arrived, Discard, NeverArrived, Settle
from connector.decisions.retry import Retry
from connector.rules.deed import Agree, Deed, Done, Plan
from connector.rules.delivery import State
from connector.rules.errors import ConfigurationError
from connector.rules.words import are, rows
from connector.serve.service import Service
from connector.serve.web.meant import meant_by
from connector.serve.web.page import confirm, form_of, page, said
from connector.serve.web.persons import person_of
from connector.sync.progress import Progress

MOMENT = 2.0
"""Seconds that a browser waits for a deed before it is shown how far it is."""
MOST_DECIDINGS = 20

P = TypeVar("P", bound=Plan)
D = TypeVar("D", bound=Done)
Form = dict[str, str]


@dataclass(slots=True)
class Deciding(Progress):
    """A deed about many rows, while it goes on and for a while after it."""

    title: str
    place: str
    read: int = 0
    task: "asyncio.Task[str] | None" = None

    def reading(self, activation: str, rows: int) -> None:
        """`rows` of the model were read so far."""
        self.read = rows


# --- the deeds ----------------------------------------------------------------------------------


async def retry(request: Request) -> Response:
    """Map rows again, as the model and the schema are now."""
    form = await form_of(request)
    app, meant = Service.of(request).app, meant_by(form)
    activation = app.settings.activation(meant.activation)
    deciding = Deciding(f"Trying {rows(meant.count)} again", meant.place)
    deed = Retry(app, activation, meant.selection, person_of(request, form), deciding)
    return await _carry_out(request, form, deed, deciding, _retried)


async def discard(request: Request) -> Response:
    """Give rows up, for good."""
    form = await form_of(request)
    app, meant = Service.of(request).app, meant_by(form)
    activation = app.settings.activation(meant.activation)
    deed = Discard(app, activation, meant.selection, person_of(request, form))
    deciding = Deciding(f"Discarding {rows(meant.count)}", meant.place)
    return await _carry_out(
        request, form, deed, deciding, lambda done: f"Discarded: {rows(len(done.rows))}."
    )


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
    return await _carry_out(request, form, deed, deciding, lambda done: told)


async def _carry_out(
    request: Request, form: Form, deed: Deed[P, D], deciding: Deciding, told: Callable[[D], str]
) -> Response:
    """Ask, and once a yes is there do it and tell; what takes longer than a moment goes on by
    itself, and has a page of its own meanwhile."""
    if form.get("confirmed") != "1":
        plan = await deed.plan()
        assert isinstance(plan.question, Agree)
        return confirm(request, plan.question.text, form, deciding.place, decides=True)

    async def work() -> str:
        return told(await deed.do(await deed.plan(), agreed=True))

    task = deciding.task = Service.of(request).spawn(work())
    await asyncio.wait([task], timeout=MOMENT)
    if task.done():
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
