"""The API for other programs: runs are begun and followed, and the document about it is true."""

import hmac
import json
from hashlib import sha256
from typing import Any

import httpx
import jsonschema
import pytest
from starlette.routing import Route

from connector.project.settings import load
from connector.rules.errors import ConfigurationError
from connector.serve.service import Service
from connector.serve.web.server import web_app
from tests.whole.shop import Shop, behaving
from tests.whole.test_serve import Served, started, until

SECRET = "what-dbt-has-shown"
HOOK = f"""
serve:
  hooks:
    dbt: {{secret: {SECRET}, activations: ["tag:daily"], jobs: [123]}}
"""


def hooked(shop: Shop, *options: str, **environment: str) -> Served:
    shop.configure(more="tags: [daily]")
    shop.config.write_text(shop.config.read_text() + HOOK)
    return started(shop, *options, **environment)


def completed(event: str = "wev_1", **changes: Any) -> dict[str, Any]:
    """What dbt Cloud says of a job that has ended."""
    data = {"jobId": "123", "runId": "1", "runStatus": "Success", "runStatusCode": 10}
    return {
        "accountId": 1,
        "eventId": event,
        "eventType": "job.run.completed",
        "webhookName": "connector",
        "data": {**data, **changes},
    }


def signed(body: bytes, secret: str = SECRET) -> str:
    return hmac.new(secret.encode(), body, sha256).hexdigest()


def tells(served: Served, content: Any, secret: str = SECRET, **headers: str) -> httpx.Response:
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    shown = {"Authorization": signed(body, secret), "host": "hooks.example.com", **headers}
    return httpx.post(f"{served.url}/api/hooks/dbt", content=body, headers=shown, timeout=30)


def ended(served: Served, run_id: str) -> Any:
    """The run, when it has ended."""
    until(lambda: served.get(f"/api/runs/{run_id}").json()["finished_at"])
    return served.get(f"/api/runs/{run_id}").json()


def begun(served: Served, **said: Any) -> Any:
    answer = httpx.post(f"{served.url}/api/sync/visits", json=said, timeout=30)
    assert answer.status_code == 202, answer.text
    return answer.json()


def test_a_run_is_begun_and_followed_by_its_id(shop: Shop) -> None:
    shop.add_many(30)
    served = started(shop)

    first = begun(served, limit=10, tag="turn", by="an orchestrator")
    run = ended(served, first["run_id"])

    assert (first["activation"], first["begun"]) == ("visits", True)
    facts = {name: run[name] for name in ("status", "delivered", "done", "tag", "by", "kind")}
    assert facts == {
        "status": "succeeded",
        "delivered": 10,
        "done": False,
        "tag": "turn",
        "by": "an orchestrator",
        "kind": None,
    }
    until(lambda: not served.status["running"])
    assert ended(served, begun(served, tag="turn")["run_id"])["done"] is True
    found = served.get("/api/runs?tag=turn").json()
    assert (len(found["runs"]), found["totals"]["delivered"]) == (2, 30)
    page = served.get("/api/runs?limit=1&activation=visits&status=succeeded&since=1h").json()
    assert page == {"runs": found["runs"][:1], "next": found["runs"][0]["run_id"]}
    page = served.get(f"/api/runs?limit=1&after={page['next']}").json()
    assert page == {"runs": found["runs"][1:], "next": None}
    assert served.get("/api/runs?status=held").json()["runs"] == []
    assert served.get("/api/runs?before=1h").json()["runs"] == []


WRONG = (
    ("/api/sync/nothing", b"", 404),
    ("/api/sync/tag:nothing", b"", 404),
    ("/api/sync/visits", b"[]", 400),
    ("/api/sync/visits", b'{"limit": 0}', 400),
    ("/api/sync/visits", b'{"limit": "many"}', 400),
    ("/api/sync/visits", b'{"unknown": 1}', 400),
    ("/api/sync/visits", b"{", 400),
    ("/api/sync/visits?limit=1", b"", 400),
    ("/api/approve/visits", b"{", 400),
    ("/api/approve/visits", b'{"digset": "0"}', 400),
    ("/api/approve/visits", b'{"digest": 7}', 400),
    ("/api/approve/visits?digest=0", b"{}", 400),
    ("/api/nowhere", b"", 404),
    ("/api/status", b"", 405),
)


def test_what_is_wrong_is_told_as_commands_tell_it(served: Served) -> None:
    for path, body, status in WRONG:
        answer = httpx.post(f"{served.url}{path}", content=body, timeout=30)

        assert answer.status_code == status, (path, body)
        assert answer.json()["error"]["kind"] == "configuration"
        assert answer.json()["error"]["retryable"] is False


UNKNOWN = (
    ("/api/runs?bogus=1", 'there is no parameter "bogus"'),
    ("/api/runs?activation=visits&sinc=1h", 'there is no parameter "sinc"; did you mean "since"?'),
    ("/api/runs?Limit=1", 'there is no parameter "Limit"; did you mean "limit"?'),
    ("/api/runs?limit=1&limit=2", "limit is given more than once"),
    ("/api/runs?=1", 'there is no parameter ""'),
    ("/api/runs/some?limit=1", 'there is no parameter "limit"; this address takes none'),
    ("/api/status?activation=visits", 'there is no parameter "activation"'),
    ("/api/audit?limit=1", 'there is no parameter "limit"'),
)


def test_an_address_that_asks_what_it_may_not_ask_is_refused(served: Served) -> None:
    """To answer something else than what was asked would not be seen."""
    for path, said in UNKNOWN:
        answer = served.get(path)

        assert (path, answer.status_code) == (path, 400)
        assert answer.json()["error"]["message"].startswith(said)
    assert served.get("/healthz?by=a-probe").status_code == 200
    assert served.get("/metrics?from=prometheus").status_code == 200


def test_who_may_only_look_begins_no_run(shop: Shop) -> None:
    shop.config.write_text(
        shop.config.read_text() + "serve: {tokens: [{name: vera, token: vera-token}]}\n"
    )
    served = started(shop)
    vera = {"Authorization": "Bearer vera-token"}

    assert served.get("/api/status", **vera).status_code == 200
    assert served.get("/openapi.json", **vera).status_code == 200
    assert served.post("/api/sync/visits", **vera).status_code == 403
    assert served.get("/openapi.json").status_code == 401


def test_who_is_turned_away_is_told_as_any_error_of_the_api(shop: Shop) -> None:
    served = started(shop, CONNECTOR_TOKEN="a-token")
    elsewhere = {"Origin": "https://elsewhere.example", "Authorization": "Bearer a-token"}

    answers = [
        (served.get("/api/status"), 401, "a token is needed"),
        (served.get("/api/runs/none", Authorization="Bearer wrong"), 401, "a token is needed"),
        (served.post("/api/sync/visits"), 401, "a token is needed"),
        (
            served.post("/api/sync/visits", **elsewhere),
            403,
            "requests from other sites are refused",
        ),
    ]

    for answer, status, said in answers:
        error = {"message": said, "kind": "configuration", "retryable": False}
        assert (answer.status_code, answer.json()) == (status, {"error": error})
    assert answers[0][0].headers["www-authenticate"].startswith("Bearer")
    assert served.get("/quarantine").text == "a token is needed\n"


# --- dbt ------------------------------------------------------------------------------------------


def test_a_job_of_dbt_that_has_succeeded_begins_its_runs_once(shop: Shop) -> None:
    shop.add_many(5)
    served = hooked(shop, CONNECTOR_TOKEN="a-token")
    mine = {"Authorization": "Bearer a-token"}

    def runs() -> Any:
        return served.get("/api/runs", **mine).json()["runs"]

    answer = tells(served, completed())

    assert (answer.status_code, answer.json()["taken"]) == (202, True)
    assert answer.json()["activations"] == [{"activation": "visits", "begun": True, "reason": None}]
    until(lambda: runs() and runs()[0]["finished_at"])
    assert (runs()[0]["by"], runs()[0]["delivered"]) == ("dbt", 5)

    others: list[Any] = [
        completed(),  # once more
        completed("wev_2", runStatus="Errored", runStatusCode=20),
        completed("wev_3", runStatus="Cancelled"),
        completed("wev_4", jobId="124"),
        {**completed("wev_5"), "eventType": "job.run.started"},
        {**completed("wev_6"), "data": None},
        [],
        None,
    ]
    for other in others:
        answer = tells(served, other)
        assert (answer.status_code, answer.json()["taken"]) == (202, False)
    assert len(runs()) == 1


def test_what_dbt_has_not_signed_begins_nothing(shop: Shop) -> None:
    served = hooked(shop)
    body = json.dumps(completed()).encode()
    for shown in (
        "",
        "Bearer",
        signed(body, "another"),
        signed(body)[:-1],
        f"sha256={signed(body)}",
    ):
        answer = tells(served, body, Authorization=shown)
        assert (answer.status_code, answer.text) == (401, "refused\n")
    for changed in (body + b" ", body.replace(b"Success", b"success")):
        assert tells(served, changed, Authorization=signed(body)).status_code == 401
    assert tells(served, b"{").status_code == 400
    assert tells(served, b" " * 300_000).status_code == 413
    assert served.get("/api/runs").json()["runs"] == []


def test_without_a_secret_there_is_no_such_address(shop: Shop) -> None:
    served = started(shop)

    answer = tells(served, completed(), host=served.url.removeprefix("http://"))

    assert (answer.status_code, answer.json()["error"]["kind"]) == (404, "configuration")


def test_a_job_that_ends_while_a_run_goes_on_is_followed_by_another(shop: Shop) -> None:
    shop.configure(rate=20)
    shop.add_many(80)
    served = hooked(shop)
    begun(served)

    answer = tells(served, completed())

    (told,) = answer.json()["activations"]
    assert (told["begun"], "follows" in told["reason"]) == (False, True)
    until(lambda: len(served.get("/api/runs").json()["runs"]) == 2)
    assert served.get("/api/runs").json()["runs"][0]["by"] == "dbt"


def test_a_hook_that_names_no_activation_is_a_mistake(shop: Shop) -> None:
    shop.config.write_text(shop.config.read_text() + HOOK)

    with pytest.raises(ConfigurationError, match=r"serve.hooks.dbt: .* tag \"daily\""):
        load(shop.config)


# --- the document ---------------------------------------------------------------------------------


def test_every_address_of_the_api_stands_in_the_document_and_no_other(shop: Shop) -> None:
    app = web_app(Service(shop.config, load(shop.config)), None)
    there = {
        (route.path, method)
        for route in app.routes
        if isinstance(route, Route) and route.path.startswith("/api/")
        for method in (route.methods or set()) - {"HEAD"}
    }

    document = described(shop)
    told = {
        (path, method.upper()) for path, methods in document["paths"].items() for method in methods
    }

    assert {each for each in told if each[0].startswith("/api/")} == there
    assert len(there) > 6


def described(shop: Shop) -> Any:
    served = started(shop)
    return served.get("/openapi.json").json()


def test_answers_are_as_the_document_says(shop: Shop) -> None:
    shop.add({"id": "v1"}, {"id": "bad", "rating": 9})
    served = started(shop)
    document = served.get("/openapi.json").json()
    run = begun(served)
    ended(served, run["run_id"])

    for answer, shape in (
        (served.get("/api/status").json(), "Status"),
        (served.get("/api/runs").json(), "Runs"),
        (served.get(f"/api/runs/{run['run_id']}").json(), "Run"),
        (run, "Begun"),
        (served.get("/api/runs/unknown").json(), "Error"),
    ):
        schema = {"$ref": f"#/components/schemas/{shape}", "components": document["components"]}
        jsonschema.validate(answer, schema)
    every = document["components"]["schemas"]["Run"]
    assert every["required"] == list(every["properties"])
    assert set(served.get(f"/api/runs/{run['run_id']}").json()) == set(every["properties"])
    standing = document["components"]["schemas"]["Activation"]
    (one,) = served.get("/api/status").json()["activations"]
    assert set(one) == set(standing["properties"]) == set(standing["required"])


def test_whatever_is_asked_is_answered_as_the_document_says(shop: Shop) -> None:
    schemathesis = pytest.importorskip("schemathesis")
    from hypothesis import HealthCheck, Phase, given, settings

    checks = schemathesis.checks
    shop.sandbox.behaviour = behaving()
    shop.add_many(3)
    served = hooked(shop)
    schema = schemathesis.openapi.from_url(f"{served.url}/openapi.json")
    wanted = (
        checks.not_a_server_error,
        *(
            check
            for check in checks.CHECKS.get_all()
            if check.__name__
            in (
                "status_code_conformance",
                "content_type_conformance",
                "response_schema_conformance",
            )
        ),
    )
    assert len(wanted) == 4
    asked = 0
    for result in schema.get_all_operations():
        operation = result.ok()

        @settings(
            max_examples=15,
            deadline=None,
            database=None,
            phases=[Phase.explicit, Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy())
        def hold(case: Any) -> None:
            nonlocal asked
            asked += 1
            case.call_and_validate(checks=wanted, timeout=30)

        hold()
    assert asked > 60
    assert served.get("/healthz").status_code == 200
    assert served.process.poll() is None
