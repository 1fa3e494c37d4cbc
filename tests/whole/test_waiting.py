"""While anything waits for a person, everything says so; and why a run stopped is said in words
that programs know."""

import pytest

from connector.cli.main import run
from connector.rules import errors
from connector.rules.errors import KINDS, ConnectorError
from connector.sandbox.behaviour import Faults
from connector.sync.result import Result
from tests.whole.shop import Shop, behaving
from tests.whole.test_serve import EVERY_SECOND, started, until
from tests.whole.test_telling import a_webhook, discarded

BAD = {"id": "bad", "rating": 9, "seen_at": "2026-10-01 10:00:00"}


def leave_one_in(shop: Shop, state: str) -> None:
    """One row that waits for a person, from a run of its own, far behind what comes later."""
    match state:
        case "invalid":
            shop.add(BAD)
        case "rejected":
            shop.add(BAD | {"rating": 4})
            shop.sandbox.behaviour = behaving(faults=Faults(status_before={400: 1.0}))
        case _:
            shop.add(BAD | {"rating": 4})
            shop.sandbox.behaviour = behaving(faults=Faults(reset_before=1.0))
    shop.sync()
    shop.sandbox.behaviour = behaving()


@pytest.mark.parametrize("state", ["invalid", "rejected", "in_doubt"])
def test_a_run_that_finds_nothing_new_is_attention_while_a_row_waits(
    shop: Shop, state: str
) -> None:
    shop.configure(settle_after="1h", timeout="1s")
    leave_one_in(shop, state)
    shop.add({"id": "v1"})

    good, nothing = shop.sync(), shop.sync()

    for done in (good, nothing):
        assert (done.code, done.run["status"]) == (1, "attention")
        assert done.run["waits"][state] == 1
    assert (good.run["delivered"], good.run["invalid"], good.run["rejected"]) == (1, 0, 0)
    (document,) = shop.connector("status", "--json").json["activations"]
    assert (document["state"], document["last_run"]["status"]) == ("attention", "attention")
    told = {
        "in_doubt": "1 row is in doubt, and too young to be settled yet; a run can settle it from"
    }
    assert told.get(state, f"1 {state} waits for a person") in shop.connector("sync").out


@pytest.mark.parametrize(
    ("fail_on", "first", "second"), [("new", 1, 0), ("waiting", 1, 1), ("never", 0, 0)]
)
def test_a_scheduler_may_choose_what_fails(
    shop: Shop, fail_on: str, first: int, second: int
) -> None:
    shop.add(BAD, {"id": "v1"})

    codes = [shop.sync("--fail-on", fail_on).code for _ in range(2)]

    assert codes == [first, second]


def test_only_the_doubts_of_the_run_itself_are_new(shop: Shop) -> None:
    shop.configure(settle_after="1h", timeout="1s")
    leave_one_in(shop, "in_doubt")

    assert shop.sync("--fail-on", "new").code == 0

    shop.add({"id": "v1"})
    shop.sandbox.behaviour = behaving(faults=Faults(reset_before=1.0))
    assert shop.sync("--fail-on", "new").code == 1


@pytest.mark.parametrize("fail_on", ["new", "waiting", "never"])
def test_what_is_stopped_fails_whatever_was_chosen(shop: Shop, fail_on: str) -> None:
    shop.configure(key="wrong")

    done = shop.sync("--fail-on", fail_on)

    assert (done.code, done.run["kind"], done.run["retryable"]) == (3, "key_refused", False)


def test_discarded_rows_wait_for_nobody(shop: Shop) -> None:
    leave_one_in(shop, "invalid")
    assert discarded(shop, "bad")

    (before,) = shop.connector("status", "--json").json["activations"]
    done = shop.sync()

    assert (before["state"], before["last_run"]["status"]) == ("succeeded", "attention")
    assert (done.code, done.run["status"]) == (0, "succeeded")


def test_the_page_and_the_metrics_know_that_rows_wait(shop: Shop) -> None:
    leave_one_in(shop, "invalid")
    shop.add({"id": "v1"})
    shop.sync()
    served = started(shop)

    overview, runs = served.get("/").text, served.get("/runs").text
    text = served.get("/metrics").text

    assert '<span class="badge warn">attention</span>' in overview
    assert '<span class="badge ok">succeeded' not in runs
    assert 'connector_rows_for_a_person{activation="visits"} 1.0' in text
    assert 'connector_held{activation="visits"} 0.0' in text
    assert served.end() == 0


def test_more_trouble_is_told_while_older_trouble_waits(shop: Shop) -> None:
    with a_webhook() as (url, told):
        shop.configure(more=EVERY_SECOND, alerts=f'[{{webhook: "{url}", group: 0}}]')
        shop.add(BAD)
        served = started(shop)
        until(lambda: len(told) == 1)
        until(lambda: shop.connector("runs", "--json").json["runs"][3:])  # some found nothing new
        shop.add({"id": "worse", "rating": 8})
        until(lambda: len(told) == 2)
        assert served.end() == 0

    assert told[1].startswith("connector: visits: something waits for a person (2 invalid)\n")


# --- kinds ----------------------------------------------------------------------------------------


def every_error(of: type[ConnectorError] = ConnectorError) -> list[type[ConnectorError]]:
    return [of, *(found for sub in of.__subclasses__() for found in every_error(sub))]


def test_every_error_has_a_kind_that_is_written_down() -> None:
    assert {error.kind for error in every_error()} <= set(KINDS)
    assert {error for error in every_error() if error.__module__ == errors.__name__}


def test_a_held_run_and_a_pause_have_kinds_too(shop: Shop) -> None:
    shop.configure(limits="{rows: 1}")
    shop.add_many(3)

    held = shop.sync()
    shop.connector("pause", "visits")
    paused = shop.sync("visits")

    assert (held.code, held.run["kind"], held.run["retryable"]) == (1, "held", False)
    (recorded,) = shop.connector("runs", "--json").json["runs"]
    assert (recorded["kind"], recorded["retryable"]) == ("held", False)
    assert paused.code == 2
    assert paused.json["error"] == {
        "kind": "paused",
        "message": paused.json["error"]["message"],
        "retryable": False,
    }


def test_what_stopped_a_run_is_remembered_in_the_same_words(shop: Shop) -> None:
    shop.add({"id": "v1"})
    shop.configure(model="select * from nowhere")
    shop.sync()
    shop.configure(model="select * from visits", key="wrong")
    shop.sync()
    del shop.options["key"]
    shop.configure()
    shop.sync()

    runs = shop.connector("runs", "--json").json["runs"]

    assert [(r["status"], r["kind"], r["retryable"]) for r in runs] == [
        ("succeeded", None, False),
        ("stopped", "key_refused", False),
        ("stopped", "configuration", False),
    ]


def test_busy_is_worth_another_try(shop: Shop) -> None:
    shop.sandbox.behaviour = behaving(answer_delay=1.0)
    shop.add_many(5)
    process = shop.start("sync")
    until(lambda: shop.posts > 0)

    done = shop.sync()
    process.communicate(timeout=60)

    assert done.code == 3
    assert (done.run["status"], done.run["kind"], done.run["retryable"]) == (
        "stopped",
        "busy",
        True,
    )


def test_a_command_line_that_is_wrong_is_a_matter_of_configuration(
    shop: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    done = shop.connector("sync", "--fail-on", "sometimes", "--json")

    assert done.code == 2
    assert done.json["error"]["kind"] == "configuration"
    assert done.json["error"]["retryable"] is False
    assert run(["--config", str(shop.config), "status"]) == 0


def test_what_did_not_come_to_a_run_still_has_every_word() -> None:
    ended = Result("visits", errors.ActivationBusy("busy"))

    assert (ended.status, ended.exit_code(), ended.left) == ("stopped", 3, 0)
