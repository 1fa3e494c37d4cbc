"""The pages of the quarantine, and of the story of a row."""

from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response

from connector.decisions.deciding import LONGEST_PATTERN
from connector.project.app import App
from connector.rules.deed import Document
from connector.rules.delivery import QUARANTINE, State
from connector.rules.errors import ConfigurationError, unknown_key
from connector.serve.service import Service
from connector.serve.web.meant import Meant, choices
from connector.serve.web.page import page, shortened
from connector.show.story import change_text

LONGEST_HEADING = 80
MOST_GROUPS = 50
MOST_ROWS = 200


def quarantine(request: Request) -> Response:
    """The rows that wait for a person: grouped by reason, and one by one."""
    service, query = Service.of(request), request.query_params
    name = query.get("activation") or None
    state = _state(query.get("state"))
    reason = query.get("reason", "").strip()[:LONGEST_PATTERN] or None
    with service.app.reports() as reports:
        groups = reports.quarantine_groups(name, state, reason)
        rows = reports.quarantine(name, MOST_ROWS, state, reason)
    return page(
        request,
        "quarantine.html",
        "Quarantine",
        groups=[
            _group(service.app, group) for group in service.app.with_mappings(groups[:MOST_GROUPS])
        ],
        more_groups=len(groups) - MOST_GROUPS,
        rows=rows,
        total=sum(group["count"] for group in groups),
        activations=list(service.app.settings.project.activations),
        states=[state.value for state in QUARANTINE],
        chosen={"activation": name, "state": state and state.value, "reason": reason},
    )


def row(request: Request) -> Response:
    """The whole story of one row."""
    service = Service.of(request)
    name, key = (request.query_params.get(part, "") for part in ("activation", "key"))
    with service.app.reports() as reports:
        document = reports.delivery(name, key)
        similar = [] if document else reports.similar_keys(name, key)
    if document is None:
        raise ConfigurationError(unknown_key(name, key, similar))
    (document,) = service.app.with_mappings([document])
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
        change=change_text(document["change"]),
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
    narrowed = {
        "activation": name,
        "state": state.value,
        "reason": (reason or "")[:LONGEST_PATTERN],
    }
    return {
        **group,
        "rows": f"/quarantine?{urlencode(narrowed)}#rows",
        "choices": choices(app, state, meant),
    }
