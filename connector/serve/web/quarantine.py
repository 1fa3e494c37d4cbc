"""The page of the quarantine: rows that wait for a person, by reason and day, found and decided
about together."""

import csv
import io
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, timedelta
from typing import Any
from urllib.parse import urlencode

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from connector.basis import dataclass
from connector.decisions.deciding import LONGEST_PATTERN
from connector.ledger.aside import NAMES, Aside, Figure, Mark
from connector.ledger.days import date_of, day_number
from connector.project.app import App
from connector.project.audit import harmless
from connector.project.renamed import as_called_now, called_now
from connector.project.row_now import values_now
from connector.rules.blame import blamed, with_value
from connector.rules.deed import Document
from connector.rules.delivery import QUARANTINE, State
from connector.rules.errors import ConfigurationError
from connector.serve.service import Service
from connector.serve.web.charts import Chart, bars, days_until_now
from connector.serve.web.meant import Meant, bulk, choices
from connector.serve.web.page import form_of, page

FIRST_GROUPS = 6
"""Reasons that are not folded away."""
MOST_GROUPS = 50
SHOWN = 100
"""Rows on one page."""
DAYS = 60
FILE = "quarantine.csv"
MOST_LOOKS = 5
"""Activations whose models are read for one page."""
AT_ONCE = 500
"""Rows that are handed to a browser together."""


@dataclass(frozen=True, slots=True)
class Filter:
    """What the list is narrowed down to, and which page of it is meant."""

    activation: str = ""
    tag: str = ""
    state: State | None = None
    reason: str = ""
    key: str = ""
    newest: bool = False
    after: Mark | None = None
    back: bool = False
    """Whether the page before `after` is meant."""

    @classmethod
    def of(cls, request: Request) -> "Filter":
        """What the address says. Raises ConfigurationError."""
        query = request.query_params
        return cls(
            query.get("activation", ""),
            query.get("tag", ""),
            _state(query.get("state")),
            query.get("reason", "").strip()[:LONGEST_PATTERN],
            query.get("key", "").strip()[:LONGEST_PATTERN],
            query.get("order") == "newest",
            _mark(query.get("after") or query.get("before") or ""),
            bool(query.get("before")),
        )

    @property
    def is_narrow(self) -> bool:
        """Whether not all rows are meant."""
        return bool(self.activation or self.tag or self.state or self.reason or self.key)

    def address(self, path: str = "/quarantine", **other: str) -> str:
        """The address of the list, or of another page for the same rows, from its beginning."""
        own = {"activation": self.activation, "tag": self.tag, "state": self.state or ""}
        own |= {"reason": self.reason, "key": self.key, "order": "newest" if self.newest else ""}
        asked = {name: text for name, text in (own | other).items() if text}
        return f"{path}?{urlencode(asked)}" if asked else path

    def here(self, path: str) -> str:
        """The address of something else for just the page that is shown."""
        place = {"before" if self.back else "after": _marked(self.after)} if self.after else {}
        return self.address(path, **place)

    def aside(self, app: App) -> Aside:
        """For the ledger."""
        names: tuple[str, ...] | None = None
        if self.activation:
            names = (self.activation,)
        if self.tag:
            known = app.settings.project.activations
            names = tuple(
                name
                for name, activation in known.items()
                if self.tag in activation.tags and self.activation in ("", name)
            )
        states = (self.state,) if self.state else QUARANTINE
        return Aside(names, states, self.reason or None, self.key or None)


def quarantine(request: Request) -> Response:
    """The rows that wait for a person: grouped by reason, and one by one."""
    return _page(request, {}, shown=False)


async def looked(request: Request) -> Response:
    """The same with what is wrong with each row that is listed, as the warehouse has it now: asked
    for by a form, and stored nowhere; customers' data only when it is asked for."""
    form, app = await form_of(request), Service.of(request).app
    shown, wanted = form.get("show") == "1", Filter.of(request)
    rows = (await run_in_threadpool(_listed, app, wanted))["rows"]
    found = dict[tuple[str, str], list[str]]()
    for name in list(dict.fromkeys(row["activation"] for row in rows))[:MOST_LOOKS]:
        if activation := app.settings.project.activations.get(name):
            own = [row for row in rows if row["activation"] == name]
            told = await values_now(app, activation, own, shown)
            found |= {(name, key): said for key, said in told.items()}
    return await run_in_threadpool(_page, request, found, shown)


def _listed(app: App, wanted: Filter) -> dict[str, Any]:
    """The rows of one page."""
    with app.reports() as reports:
        listed = reports.quarantine_rows(
            wanted.aside(app), SHOWN + 1, wanted.after, wanted.newest != wanted.back
        )
    paged = _paged(wanted, listed)
    return {**paged, "rows": as_called_now(app, paged["rows"])}


def _page(request: Request, looks: Mapping[tuple[str, str], list[str]], shown: bool) -> Response:
    """The page; `looks`: what is wrong with rows now, where that was asked for."""
    app, wanted = Service.of(request).app, Filter.of(request)
    zone = app.settings.project.warehouse.timezone or UTC
    today, clocks = days_until_now(zone, DAYS)
    with app.reports() as reports:
        figures = reports.quarantine_figures(wanted.aside(app), clocks)
    called = called_now(app, {each.activation for each in figures})
    figures = [replace(each, activation=called[each.activation]) for each in figures]
    listed = _listed(app, wanted)
    kept = _kept(app, listed["rows"])
    for row in listed["rows"]:
        row["said"] = looks.get((row["activation"], row["row_key"])) or kept.get(row["row_key"])
    groups, numbers = grouped(figures), Counter[State]()
    for figure in figures:
        numbers[State(figure.state)] += figure.number
    activations = app.settings.project.activations
    return page(
        request,
        "quarantine.html",
        "Quarantine",
        groups=[_group(app, wanted, each) for each in app.with_mappings(groups[:MOST_GROUPS])],
        first_groups=FIRST_GROUPS,
        more_groups=len(groups) - MOST_GROUPS,
        numbers=numbers,
        total=sum(numbers.values()),
        chart=_chart(figures, today),
        bulk=_bulk(app, wanted, figures) if _are_together(wanted, groups) else None,
        several=len({group["activation"] for group in groups}) > 1,
        file=wanted.address(f"/quarantine/{FILE}", order=""),
        activations=list(activations),
        tags=sorted({tag for each in activations.values() for tag in each.tags}),
        states=[state.value for state in QUARANTINE],
        wanted=wanted,
        looks=wanted.here("/quarantine/now"),
        looked=bool(looks),
        shown=shown,
        **listed,
    )


def _kept(app: App, rows: Sequence[Document]) -> dict[str, list[str]]:
    """What is wrong with rows of which the ledger keeps the body still, by key: with what of it is
    nobody's own."""
    found = dict[str, list[str]]()
    known = app.settings.project.activations
    for name in {row["activation"] for row in rows if row["activation"] in known}:
        parts = {
            row["row_key"]: (row["reason"], blamed(known[name], row["reason"]))
            for row in rows
            if row["activation"] == name and row["state"] == State.REJECTED and row["reason"]
        }
        keys = [key for key, (_, about) in parts.items() if about]
        with app.reports() as reports:
            bodies = reports.bodies(name, keys) if keys else []
        for body in bodies:
            reason, about = parts[body["row_key"]]
            payload = body["payload"] if isinstance(body["payload"], dict) else {}
            there = [each for each in about if each.column and each.part in payload]
            values = {str(each.column): payload[each.part] for each in there}
            told = [with_value(each, reason, values, show_values=False) for each in there]
            found[body["row_key"]] = told
    return found


def download(request: Request) -> Response:
    """The rows that a filter selects, as a file of a spreadsheet; nothing of a contact is in it."""
    app = Service.of(request).app
    wanted, called = Filter.of(request).aside(app), dict[str, str]()

    def lines() -> Iterator[str]:
        text = io.StringIO()
        out = csv.writer(text)
        out.writerow(NAMES)
        with app.reports() as reports:
            for number, row in enumerate(reports.every_quarantined(wanted), 1):
                if row["activation"] not in called:
                    called.update(called_now(app, [row["activation"]]))
                row["activation"] = called[row["activation"]]
                out.writerow([harmless(row[name]) for name in NAMES])
                if number % AT_ONCE == 0:
                    yield text.getvalue()
                    text.seek(0)
                    text.truncate()
        yield text.getvalue()

    headers = {"Content-Disposition": f'attachment; filename="{FILE}"'}
    return StreamingResponse(lines(), media_type="text/csv", headers=headers)


def grouped(figures: Sequence[Figure]) -> list[Document]:
    """The rows of `figures` by state and reason; the largest groups first. `newest`: the last day
    on which one came, since 1970."""
    found: dict[tuple[str, str, str], Document] = {}
    for each in figures:
        what = (each.activation, each.state, each.reason)
        group = found.setdefault(
            what,
            {
                **dict(zip(("activation", "state", "reason"), what, strict=True)),
                "count": 0,
                "example_key": each.key,
                "newest": each.day,
            },
        )
        group["count"] += each.number
        group["example_key"] = min(group["example_key"], each.key)
        group["newest"] = max(group["newest"], each.day)
    return [found[what] for what in sorted(found, key=lambda what: (-found[what]["count"], what))]


def _paged(wanted: Filter, listed: list[tuple[Mark, Document]]) -> dict[str, Any]:
    """The rows of one page, and the addresses of those around it."""
    more, listed = len(listed) > SHOWN, listed[:SHOWN]
    if wanted.back:
        listed = listed[::-1]
    before = after = None
    if listed and (more if wanted.back else wanted.after):
        before = wanted.address(before=_marked(listed[0][0]))
    if listed and (more or wanted.back):
        after = wanted.address(after=_marked(listed[-1][0]))
    return {"rows": [row for _, row in listed], "before": before, "after": after}


def _group(app: App, wanted: Filter, group: Document) -> Document:
    """A group with the forms that it may have, and the way to its rows. Of a list that is narrowed
    down by key, a group is not whole, and is decided about with the rest of the list."""
    name, state, reason = group["activation"], State(group["state"]), group["reason"]
    meant = Meant(activation=name, state=state, reason=reason, count=group["count"])
    part = (reason or "")[:LONGEST_PATTERN]
    narrowed = replace(wanted, activation=name, tag="", state=state, reason=part)
    return {
        **group,
        "newest": date_of(group["newest"]).isoformat(),
        "rows": f"{narrowed.address()}#rows",
        "choices": None if wanted.key else choices(app, state, meant),
    }


def _are_together(wanted: Filter, groups: Sequence[Document]) -> bool:
    """Whether all that is listed is decided about together: not what one group has of its own, and
    not the rows of several activations that nobody has chosen."""
    several = len({group["activation"] for group in groups}) > 1
    return bool(wanted.key) or (len(groups) > 1 and (wanted.is_narrow or not several))


def _bulk(app: App, wanted: Filter, figures: Sequence[Figure]) -> Document | None:
    """What can be decided about all that is listed."""
    numbers = dict[str, Counter[State]]()
    for each in figures:
        numbers.setdefault(each.activation, Counter())[State(each.state)] += each.number
    reason, key = wanted.reason or None, wanted.key or None
    return bulk(app, Meant(activation="", reason=reason, holding=key), numbers)


def _chart(figures: Sequence[Figure], today: date) -> Chart:
    """How many rows came into the quarantine on each of the last days, of those that are in it."""
    came = Counter[int]()
    for each in figures:
        came[each.day] += each.number
    days = [today - timedelta(days=back) for back in range(DAYS - 1, -1, -1)]
    values = [(day.isoformat(), came[day_number(day)] or None) for day in days]
    title = f"Came into it by day, in {DAYS} days"
    return bars(title, values, lambda value: f"{value:,.0f}", "warn")


def _state(text: str | None) -> State | None:
    if not text:
        return None
    if text not in QUARANTINE:
        raise ConfigurationError("rows in quarantine are invalid, rejected or in_doubt")
    return State(text)


def _mark(text: str) -> Mark | None:
    """A place in the list, as addresses have it."""
    since, _, number = text[:40].partition(".")
    return Mark(int(since), int(number)) if since.isdecimal() and number.isdecimal() else None


def _marked(mark: Mark) -> str:
    return f"{mark.since}.{mark.id}"
