"""The routes of MXO's APIs: from a request to an answer, without a network in between."""

from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, parse_qsl
from uuid import NAMESPACE_URL, uuid5

import orjson

from connector.sandbox.exchange import Answer, Refusal, Request, json_answer
from connector.sandbox.mxo.behaviour import Behaviour
from connector.sandbox.mxo.records import json_of, many_of
from connector.sandbox.mxo.store import Batch, Mxo

PREFIXES = ("/one/", "/batchv2/")
TOKEN = "POST /oauth2token"
MOST_OFFLINE = 100
COUNTS = {
    "plain": ("total", "processed", "failed"),
    "records": ("totalRecords", "processedRecords", "errorCount"),
}

Handler = Callable[[Mxo, Request], Answer]


def parse_request(
    method: str, path: str, query: bytes, headers: list[tuple[bytes, bytes]]
) -> Request | None:
    """Return the request without its body, or None for a path that is not of the API. `version`
    is the site key."""
    site, item = "", ""
    asked = dict(parse_qsl(query.decode("latin-1"), keep_blank_values=True))
    match path.strip("/").split("/"):
        case ["one", "oauth2token"]:
            template = "/oauth2token"
        case ["one", "oauth2", "rt", "api", "2.0", "interaction"]:
            template, site = "/interaction", asked.get("sk", "")
        case ["one", "oauth2", "rt", "api", "2.0", ("interaction" | "interactions") as name, last]:
            if last != "offline":
                return None
            template, site = f"/{name}/offline", asked.get("sk", "")
        case ["one", "oauth2", "rt", "api", "3.1.0", "customer", site, *rest]:
            template, item = "/customer", "/".join(rest)
        case ["batchv2", "interactions", site]:
            template = "/batch"
        case ["batchv2", "interactions", site, item]:
            template = "/batch/{id}"
        case ["batchv2", "interactions", site, item, "error"]:
            template = "/batch/{id}/error"
        case _:
            return None
    return Request(method, path, site, f"{method} {template}", item, asked, dict(headers))


def _token(store: Mxo, request: Request) -> Answer:
    form = parse_qs(request.body.decode("latin-1"))
    if form.get("grant_type") != ["client_credentials"]:
        raise Refusal(400, "malformed", "grant_type must be client_credentials")
    says = store.behaviour
    lives: dict[str, Any] = {
        "there": round(says.token_life),
        "wrong": round(says.token_life * 10),
        "nonsense": "soon",
    }
    body: dict[str, Any] = {"access_token": store.token(), "token_type": "bearer"}
    if says.expires_in in lives:
        body["expires_in"] = lives[says.expires_in]
    return json_answer(body)


def _single(store: Mxo, request: Request) -> Answer:
    given = json_of(request.body)
    store.capture([given], "none", request.late_by)
    key = str(given.get("customerKey", "")) if isinstance(given, dict) else ""
    body: dict[str, Any] = {
        "statusCode": store.behaviour.inner_status,
        "tid": str(uuid5(NAMESPACE_URL, key)),
        "trackers": [],
        "captures": [],
    }
    if request.method == "POST":
        body["optimizations"] = []
    return json_answer(body)


def _one_offline(store: Mxo, request: Request) -> Answer:
    _refuse_deprecated(store)
    store.capture([json_of(request.body)], store.behaviour.offline_time, request.late_by)
    return json_answer({"statusCode": store.behaviour.inner_status})


def _many_offline(store: Mxo, request: Request) -> Answer:
    says = store.behaviour
    _refuse_deprecated(store)
    given = json_of(request.body)
    if says.offline_form == "object":
        given = given.get("interactions") if isinstance(given, dict) else None
    if not isinstance(given, list) or not 1 <= len(given) <= MOST_OFFLINE:
        raise Refusal(400, "malformed", f"1 to {MOST_OFFLINE} interactions are taken")
    store.capture(given, says.offline_time, request.late_by)
    return json_answer({"statusCode": says.inner_status})


def _refuse_deprecated(store: Mxo) -> None:
    if store.behaviour.offline == "off":
        raise Refusal(404, "not_found", "There is nothing here")


def _take_batch(store: Mxo, request: Request) -> Answer:
    says = store.behaviour
    if says.most_bytes is not None and len(request.body) > says.most_bytes:
        raise Refusal(413, "too_large", "The body is too large")
    records = many_of(request.body, request.headers.get(b"content-type", b""))
    if not records:
        raise Refusal(400, "malformed", "There is no record")
    if len(records) > says.most_records:
        raise Refusal(says.too_many_status, "too_many", "There are too many records")
    own = request.headers.get(b"batchid", b"").decode("latin-1")
    batch_id = store.take_over(records, own or None, request.late_by)
    body = {says.id_name: batch_id} if says.batch_id_in == "body" else {"message": "accepted"}
    answer = json_answer(body, says.batch_status)
    if says.batch_id_in == "header":
        return answer._replace(headers=((b"batchid", batch_id.encode("latin-1")),))
    return answer


def _batch_status(store: Mxo, request: Request) -> Answer:
    batch, now = store.batch(request.item)
    says, progress = store.behaviour, batch.progress
    body: dict[str, Any] = {
        says.id_name: batch.id,
        says.status_name: batch.word(says.words, now),
    }
    if says.counts != "missing":
        numbers = (progress.records, progress.done, len(progress.errors))
        if progress.fate == "failed":
            ended = progress.ended_at is not None
            numbers = (progress.records, 0, progress.records if ended else 0)
        body |= dict(zip(COUNTS[says.counts], numbers, strict=True))
    return json_answer(body)


def _batch_errors(store: Mxo, request: Request) -> Answer:
    says = store.behaviour
    batch, now = store.batch(request.item)
    ended = batch.progress.ended_at
    errors = [_error(batch, place, says) for place in sorted(batch.progress.errors)]
    if ended is None or now < ended + says.errors_delay:
        if says.errors_early == "404":
            raise Refusal(404, "not_found", "There are no errors yet")
        errors = []
    errors = errors[: says.errors_cut]
    match says.errors_form:
        case "ndjson":
            lines = b"".join(orjson.dumps(each) + b"\n" for each in errors)
            return Answer(200, lines, b"application/x-ndjson")
        case "object":
            return json_answer({says.id_name: batch.id, "errors": errors})
        case _:
            return json_answer(errors)


def _error(batch: Batch, place: int, behaviour: Behaviour) -> dict[str, Any]:
    record = batch.records[place]
    body: dict[str, Any] = {"message": batch.progress.errors[place]}
    match behaviour.errors_by:
        case "reference":
            body["record"] = record.raw
        case "index":
            body["index"] = place
        case "line":
            body["line"] = place + 1
        case "customer_key":
            body["customerKey"] = record.customer
        case "text":
            pass
    return body


def _delete_customer(store: Mxo, request: Request) -> Answer:
    # How the customer is named is in no public copy of the page: by path or query here.
    customer = request.query.get("customerKey") or request.item.rpartition("/")[2]
    if not store.remove_customer(customer):
        raise Refusal(404, "not_found", "There is no such customer")
    return json_answer({"statusCode": 200})


HANDLERS: dict[str, Handler] = {
    TOKEN: _token,
    "PUT /interaction": _single,
    "POST /interaction": _single,
    "PUT /interaction/offline": _one_offline,
    "PUT /interactions/offline": _many_offline,
    "POST /batch": _take_batch,
    "GET /batch/{id}": _batch_status,
    "GET /batch/{id}/error": _batch_errors,
    "DELETE /customer": _delete_customer,
}
