"""What persons decide about rows on the pages: asked, done, and told."""

import asyncio
import secrets
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from connector.decisions.quarantine import Decided, Selection
from connector.ledger.decisions import Case, Person
from connector.project import decide
from connector.rules.delivery import CORRECTABLE, State
from connector.rules.errors import ConfigurationError
from connector.serve.service import Service
from connector.serve.web.meant import changed, meant_by, rows_meant
from connector.serve.web.page import confirm, form_of, page, said
from connector.show.texts import discarding
from connector.sync.progress import Progress

LONGEST_NAME = 100
LONGEST_NOTE = 500
MOMENT = 2.0
"""Seconds that a browser waits for a decision before it is shown how far it is."""
MOST_DECIDINGS = 20
WORDS = {"absent": "was not delivered", "delivered": "was delivered"}


@dataclass(slots=True)
class Deciding(Progress):
    """A decision about many rows, while it goes on and for a while after it."""

    title: str
    place: str
    read: int = 0
    task: "asyncio.Task[str] | None" = None

    def reading(self, activation: str, rows: int) -> None:
        """`rows` of the model were read so far."""
        self.read = rows


async def retry(request: Request) -> Response:
    """Map rows again, as the model and the schema are now."""
    form = await form_of(request)
    app, meant = Service.of(request).app, meant_by(form)
    activation = app.settings.activation(meant.activation)
    if form.get("confirmed") != "1":
        return confirm(request, f"Try {_rows(meant.count)} again?", form, meant.place, decides=True)

    async def work(progress: Progress) -> str:
        keys = [
            case.row_key for case in await run_in_threadpool(rows_meant, app, activation, meant)
        ]
        if not keys:
            raise changed(meant)
        selection = Selection(tuple(keys), CORRECTABLE)
        return _retried(await decide.retry(app, activation, selection, _person(form), progress))

    return await _carry_out(request, f"Trying {_rows(meant.count)} again", meant.place, work)


async def discard(request: Request) -> Response:
    """Give rows up, for good."""
    form = await form_of(request)
    app, meant = Service.of(request).app, meant_by(form)
    activation = app.settings.activation(meant.activation)

    def shown() -> list[Case]:
        cases = rows_meant(app, activation, meant)
        if len(cases) != meant.count:
            raise changed(meant)
        return cases

    if form.get("confirmed") != "1":
        question = f"{discarding(await run_in_threadpool(shown))} Discard them?"
        return confirm(request, question, form, meant.place, decides=True)

    async def work(progress: Progress) -> str:
        cases = await run_in_threadpool(shown)
        selection = Selection(tuple(case.row_key for case in cases), ())
        decided = await run_in_threadpool(
            decide.discard, app, activation, selection, _person(form), cases
        )
        return f"Discarded: {_rows(len(decided.rows))}."

    return await _carry_out(request, f"Discarding {_rows(meant.count)}", meant.place, work)


async def settle(request: Request) -> Response:
    """Say what became of a row in doubt."""
    form = await form_of(request)
    app, meant, verdict = Service.of(request).app, meant_by(form), form.get("verdict", "")
    activation = app.settings.activation(meant.activation)
    if meant.key is None or verdict not in WORDS:
        raise ConfigurationError("say of one row whether it was delivered or not")
    if form.get("confirmed") != "1":
        question = f'You looked at the destination, and "{meant.key}" {WORDS[verdict]}?'
        return confirm(request, question, form, meant.place, decides=True)
    person = _person(form)
    if verdict == "absent":
        await run_in_threadpool(decide.settle_not_delivered, app, activation, meant.key, person)
        return said(meant.place, "It is pending again; the next run sends it when it is due.")
    found = _interaction_id(form)
    await run_in_threadpool(decide.settle_delivered, app, activation, meant.key, found, person)
    return said(meant.place, "It counts as delivered, and is never sent again.")


async def _carry_out(
    request: Request, title: str, place: str, work: Callable[[Progress], Coroutine[Any, Any, str]]
) -> Response:
    """Decide, and tell what came of it; what takes longer than a moment goes on by itself, and has
    a page of its own meanwhile."""
    deciding = Deciding(title, place)
    task = deciding.task = Service.of(request).spawn(work(deciding))
    await asyncio.wait([task], timeout=MOMENT)
    if task.done():
        return said(place, task.result())
    decidings: dict[str, Deciding] = request.app.state.decidings
    number = secrets.token_hex(4)
    decidings[number] = deciding
    for old in list(decidings)[:-MOST_DECIDINGS]:
        del decidings[old]
    return RedirectResponse(f"/decisions/{number}", 303)


def deciding(request: Request) -> Response:
    """How far a decision about many rows is, and in the end what came of it."""
    found: Deciding | None = request.app.state.decidings.get(request.path_params["number"])
    if found is None or found.task is None:
        raise ConfigurationError("it is not known any more; the story of each row tells its own")
    told = found.task.result() if found.task.done() else None
    content = {"deciding": found, "said_at_last": told, "here": request.scope["path"]}
    return page(request, "deciding.html", found.title, **content)


# --- parts --------------------------------------------------------------------------------------


def _person(form: dict[str, str]) -> Person:
    """Who decides, each on one line."""
    name = " ".join(form.get("by", "").split())[:LONGEST_NAME]
    note = " ".join(form.get("note", "").split())[:LONGEST_NOTE]
    return Person(name or "the web page", note or None)


def _interaction_id(form: dict[str, str]) -> str | None:
    text = form.get("interaction_id", "").strip()
    if len(text.split()) > 1:
        raise ConfigurationError("the interaction's id is one word, as the destination shows it")
    return text or None


def _retried(decided: Decided) -> str:
    invalid = sum(row.state is State.INVALID for row in decided.rows)
    parts = [
        (len(decided.rows) - invalid, "pending now and sent by the next run"),
        (invalid, "invalid, as the model is now"),
        (len(decided.missing), "not in the model any more, and not changed"),
    ]
    told = [f"{_rows(number)} {_are(number)} {what}" for number, what in parts if number]
    return f"{'; '.join(told)}." if told else "Nothing was changed."


def _rows(number: int) -> str:
    return "1 row" if number == 1 else f"{number:,} rows"


def _are(number: int) -> str:
    return "is" if number == 1 else "are"
