"""The quarantine of `connector serve`, the story of a row, and what persons decide about rows."""

import asyncio
import secrets
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from pydantic import BaseModel, ConfigDict, ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from connector.decisions.quarantine import DISCARDABLE, Decided, Selection
from connector.ledger.decisions import Case, Person
from connector.ledger.reports import Document
from connector.project import decide
from connector.project.app import App
from connector.rules.activation import Activation
from connector.rules.delivery import CORRECTABLE, QUARANTINE, State
from connector.rules.errors import ConfigurationError, StaleMove
from connector.serve.web.pages import confirm, form_of, page, said, service_of, shortened
from connector.show.texts import discarding
from connector.sync.progress import Progress

LONGEST_HEADING = 80
MOST_GROUPS = 50
MOST_ROWS = 200
LONGEST_FILTER = 200
"""Characters of a reason that are looked for; databases refuse very long patterns."""
LONGEST_NAME = 100
LONGEST_NOTE = 500
MOMENT = 2.0
"""Seconds that a browser waits for a decision before it is shown how far it is."""
MOST_DECIDINGS = 20
WORDS = {"absent": "was not delivered", "delivered": "was delivered"}


class Meant(BaseModel):
    """The rows that a form is about: the one with `key`, or all `count` of a group.

    Forms carry it as JSON, since browsers rewrite line ends in plain fields, and a row key may have
    some.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    activation: str
    key: str | None = None
    state: State | None = None
    reason: str | None = None
    count: int = 1

    @property
    def place(self) -> str:
        """The page to go on with."""
        if self.key is not None:
            return f"/rows?{urlencode({'activation': self.activation, 'key': self.key})}"
        return f"/quarantine?{urlencode({'activation': self.activation})}"


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


# --- looking ------------------------------------------------------------------------------------


def quarantine(request: Request) -> Response:
    """The rows that wait for a person: grouped by reason, and one by one."""
    service, query = service_of(request), request.query_params
    name = query.get("activation") or None
    state = _state(query.get("state"))
    reason = query.get("reason", "").strip()[:LONGEST_FILTER] or None
    with service.app_reports() as reports:
        groups = reports.quarantine_groups(name, state, reason)
        rows = reports.quarantine(name, MOST_ROWS, state, reason)
    return page(
        request,
        "quarantine.html",
        "Quarantine",
        groups=[_group(service.app, group) for group in groups[:MOST_GROUPS]],
        more_groups=len(groups) - MOST_GROUPS,
        rows=rows,
        total=sum(group["count"] for group in groups),
        activations=list(service.app.settings.project.activations),
        states=[state.value for state in QUARANTINE],
        chosen={"activation": name, "state": state and state.value, "reason": reason},
    )


def row(request: Request) -> Response:
    """The whole story of one row."""
    service = service_of(request)
    name, key = (request.query_params.get(part, "") for part in ("activation", "key"))
    with service.app_reports() as reports:
        document = reports.delivery(name, key)
        similar = [] if document else reports.similar_keys(name, key)
    if document is None:
        hint = f"; recorded are, for example: {', '.join(similar)}" if similar else ""
        raise ConfigurationError(f'"{name}" has recorded no row with the key "{key}"{hint}')
    found = choices(service.app, State(document["state"]), Meant(activation=name, key=key))
    short = shortened(key, LONGEST_HEADING)
    return page(
        request,
        "row.html",
        f"{short} of {name}",
        here="/",
        row=document,
        short_key=short,
        choices=found,
    )


def _state(text: str | None) -> State | None:
    if not text:
        return None
    if text not in QUARANTINE:
        raise ConfigurationError("rows in quarantine are invalid, rejected or in_doubt")
    return State(text)


def _group(app: App, group: Document) -> Document:
    """A group with the forms that it may have, and the way to its rows."""
    name, state, reason = group["activation"], State(group["state"]), group["reason"]
    meant = Meant(activation=name, state=state, reason=reason, count=group["count"])
    narrowed = {"activation": name, "state": state.value, "reason": (reason or "")[:LONGEST_FILTER]}
    return {
        **group,
        "rows": f"/quarantine?{urlencode(narrowed)}#rows",
        "choices": choices(app, state, meant),
    }


def choices(app: App, state: State, meant: Meant) -> dict[str, Any] | None:
    """What can be decided about rows in `state`; None where nothing can."""
    if meant.activation not in app.settings.project.activations or state not in DISCARDABLE:
        return None
    return {
        "meant": meant.model_dump_json(exclude_defaults=True),
        "retry": state in CORRECTABLE,
        "settle": state is State.IN_DOUBT and meant.key is not None,
        "doubt": state is State.IN_DOUBT,
        "number": meant.count,
    }


# --- deciding -----------------------------------------------------------------------------------


async def retry(request: Request) -> Response:
    """Map rows again, as the model and the schema are now."""
    form = await form_of(request)
    app, meant = service_of(request).app, _meant(form)
    activation = app.settings.activation(meant.activation)
    if form.get("confirmed") != "1":
        return confirm(request, f"Try {_rows(meant.count)} again?", form, meant.place, decides=True)

    async def work(progress: Progress) -> str:
        keys = [case.row_key for case in await run_in_threadpool(_cases, app, activation, meant)]
        if not keys:
            raise _changed(meant)
        selection = Selection(tuple(keys), CORRECTABLE)
        return _retried(await decide.retry(app, activation, selection, _person(form), progress))

    return await _carry_out(request, f"Trying {_rows(meant.count)} again", meant.place, work)


async def discard(request: Request) -> Response:
    """Give rows up, for good."""
    form = await form_of(request)
    app, meant = service_of(request).app, _meant(form)
    activation = app.settings.activation(meant.activation)

    def shown() -> list[Case]:
        cases = _cases(app, activation, meant)
        if len(cases) != meant.count:
            raise _changed(meant)
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
    app, meant, verdict = service_of(request).app, _meant(form), form.get("verdict", "")
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
    task = deciding.task = service_of(request).spawn(work(deciding))
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


def _meant(form: dict[str, str]) -> Meant:
    try:
        return Meant.model_validate_json(form.get("meant", ""))
    except ValidationError:
        raise ConfigurationError("the form does not say which rows are meant") from None


def _cases(app: App, activation: Activation, meant: Meant) -> list[Case]:
    """The rows as they stand now; of a group those with exactly its reason."""
    if meant.key is not None:
        return decide.discardable(app, activation, Selection((meant.key,), ()))
    if meant.state not in QUARANTINE:
        raise ConfigurationError("only rows in quarantine are decided about together")
    part = meant.reason[:LONGEST_FILTER] if meant.reason else None
    cases = decide.discardable(app, activation, Selection((), (State(meant.state),), part))
    return [case for case in cases if case.reason == meant.reason]


def _changed(meant: Meant) -> StaleMove:
    return StaleMove(
        f'"{meant.activation}": the rows have changed since they were shown, so nothing was'
        " decided; look at them again"
    )


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
