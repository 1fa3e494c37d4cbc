"""`serve.runs`: what is due waits for a place, which is told, and ends with the process."""

from contextlib import suppress
from typing import Any

import httpx
import pytest

from tests.whole.shop import Shop, behaving
from tests.whole.test_serve import Served, started, until

NAMES = ("a", "b", "c")
ACTIVATION = """
  {name}:
    {more}
    model: {{sql: "select * from visits where id like '{name}%'"}}
    schema_id: visit
    row_key: id
    start: all
    contact: {{column: contact, identifier: contactId, wait: 0}}
    payload: {{visitId: id}}
"""


def configure(shop: Shop, runs: int, more: str = "description: Visits", rows: int = 5) -> None:
    """Three activations on one key."""
    shop.configure(concurrency=1, lease="30s")
    head = shop.config.read_text().partition("activations:")[0]
    parts = [ACTIVATION.format(name=name, more=more) for name in NAMES]
    shop.config.write_text(f"{head}serve: {{runs: {runs}}}\nactivations:{''.join(parts)}")
    shop.add(*({"id": f"{name}{number}"} for name in NAMES for number in range(rows)))


def standing(served: Served) -> dict[str, Any]:
    documents = served.get("/api/status").json()["activations"]
    return {document["name"]: document for document in documents}


def waiting(served: Served) -> set[str]:
    return {name for name, each in standing(served).items() if each["waits_for_place"]}


@pytest.fixture
def one_place(shop: Shop) -> Served:
    """A service with one place, which a run has that takes long, and two that wait for it."""
    shop.sandbox.behaviour = behaving(answer_delay=0.5)
    configure(shop, runs=1, rows=20)
    served = started(shop)
    for name in NAMES:
        with suppress(httpx.ReadTimeout):  # it is answered when the run has begun
            httpx.post(f"{served.url}/api/sync/{name}", timeout=0.5)
    until(lambda: standing(served)["a"]["running"])
    return served


def test_what_waits_for_its_place_is_told_and_comes_when_it_is_free(
    shop: Shop, one_place: Served
) -> None:
    told, page = waiting(one_place), one_place.get("/").text
    again = one_place.post("/api/sync/b")
    shop.sandbox.behaviour = behaving(answer_delay=0.01)
    until(lambda: shop.posts == 60 and not waiting(one_place))

    assert told == {"b", "c"}
    assert page.count("waits for a place") == 2
    assert again.status_code == 409
    assert set(shop.stored.values()) == {1}
    assert one_place.end() == 0


def test_more_places_are_taken_over_with_the_configuration(shop: Shop, one_place: Served) -> None:
    text = shop.config.read_text()
    shop.config.write_text(text.replace("runs: 1", "runs: 3"))

    until(lambda: all(each["running"] for each in standing(one_place).values()))

    shop.sandbox.behaviour = behaving()
    assert one_place.end() == 0


def test_who_waits_for_a_place_keeps_nobody_from_ending(shop: Shop, one_place: Served) -> None:
    until(lambda: shop.posts)
    process = one_place.process

    process.terminate()
    _, told = process.communicate(timeout=60)

    skipped = [line for line in told.splitlines() if "serve.skipped" in line]
    assert process.returncode == 0
    assert len(skipped) == 2
    assert all("this process is ending" in line for line in skipped)
    assert set(shop.stored.values()) == {1}
    runs = shop.connector("runs", "--json").json["runs"]
    assert [run["activation"] for run in runs] == ["a"]


def test_a_schedule_with_one_place_sends_everything(shop: Shop) -> None:
    configure(shop, runs=1, more="schedule: {every: 1s}", rows=3)
    served = started(shop)

    until(lambda: shop.posts == 9)

    assert set(shop.stored.values()) == {1}
    assert served.end() == 0


def test_a_long_run_gives_its_place_to_others_and_goes_on_afterwards(shop: Shop) -> None:
    configure(shop, runs=1)
    text = shop.config.read_text().replace("{runs: 1}", "{runs: 1, slice: 1s}")
    shop.config.write_text(text)
    shop.add(*({"id": f"a-long-{number}"} for number in range(95)))
    shop.sandbox.behaviour = behaving(answer_delay=0.03)
    served = started(shop)
    begun = served.post("/api/sync/a").json()["run_id"]
    asked = httpx.post(f"{served.url}/api/sync/b", timeout=10)
    other = asked.json()["run_id"]
    waited = served.get(f"/api/runs/{other}").json()
    until(lambda: standing(served)["b"]["last_run"] and not standing(served)["b"]["running"])
    sent_meanwhile = shop.posts
    until(lambda: shop.posts == 105)
    until(lambda: not standing(served)["a"]["running"])

    whole = served.get(f"/api/runs/{begun}").json()
    assert (asked.status_code, asked.json()["waits_for_place"]) == (202, True)
    assert (waited["status"], waited["waits_for_place"], waited["delivered"]) == (
        "running",
        True,
        0,
    )
    assert served.get(f"/api/runs/{other}").json()["delivered"] == 5
    assert (whole["status"], whole["done"], whole["delivered"]) == ("succeeded", True, 100)
    assert len(whole["runs"]) == 2
    first, *others = reversed(served.get("/api/runs?activation=a").json()["runs"])
    assert 20 < sent_meanwhile < 100
    assert (first["run_id"], first["status"], first["done"]) == (begun, "succeeded", False)
    assert [run["done"] for run in others] == [True]
    assert first["delivered"] + others[0]["delivered"] == 100
    assert set(shop.stored.values()) == {1}
    assert served.end() == 0


def test_what_was_paused_while_it_waited_is_not_run(shop: Shop, one_place: Served) -> None:
    assert shop.connector("pause", "c", "--by", "anna").code == 0
    shop.sandbox.behaviour = behaving(answer_delay=0.01)
    until(lambda: shop.posts == 40 and not waiting(one_place))

    assert standing(one_place)["c"]["last_run"] is None
    assert one_place.end() == 0


def test_many_activations_are_lines_of_a_table(shop: Shop) -> None:
    shop.configure()
    head = shop.config.read_text().partition("activations:")[0]
    names = [f"a{number}" for number in range(61)]
    parts = [ACTIVATION.format(name=name, more="description: Visits") for name in names]
    shop.config.write_text(f"{head}activations:{''.join(parts)}")
    served = started(shop)

    page, status = served.get("/"), served.get("/api/status")
    plain = served.get("/api/status", **{"accept-encoding": "identity"})

    assert page.status_code == 200
    shown = sum(f'href="/activations/{name}"' in page.text for name in names)
    assert (shown, "page=2" in page.text or "?after=" in page.text) == (50, True)
    assert len(page.content) / shown < 800
    assert (page.headers["content-encoding"], "content-encoding" in plain.headers) == (
        "gzip",
        False,
    )
    assert int(status.headers["content-length"]) / len(names) < 100 < len(status.content)
    assert status.json().keys() == plain.json().keys()
    assert served.end() == 0
