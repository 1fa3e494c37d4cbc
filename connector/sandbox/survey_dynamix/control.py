"""What a person may see and change of a sandbox of Survey Dynamix: interactions, truth, clock."""

from dataclasses import asdict
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from connector.sandbox import page
from connector.sandbox.clock import clock_routes
from connector.sandbox.control import newest, problem, told
from connector.sandbox.survey_dynamix.asked import written
from connector.sandbox.survey_dynamix.interactions import Interaction
from connector.sandbox.survey_dynamix.store import SurveyDynamix
from connector.sandbox.traffic import RequestLog

NEWEST = 50


def routes(store: SurveyDynamix) -> list[Route]:
    """Return the control routes that only Survey Dynamix has."""

    async def interactions(request: Request) -> Response:
        """GET /sandbox/interactions: all that is stored; `limit` keeps the last so many."""
        query = request.query_params
        survey_id, limit = query.get("survey_id", ""), query.get("limit", "")
        if any(text and not text.isdecimal() for text in (survey_id, limit)):
            return problem(400, "survey_id and limit must be whole numbers")
        stored = store.interactions(int(survey_id) if survey_id else None)
        return told([_all_of(each, store.clock()) for each in newest(stored, limit)])

    async def truth(_: Request) -> Response:
        """GET /sandbox/truth: what persons got, by row reference."""
        by_reference = {name: asdict(got) for name, got in store.truth().items()}
        return told(
            {
                "stored": sum(each["stored"] for each in by_reference.values()),
                "surveys": sum(each["surveys"] for each in by_reference.values()),
                "prevented": sum(each["prevented"] for each in by_reference.values()),
                "by_reference": by_reference,
            }
        )

    return [
        Route("/sandbox/interactions", interactions),
        Route("/sandbox/truth", truth),
        *clock_routes(store.clock),
    ]


def _all_of(each: Interaction, now: float) -> dict[str, Any]:
    return {
        "id": each.id,
        "survey_id": each.survey_id,
        "survey_type": each.survey_type,
        "phone_number": each.phone_number,
        "email": each.email,
        "scheduled_at": written(each.scheduled_at),
        "stored_at": written(each.stored_at),
        **each.texts,
        "data": each.data,
        "reference": each.reference,
        "fate": each.fate,
        "started": each.is_started(now),
    }


def render(store: SurveyDynamix, requests: RequestLog) -> str:
    """Return the page as HTML."""
    stored = store.interactions()
    return page.render(
        "Survey Dynamix sandbox",
        f"{store.surveys():,} surveys reached a person, {len(stored):,} interactions stored,"
        f" {requests.count():,} requests received, at most {requests.peak_per_second} in one"
        f" second. It is {written(store.clock())} here.",
        {
            "Requests by status": page.routes(requests),
            "Last interactions": _interactions(stored, store.clock()),
        },
        store.behaviour,
    )


def _interactions(stored: list[Interaction], now: float) -> str:
    rows = [
        (
            written(each.scheduled_at),
            str(each.survey_id),
            each.person,
            each.external_ref or "",
            each.status(now),
            ", ".join(f"{name}={value}" for name, value in each.data.items()),
        )
        for each in reversed(stored[-NEWEST:])
    ]
    heads = ("scheduled", "survey", "person", "reference", "status", "data")
    return page.table(heads, rows, "long")
