"""What a person may see and change of a sandbox of MXO: effects, batches, truth, clock."""

from dataclasses import asdict
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from connector.sandbox import page
from connector.sandbox.clock import clock_routes
from connector.sandbox.control import newest, problem, told
from connector.sandbox.mxo.store import Batch, Mxo
from connector.sandbox.traffic import RequestLog

NEWEST = 50


def routes(store: Mxo) -> list[Route]:
    """Return the control routes that only MXO has."""
    control = Control(store)
    return [
        Route("/sandbox/interactions", control.interactions),
        Route("/sandbox/batches", control.batches),
        Route("/sandbox/truth", control.truth),
        Route("/sandbox/finish", control.finish, methods=["POST"]),
        Route("/sandbox/tokens/revoke", control.revoke, methods=["POST"]),
        *clock_routes(store.clock),
    ]


class Control:
    """The handlers of these routes."""

    def __init__(self, store: Mxo) -> None:
        self._store = store

    async def interactions(self, request: Request) -> Response:
        """GET /sandbox/interactions: all that took effect; `limit` keeps the last so many."""
        limit = request.query_params.get("limit", "")
        if limit and not limit.isdecimal():
            return problem(400, "limit must be a whole number")
        effects = self._store.effects()
        return told([asdict(each) for each in newest(effects, limit)])

    async def batches(self, _: Request) -> Response:
        """GET /sandbox/batches: all that were taken over, found by callers or not."""
        return told([self._shown(each) for each in self._store.batches()])

    async def truth(self, _: Request) -> Response:
        """GET /sandbox/truth: how often each row took effect, by row reference."""
        by_reference = {name: asdict(took) for name, took in self._store.truth().items()}
        return told(
            {
                "effects": sum(each["effects"] for each in by_reference.values()),
                "licensed": sum(each["licensed"] for each in by_reference.values()),
                "by_reference": by_reference,
            }
        )

    async def finish(self, _: Request) -> Response:
        """POST /sandbox/finish: process all batches now that are not stuck for ever."""
        self._store.finish()
        return Response(status_code=204)

    async def revoke(self, _: Request) -> Response:
        """POST /sandbox/tokens/revoke: every token that there is dies."""
        self._store.tokens.revoke()
        return Response(status_code=204)

    def _shown(self, batch: Batch) -> dict[str, Any]:
        progress = batch.progress
        return {
            "id": batch.id,
            "status": batch.word(self._store.behaviour.words, self._store.clock()),
            "fate": progress.fate,
            "records": progress.records,
            "processed": progress.done,
            "errors": {str(place): text for place, text in progress.errors.items()},
        }


def render(store: Mxo, requests: RequestLog) -> str:
    """Return the page as HTML."""
    effects, batches = store.effects(), store.batches()
    licensed = sum(took.licensed for took in store.truth().values())
    return page.render(
        "MXO sandbox",
        f"{len(effects):,} interactions took effect, {licensed:,} count as licensed,"
        f" {len(batches):,} batches, {requests.count():,} requests received, at most"
        f" {requests.peak_per_second} in one second.",
        {
            "Requests by status": page.routes(requests),
            "Last batches": page.table(
                ("batch", "status", "records", "processed", "errors"),
                (
                    (
                        each.id,
                        each.word(store.behaviour.words, store.clock()),
                        str(each.progress.records),
                        str(each.progress.done),
                        str(len(each.progress.errors)),
                    )
                    for each in reversed(batches[-NEWEST:])
                ),
            ),
            "Last interactions": page.table(
                ("customer", "uri", "reference", "properties"),
                (
                    (
                        each.customer,
                        each.uri,
                        each.reference,
                        ", ".join(f"{name}={value}" for name, value in each.properties.items()),
                    )
                    for each in reversed(effects[-NEWEST:])
                ),
                "long",
            ),
        },
        store.behaviour,
    )
