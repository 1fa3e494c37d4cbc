"""The pages of activations: where they stand, what a sync would do, and running or pausing them."""

from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from connector.decisions.approve import Approve, Held
from connector.destinations.port import lacks
from connector.ledger.days import DAY, date_of, day_number
from connector.ledger.trends import Day
from connector.project import look
from connector.project.receipts import receipts
from connector.project.reporting import rhythm_and_zone
from connector.rules.activation import Activation
from connector.rules.lanes import lane_of, lane_text
from connector.rules.needs import notes_of
from connector.rules.window import ANY_TIME, window_of, window_text
from connector.rules.words import words
from connector.serve.service import Service
from connector.serve.web.charts import Chart, bars, days_until_now
from connector.serve.web.glance import glances
from connector.serve.web.model import Shapes, coloured, mapped, next_times, sql_of
from connector.serve.web.page import ZONE, confirm, form_of, lasting, page, said
from connector.serve.web.persons import Role, demand, person_of
from connector.show.blocks import cap_text, still_rests, still_young
from connector.show.limits import approval_text, limits_text
from connector.show.outlook import MIRRORED, outlook_text
from connector.show.preview import (
    contacts_text,
    rests_text,
    turns_text,
    would_be_sent,
)
from connector.sync.flow import Orders

LONG = 90
"""Days that charts tell of."""
FIRST_RUNS = 15
FIRST_RECEIPTS = 5
SHOWN_REQUESTS = 5
WAIT_FOR_ID = 2.0
"""Seconds in which a run that was asked for should have its id."""
SHOWN_MEANWHILE = "A run is going on; if it ends with just these rows held, they go then."
APPROVED_MEANWHILE = "A run is going on; if it is held, its rows go as soon as it has ended."


async def activation(request: Request) -> Response:
    """One activation: where it stands, how it went, its mapping and its runs."""
    service, name = Service.of(request), request.path_params["name"]
    found = service.app.settings.activation(name)
    shapes: Shapes = request.app.state.shapes
    schema, trouble = await shapes.of(service.app, found)
    content = await run_in_threadpool(_content, service, found)
    first = content["a"]["next_run"]
    sql = await run_in_threadpool(sql_of, service.app, found)
    return page(
        request,
        "activation.html",
        name,
        here="/",
        **content,
        mapping=mapped(found, schema),
        trouble=trouble,
        sql=coloured(sql) if sql else None,
        next_times=next_times(found.schedule, first),
    )


def _content(service: Service, found: Activation) -> dict[str, Any]:
    """What the ledger and the configuration say of it."""
    with service.app.going_on():
        return _told(service, found)


def _told(service: Service, found: Activation) -> dict[str, Any]:
    name = found.name
    (document,) = glances(service.app, service.status([name]))
    today, clocks = days_until_now(ZONE.get(), LONG)
    first = day_number(today) - LONG + 1
    with service.app.reports() as reports:
        runs = reports.runs(name, FIRST_RUNS)
        days = reports.days_in_runs(name, first * DAY - clocks[0][1], clocks)
    papers = receipts(service.app, name, FIRST_RECEIPTS)
    destination = service.app.settings.project.destination_of(found)
    window = window_of(found, service.app.settings.project.warehouse.timezone)
    return {
        "a": document,
        "rests": [*filter(None, (still_rests(document), still_young(document)))],
        "notes": notes_of(document["last_run"]) if document["last_run"] else (),
        "rate": _rate(service, destination, document["running"] is not None),
        "rhythm": rhythm_and_zone(found.schedule),
        "verified": rhythm_and_zone(found.verify.schedule if found.verify else None),
        "lacks": lacks(service.app.can(destination)),
        "limits": limits_text(found),
        "approves": approval_text(found.limits),
        "sends": window_text(window) if window else ANY_TIME,
        "among": lane_text(lane_of(found)),
        "cap": cap_text(per) if (per := document["per_contact"]) else None,
        "runs": runs,
        "charts": _charts({day.day: day for day in days}, first),
        "receipts": papers,
        "sources": _sources(found),
    }


def _charts(days: dict[int, Day], first: int) -> list[Chart]:
    """What runs did on each of so many days, in the project's zone."""

    def by_day(read: Callable[[Day], float | None]) -> list[tuple[str, float | None]]:
        found = []
        for number in range(first, first + LONG):
            label = date_of(number).isoformat()
            found.append((label, read(days[number]) if number in days else None))
        return found

    def seconds(milliseconds: int | None) -> float | None:
        return None if milliseconds is None else milliseconds / 1000

    def share(value: float) -> str:
        return f"{value:.0%}"

    found = [
        bars("Delivered a day, by all runs", by_day(lambda day: day.delivered), "{:,.0f}".format)
    ]
    if any(day.refused for day in days.values()):
        found.append(bars("Refused a day", by_day(lambda d: d.refused), "{:,.0f}".format, "bad"))
    if any(day.stopped for day in days.values()):
        found.append(bars("Runs stopped", by_day(lambda d: d.stopped), "{:,.0f}".format, "bad"))
    if any(day.matched for day in days.values()):
        found.append(bars("Contacts matched", by_day(lambda day: day.matched), share))
    found.append(bars("Longest run", by_day(lambda day: seconds(day.longest)), lasting))
    found.append(bars("Longest lag", by_day(lambda day: seconds(day.lag)), lasting, "warn"))
    return found


def _rate(service: Service, destination: str, running: bool) -> str:
    """How fast it may send, and how fast it does."""
    most = service.app.settings.project.destinations[destination].requests_per_second
    now = service.rates()[destination]
    text = f"at most {most:g} requests a second"
    if running and now < most:
        text += f"; now {now:.1f}, since the destination is busy"
    return text


async def preview(request: Request) -> Response:
    """What a sync would do now; customers' data only when it is asked for."""
    app, name = Service.of(request).app, request.path_params["name"]
    found = app.settings.activation(name)
    forecast = await look.preview(app, found, SHOWN_REQUESTS, offline=False)
    document = forecast.document()
    left, resting = document["outlook"]["left"], document["resting"]
    sent = document["new"] + document["pending"] - left
    counts = [
        (would_be_sent(document).capitalize(), f"{sent:,}"),
        ("New, left to the run after it", f"{left:,}" if left else None),
        (rests_text(document).capitalize(), f"{resting:,}" if resting else None),
        *_mirrored(document),
        ("Already recorded", f"{document['already_recorded']:,}"),
        ("Invalid", f"{document['invalid']:,}"),
        ("Would be rejected", f"{document['rejected']:,}" if document["rejected"] else None),
        ("Row key repeated", f"{document['repeated']:,}" if document["repeated"] else None),
        ("Takes, at the rate limit", lasting(document["estimated_seconds"])),
    ]
    return page(
        request,
        "preview.html",
        f"Preview of {name}",
        here="/",
        name=name,
        p=document,
        counts=counts,
        shown=request.query_params.get("show") == "1",
        contacts=contacts_text(document["contacts"]),
        outlook=outlook_text(document["outlook"]),
        turns=turns_text(document["per_contact"]),
    )


def _mirrored(document: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """What a mirror would take back, and send again."""
    if "live" in document:
        yield "At the destination now", f"{document['live']:,}"
        for name, what in MIRRORED.items():
            if number := document[name]:
                yield f"{what[:1].upper()}{what[1:]}", f"{number:,}"


def _sources(found: Activation) -> list[tuple[str, str]]:
    """Where interactions come from, but for their payload."""
    model = found.model
    source = model.file or model.table or model.dbt or "SQL in the configuration"
    parts = [
        ("Model", source),
        ("Mode", _mode(found)),
        (found.target_word.capitalize(), found.target),
        ("Row key", ", ".join(found.row_key)),
        ("Contact", f"{found.contact.column} ({found.contact.word})"),
    ]
    if found.happened:
        parts.append((words(found.created_key).capitalize(), found.happened.column))
    return parts


def _mode(found: Activation) -> str:
    """What becomes of rows that are gone from the model, or change."""
    if not found.mirrors:
        return "append: a row is sent once"
    changed = "left as they are" if found.keeps_changed else "replaced"
    return f"mirror: rows that are gone are taken back, changed ones are {changed}"


# --- acting -------------------------------------------------------------------------------------


async def begin(request: Request) -> Response:
    """Begin a run."""
    form = await form_of(request)
    if form.get("approve") == "1":
        return await _approve(request, form)
    return await _begun(request, Orders(by=person_of(request, form).name))


async def approve(request: Request) -> Response:
    """Let exactly the rows go that were shown, and run."""
    return await _approve(request, await form_of(request))


async def _approve(request: Request, form: dict[str, str]) -> Response:
    demand(request, Role.APPROVER)
    service, name = Service.of(request), request.path_params["name"]
    if form.get("confirmed") != "1":
        question, back = _question(request, name), f"/activations/{quote(name)}/held"
        return confirm(request, question, form, back, decides=True)
    person = person_of(request, form)
    if name in service.live:  # they go when that run has ended, if they are held then
        shown = form.get("digest") or None
        orders = Orders(approve=True, by=person.name, note=person.note, shown=shown)
        return await _begun(request, orders)
    activation = service.app.settings.activation(name)
    deed = Approve(service.app, activation, person, digest=form.get("digest") or None)
    await deed.do(await deed.plan(), agreed=True)
    return await _begun(request, Orders(by=person.name))


def _question(request: Request, name: str) -> str:
    """What exactly an approval would let go."""
    with Service.of(request).app.reports() as reports:
        held = reports.held_run(name)
    return Held(held).question.text if held else "Let exactly the rows go that are held?"


async def _begun(request: Request, orders: Orders) -> Response:
    service, name = Service.of(request), request.path_params["name"]
    begun = await service.ask(name, orders)
    live = service.live.get(name)
    run_id = live and await live.id(WAIT_FOR_ID)
    if live and live.error:
        raise live.error
    where = f"/runs/{run_id}" if run_id else f"/activations/{quote(name)}"
    if begun:
        return said(where, "The run has begun.")
    meanwhile = APPROVED_MEANWHILE if orders.shown is None else SHOWN_MEANWHILE
    return said(where, meanwhile if orders.approve else "A run is going on.")


def pause(request: Request) -> Response:
    """Pause an activation."""
    service, name = Service.of(request), request.path_params["name"]
    service.app.settings.activation(name)
    service.pause(name, person_of(request, {}).name)
    return said(f"/activations/{quote(name)}", "It is paused.")


def resume(request: Request) -> Response:
    """End a pause."""
    service, name = Service.of(request), request.path_params["name"]
    service.app.settings.activation(name)
    service.resume(name, person_of(request, {}).name)
    return said(f"/activations/{quote(name)}", "The pause has ended.")
