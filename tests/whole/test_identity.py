"""A row is known by where it went: the name of a destination is not enough."""

from collections.abc import Iterator

import pytest

from connector.sandbox.engage.running import Running, running
from tests.whole.shop import Shop, an_engage


@pytest.fixture
def staging() -> Iterator[Running]:
    """Another Engage, with the same schemas and contacts."""
    with running(engage=an_engage()) as server:
        yield server


def at(sandbox: Running, *earlier: Running) -> dict[str, str]:
    """The options that put the destination there; `earlier`: where the same one was before."""
    before = "".join(f"\n    previous_url: {each.url}" for each in earlier)
    return {"url": sandbox.url + before, "key": sandbox.api_key}


def other_way_to_write(url: str) -> str:
    """The same address."""
    return url.replace("http://127.0.0.1", "HTTP://LocalHost") + "/"


def test_a_destination_under_another_address_is_refused_with_the_choices(
    shop: Shop, staging: Running
) -> None:
    shop.add({"id": "v1"}, {"id": "v2"})
    shop.sync()

    shop.configure(**at(staging))
    refused = shop.sync()

    assert refused.code == 2
    (run,) = refused.json["runs"]
    said = run["error"]["message"] if isinstance(run["error"], dict) else run["error"]
    assert "engage was at http://localhost:" in said
    assert "previous_url: http://localhost:" in said
    assert "an activation of its own" in said
    assert staging.requests.count("POST /interactions") == 0
    shop.configure(**at(shop.sandbox))
    assert shop.sync().code == 0
    assert shop.stored == {"v1": 1, "v2": 1}


def test_the_same_address_written_in_another_way_is_the_same_place(shop: Shop) -> None:
    shop.add({"id": "v1"})
    shop.sync()

    shop.configure(url=other_way_to_write(shop.sandbox.url))
    shop.add({"id": "v2"})
    again = shop.sync()

    assert (again.code, again.run["delivered"]) == (0, 1)
    assert shop.stored == {"v1": 1, "v2": 1}


def test_no_command_takes_the_rows_for_those_of_another_address(
    shop: Shop, staging: Running
) -> None:
    shop.add({"id": "v1"}, {"id": "v2", "rating": 9})
    run_id = shop.sync().run["run_id"]
    shop.configure(**at(staging))

    commands = (
        ("sync", "--json"),
        ("preview", "visits"),
        ("preview", "visits", "--offline"),
        ("check",),
        ("undo", run_id, "--yes"),
        ("undo", run_id, "--dry-run"),
        ("verify", run_id),
        ("release", run_id, "--yes"),
        ("quarantine", "retry", "visits"),
        ("schema", "delete", "visit", "--confirm", "visit 1"),
        ("forget", "--contact", "c1@example.com", "--delete-interactions", "--yes"),
    )
    for command in commands:
        done = shop.connector(*command)
        assert done.code == 2, (command, done)
        assert "http://localhost:" in done.out + done.err, (command, done)
        assert "Ready" not in done.out, done
    assert shop.connector("explain", "visits", "v1", "--json").json["address"] == (
        shop.sandbox.url.replace("127.0.0.1", "localhost")
    )
    assert staging.requests.count("POST /interactions") == 0
    assert staging.requests.count("DELETE /interactions") == 0
    assert staging.engage.schemas()
    assert shop.stored == {"v1": 1}


def test_a_schema_is_not_deleted_or_replaced_where_the_recorded_interactions_are_not(
    shop: Shop, staging: Running
) -> None:
    shop.add({"id": "v1"})
    shop.sync()
    shop.configure(**at(staging), more="paused: true")

    deleted = shop.connector("schema", "delete", "visit", "--confirm", "visit 0")

    assert deleted.code == 2
    assert "previous_url" in deleted.err
    assert staging.engage.schemas()  # nothing was deleted there


@pytest.mark.parametrize("key_stays", [True, False])
def test_a_destination_that_moved_goes_on_under_its_new_address(
    shop: Shop, key_stays: bool
) -> None:
    shop.add({"id": "v1"})
    first = shop.sync().run["run_id"]
    with running(engage=shop.sandbox.engage) as moved:  # the same one, at another port
        shop.configure(**at(moved, shop.sandbox))
        shop.add({"id": "v2"})
        verified = shop.connector("verify", first, "--json")
        second = shop.sync()
        shop.configure(**(at(moved, shop.sandbox) if key_stays else at(moved)))
        shop.add({"id": "v3"})
        third = shop.sync()
        back = shop.connector("undo", first, "--yes", "--json")

        assert verified.json["ok"] is True
        assert (second.code, second.run["delivered"]) == (0, 1)
        assert (third.code, third.run["delivered"]) == (0, 1)
        assert back.code == 0, back
        assert shop.stored == {"v2": 1, "v3": 1}
    shop.configure(**at(shop.sandbox))
    assert shop.sync().code == 2  # it is at the new address now


def test_an_earlier_address_that_is_not_the_recorded_one_says_nothing(
    shop: Shop, staging: Running
) -> None:
    shop.add({"id": "v1"})
    shop.sync()

    shop.configure(url=f"{staging.url}\n    previous_url: https://elsewhere.example")

    assert shop.sync().code == 2


def test_a_ledger_without_addresses_learns_them_at_the_next_run(
    shop: Shop, staging: Running
) -> None:
    shop.add({"id": "v1"})
    shop.sync()
    with shop.ledger_connection() as ledger:
        ledger.execute("update watermarks set type = null, address = null")

    assert shop.connector("check").code == 0
    assert shop.sync().code == 0
    shop.configure(**at(staging))
    assert shop.sync().code == 2


def test_two_projects_with_equal_names_on_one_ledger_do_not_share_rows(
    shop: Shop, staging: Running
) -> None:
    shop.add({"id": "v1"})
    shop.sync()

    shop.configure(**at(staging))
    same = shop.sync()
    shop.configure(name="visits_of_staging")  # the other project has its own name
    own = shop.sync()

    assert same.code == 2
    assert (own.code, own.run["delivered"]) == (0, 1)
    assert len(staging.engage.interactions()) == 1
    assert shop.stored == {"v1": 1}


def test_a_destination_under_another_name_at_the_same_address_is_told_the_truth(shop: Shop) -> None:
    shop.add({"id": "v1"})
    run_id = shop.sync().run["run_id"]
    text = shop.config.read_text().replace("  engage:\n", "  voyado:\n")
    shop.config.write_text(text)

    refused = shop.connector("sync")
    undone = shop.connector("undo", run_id, "--yes")

    assert refused.code == 2
    assert "which is at the same address" in refused.out
    assert "Call it engage again" in refused.out
    assert undone.code == 2
    assert '"voyado" is at the same address: call it engage again' in undone.err
    assert shop.stored == {"v1": 1}


def test_a_pause_stays_under_a_new_name_until_it_is_ended(shop: Shop) -> None:
    shop.add({"id": "v1"})
    shop.sync()
    shop.connector("pause", "visits", "--by", "anna")
    shop.configure(name="calls", more="renamed_from: visits")
    shop.add({"id": "v2"})

    assert shop.sync("calls").code == 2
    (status,) = shop.connector("status", "--json").json["activations"]
    assert (status["name"], status["paused"], status["paused_by"]) == ("calls", True, "anna")
    assert shop.posts == 1

    assert "has ended" in shop.connector("resume", "calls").out
    assert shop.sync("calls").run["delivered"] == 1
    assert set(shop.stored.values()) == {1}
