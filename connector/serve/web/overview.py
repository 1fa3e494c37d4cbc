"""The first page: what needs a person, and every activation at a glance."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, urlencode

from starlette.requests import Request
from starlette.responses import Response

from connector.rules.activation import Activation
from connector.rules.deed import Document
from connector.rules.delivery import waiting_for_person
from connector.rules.receipt import FOUND
from connector.rules.words import counted
from connector.serve.service import Service
from connector.serve.web.charts import STRIP, line, strip
from connector.serve.web.page import page
from connector.show.blocks import words

DAYS = 30
SHOWN = 100
"""Activations on one page."""
FIRST_NEEDS = 8
"""Of what needs a person, the most that is not folded away."""
SORTS = ("name", "state", "lag", "delivered", "person", "next")
BACKWARDS = ("lag", "delivered", "person")
"""Columns that begin with the largest."""
WORST = ("stopped", "held", "attention", "running", "never run", "succeeded", "paused")


@dataclass(frozen=True, slots=True)
class Need:
    """What needs a person: of which activation, in a line, and where it is dealt with."""

    name: str
    text: str
    link: str
    action: str
    tone: str


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the list is narrowed down to, and its order."""

    text: str = ""
    state: str = ""
    tag: str = ""
    destination: str = ""
    sort: str = ""
    page: int = 1

    @classmethod
    def of(cls, request: Request) -> "Wanted":
        """What the address says."""
        query = request.query_params
        parts = {n: query.get(n, "").strip()[:100] for n in ("state", "tag", "destination", "sort")}
        number = query.get("page", "")
        shown = int(number) if number.isdecimal() and 0 < int(number[:6]) < 10_000 else 1
        return cls(query.get("q", "").strip()[:100], **parts, page=shown)

    def address(self, **other: object) -> str:
        """The address of the list, with `other` values in place of its own."""
        own = {"q": self.text, "state": self.state, "tag": self.tag, "sort": self.sort}
        own |= {"destination": self.destination, "page": "" if self.page == 1 else str(self.page)}
        asked = {name: text for name, text in (own | other).items() if text}
        return f"/?{urlencode(asked)}" if asked else "/"

    def covers(self, document: Document) -> bool:
        """Whether an activation is on the list."""
        words_of = " ".join((document["name"], document["description"] or "", *document["tags"]))
        needs = self.state == "person"
        return (
            self.text.casefold() in words_of.casefold()
            and (not self.state or needs or document["state"] == self.state)
            and (not needs or bool(document["needs"]))
            and (not self.tag or self.tag in document["tags"])
            and (not self.destination or document["destination"] == self.destination)
        )

    def ordered(self, documents: Sequence[Document]) -> list[Document]:
        """The list in the order that is asked for; that of the configuration, if none is."""
        name, backwards = self.sort.removeprefix("-"), self.sort.startswith("-")
        if name not in SORTS:
            return list(documents)
        found = sorted(documents, key=lambda document: str(document["name"]).casefold())
        found.sort(key=lambda document: _rank(document, name), reverse=backwards)
        return found

    def next_sort(self, name: str) -> str:
        """What another click on a column asks for."""
        first, second = (f"-{name}", name) if name in BACKWARDS else (name, f"-{name}")
        return second if self.sort == first else first

    def direction(self, name: str) -> str:
        """How the table is sorted by a column, in words of ARIA."""
        if self.sort.removeprefix("-") != name:
            return "none"
        return "descending" if self.sort.startswith("-") else "ascending"


def overview(request: Request) -> Response:
    """Every activation at a glance."""
    service, wanted = Service.of(request), Wanted.of(request)
    documents = glances(service)
    chosen = wanted.ordered([each for each in documents if wanted.covers(each)])
    pages = max(1, -(-len(chosen) // SHOWN))
    number = min(wanted.page, pages)
    needs = [need for each in documents for need in each["needs"]]
    needs.sort(key=lambda need: ("bad", "warn", "calm").index(need.tone))
    return page(
        request,
        "overview.html",
        "Activations",
        needs=needs,
        first_needs=FIRST_NEEDS,
        activations=chosen[(number - 1) * SHOWN : number * SHOWN],
        total=len(chosen),
        all=len(documents),
        pages=pages,
        number=number,
        wanted=wanted,
        states=sorted({each["state"] for each in documents}, key=WORST.index),
        tags=sorted({tag for each in documents for tag in each["tags"]}),
        destinations=sorted({each["destination"] for each in documents}),
        delivered_today=sum(each["days"][-1]["delivered"] for each in documents),
        running=sum(1 for each in documents if each["running"]),
    )


def glances(service: Service, only: str | None = None) -> list[Document]:
    """Where activations stand, with what the pages tell more than `connector status`."""
    documents = service.status([only] if only else [])
    names, now = [document["name"] for document in documents], datetime.now(UTC)
    project = service.app.settings.project
    with service.app.reports() as reports:
        days, pasts = reports.days_of(names, now, DAYS), reports.recent_runs(names, STRIP)
    for document in documents:
        name = document["name"]
        activation = project.activations[name]
        read_at = document["read_at"]
        document |= {
            "description": activation.description,
            "destination": project.destination_of(activation),
            "days": days[name],
            "lag": (now - datetime.fromisoformat(read_at)).total_seconds() if read_at else None,
            "strip": strip(pasts[name]),
            "line": _line(days[name]),
            "person": sum(waiting_for_person(document["counts"]).values()),
        }
        document["needs"] = list(_needs(document, activation))
    return documents


def _line(days: Sequence[Mapping[str, int]]) -> object:
    numbers = [day["delivered"] for day in days]
    text = f"{sum(numbers):,} delivered in {len(days)} days, at most {max(numbers):,} in one"
    return line(numbers, text) if any(numbers) else None


def _needs(document: Document, activation: Activation) -> Iterator[Need]:
    """What a person has to do about an activation, the most pressing first."""
    name, last = document["name"], document["last_run"]
    here = f"/activations/{quote(name)}"
    if document["held"]:
        approval = document["hold"] and document["hold"]["approval"]
        if approval:
            text = f"approved by {approval['by']}: the next run lets its rows go"
            yield Need(name, text, here, "Look", "calm")
        else:
            yield Need(name, f"held: {document['held']}", f"{here}/held", "Review", "warn")
    if last and last["status"] == "stopped" and not document["running"] and not document["paused"]:
        text = f"stopped: {last['error'] or 'it did not say why'}"
        yield Need(name, text, f"/runs/{last['run_id']}", "See why", "bad")
    if waits := {state: n for state, n in waiting_for_person(document["counts"]).items() if n}:
        kinds = ", ".join(f"{number:,} {words(state)}" for state, number in waits.items())
        text = f"{counted(document['person'], 'row')} to decide about: {kinds}"
        yield Need(name, text, f"/quarantine?{urlencode({'activation': name})}", "Decide", "warn")
    seen = (document["verification"] or {}).get("last")
    if seen and seen["result"] == "deviation":
        amiss = ", ".join(f"{seen[kind]:,} {kind}" for kind in FOUND if seen[kind])
        text = f"verified: {amiss}, against what was sent"
        yield Need(name, text, f"{here}/receipts", "Look", "bad")
    if document["suspect"]:
        text = "the ledger was put back from a backup: rows are read back before they are sent"
        yield Need(name, text, here, "Look", "warn")
    if document["state"] == "attention" and last and not document["held"]:
        for note in last["notes"]:
            yield Need(name, note, f"/runs/{last['run_id']}", "Look", "warn")


def _rank(document: Document, name: str) -> Any:
    match name:
        case "state":
            return WORST.index(document["state"])
        case "lag":
            return -1.0 if document["lag"] is None else document["lag"]
        case "delivered":
            return sum(day["delivered"] for day in document["days"])
        case "person":
            return document["person"]
        case "next":
            return document["next_run"] or "~"
        case _:
            return str(document["name"]).casefold()
