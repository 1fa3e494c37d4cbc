"""The routes of Survey Dynamix's API: from a request to an answer, without a network between."""

from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl

import orjson

from connector.sandbox.exchange import Answer, Refusal, Request, json_answer
from connector.sandbox.survey_dynamix.asked import TEXTS, form_of, whole_number, written
from connector.sandbox.survey_dynamix.behaviour import Behaviour
from connector.sandbox.survey_dynamix.interactions import Interaction
from connector.sandbox.survey_dynamix.store import SurveyDynamix

PREFIX = "/api/"
MOST = 1000
SHOWN_FILTERS = ("email", "survey_type", "scheduled_at", "call_type", "agent_id")

Handler = Callable[[SurveyDynamix, Request], Answer]


def parse_request(
    method: str, path: str, query: bytes, headers: list[tuple[bytes, bytes]]
) -> Request | None:
    """Return the request without its body, or None for a path that is not of the API."""
    match path.split("/"):
        case ["", "api", name] if name in ("interactions", "interaction_data", "surveys"):
            template, item = f"/{name}", ""
        case ["", "api", name, item] if name in ("interactions", "surveys") and item:
            template = f"/{name}/{{id}}"
        case _:
            return None
    return Request(
        method=method,
        path=path,
        version="",
        route=f"{method} {template}",
        item=item,
        query=dict(parse_qsl(query.decode("latin-1"), keep_blank_values=True)),
        headers=dict(headers),
    )


def shown(interaction: Interaction, behaviour: Behaviour, now: float) -> dict[str, Any]:
    """Return an interaction as the API shows it."""
    number: int | str = interaction.id
    texts = interaction.texts
    return {
        "id": str(number) if behaviour.id_form == "text" else number,
        "uuid": interaction.uuid,
        "survey_id": interaction.survey_id,
        "phone_number": interaction.phone_number,
        "email": interaction.email,
        "survey_type": interaction.survey_type,
        "scheduled_at": written(interaction.scheduled_at),
        **{name: texts.get(name) for name in TEXTS},
        **({} if behaviour.shown_external_ref else {"external_ref": None}),
        "created_at": written(interaction.stored_at),
        "updated_at": written(interaction.updated_at),
        "status": interaction.status(now),
        behaviour.link_name: f"https://survey.invalid/{interaction.uuid}",
    }


def _ask(store: SurveyDynamix, request: Request) -> Answer:
    says = store.behaviour
    interaction = store.ask(form_of(request, says.json_body), request.late_by)
    resource = shown(interaction, says, store.clock())
    forms = {"wrapped": {"interaction": resource}, "list": [resource]}
    return json_answer(forms.get(says.answer_form, resource), says.success_status)


def _list(store: SurveyDynamix, request: Request) -> Answer:
    query = request.query
    survey_id = whole_number(query, "survey_id")
    limit, offset = _number(query, "_limit", 10), _number(query, "_offset", 0)
    if not 1 <= limit <= MOST:
        raise Refusal(400, "malformed", f"_limit must be between 1 and {MOST}")
    now = store.clock()
    resources = [
        (each, shown(each, store.behaviour, now))
        for each in store.listed(survey_id, query.get("external_ref"))
    ]
    found = [
        (each, resource) for each, resource in resources if _is_wanted(each, resource, query, now)
    ]
    match query.get("_order", "").upper():
        case "ASC":
            pass
        case "DESC":
            found.reverse()
        case _:  # sorted by status, which moves while one pages
            found.sort(key=lambda pair: (pair[1]["status"], -pair[0].id))
    page = [
        _with_data(store.behaviour, each, resource, query)
        for each, resource in found[offset : offset + limit]
    ]
    return _listed(page, store.behaviour)


def _is_wanted(
    each: Interaction, resource: dict[str, Any], query: dict[str, str], now: float
) -> bool:
    if any(name in query and query[name] != resource[name] for name in SHOWN_FILTERS):
        return False
    if "started" in query and (query["started"] == "true") != each.is_started(now):
        return False
    return not any(query.get(name) == "true" for name in ("completed", "survey_ended"))


def _get(store: SurveyDynamix, request: Request) -> Answer:
    interaction = store.interaction(request.item)
    resource = shown(interaction, store.behaviour, store.clock())
    return json_answer(_with_data(store.behaviour, interaction, resource, request.query))


def _put(store: SurveyDynamix, request: Request) -> Answer:
    form = form_of(request, store.behaviour.json_body)
    try:
        given = orjson.loads(form.get("interaction", ""))
    except orjson.JSONDecodeError:
        given = None
    if not isinstance(given, dict):
        raise Refusal(400, "malformed", "interaction must be a whole resource in JSON")
    interaction = store.change(request.item, given)
    return json_answer(shown(interaction, store.behaviour, store.clock()))


def _delete(store: SurveyDynamix, request: Request) -> Answer:
    store.delete(request.item)
    return Answer(store.behaviour.delete_status)


def _list_data(store: SurveyDynamix, request: Request) -> Answer:
    query = request.query
    if "interaction_id" in query:
        interactions = [store.interaction(query["interaction_id"])]
    else:
        interactions = store.listed(whole_number(query, "survey_id"))
    key = query.get("custom_key")
    data = [datum for each in interactions for datum in _data(each)]
    return _listed([each for each in data if key in (None, each["custom_key"])], store.behaviour)


def _set_data(store: SurveyDynamix, request: Request) -> Answer:
    form = form_of(request, store.behaviour.json_body)
    if "custom_key" not in form or "custom_value" not in form:
        raise Refusal(400, "malformed", "custom_key and custom_value are required")
    key = form["custom_key"]
    interaction = store.set_data(form.get("interaction_id", ""), key, form["custom_value"])
    return json_answer(next(each for each in _data(interaction) if each["custom_key"] == key))


def _delete_data(store: SurveyDynamix, request: Request) -> Answer:
    query = request.query
    store.remove_data(query.get("interaction_id", ""), query.get("custom_key", ""))
    return Answer(store.behaviour.delete_status)


def _list_surveys(store: SurveyDynamix, _: Request) -> Answer:
    surveys = sorted(store.behaviour.surveys)
    return _listed([_survey(each) for each in surveys], store.behaviour)


def _get_survey(store: SurveyDynamix, request: Request) -> Answer:
    for each in store.behaviour.surveys:
        if str(each) == request.item:
            return json_answer(_survey(each))
    raise Refusal(404, "not_found", "There is no such survey")


def _survey(survey_id: int) -> dict[str, Any]:
    return {
        "id": survey_id,
        "name": f"Survey {survey_id}",
        "email_from_address": "surveys@example.com",
        "sms_number": "+61499999999",
        "inbound_number": None,
        "outbound_number": None,
    }


def _data(interaction: Interaction) -> list[dict[str, Any]]:
    return [
        {"interaction_id": interaction.id, "custom_key": key, "custom_value": value}
        for key, value in interaction.data.items()
    ]


def _with_data(
    says: Behaviour, interaction: Interaction, resource: dict[str, Any], query: dict[str, str]
) -> dict[str, Any]:
    more: dict[str, Any] = {}
    if query.get("_include_data") == "true" and says.shown_data != "never":
        pairs = says.shown_data == "pairs"
        more["interaction_data"] = _data(interaction) if pairs else dict(interaction.data)
    if query.get("_include_responses") == "true":
        more["responses"] = []
    return {**resource, **more}


def _listed(page: list[dict[str, Any]], behaviour: Behaviour) -> Answer:
    if not page and behaviour.empty_list == "204":
        return Answer(204)
    return json_answer(page)


def _number(query: dict[str, str], name: str, otherwise: int) -> int:
    return whole_number(query, name) if name in query else otherwise


HANDLERS: dict[str, Handler] = {
    "POST /interactions": _ask,
    "GET /interactions": _list,
    "GET /interactions/{id}": _get,
    "PUT /interactions/{id}": _put,
    "DELETE /interactions/{id}": _delete,
    "GET /interaction_data": _list_data,
    "POST /interaction_data": _set_data,
    "DELETE /interaction_data": _delete_data,
    "GET /surveys": _list_surveys,
    "GET /surveys/{id}": _get_survey,
}
