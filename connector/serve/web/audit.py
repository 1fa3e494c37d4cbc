"""The page of the audit list: who did what, narrowed down, and as a file."""

from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from connector.project.audit import entries, export, since_when
from connector.rules.deed import Document
from connector.rules.errors import ConfigurationError
from connector.serve.service import Service
from connector.serve.web.page import page
from connector.show.approvals import details_text

SHOWN = 200
KINDS = {"audit.csv": "text/csv", "audit.jsonl": "application/x-ndjson"}


def asked_for(request: Request, limit: int | None = SHOWN) -> list[Document]:
    """The entries that a request's address narrows the list down to."""
    query, app = request.query_params, Service.of(request).app
    since = since_when(query.get("since", "").strip() or None)
    return entries(app, query.get("activation") or None, since, limit)


def audit(request: Request) -> Response:
    """What persons did, newest first."""
    query = request.query_params
    chosen = {name: query.get(name, "")[:100] for name in ("activation", "since")}
    found = [{**each, "told": details_text(each["details"])} for each in asked_for(request)]
    return page(
        request,
        "audit.html",
        "Audit",
        entries=found,
        chosen=chosen,
        narrowed=urlencode({name: text for name, text in chosen.items() if text}),
        activations=list(Service.of(request).app.settings.project.activations),
    )


def document(request: Request) -> Response:
    """What persons did, as `connector audit --json` has it."""
    return JSONResponse({"entries": asked_for(request)})


def download(request: Request) -> Response:
    """All of it as a file."""
    name = request.path_params["file"]
    if name not in KINDS:
        raise ConfigurationError("the list is written as audit.csv or as audit.jsonl")
    text = export(asked_for(request, None), f".{name.partition('.')[2]}")
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response(text, media_type=KINDS[name], headers=headers)
