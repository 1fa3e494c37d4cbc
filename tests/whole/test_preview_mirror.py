"""A preview of a mirror: what would be taken back, replaced and sent, and nothing of it done."""

from typing import Any

import pytest

from connector.sandbox.behaviour import Faults
from tests.whole.shop import Shop, behaving, contact_id
from tests.whole.test_mirror import model
from tests.whole.test_undo import deletions


@pytest.fixture
def mirror(shop: Shop) -> Shop:
    """The shop, with a mirror."""
    shop.configure(more="mode: mirror", cursor="", settle_after="0s", timeout="1s")
    return shop


def outlook(shop: Shop) -> Any:
    """What the next run would do."""
    return shop.connector("preview", "visits", "--json").json["outlook"]


def test_the_sets_are_told_with_the_requests_and_nothing_is_done(mirror: Shop) -> None:
    model(mirror, a=1, b=2, c=3, d=4)
    mirror.sync()
    model(mirror, a=1, b=2, c=3)
    mirror.sync()
    model(mirror, a=1, b=5, d=4, e=4)
    before = (mirror.posts, deletions(mirror))

    found = mirror.connector("preview", "visits", "--json").json

    names = ("read", "new", "removed", "replaced", "returned", "live", "already_recorded")
    assert [found[name] for name in names] == [4, 1, 1, 1, 1, 3, 1]
    assert found["examples"] == {"removed": ["c"], "replaced": ["b"], "returned": ["d"]}
    assert found["outlook"]["would"] == "send"
    asked = [(each["method"], each["row_key"]) for each in found["requests"]]
    assert sorted(asked) == [
        ("DELETE", "b"), ("DELETE", "c"), ("POST", "b"), ("POST", "d"), ("POST", "e")
    ]  # fmt: skip
    gone = next(each for each in found["requests"] if each["row_key"] == "c")
    assert gone["body"] is None
    assert gone["url"].startswith(mirror.sandbox.url)
    assert gone["url"].rsplit("/", 1)[1] in {i.id for i in mirror.sandbox.engage.interactions()}
    bodies = {each["row_key"]: each["body"] for each in found["requests"] if each["body"]}
    assert bodies["b"]["payload"]["rating"] == 5
    assert (mirror.posts, deletions(mirror)) == before

    done = mirror.sync()

    told = (done.run["removed"], done.run["replaced"], done.run["delivered"])
    assert told == (found["removed"], found["replaced"], 3)
    assert (
        mirror.connector("preview", "visits", "--json").json["outlook"]["would"] == "send_nothing"
    )


def test_a_waiting_row_that_is_gone_or_reads_otherwise_is_not_among_what_may_be_sent(
    mirror: Shop,
) -> None:
    mirror.configure(identifier="email")
    for key in ("gone", "other", "same"):
        mirror.add({"id": key, "contact": f"{key}@example.com"})
    assert mirror.sync().run["waiting"] == 3
    assert outlook(mirror)["may_send"] == 3
    mirror.execute("delete from visits where id = 'gone'")
    mirror.execute("update visits set rating = 5 where id = 'other'")

    found = mirror.connector("preview", "visits", "--json").json

    assert (found["dropped"], found["new"]) == (1, 1)
    assert found["outlook"]["may_send"] == 1
    assert "1 row without a contact yet may be sent" in found["outlook"]["notes"][0]


def test_a_row_in_doubt_that_is_gone_or_reads_otherwise_is_not_among_what_may_be_sent(
    mirror: Shop,
) -> None:
    mirror.configure(settle_after="1h")
    mirror.sandbox.behaviour = behaving(faults=Faults(status_before={500: 1.0}))
    model(mirror, gone=1, other=2, same=3)
    assert mirror.sync().run["in_doubt"] == 3
    mirror.sandbox.behaviour = behaving()
    assert outlook(mirror)["may_send"] == 3
    model(mirror, other=4, same=3)

    found = mirror.connector("preview", "visits", "--json").json

    assert (found["removed"], found["replaced"]) == (1, 1)
    assert found["outlook"]["may_send"] == 1


def test_only_removals_are_something_to_do(mirror: Shop) -> None:
    model(mirror, a=1, b=2)
    mirror.sync()
    model(mirror, a=1)

    found = mirror.connector("preview", "visits", "--json").json

    assert (found["removed"], found["outlook"]["would"]) == (1, "send")
    told = mirror.connector("preview", "visits").out
    assert "1 gone from the model: would be taken back, such as b" in told
    assert "DELETE" in told


def test_an_empty_model_would_be_held_and_is_told_also_while_it_is(mirror: Shop) -> None:
    model(mirror, **{f"v{n}": 1 for n in range(3)})
    mirror.sync()
    model(mirror)

    for _ in range(2):
        found = mirror.connector("preview", "visits", "--json").json
        assert (found["removed"], found["live"], found["empty"]) == (3, 3, True)
        assert found["outlook"]["would"] == "be_held"
        assert "no row at all" in found["outlook"]["because"]
        assert "v0" in found["outlook"]["because"]
        assert mirror.sync().run["status"] == "held"


def test_what_a_held_mirror_would_take_back_is_told_and_why_it_is_held(mirror: Shop) -> None:
    model(mirror, **{f"v{n}": 1 for n in range(15)})
    mirror.sync()
    model(mirror, v0=1)
    assert mirror.sync().run["status"] == "held"

    found = mirror.connector("preview", "visits", "--json").json

    assert (found["removed"], found["outlook"]["would"]) == (14, "be_held")
    assert "14 of 15 rows that are live at the destination are not" in found["outlook"]["because"]
    assert [each["method"] for each in found["requests"]] == ["DELETE"] * 10


def test_a_row_that_was_held_and_is_invalid_now_is_not_counted_as_one_to_be_sent(
    mirror: Shop,
) -> None:
    mirror.configure(limits="{rows: 6}")
    model(mirror, **{f"v{n}": 1 for n in range(7)})
    assert mirror.sync().run["status"] == "held"
    mirror.execute("update visits set rating = 2 where id = 'v1'")
    assert "7 rows are to be sent" in outlook(mirror)["because"]
    mirror.execute("update visits set rating = 9 where id = 'v0'")

    foreseen = outlook(mirror)
    done = mirror.sync()

    assert (foreseen["would"], done.run["status"]) == ("send", "attention")
    assert (done.run["delivered"], done.run["invalid"]) == (6, 1)


def test_what_was_never_sent_and_is_gone_is_not_sent(mirror: Shop) -> None:
    model(mirror, a=1, b=6)
    mirror.sync()  # no rating is a six, so nothing is sent of it
    model(mirror, a=1)

    found = mirror.connector("preview", "visits", "--json").json

    assert (found["removed"], found["dropped"], found["pending"]) == (0, 1, 0)
    assert found["outlook"]["would"] == "send_nothing"


def test_one_that_is_held_since_rows_were_rejected_is_told_to_be_held(mirror: Shop) -> None:
    mirror.configure(limits="{refused: 5%}", concurrency=1)
    mirror.add({"id": "a", "contact": contact_id(99)}, *({"id": f"b{i}"} for i in range(5)))
    held = mirror.sync()

    found = mirror.connector("preview", "visits", "--json").json["outlook"]
    again = mirror.sync()
    mirror.connector("quarantine", "discard", "visits", "a")
    then = mirror.connector("preview", "visits", "--json").json["outlook"]

    assert (held.run["status"], again.run["status"]) == ("held", "held")
    assert found["would"] == "be_held"
    assert "1 rejected of 6 rows" in found["because"]
    assert (then["would"], mirror.sync().run["status"]) == ("send", "succeeded")


def test_what_waits_for_its_turn_to_be_replaced_does_not_count_for_a_limit(mirror: Shop) -> None:
    capped = "mode: mirror\n    per_contact: {most: 1, every: 30d}"
    mirror.configure(more=capped, limits="{rows: 2}")
    mirror.add({"id": "a", "contact": contact_id(1)}, {"id": "b", "contact": contact_id(2)})
    mirror.sync()
    mirror.execute("update visits set rating = 1")
    waits = mirror.sync().run
    late = mirror.connector("preview", "visits", "--json").json["outlook"]
    mirror.add({"id": "c", "contact": contact_id(3)}, {"id": "d", "contact": contact_id(4)})

    found = mirror.connector("preview", "visits", "--json").json["outlook"]
    done = mirror.sync().run

    assert (waits["replaced"], waits["for_turn"]) == (0, 2)
    assert (late["would"], "its turn" in late["because"]) == ("send_nothing", True)
    assert (found["would"], done["status"], done["delivered"]) == ("send", "succeeded", 2)


def test_what_waits_for_its_turn_and_reads_otherwise_now_does_not_count_for_a_limit(
    mirror: Shop,
) -> None:
    capped = "mode: mirror\n    per_contact: {most: 1, every: 30d}"
    mirror.configure(more=capped, cursor="", limits="{rows: 2}", timeout="1s")
    model(mirror, a=1)
    mirror.sync()
    model(mirror, a=1, b=1, c=1)
    assert mirror.sync().run["for_turn"] == 2
    model(mirror, a=1, b=2, c=2, d=1)

    foreseen = mirror.connector("preview", "visits", "--json").json
    done = mirror.sync()

    assert (foreseen["new"], foreseen["outlook"]["would"]) == (3, "send_nothing")
    assert (done.run["status"], done.run["for_turn"]) == ("succeeded", 3)
    model(mirror, a=1, b=3, c=3, d=3, e=3, f=3, g=3)
    assert outlook(mirror)["would"] == "be_held"
    assert mirror.sync().run["status"] == "held"


def test_a_held_one_whose_refused_rows_are_gone_or_better_would_go_on(mirror: Shop) -> None:
    mirror.configure(limits="{refused: 5%}", concurrency=1)
    rejected, *others = ({"id": f"b{i}", "contact": contact_id(i)} for i in range(6))
    mirror.add({**rejected, "contact": contact_id(99)}, *others)
    held = mirror.sync()
    mirror.execute("delete from visits where id = 'b0'")

    found = mirror.connector("preview", "visits", "--json").json

    assert (held.run["status"], found["dropped"]) == ("held", 1)
    assert found["outlook"]["would"] == "send"
    assert mirror.sync().run["delivered"] == 5


def test_identifiers_that_are_still_malformed_once_they_are_read_anew_hold_it_as_told(
    mirror: Shop,
) -> None:
    mirror.configure(more="mode: mirror", cursor="", identifier="email", limits="{refused: 50%}")
    mirror.add(*({"id": f"b{i}", "contact": f"nobody {i}"} for i in range(30)))
    first = mirror.sync().run
    mirror.execute("update visits set contact = contact || ' at all'")

    foreseen = outlook(mirror)
    again = mirror.sync().run

    assert (first["status"], first["rejected"]) == ("held", 30)
    assert foreseen["would"] == "be_held"
    assert (again["status"], again["rejected"]) == ("held", 30)


def test_a_row_without_a_key_is_not_counted_as_recorded(mirror: Shop) -> None:
    mirror.add({"id": "a"}, {"id": None})

    found = mirror.connector("preview", "visits", "--json").json

    names = ("read", "new", "without_key", "already_recorded")
    assert [found[name] for name in names] == [2, 1, 1, 0]


def test_one_that_is_only_taken_back_since_it_is_invalid_now_is_something_to_do(
    mirror: Shop,
) -> None:
    model(mirror, a=1)
    mirror.sync()
    model(mirror, a=9)

    found = mirror.connector("preview", "visits", "--json").json

    assert (found["replaced"], found["invalid"], found["outlook"]["would"]) == (1, 1, "send")
    assert (mirror.sync().run["replaced"], mirror.stored) == (1, {})


@pytest.mark.parametrize("limits", ["{older_than: 72h}", "{rows: 1}"])
def test_a_held_row_counts_once_as_the_model_has_it_now(mirror: Shop, limits: str) -> None:
    mirror.configure(limits=limits)
    model(mirror, a=1, b=2, c=3)
    assert mirror.sync().run["status"] == "held"
    model(mirror, a=4, b=2)

    foreseen = mirror.connector("preview", "visits", "--json").json["outlook"]
    done = mirror.sync()

    assert foreseen["because"].startswith(("2 rows are to be sent", "2 of 2 rows to be sent"))
    assert done.run["notes"] == ["held: " + foreseen["because"]]
    model(mirror, a=4)
    mirror.configure(limits="{rows: 1}")
    assert mirror.connector("preview", "visits", "--json").json["outlook"]["would"] == "send"
    assert mirror.sync().run["delivered"] == 1


def test_what_an_approval_let_go_and_a_run_has_left_is_judged_no_more(mirror: Shop) -> None:
    """Whatever ended the run: the next one takes it back without being asked."""
    vanish = "delete from visits where id in (select id from visits order by id limit {})"
    mirror.add_many(60)
    mirror.sync()
    mirror.execute(vanish.format(15))
    assert mirror.sync().run["status"] == "held"
    assert mirror.connector("approve", "visits", "--yes").code == 0
    mirror.sandbox.behaviour = behaving(delete_faults=Faults(status_before={401: 1.0}))
    assert mirror.sync().run["status"] == "stopped"
    mirror.sandbox.behaviour = behaving()

    rest = outlook(mirror)
    mirror.execute(vanish.format(11))
    more = outlook(mirror)
    held = mirror.sync().run

    assert rest["would"] == "send"
    assert more["would"] == held["status"].replace("held", "be_held")
    assert f"held: {more['because']}" == held["notes"][0]
    assert "11 of 60 rows" in more["because"]
    assert "26 of 60 rows" in outlook(mirror)["because"]  # nothing goes by an earlier approval
    assert "26 of 60 rows" in mirror.sync().run["notes"][0]
