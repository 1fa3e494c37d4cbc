"""`connector probe` of Engages that behave in any way: each answer is right, nothing is left."""

import dataclasses
import json
import random
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from connector.destinations import http
from connector.destinations.engage import trying
from connector.sandbox.behaviour import ReadFaults
from connector.sandbox.engage.behaviour import Behaviour
from connector.sandbox.engage.schemas import Schema, parse_schema
from connector.sync import sweep
from tests.targets import PROVE, in_short
from tests.whole.probe.engages import DELAYS, engage, expected, wrong
from tests.whole.shop import SCHEMA, Done, Shop, behaving, contact_id
from tests.whole.test_crash import killed, until

CONTACT = ("--contact", contact_id(1), "--schema", "visit", "--yes")


def probe(shop: Shop, *more: str) -> Done:
    return shop.connector("probe", *CONTACT, "--json", *more)


def answers(document: Any) -> dict[str, Any]:
    return {each["question"]: each["answer"] for each in document["answers"]}


def changed(document: Any) -> set[tuple[str, Any, Any]]:
    """What has changed, but for times: a machine that has much to do looks late."""
    told = [(c["question"], c["before"], c["now"]) for c in document["changed_since"]]
    return {each for each in told if each[0] not in (*DELAYS, "clock_difference")}


def is_clean(shop: Shop) -> bool:
    """Nothing is left at the destination, and every trial is at its end."""
    with shop.ledger_connection() as ledger:
        (still,) = ledger.execute("select count(*) from trials where state = 'open'").fetchone()
    there = shop.sandbox.engage
    return not there.interactions() and [s.id for s in there.schemas()] == ["visit"] and not still


@pytest.fixture(autouse=True)
def waits_are_short(monkeypatch: pytest.MonkeyPatch) -> None:
    """In this process: how long is looked for what is not shown, where others are shown at once."""
    monkeypatch.setattr(trying, "LEAST_WAIT", 0.4)
    monkeypatch.setattr(sweep, "SETTLE", 1.0)


@pytest.mark.parametrize("seed", in_short(range(40), slice(0, 2)))
def test_every_answer_of_any_engage_is_right_and_nothing_is_left(shop: Shop, seed: int) -> None:
    shop.configure(settle_after="3s")
    shop.sandbox.behaviour = engage(seed)

    done = probe(shop)

    document = done.json
    assert (done.code, wrong(document, shop.sandbox.behaviour)) == (0, {})
    assert (document["took_back"], document["left"]) == (document["made"], [])
    assert is_clean(shop)


def test_what_is_shown_on_after_it_was_deleted_is_taken_back_all_the_same(shop: Shop) -> None:
    shop.configure(timeout="1s", settle_after="1s")
    shop.sandbox.behaviour = behaving(
        listed_after_delete=1.5, shown_after_delete=True, delete_again=204, breaking="refuse"
    )

    document = probe(shop).json

    told = {each["question"]: each for each in document["answers"]}
    assert "did nothing" not in json.dumps(told["deletable_after"]["evidence"])
    assert told["listed_after_delete"]["answer"] >= 1.5
    with shop.ledger_connection() as ledger:
        states = ledger.execute(
            "select state, count(*) from trials where outcome = 'accepted' and aim = 'probe'"
            " group by state"
        ).fetchall()
    assert states == [("removed", document["made"])]
    assert document["took_back"] == document["made"]


@pytest.mark.parametrize("seed", in_short(range(100, 112), slice(0, 1)))
def test_a_sandbox_that_imitates_what_was_measured_answers_the_same(
    shop: Shop, seed: int, tmp_path: Path
) -> None:
    shop.configure(settle_after="3s")
    shop.sandbox.behaviour = engage(seed, page_size=10)
    file = tmp_path / "behaviour.json"
    first = probe(shop, "--out", str(file)).json
    switches = json.loads(file.read_text())
    assert switches["measured"] == {k: v for k, v in first.items() if k in switches["measured"]}

    imitating = Behaviour.model_validate_json(file.read_text())
    shop.sandbox.behaviour = imitating.model_copy(update={"hard_rate": None})
    second = probe(shop).json

    assert changed(second) == set()
    assert wrong(second, shop.sandbox.behaviour) == {}
    same = expected(shop.sandbox.behaviour)
    assert {k: v for k, v in answers(second).items() if k in same} == same
    assert is_clean(shop)


@pytest.mark.parametrize("own", in_short([True, False], slice(0, 1)))
@pytest.mark.parametrize("seed", range(12) if PROVE else range(1))
def test_whatever_a_killed_probe_has_made_the_next_one_takes_back(
    shop: Shop, seed: int, own: bool
) -> None:
    rng = random.Random(seed)
    shop.configure(settle_after="1s", timeout="2s")
    shop.sandbox.behaviour = engage(
        seed, 0.7, answer_delay=0.003, page_size=10, error_body="json", clock_ahead=0.0
    )
    if not own:
        shop.sandbox.engage.add_schema({**SCHEMA, "id": "connectorProbe"})
    for _ in range(3 if PROVE else 1):
        goal = shop.sandbox.requests.count() + rng.randrange(4, 100)
        process = shop.start("probe", *CONTACT, "--json")
        until(lambda p=process, g=goal: requests(shop) >= g or p.poll() is not None)
        time.sleep(rng.random() * 0.01)
        killed(process)

    last = probe(shop)

    assert (last.code, last.json["left"]) == (0, [])
    assert wrong(last.json, shop.sandbox.behaviour) == {}
    if not own:
        shop.sandbox.engage.remove_schema("connectorProbe")
    assert is_clean(shop)


def requests(shop: Shop) -> int:
    return shop.sandbox.requests.count()


def test_a_probe_that_is_interrupted_takes_back_what_it_made(shop: Shop) -> None:
    shop.sandbox.behaviour = behaving(answer_delay=0.01)
    process = shop.start("probe", *CONTACT, "--json")
    until(lambda: shop.posts > 20)

    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=30)

    document = json.loads(out)
    assert process.returncode == 130
    assert (document["kind"], document["answers"]) == ("interrupted", [])
    assert document["took_back"] > 5
    assert is_clean(shop)


def test_what_a_killed_probe_left_and_cannot_be_asked_for_is_told_in_a_sentence(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweep, "MOST_SILENT", 2)
    monkeypatch.setattr(http, "GET_PAUSES", ())
    process = shop.start("probe", *CONTACT, "--json")
    until(lambda: shop.posts > 20)
    killed(process)
    shop.sandbox.behaviour = behaving(read_faults=ReadFaults(status={500: 1.0}))

    silent = probe(shop)
    shop.sandbox.behaviour = behaving()
    again = probe(shop)

    assert (silent.code, silent.json["error"]["kind"]) == (3, "destination")
    assert "requests in a row got no answer" in silent.json["error"]["message"]
    assert again.code == 0
    assert is_clean(shop)


@pytest.mark.parametrize("cleaner", ["probe", "send"])
def test_a_schema_that_is_not_shown_as_it_was_made_is_left_alone_and_told(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, cleaner: str
) -> None:
    def renamed(*made: Any, **how: Any) -> Schema:
        return dataclasses.replace(parse_schema(*made, **how), display_name="Something else")

    monkeypatch.setattr("connector.sandbox.engage.store.parse_schema", renamed)
    if cleaner == "send":
        shop.add_many(1)
        process = shop.start("probe", *CONTACT, "--json")
        until(lambda: len(shop.sandbox.engage.schemas()) > 1)
        killed(process)
        done = shop.connector("send", "visits", "v0", "--to", contact_id(1), "--yes", "--json")
        left = done.json
    else:
        done = probe(shop)
        left = done.json["left"]

    assert done.code == 1
    assert "connector schema delete connectorProbe" in str(left)
    assert [s.id for s in shop.sandbox.engage.schemas()] == ["visit", "connectorProbe"]


def test_nothing_is_made_unless_somebody_agrees(shop: Shop) -> None:
    done = shop.connector("probe", *CONTACT[:-1])

    assert done.code == 2
    assert "Make up to 115 interactions" in done.err
    assert "Automations" in done.out
    assert shop.posts == 0


@pytest.mark.parametrize(
    ("wrong_one", "said"),
    [
        (["--contact", "anna@example.com"], "contactId"),
        (["--contact", contact_id(99)], "contact"),
        (["--schema", "visits"], 'no schema "visits"; it has: visit'),
        (["--most", "3"], "--most"),
        (["engag"], 'no destination "engag"; did you mean "engage"?'),
    ],
)
def test_what_cannot_be_measured_is_said(shop: Shop, wrong_one: list[str], said: str) -> None:
    done = shop.connector("probe", *CONTACT, *wrong_one)

    assert done.code in (2, 3)
    assert said in done.err
    assert shop.sandbox.engage.interactions() == []


def test_no_more_is_made_than_is_allowed_and_the_rest_has_no_answer(shop: Shop) -> None:
    done = probe(shop, "--most", "20")

    assert shop.posts <= 20
    assert str(answers(done.json)["page_size"]).startswith("more than 1")


def test_a_table_tells_people_and_names_neither_key_nor_contact(shop: Shop) -> None:
    shop.sandbox.behaviour = behaving(breaking="swallow", equal_twice="one")
    table = shop.connector("probe", *CONTACT)
    document = shop.connector("probe", *CONTACT, "--json")

    assert "ignored_with_id" in table.out
    assert "connector verify RUN" in table.out
    assert "52 interactions made" not in document.out
    for secret in (contact_id(1), shop.sandbox.api_key + '"'):
        assert secret not in table.out + document.out


def test_a_later_probe_says_what_has_changed(shop: Shop) -> None:
    shop.sandbox.behaviour = behaving(page_size=10)
    probe(shop)
    shop.sandbox.behaviour = behaving(page_size=20, unknown_property="stored")

    done = probe(shop).json

    assert changed(done) == {
        ("page_size", 10, 20),
        ("unknown_property", "dropped", "stored"),
    }


def test_a_probe_stands_on_the_audit_list_once(shop: Shop) -> None:
    shop.configure(settle_after="3s")

    done = probe(shop, "--by", "anna")

    (entry,) = shop.connector("audit", "--json").json["entries"]
    assert done.code == 0, done
    assert (entry["by"], entry["what"], entry["activation"]) == ("anna", "probed", None)
    assert entry["details"]["destination"] == "engage"
    assert entry["details"]["at_most"] > 0
    assert CONTACT[1] not in str(entry)
