"""Webhooks of Engage, taken by `connector serve`: rows that wait for a contact go sooner."""

import json
import time
from typing import Any

import httpx
import pytest

from connector.rules.webhooks import signature_of
from tests.whole.shop import Shop, behaving, contact_id
from tests.whole.test_serve import PLAIN, Served, started, until

SIGNING = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
SHOWN = "a-secret-that-is-sent-along"
PLACE = "/webhooks/engage"
NEW = 77
MAIL = f"new{NEW}@example.com"


def listening(shop: Shop, secret: str = SIGNING, **options: Any) -> None:
    """Rows wait for e-mail addresses, and nothing but a webhook ends that soon."""
    options = {"identifier": "email", "contact_cache": "1d", **options}
    options["contact_cache"] += f"\n    webhook_secret: {secret}"
    shop.configure(**options)


def says(
    served: Served, event: str, payload: Any, secret: str = SIGNING, name: str = "engage"
) -> httpx.Response:
    """What Engage posts by Svix."""
    content = {"eventId": "e-1", "eventType": event, "isEncrypted": False, "payload": payload}
    body, at = json.dumps(content).encode(), str(int(time.time()))
    headers = {
        "svix-id": "msg_1",
        "svix-timestamp": at,
        "svix-signature": signature_of(secret, "msg_1", at, body),
        "host": "hooks.example.com",
    }
    return httpx.post(f"{served.url}/webhooks/{name}", content=body, headers=headers, **PLAIN)


def waiting(shop: Shop, *rows: str) -> Served:
    """A service with `rows` that wait for a contact that is unknown."""
    shop.add(*({"id": row, "contact": MAIL} for row in rows))
    served = started(shop)
    run_and_wait(served)
    assert counts(served)["waiting"] == len(rows)
    return served


def run_and_wait(served: Served) -> None:
    before = (served.status["last_run"] or {}).get("run_id")
    assert served.post("/api/sync/visits").status_code == 202
    until(lambda: is_done(served.status, before))


def is_done(status: Any, before: str | None) -> bool:
    run = status["last_run"]
    return bool(run and run["run_id"] != before and run["finished_at"] and not status["running"])


def counts(served: Served) -> Any:
    return served.status["counts"]


def arrive(shop: Shop, number: int = NEW, mail: str = MAIL) -> None:
    shop.sandbox.engage.add_contact({"contactId": contact_id(number), "email": mail})


def metric(served: Served, outcome: str) -> float:
    named = f'connector_webhooks_total{{destination="engage",outcome="{outcome}"}} '
    lines = served.get("/metrics").text.splitlines()
    return sum(float(line.removeprefix(named)) for line in lines if line.startswith(named))


def test_a_row_goes_as_soon_as_its_contact_is_there(shop: Shop) -> None:
    listening(shop)
    served = waiting(shop, "v1", "v2")
    arrive(shop)

    assert says(served, "contact.created", {"email": MAIL.upper()}).status_code == 202
    until(lambda: counts(served)["delivered"] == 2)

    assert shop.stored == {"v1": 1, "v2": 1}
    until(lambda: not served.status["running"])
    run = served.status["last_run"]
    assert (run["read"], run["delivered"], run["status"]) == (0, 2, "succeeded")
    assert metric(served, "created") == 1


@pytest.mark.parametrize("payload", [{"contactId": contact_id(NEW)}, "ZW5jcnlwdGVk"])
def test_where_the_address_is_not_told_all_are_looked_up(shop: Shop, payload: Any) -> None:
    listening(shop)
    served = waiting(shop, "v1")
    arrive(shop)

    says(served, "contact.created", payload)
    until(lambda: counts(served)["delivered"] == 1)

    assert shop.stored == {"v1": 1}


def test_a_contact_that_can_be_found_only_later_is_looked_up_again(shop: Shop) -> None:
    listening(shop)
    served = waiting(shop, "v1")
    asked = shop.look_ups

    says(served, "contact.created", {"email": MAIL})
    until(lambda: shop.look_ups > asked)
    arrive(shop)
    until(lambda: counts(served)["delivered"] == 1)

    assert shop.stored == {"v1": 1}


def test_a_run_that_is_asked_for_while_woken_rows_are_sent_is_not_lost(shop: Shop) -> None:
    listening(shop)
    served = waiting(shop, "v1")
    arrive(shop)
    shop.sandbox.behaviour = behaving(answer_delay=2.0)
    says(served, "contact.created", {"email": MAIL})
    until(lambda: served.status["running"])
    shop.add({"id": "v2", "contact": "c1@example.com"})

    assert served.post("/api/sync/visits").status_code == 202
    until(lambda: counts(served)["delivered"] == 2)

    assert shop.stored == {"v1": 1, "v2": 1}


def test_rows_under_an_earlier_name_are_looked_up_before_any_run_of_the_new_one(
    shop: Shop,
) -> None:
    listening(shop)
    served = waiting(shop, "v1")
    listening(shop, name="calls", more="renamed_from: visits")
    until(lambda: served.status["name"] == "calls")
    arrive(shop)

    says(served, "contact.created", {"email": MAIL})
    until(lambda: counts(served)["delivered"] == 1)

    assert shop.stored == {"v1": 1}


def test_a_webhook_about_somebody_else_looks_nobody_up(shop: Shop) -> None:
    listening(shop)
    served = waiting(shop, "v1")
    asked = shop.look_ups
    says(served, "contact.created", {"email": "somebody@example.com"})
    says(served, "contact.updated", {"contactId": contact_id(3)})
    says(served, "loyalty.addPoints", {"contactId": contact_id(3), "email": MAIL})
    arrive(shop)
    says(served, "contact.created", {"email": MAIL})

    until(lambda: counts(served)["delivered"] == 1)

    assert shop.look_ups == asked + 1
    assert metric(served, "ignored") == 1


def test_a_webhook_repeated_is_harmless_and_a_flood_is_no_flood_of_look_ups(shop: Shop) -> None:
    listening(shop)
    served = waiting(shop, "v1")
    shop.add({"id": "v2", "contact": "never@example.com"})
    run_and_wait(served)
    asked = shop.look_ups
    for _ in range(100):
        assert says(served, "contact.created", {"contactId": contact_id(NEW)}).status_code == 202
    until(lambda: shop.look_ups > asked)
    arrive(shop)
    for _ in range(100):
        assert says(served, "contact.created", {"email": MAIL}).status_code == 202
    until(lambda: counts(served)["delivered"] == 1)

    assert shop.stored == {"v1": 1}
    assert shop.look_ups < asked + 20
    assert served.end() == 0


def test_only_whoever_has_the_secret_is_believed(shop: Shop) -> None:
    listening(shop)
    shop.add({"id": "v1", "contact": MAIL})
    assert shop.sync().run["waiting"] == 1
    served = started(shop, CONNECTOR_TOKEN="let-me-in-please")
    arrive(shop)
    asked = shop.look_ups
    other = "whsec_" + "A" * 32
    answers = [
        says(served, "contact.created", {"email": MAIL}, other),
        says(served, "contact.created", {"email": MAIL}, name="another"),
        httpx.post(f"{served.url}{PLACE}", json={"eventType": "contact.created"}),
        httpx.post(f"{served.url}{PLACE}/{SIGNING}", json={"eventType": "contact.created"}),
        httpx.post(f"{served.url}{PLACE}", content=b"x" * 300_000),
        httpx.get(f"{served.url}{PLACE}"),
    ]

    assert [answer.status_code for answer in answers] == [401, 401, 401, 401, 413, 405]
    assert not any("connector" in answer.text for answer in answers)
    token = {"authorization": "Bearer let-me-in-please"}
    shown = served.get("/metrics", **token).text
    assert 'connector_webhooks_total{destination="engage",outcome="refused"} 4.0' in shown
    assert "another" not in shown
    assert shop.look_ups == asked
    assert not shop.stored


@pytest.mark.parametrize("way", ["path", "header", "bearer"])
def test_a_secret_of_ones_own_may_stand_in_the_path_or_a_header(shop: Shop, way: str) -> None:
    listening(shop, SHOWN)
    served = waiting(shop, "v1")
    arrive(shop)
    path = f"{PLACE}/{SHOWN}" if way == "path" else PLACE
    headers = {
        "path": {},
        "header": {"X-Webhook-Secret": SHOWN},
        "bearer": {"Authorization": f"Bearer {SHOWN}"},
    }[way]
    event = {"type": "contact.created", "data": {"email": MAIL}}

    assert httpx.post(f"{served.url}{path}", json=event, headers=headers).status_code == 202
    until(lambda: counts(served)["delivered"] == 1)


def test_without_a_secret_there_is_nothing_and_a_reload_brings_it(shop: Shop) -> None:
    shop.configure(identifier="email")
    served = waiting(shop, "v1")
    local = httpx.post(f"{served.url}{PLACE}", json={"eventType": "contact.created"})

    assert local.status_code == 404
    assert says(served, "contact.created", {"email": MAIL}).status_code == 421

    arrive(shop)
    listening(shop)
    until(lambda: says(served, "contact.created", {"email": MAIL}).status_code == 202)
    until(lambda: counts(served)["delivered"] == 1)


def test_what_a_person_holds_or_has_paused_stays_so(shop: Shop) -> None:
    listening(shop)
    served = waiting(shop, "v1")
    assert shop.connector("pause", "visits").code == 0
    arrive(shop)
    says(served, "contact.created", {"email": MAIL})
    until(lambda: due(shop) == 1)
    assert served.status["last_run"]["delivered"] == 0

    assert shop.connector("resume", "visits").code == 0
    run_and_wait(served)

    assert shop.stored == {"v1": 1}


def due(shop: Shop) -> int:
    with shop.ledger_connection() as ledger:
        asked = "select count(*) from deliveries where state = 'waiting' and due_at <= changed_at"
        soon = "select count(*) from deliveries where state = 'waiting' and due_at < :now"
        now = int(time.time() * 1000) + 1
        return int(ledger.execute(soon, {"now": now}).fetchone()[0]) or int(
            ledger.execute(asked).fetchone()[0]
        )


@pytest.mark.parametrize(
    "told", [{"contactId": contact_id(1).upper()}, {"email": "c1@example.com"}]
)
def test_a_contact_that_is_deleted_is_looked_up_anew(shop: Shop, told: Any) -> None:
    listening(shop)
    served = started(shop)
    shop.add({"id": "v1", "contact": "c1@example.com"})
    run_and_wait(served)
    assert (counts(served)["delivered"], cached(shop)) == (1, 1)

    assert says(served, "contact.deleted", told).status_code == 202
    until(lambda: cached(shop) == 0)
    asked = shop.look_ups
    shop.add({"id": "v2", "contact": "c1@example.com"})
    run_and_wait(served)

    assert shop.look_ups == asked + 1


def test_another_contact_that_is_deleted_empties_nothing_else(shop: Shop) -> None:
    listening(shop)
    served = started(shop)
    shop.add(*({"id": f"v{n}", "contact": f"c{n}@example.com"} for n in (1, 2)))
    run_and_wait(served)

    says(served, "contact.deleted", {"contactId": contact_id(2)})

    until(lambda: cached(shop) == 1)


def cached(shop: Shop) -> int:
    with shop.ledger_connection() as ledger:
        return int(ledger.execute("select count(*) from contacts").fetchone()[0])


def test_no_personal_data_is_logged(shop: Shop) -> None:
    listening(shop)
    served = waiting(shop, "v1")
    arrive(shop)
    says(served, "contact.created", {"email": MAIL})
    says(served, "contact.created", {"email": MAIL}, "whsec_" + "A" * 32)
    until(lambda: counts(served)["delivered"] == 1)
    served.process.terminate()
    out, err = served.process.communicate(timeout=60)

    assert "serve.webhook_refused" in out + err
    assert MAIL not in out + err
    assert contact_id(NEW) not in out + err
    assert SIGNING not in out + err
