"""The page of the audit list: who decided what, when, and what came of it; narrowed down, page by
page, and as a file."""

import re
from collections.abc import Mapping
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from connector.ledger import deeds
from connector.ledger.audit import Deeds
from connector.project.audit import entries, export, milliseconds, since_when
from connector.rules.deed import Document
from connector.rules.errors import ConfigurationError
from connector.rules.words import one_line
from connector.serve.service import Service
from connector.serve.web.page import ZONE, page
from connector.show.approvals import effect_text

ENTRY = re.compile(r"[0-9]{1,18}")
SHOWN = 100
"""Entries on one page."""
KINDS = {"audit.csv": "text/csv", "audit.jsonl": "application/x-ndjson"}
PARTS = ("activation", "by", "what", "since")
"""What the list is narrowed down by."""


def asked_for(request: Request, limit: int | None = SHOWN) -> list[Document]:
    """The entries that a request's address narrows the list down to."""
    query, app = request.query_params, Service.of(request).app
    what, after = query.get("what") or None, query.get("after", "")
    if after and not ENTRY.fullmatch(after):
        raise ConfigurationError("after is the id of an entry, as `next` has it")
    if what is not None and what not in deeds.WORDS:
        raise ConfigurationError(f"what persons do is one of {', '.join(deeds.WORDS)}")
    which = Deeds(
        since=milliseconds(since_when(query.get("since", "").strip() or None, "since", ZONE.get())),
        by=one_line(query.get("by", "")) or None,
        what=what,
        after=int(after) if after else None,
    )
    return entries(app, query.get("activation") or None, which, limit)


def audit(request: Request) -> Response:
    """What persons did, newest first."""
    query, app = request.query_params, Service.of(request).app
    chosen = {name: one_line(query.get(name, ""))[:100] for name in PARTS}
    found = asked_for(request, SHOWN + 1)
    narrowed = {name: text for name, text in chosen.items() if text}
    with app.reports() as reports:
        numbers = {number for each in found if (number := each["details"].get("approval"))}
        became, persons = reports.became_of(numbers), reports.persons()
    older = {**narrowed, "after": found[SHOWN - 1]["id"]} if len(found) > SHOWN else None
    return page(
        request,
        "audit.html",
        "Audit",
        entries=[_told(each, became) for each in found[:SHOWN]],
        chosen=chosen,
        narrowed=urlencode(narrowed),
        older=f"/audit?{urlencode(older)}" if older else None,
        newest=f"/audit?{urlencode(narrowed)}" if query.get("after") else None,
        activations=list(app.settings.project.activations),
        persons=persons,
        verbs=deeds.WORDS,
    )


def _told(entry: Document, became: Mapping[int, Document]) -> Document:
    """An entry with its effect in words, and what else was said."""
    details = dict(entry["details"])
    approval = became.get(details.pop("approval", None) or 0)
    note, told = details.pop("note", None), effect_text(entry["what"], details)
    return {**entry, "effect": told, "note": note, "approval": approval}


def document(request: Request) -> Response:
    """What persons did, as `connector audit --json` has it; and `next`: after which entry the list
    goes on."""
    found = asked_for(request, SHOWN + 1)
    follow = found[SHOWN - 1]["id"] if len(found) > SHOWN else None
    return JSONResponse({"entries": found[:SHOWN], "next": follow})


def download(request: Request) -> Response:
    """All of it as a file."""
    name = request.path_params["file"]
    if name not in KINDS:
        raise ConfigurationError("the list is written as audit.csv or as audit.jsonl")
    text = export(asked_for(request, None), f".{name.partition('.')[2]}")
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response(text, media_type=KINDS[name], headers=headers)
