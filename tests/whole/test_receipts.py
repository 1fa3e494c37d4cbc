"""Receipts: what is done at the destination by hand is told, and its repair, too."""

import json
import re
import signal
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from connector.sandbox.behaviour import ReadFaults
from tests.whole.shop import Done, Shop, behaving
from tests.whole.test_serve import Served, started, until
from tests.whole.test_telling import a_webhook
from tests.whole.test_verify import alter, ledger, post_again, stored

COUNTS = ("rows", "interactions", "missing", "twice", "changed", "not_proven")


def names(key: str, text: str) -> bool:
    """Whether the row key stands in a text; the id of a run may happen to hold its letters."""
    return re.search(rf"\b{key}\b", text) is not None


@pytest.fixture
def delivered(shop: Shop) -> Shop:
    """Twenty visits are delivered, long enough ago to be looked at."""
    shop.configure(settle_after="0s", more="verify: {every: 1d}")
    shop.add_many(20)
    assert shop.sync().run["delivered"] == 20
    return shop


def now(shop: Shop) -> Done:
    """`connector receipts visits --now --json`."""
    return shop.connector("receipts", "visits", "--now", "--json")


def counts(done: Done) -> list[int]:
    """The figures of the one receipt that a command has shown."""
    (receipt,) = done.json["receipts"]
    return [receipt[name] for name in COUNTS]


def kept(shop: Shop) -> list[Any]:
    """The receipts that are kept, newest first."""
    return list(shop.connector("receipts", "--limit", "1000", "--json").json["receipts"])


# --- what is found --------------------------------------------------------------------------------


def test_where_all_is_well_the_receipt_says_so(delivered: Shop) -> None:
    done = now(delivered)
    (receipt,) = done.json["receipts"]

    assert (done.code, counts(done)) == (0, [20, 20, 0, 0, 0, 0])
    assert (receipt["result"], receipt["seal"], receipt["deviations"]) == ("ok", "unchanged", [])
    assert (receipt["delivered"], receipt["new"], receipt["unverifiable"]) == (20, 20, 0)
    assert receipt["runs"]["number"] == 1
    assert receipt["destination"]["type"] == "engage"
    assert delivered.sandbox.api_key not in json.dumps(receipt)


def test_what_was_done_at_the_destination_by_hand_is_found_and_its_repair(delivered: Shop) -> None:
    engage, there = delivered.sandbox.engage, stored(delivered)
    engage.remove_interaction(there["v3"].id)
    again = post_again(delivered, there["v4"])
    alter(delivered, there["v5"], payload={**there["v5"].payload, "rating": 1, "productSku": "x"})

    broken = now(delivered)
    table = delivered.connector("receipts", "visits").out
    engage._interactions.add(there["v3"], engage.clock())
    engage.remove_interaction(again)
    alter(delivered, there["v5"])
    repaired = now(delivered)

    (receipt,) = broken.json["receipts"]
    assert (broken.code, counts(broken)) == (1, [20, 20, 1, 1, 1, 0])
    assert receipt["result"] == "deviation"
    found = {row["row_key"]: row["found"] for row in receipt["deviations"]}
    assert found == {"v3": ["missing"], "v4": ["twice"], "v5": ["changed"]}
    assert "3 rows of visits not there as sent" in table
    assert "v3" in table
    assert (repaired.code, counts(repaired)) == (0, [20, 20, 0, 0, 0, 0])
    assert [each["result"] for each in kept(delivered)] == ["ok", "deviation"]


def test_what_deviated_and_is_not_seen_again_is_not_proven_and_stays_told(delivered: Shop) -> None:
    delivered.sandbox.engage.remove_interaction(stored(delivered)["v3"].id)
    now(delivered)
    delivered.sandbox.behaviour = behaving(read_faults=ReadFaults(html=1.0))

    (receipt,) = now(delivered).json["receipts"]

    assert (receipt["result"], receipt["missing"]) == ("not_proven", 0)
    assert (
        "1 row that deviated before could not be looked at again"
        in delivered.connector("status").out
    )


def test_what_deviated_is_looked_at_again_however_small_the_sample(delivered: Shop) -> None:
    delivered.configure(more="verify: {every: 1d, sample: 0%}")
    there = stored(delivered)
    delivered.sandbox.engage.remove_interaction(there["v3"].id)

    first, second = now(delivered), now(delivered)
    delivered.sandbox.engage._interactions.add(there["v3"], delivered.sandbox.engage.clock())
    third, fourth = now(delivered), now(delivered)

    assert [each.json["receipts"][0]["result"] for each in (first, second, third, fourth)] == [
        *("deviation", "deviation", "ok", "nothing")
    ]
    assert counts(first)[2] == counts(second)[2] == 1
    assert second.json["receipts"][0]["deviations"][0]["row_key"] == "v3"
    assert fourth.json["receipts"][0]["new"] == 0


def test_the_few_that_came_since_the_last_one_are_all_looked_at(delivered: Shop) -> None:
    delivered.configure(more="verify: {every: 1d, sample: 0%}")
    now(delivered)
    delivered.add_many(5, first=20)
    assert delivered.sync().run["delivered"] == 5

    (receipt,) = now(delivered).json["receipts"]

    assert (receipt["new"], receipt["delivered"]) == (5, 25)
    assert receipt["rows"] >= 5


def test_what_came_a_moment_ago_is_left_to_the_next_one(delivered: Shop) -> None:
    delivered.configure(settle_after="3m")

    (receipt,) = now(delivered).json["receipts"]

    assert (receipt["rows"], receipt["delivered"], receipt["result"]) == (0, 0, "nothing")


def test_what_was_taken_back_is_not_missing(delivered: Shop) -> None:
    run = delivered.connector("runs", "--json").json["runs"][0]["run_id"]
    delivered.connector("undo", run, "--yes")

    assert counts(now(delivered)) == [0, 0, 0, 0, 0, 0]


def test_nothing_is_kept_while_somebody_works_on_the_rows_by_hand(delivered: Shop) -> None:
    ledger(
        delivered,
        "update leases set run_id = 'by-hand-x', expires_at = 32503680000000,"
        ' holder = \'{"host": "elsewhere", "pid": 1, "born": ""}\'',
    )

    done = now(delivered)

    assert done.code == 3
    assert "by hand" in done.json["error"]["message"]
    assert kept(delivered) == []


def test_what_cannot_be_read_is_told_as_not_proven(delivered: Shop) -> None:
    delivered.sandbox.behaviour = behaving(read_faults=ReadFaults(html=0.3))

    done = now(delivered)

    (receipt,) = done.json["receipts"]
    assert (done.code, receipt["result"]) == (1, "not_proven")
    assert receipt["not_proven"] > 0
    assert receipt["missing"] == receipt["twice"] == receipt["changed"] == 0


def test_the_digest_lets_whoever_has_the_keys_see_which_rows_it_is_about(delivered: Shop) -> None:
    (receipt,) = now(delivered).json["receipts"]

    each = sorted(sha256(f"v{number}".encode()).digest() for number in range(20))
    assert receipt["keys_sha256"] == sha256(b"".join(each)).hexdigest()


# --- the paper ------------------------------------------------------------------------------------


def test_a_receipt_can_be_handed_out_and_shows_whether_it_was_changed(
    delivered: Shop, tmp_path: Path
) -> None:
    file, folder = tmp_path / "receipt.json", tmp_path / "all"
    delivered.sandbox.engage.remove_interaction(stored(delivered)["v3"].id)
    now(delivered)
    now(delivered)
    assert delivered.connector("receipts", "--out", str(file), "--export", str(folder)).code == 0
    fine = delivered.connector("receipts", "--check", str(file), "--json")

    file.write_text(file.read_text().replace('"missing": 1', '"missing": 0'))
    changed = delivered.connector("receipts", "--check", str(file))

    assert len(list(folder.iterdir())) == 2
    assert names("v3", "".join(each.read_text() for each in folder.iterdir())) is False
    assert (fine.code, fine.json["seal"]) == (0, "unchanged")
    assert changed.code == 1
    assert "It was changed" in changed.out


def test_a_receipt_that_was_changed_in_the_ledger_is_told(delivered: Shop) -> None:
    now(delivered)
    ledger(
        delivered, "update receipts set document = replace(document, '\"rows\":20', '\"rows\":9')"
    )

    assert kept(delivered)[0]["seal"] == "changed"
    assert "was changed after it was signed" in delivered.connector("receipts").out


def test_the_key_is_its_owners_alone_and_another_one_can_say_nothing(
    delivered: Shop, tmp_path: Path
) -> None:
    now(delivered)
    key = delivered.ledger_file.parent / "receipts.key"
    mode = key.stat().st_mode & 0o777
    file = tmp_path / "receipt.json"
    delivered.connector("receipts", "--out", str(file))
    key.unlink()
    without = delivered.connector("receipts", "--check", str(file))
    now(delivered)  # makes another key
    other = delivered.connector("receipts", "--check", str(file))
    key.chmod(0o644)
    checked = delivered.connector("check").out

    assert mode == 0o600
    assert without.code == 2
    assert "no key here" in without.err
    assert other.code == 1
    assert "Another key" in other.out
    assert "receipts.key" in checked


def test_a_key_that_is_configured_signs_on_every_machine(delivered: Shop) -> None:
    text = delivered.config.read_text()
    delivered.config.write_text(text.replace("lease:", f"receipt_key: {'k' * 32}, lease:"))

    now(delivered)

    assert kept(delivered)[0]["seal"] == "unchanged"
    assert not (delivered.ledger_file.parent / "receipts.key").exists()


@pytest.mark.parametrize("file", ["nothing.json", "activations.yaml"])
def test_what_is_no_receipt_is_told_so(delivered: Shop, file: str) -> None:
    now(delivered)

    done = delivered.connector("receipts", "--check", str(delivered.path / file))

    assert done.code == 2


def test_an_activation_that_is_not_configured_has_no_receipts(delivered: Shop) -> None:
    assert delivered.connector("receipts", "visit").code == 2
    assert delivered.connector("receipts", "--now").code == 2
    assert "no receipt yet" in delivered.connector("receipts", "visits").out


# --- by itself, in `serve` ------------------------------------------------------------------------


@pytest.fixture
def often(delivered: Shop) -> Shop:
    """Verified every second."""
    delivered.configure(more="verify: {every: 1s}")
    return delivered


def last(served: Served) -> Any:
    """The newest verification, as `status` tells it."""
    return served.status["verification"]["last"] or {}


def test_a_deviation_is_told_and_its_repair_too(often: Shop) -> None:
    engage = often.sandbox.engage
    with a_webhook() as (url, told):
        often.configure(alerts=f"[{{webhook: '{url}', group: 0}}]")
        served = started(often)
        until(lambda: last(served).get("result") == "ok")
        gone = stored(often)["v3"]
        engage.remove_interaction(gone.id)
        until(lambda: last(served).get("result") == "deviation")
        metrics = served.get("/metrics").text
        page = served.get("/activations/visits").text
        engage._interactions.add(gone, engage.clock())
        until(lambda: last(served).get("result") == "ok")
        until(lambda: len(told) == 2)
        assert served.end() == 0

    assert "the verification found 1 missing among 20 rows looked at" in told[0]
    assert "nothing amiss any more" in told[1]
    assert names("v3", "".join(told)) is False
    assert 'connector_verification_missing{activation="visits"} 1.0' in metrics
    assert 'connector_verification_timestamp_seconds{activation="visits"}' in metrics
    assert "1 missing" in page
    assert often.posts == 20


def test_what_was_verified_is_not_verified_again_by_a_restart_or_another_process(
    delivered: Shop,
) -> None:
    for _ in range(2):
        one, two = started(delivered), started(delivered)
        until(lambda s=one: last(s).get("result") == "ok")
        assert (one.end(), two.end()) == (0, 0)

    assert len(kept(delivered)) == 1


def test_a_verification_that_was_killed_is_made_by_the_next_process(delivered: Shop) -> None:
    delivered.sandbox.behaviour = behaving(answer_delay=1.0)
    served = started(delivered)
    until(lambda: delivered.sandbox.requests.count("GET /interactions/{id}") > 0)
    served.end(signal.SIGKILL)
    delivered.sandbox.behaviour = behaving()

    served = started(delivered)
    until(lambda: last(served).get("result") == "ok")

    assert served.end() == 0
    assert [each["rows"] for each in kept(delivered)] == [20]


def test_sigterm_ends_a_verification_at_once_and_without_a_receipt(delivered: Shop) -> None:
    delivered.configure(rate=4)
    served = started(delivered)
    until(lambda: delivered.sandbox.requests.count("GET /interactions/{id}") > 0)

    assert served.end() == 0
    assert kept(delivered) == []


def test_one_that_cannot_be_made_is_told_once(delivered: Shop) -> None:
    delivered.sandbox.behaviour = behaving(read_faults=ReadFaults(status={403: 1.0}))
    with a_webhook() as (url, told):
        delivered.configure(alerts=f"[{{webhook: '{url}', group: 0}}]", more="verify: {every: 2s}")
        served = started(delivered)
        until(lambda: told)
        delivered.sandbox.behaviour = behaving()
        until(lambda: last(served).get("result") == "ok")
        until(lambda: len(told) == 2)
        assert served.end() == 0

    assert "could not be made" in told[0]
    assert "can be made again" in told[1]


def test_status_check_and_plan_tell_of_it(delivered: Shop) -> None:
    before = delivered.connector("status").out
    now(delivered)
    after = delivered.connector("status", "--json").json["activations"][0]["verification"]

    assert "visits: not verified yet" in before
    assert (after["schedule"], after["last"]["result"]) == ("every 1d", "ok")
    assert "(20 rows looked at): ok" in delivered.connector("status").out
    assert "verified every 1d" in delivered.connector("check").out
    (planned,) = delivered.connector("plan", "--json").json["activations"]
    assert planned["verify"] == "every 1d"
