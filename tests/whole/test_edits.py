"""Editing the configuration sends nothing again; what would is refused, with the choices."""

import pytest

from connector.sandbox.behaviour import Faults
from tests.whole.shop import SCHEMA, Shop, behaving

OLDER = {"id": "old", "sku": "other", "seen_at": "2026-10-01 10:00:00"}


def preview(shop: Shop, name: str = "visits") -> dict[str, object]:
    return shop.connector("preview", name, "--json").json  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("option", "edited"),
    [
        ({"payload": "{visitId: id, rating: rating}"}, ["payload"]),
        ({"model": "select * from visits where rating > 0"}, ["model"]),
        ({"cursor": "cursor: {column: seen_at, overlap: 2d}"}, ["cursor"]),
        ({"wait": "1d"}, ["contact"]),
        ({}, []),
    ],
)
def test_a_preview_tells_what_was_edited_and_that_nothing_is_sent_again(
    shop: Shop, option: dict[str, str], edited: list[str]
) -> None:
    shop.add_many(10)
    shop.sync()
    shop.configure(**option)

    document = preview(shop)
    done = shop.sync()

    assert document["edited"] == edited
    assert (document["new"], document["behind"]) == (0, 0)
    assert done.run["delivered"] == 0
    assert shop.posts == 10
    assert preview(shop)["edited"] == []  # the run has read the model as it is written now


def test_rows_that_an_edit_makes_eligible_behind_the_watermark_are_told_and_can_be_had(
    shop: Shop,
) -> None:
    shop.configure(model="select * from visits where sku <> 'other'")
    shop.add_many(10)
    shop.add(OLDER)
    shop.sync()
    shop.configure(model="select * from visits")

    document = preview(shop)
    text = shop.connector("preview", "visits").out
    by_itself = shop.sync()
    full = shop.sync("--full")

    assert (document["new"], document["behind"]) == (0, 1)
    assert "0 rows are sent again, 1 newly eligible" in " ".join(text.split())
    assert "connector sync visits --full" in " ".join(text.split())
    assert by_itself.run["delivered"] == 0
    assert full.run["delivered"] == 1
    assert (full.run["read"], shop.posts) == (11, 11)
    assert shop.sync("--full").run["delivered"] == 0


def test_a_full_sync_does_not_read_what_was_history(shop: Shop) -> None:
    shop.configure(start="now")
    shop.add_many(10)
    shop.sync()

    done = shop.sync("--full")

    assert done.run["delivered"] == 0
    assert shop.posts == 0


@pytest.mark.parametrize("command", [["sync"], ["preview", "visits"], ["check", "visits"]])
@pytest.mark.parametrize(
    ("option", "words"),
    [
        ({"row_key": "sku"}, "row_key was"),
        ({"schema": "other"}, "previous_schema_id: visit"),
    ],
)
def test_what_would_make_old_rows_new_is_refused_with_the_choices(
    shop: Shop, command: list[str], option: dict[str, str], words: str
) -> None:
    shop.sandbox.engage.add_schema({**SCHEMA, "id": "other"})
    shop.add_many(3)
    shop.sync()
    shop.configure(**option)

    done = shop.connector(*command, "--json")

    assert done.code == 2
    assert words in done.out
    assert "paused: true" in done.out
    assert shop.posts == 3


@pytest.mark.parametrize("command", [["sync"], ["preview", "guests"], ["check", "guests"]])
def test_another_name_for_what_is_recorded_is_refused_with_the_choices(
    shop: Shop, command: list[str]
) -> None:
    shop.add_many(3)
    shop.sync()
    shop.configure(name="guests")

    done = shop.connector(*command, "--json")

    assert done.code == 2
    assert "renamed_from: visits" in done.out
    assert "renamed_from: false" in done.out
    assert shop.posts == 3


def test_a_file_that_is_no_ledger_is_told_once_and_stays_so_until_somebody_acts(shop: Shop) -> None:
    shop.configure()
    shop.ledger_file.parent.mkdir(exist_ok=True)
    shop.ledger_file.write_bytes(b"this is no database" * 1000)

    checked = shop.connector("check")
    error = shop.connector("sync", "--json").json["error"]

    assert checked.code == 3
    assert checked.out.count("STOP") == 1
    assert (error["kind"], error["retryable"]) == ("ledger", False)


def test_an_edit_that_a_run_refuses_is_told_by_status(shop: Shop) -> None:
    """No run is begun, so nothing is on record of it."""
    shop.add_many(3)
    shop.sync()
    shop.configure(row_key="happened_at")

    (told,) = shop.connector("status", "--json").json["activations"]

    assert told["state"] == "stopped"
    assert [need["kind"] for need in told["needs"]] == ["refused"]
    assert 'row_key was ["id"]' in told["needs"][0]["text"]


def test_what_waits_of_an_activation_that_was_removed_is_told_and_can_be_given_up(
    shop: Shop,
) -> None:
    shop.add({"id": "bad", "rating": 9})
    shop.sync()
    shop.configure(name="others", more="renamed_from: false")

    (need,) = shop.connector("status", "--json").json["needs"]
    listed = shop.connector("quarantine", "list", "visits", "--json").json["rows"]
    story = shop.connector("explain", "visits", "bad", "--json").json
    retried = shop.connector("quarantine", "retry", "visits", "bad", "--json")
    given_up = shop.connector("quarantine", "discard", "visits", "bad")

    assert (need["kind"], need["command"]) == ("left", "connector quarantine list visits")
    assert '"visits" is not configured any more, and 1 row of it waits: 1 invalid' in need["text"]
    assert need["text"].endswith("discard them: `connector quarantine discard visits --all`")
    assert [row["row_key"] for row in listed] == ["bad"]
    assert story["state"] == "invalid"
    assert retried.code == 2
    assert "put it back, with paused: true" in retried.out
    assert given_up.code == 0
    assert shop.connector("status", "--json").json["needs"] == []


def test_rows_of_a_removed_activation_that_were_never_sent_are_given_up_by_the_command_that_is_told(
    shop: Shop,
) -> None:
    """A held run has left some, and an unknown contact one more."""
    shop.configure(identifier="email")
    shop.add({"id": "w", "contact": "nobody@example.com", "seen_at": "2026-10-01 10:00:00"})
    shop.sync()
    shop.configure(limits="{rows: 2}")
    shop.add_many(3)
    assert shop.sync().run["status"] == "held"
    shop.configure(name="others", more="renamed_from: false", limits="{}")

    (need,) = shop.connector("status", "--json").json["needs"]
    commands = [each.split()[1:] for each in need["command"].split(" && ")]
    codes = [shop.connector(*each, "--yes").code for each in commands]

    assert (need["kind"], len(commands), codes) == ("left_unsent", 2, [0, 0])
    assert need["text"].endswith("where it goes on, or discard them")
    assert [shop.state(key) for key in ("v0",)] == ["discarded"]
    assert shop.connector("status", "--json").json["needs"] == []


def test_another_name_and_another_schema_at_once_are_one_edit_that_has_to_be_said(
    shop: Shop,
) -> None:
    shop.sandbox.engage.add_schema({**SCHEMA, "id": "visit_v2"})
    shop.add_many(3)
    shop.sync()

    before = "previous_schema_id: visit"
    for more in (before, f"{before}\n    renamed_from: vists"):
        shop.configure(name="guests", schema="visit_v2", more=more)
        for command in (["sync"], ["preview", "guests"], ["check", "guests"]):
            done = shop.connector(*command)
            assert done.code == 2, command
            assert '"visits", which sent to visit' in done.said
            assert "renamed_from: visits" in done.said
    shop.configure(more=f"{before}\n    renamed_from: visits")
    shop.add_many(2, first=3)

    assert shop.sync().run["delivered"] == 2
    assert set(shop.stored.values()) == {1}


def test_a_renamed_activation_goes_on_where_it_was(shop: Shop) -> None:
    shop.add_many(3)
    shop.sync()
    shop.configure(name="guests", more="renamed_from: visits")

    before = preview(shop, "guests")
    counts = shop.connector("status", "--json").json["activations"][0]["counts"]
    shop.add_many(2, first=3)
    done = shop.sync()
    again = shop.sync()

    assert (before["already_recorded"], before["new"]) == (3, 0)
    assert counts["delivered"] == 3
    assert (done.run["delivered"], again.run["delivered"]) == (2, 0)
    assert shop.connector("explain", "guests", "v0", "--json").json["state"] == "delivered"
    assert len(shop.connector("runs", "guests", "--json").json["runs"]) == 3
    assert shop.posts == 5


def test_nothing_is_decided_about_rows_before_they_are_under_the_new_name(shop: Shop) -> None:
    """What is said of them is not that there are none."""
    shop.configure(limits="{rows: 2}")
    shop.add_many(3)
    shop.add({"id": "bad", "rating": 9})
    assert shop.sync().run["status"] == "held"
    shop.configure(limits="{rows: 2}", name="guests", more="renamed_from: visits")

    for command in (
        ("approve", "guests", "--yes"),
        ("approve", "guests", "--out", "plan.json"),
        ("quarantine", "retry", "guests", "bad"),
        ("quarantine", "settle", "guests", "v0", "--not-delivered"),
        ("quarantine", "discard", "guests", "bad"),
        ("quarantine", "discard", "guests", "--all", "--yes"),
        ("quarantine", "retry", "visits", "bad"),
        ("approve", "visits", "--yes"),
    ):
        done = shop.connector(*command, "--json")
        assert done.code == 2, command
        assert "`connector sync guests` first" in done.json["error"]["message"], command

    shop.sync()
    assert shop.connector("quarantine", "discard", "guests", "bad").code == 0
    assert shop.connector("approve", "guests", "--yes").code == 0
    assert shop.sync().run["delivered"] == 3


def test_what_was_approved_under_the_earlier_name_goes_and_is_foreseen(shop: Shop) -> None:
    limited = {"limits": "{rows: 2}"}
    shop.configure(**limited)
    shop.add_many(3)
    assert shop.sync().run["status"] == "held"
    assert shop.connector("approve", "visits", "--yes").code == 0
    shop.configure(**limited, name="guests", more="renamed_from: visits")

    (told,) = shop.connector("check", "--json").json["activations"]
    outlook = preview(shop, "guests")["outlook"]
    done = shop.sync()

    assert (told["outlook"]["would"], outlook["would"]) == ("send", "send")  # type: ignore[index]
    assert done.run["delivered"] == 3


def test_a_new_activation_beside_an_abandoned_one_can_be_said_to_be_new(shop: Shop) -> None:
    shop.add_many(3)
    shop.sync()
    shop.configure(name="guests", more="renamed_from: false")

    done = shop.sync()

    assert done.run["delivered"] == 3
    assert set(shop.stored.values()) == {2}  # as was asked for


def test_rows_go_on_under_another_schema_when_that_is_said(shop: Shop) -> None:
    shop.sandbox.engage.add_schema({**SCHEMA, "id": "visit_v2"})
    shop.add_many(3)
    shop.sync()
    shop.configure(schema="visit_v2", more="previous_schema_id: visit")
    shop.add_many(2, first=3)

    done = shop.sync()
    again = shop.sync()

    assert (done.run["delivered"], again.run["delivered"]) == (2, 0)
    assert shop.posts == 5
    schemas = sorted(i.schema_id for i in shop.sandbox.engage.interactions())
    assert schemas == ["visit"] * 3 + ["visit_v2"] * 2


def test_a_row_in_doubt_is_settled_before_the_schema_changes(shop: Shop) -> None:
    """Under the new schema the read-back would not find it, and it would be sent twice."""
    shop.sandbox.engage.add_schema({**SCHEMA, "id": "visit_v2"})
    shop.add_many(1)
    shop.sandbox.behaviour = behaving(faults=Faults(reset_after=1.0), read_back_delay=30)
    shop.sync()
    shop.sandbox.behaviour = behaving()
    shop.configure(schema="visit_v2", more="previous_schema_id: visit")

    refused = shop.sync()
    shop.configure(schema="visit", more="description: Visits")
    settled = shop.sync()

    assert refused.code == 2
    assert "not settled under the schema visit" in refused.out
    assert settled.run["delivered"] == 1
    assert shop.posts == 1


LOW = """
  low:
    model: {{sql: "select * from visits where rating <= 2"}}
    schema_id: visit
    row_key: id
    start: {start}
    contact: {{column: contact, identifier: contactId}}
    payload: {{visitId: id}}
"""
SAME = 'recorded of "{}", which sends to the same place under the same row key'


def told_of(shop: Shop, name: str) -> tuple[str, str]:
    """What check and preview say of an activation."""
    return shop.connector("check", name).said, shop.connector("preview", name).said


def test_who_splits_an_activation_is_told_of_rows_that_would_go_out_once_more(shop: Shop) -> None:
    shop.add_many(10)
    shop.sync()
    shop.configure(model="select * from visits where rating > 2")
    before = shop.config.read_text()

    shop.config.write_text(before + LOW.format(start="all"))
    for told in told_of(shop, "low"):
        assert "such as v0 are new here" in told
        assert SAME.format("visits") in told
        assert "write start: now" in told
    shop.config.write_text(before + LOW.format(start="now"))
    assert not any("new here" in told for told in told_of(shop, "low"))
    shop.sync()
    shop.add_many(5, first=10)
    shop.sync()

    assert set(shop.stored.values()) == {1}
    assert not any("new here" in told for name in ("low", "visits") for told in told_of(shop, name))


def test_who_makes_one_of_two_is_told_of_rows_that_the_other_one_has(shop: Shop) -> None:
    shop.configure(model="select * from visits where rating > 2")
    shop.config.write_text(shop.config.read_text() + LOW.format(start="all"))
    shop.add_many(10)
    shop.sync()
    shop.configure(model="select * from visits")

    for told in told_of(shop, "visits"):
        assert "such as v0 are new here" in told
        assert SAME.format("low") in told
        assert "keep them out of one of the two models" in told


def test_rows_of_another_schema_or_row_key_are_others(shop: Shop) -> None:
    shop.sandbox.engage.add_schema({**SCHEMA, "id": "other"})
    shop.add_many(3)
    shop.sync()
    low = LOW.format(start="all")
    for other in (low.replace(": visit\n", ": other\n"), low.replace("key: id", "key: [id, sku]")):
        shop.configure()
        shop.config.write_text(shop.config.read_text() + other)
        assert not any("new here" in told for told in told_of(shop, "low"))
