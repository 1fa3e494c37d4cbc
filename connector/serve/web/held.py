"""The page of a held run: what an approval lets go, who asked for it, and who may say so."""

from collections.abc import Collection

from starlette.requests import Request
from starlette.responses import Response

from connector.decisions.approve import Held
from connector.ledger.approvals import HeldRun
from connector.rules.activation import Activation
from connector.rules.approval import who_may_not
from connector.rules.deed import Document
from connector.rules.properties import mask
from connector.rules.words import span_text, words
from connector.serve.service import Service
from connector.serve.web.page import page
from connector.serve.web.persons import Role, refusal, visitor_of
from connector.show.limits import limits_text

MOST_APPROVALS = 20
UNDER = (
    'the rows are recorded under its earlier name "{}" until a run has taken them over: run it, and'
    " approve what it holds then"
)
WORDS = {
    "rows": "Rows that it lets go",
    "staged": "Staged by the run",
    "removed": "Would be taken back",
    "replaced": "Would be taken back and sent anew",
    "live": "At the destination now",
}


def held(request: Request) -> Response:
    """What is held of one activation; bodies only when they are asked for."""
    service, name = Service.of(request), request.path_params["name"]
    found, shown = service.app.settings.activation(name), request.query_params.get("show") == "1"
    (document,) = service.status([name])
    with service.app.reports() as reports:
        run, recorded = reports.held_run(name), reports.recorded_as(name)
        approvals = [each.document() for each in reports.approvals(name, MOST_APPROVALS)]
        bodies = reports.bodies(name, run.examples) if run else []
        standing = reports.standing_approval(name) if run else None
    goes = standing is not None and run is not None and standing.digest == run.rows.digest
    return page(
        request,
        "held.html",
        f"Held: {name}",
        here="/",
        name=name,
        a=document,
        held=Held(run).document() if run else None,
        figures=_figures(run) if run else (),
        question=Held(run).question.text if run else "",
        goes=approvals[0] if goes else None,
        examples=[each if shown else _masked(each) for each in bodies],
        shown=shown,
        limits=limits_text(found),
        who=_who(request, found),
        span=span_text(found.limits.approval_for),
        refused=(UNDER.format(recorded) if recorded != name else _refused(request, found, run))
        if run
        else None,
        approvals=approvals[1:] if goes else approvals,
    )


def _figures(run: HeldRun) -> list[tuple[str, int]]:
    """How many rows are how, in words."""
    return [
        (WORDS.get(name) or words(name).capitalize(), number)
        for name, number in run.counts.items()
        if number or name == "rows"
    ]


def _who(request: Request, found: Activation) -> list[str]:
    """Who may approve, in sentences."""
    persons = request.app.state.persons()
    told = ["Whoever reaches this page" if persons.anybody else "Whoever has the role approver"]
    if found.limits.approval == "other":
        told.append("not who asked for the run, nor who asked for the one that took up the edit")
    return told


def _refused(request: Request, found: Activation, run: HeldRun) -> str | None:
    """Why whoever asks may not approve; None: they may, or nobody knows who they are."""
    visitor = visitor_of(request)
    if not visitor.may(Role.APPROVER):
        return refusal(visitor, Role.APPROVER)
    askers: Collection[str | None] = run.figures.askers
    other = found.limits.approval == "other"
    return who_may_not(visitor.name, askers, run.editor, other) if visitor.name else None


def _masked(body: Document) -> Document:
    return {**body, **{name: mask(body[name]) for name in ("contact", "created_date", "payload")}}
