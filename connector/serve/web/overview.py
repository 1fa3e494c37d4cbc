"""The first page: what needs a person, and every activation at a glance."""

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response

from connector.basis import dataclass
from connector.rules.deed import Document
from connector.serve.service import Service
from connector.serve.web.glance import drawn, glances, of_project
from connector.serve.web.page import page, run_now

SHOWN = 50
"""Activations on one page."""
FIRST_NEEDS = 8
"""Of what needs a person, the most that is not folded away."""
SORTS = ("name", "state", "lag", "delivered", "person", "next")
BACKWARDS = ("lag", "delivered", "person")
"""Columns that begin with the largest."""
WORST = ("stopped", "held", "attention", "running", "never run", "succeeded", "paused")


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
    documents = glances(service.app, service.status())
    chosen = wanted.ordered([each for each in documents if wanted.covers(each)])
    pages = max(1, -(-len(chosen) // SHOWN))
    number = min(wanted.page, pages)
    needs = [*of_project(service.app), *(need for each in documents for need in each["needs"])]
    needs.sort(key=lambda need: ("bad", "warn", "calm").index(need.tone))
    return page(
        request,
        "overview.html",
        "Activations",
        needs=needs,
        first_needs=FIRST_NEEDS,
        activations=drawn(service.app, chosen[(number - 1) * SHOWN : number * SHOWN]),
        total=len(chosen),
        all=len(documents),
        pages=pages,
        number=number,
        wanted=wanted,
        states=sorted({each["state"] for each in documents}, key=WORST.index),
        tags=sorted({tag for each in documents for tag in each["tags"]}),
        destinations=sorted({each["destination"] for each in documents}),
        delivered_today=sum(each["delivered_today"] for each in documents),
        running=sum(1 for each in documents if run_now(each)),
    )


def _rank(document: Document, name: str) -> Any:
    match name:
        case "state":
            return WORST.index(document["state"])
        case "lag":
            return -1.0 if document["lag"] is None else document["lag"]
        case "delivered":
            return document["delivered"]
        case "person":
            return document["person"]
        case "next":
            return document["next_run"] or "~"
        case _:
            return str(document["name"]).casefold()
