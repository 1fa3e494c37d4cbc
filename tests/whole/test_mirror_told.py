"""What is told of a mirror: by alerts, metrics, check, preview, and the story of a row."""

from typing import Any

import pytest

from connector.sandbox.behaviour import Faults
from tests.web.test_mirror_pages import text_of
from tests.whole.shop import Shop, behaving, contact_id
from tests.whole.test_mirror import first_visits, model, there
from tests.whole.test_serve import EVERY_SECOND, started, until
from tests.whole.test_telling import a_webhook

MIRROR = "mode: mirror"


@pytest.fixture
def mirror(shop: Shop) -> Shop:
    shop.configure(more=MIRROR, cursor="", settle_after="0s", timeout="1s")
    return shop


def served_mirror(shop: Shop, url: str) -> None:
    more = f"{MIRROR}\n    {EVERY_SECOND}"
    shop.configure(more=more, alerts=f'[{{webhook: "{url}", group: 0}}]')


# --- alerts and metrics -------------------------------------------------------------------------


def test_an_alert_of_a_held_mirror_has_figures_and_no_row_key(mirror: Shop) -> None:
    mirror.execute(
        "insert into visits select 'anna' || i || '@example.com', timestamp '2026-11-01',"
        f" '{contact_id(1)}', 'sku', 1, 9.5, true from range(12) t(i)"
    )
    mirror.sync()
    mirror.execute(first_visits(12))
    with a_webhook() as (url, told):
        served_mirror(mirror, url)
        served = started(mirror)
        until(lambda: len(told) == 1)
        metrics = served.get("/metrics").text
        assert served.end() == 0

    assert told[0].startswith("connector: visits: held: the model has no row at all, and 12 are")
    assert "anna" not in told[0]
    assert "anna" not in metrics
    assert "such as anna0@example.com" in mirror.connector("status").out


def test_an_alert_of_rows_that_happened_long_ago_names_none(shop: Shop) -> None:
    shop.add({"id": "anna@example.com", "seen_at": "2026-01-01 10:00:00"})
    with a_webhook() as (url, told):
        alerts = f'[{{webhook: "{url}", group: 0}}]'
        shop.configure(more=EVERY_SECOND, alerts=alerts, limits="{older_than: 1h}")
        served = started(shop)
        until(lambda: len(told) == 1)
        assert served.end() == 0

    assert "1 of 1 row to be sent happened longer ago than" in told[0]
    assert "anna" not in told[0]
    assert "anna@example.com" in shop.connector("status").out


def test_an_alert_of_keys_that_repeat_names_none(mirror: Shop) -> None:
    mirror.add({"id": "anna@example.com"}, {"id": "anna@example.com", "rating": 2})
    with a_webhook() as (url, told):
        served_mirror(mirror, url)
        served = started(mirror)
        until(lambda: len(told) == 1)
        assert served.end() == 0

    assert "1 row repeated a row key (id); of each key one row counts" in told[0]
    assert "anna" not in told[0]


def test_what_stands_under_one_key_is_told_as_a_mirror_chooses_it(mirror: Shop) -> None:
    """Not the first row of a key counts: a mirror's model has no order."""
    mirror.add({"id": "a", "rating": 1})
    mirror.sync()
    mirror.execute("delete from visits")
    mirror.add({"id": "a", "rating": 5}, {"id": "a", "rating": 1})

    done = mirror.sync()
    checked = mirror.connector("check", "visits")

    assert there(mirror) == {"a": 1}
    assert (done.run["replaced"], done.run["delivered"]) == (0, 0)
    for said in (done.run["notes"][0], " ".join(checked.out.split())):
        assert "the one that is recorded, while the model has it, else always the same" in said
        assert "first row of a key" not in said


def test_metrics_count_what_a_mirror_takes_back(mirror: Shop) -> None:
    model(mirror, a=1, b=2, c=3)
    mirror.sync()
    model(mirror, b=5, c=3)
    mirror.configure(more=f"{MIRROR}\n    {EVERY_SECOND}")
    served = started(mirror)
    until(lambda: there(mirror) == {"b": 5, "c": 3})
    until(lambda: 'outcome="removed"' in served.get("/metrics").text)
    metrics = served.get("/metrics").text
    assert served.end() == 0

    for outcome, number in (("removed", 1), ("replaced", 1), ("delivered", 1)):
        line = f'connector_outcomes_total{{activation="visits",outcome="{outcome}"}} {number}.0'
        assert line in metrics
    assert 'connector_rows{activation="visits",state="removed"} 1.0' in metrics


def story(mirror: Shop, key: str) -> list[Any]:
    return [
        event["what"]
        for event in mirror.connector("explain", "visits", key, "--json").json["story"]
    ]


# --- the story of a row -------------------------------------------------------------------------


def test_attempts_are_counted_as_a_reader_counts_them(mirror: Shop) -> None:
    """The ledger gives a number to what was taken back, too; nobody sees an attempt under it."""
    for rating in (1, 2, 3):
        model(mirror, a=rating, b=1)
        mirror.sync()
    model(mirror, b=1)
    mirror.sync()
    model(mirror, a=4, b=1)
    mirror.sync()

    shown = mirror.connector("explain", "visits", "a").out

    told = ["attempt 1", "replaced", "attempt 2", "replaced", "attempt 3"]
    assert story(mirror, "a") == [*told, "removed", "returned", "attempt 4"]
    assert [f"attempt {n}" in shown for n in (1, 2, 3, 4, 5)] == [True] * 4 + [False]


# --- limits -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("limits", "because"),
    [
        ("{rows: 5, removed: 100%}", "8 rows are to be sent and limits.rows is 5"),
        ("{older_than: 1h}", "8 of 8 rows to be sent happened longer ago than limits.older_than"),
    ],
)
def test_what_would_be_sent_anew_counts_among_what_is_to_be_sent(
    mirror: Shop, limits: str, because: str
) -> None:
    """A limit is about what a run sends; preview, check and the run say the same of it."""
    mirror.add_many(30)
    mirror.sync()
    mirror.configure(limits=limits)
    mirror.execute("update visits set rating = 1 + rating % 5 where id < 'v16'")

    foreseen = mirror.connector("preview", "visits", "--json").json["outlook"]
    checked = mirror.connector("check", "visits", "--json")
    held = mirror.sync().run

    assert (foreseen["would"], held["status"]) == ("be_held", "held")
    assert because in foreseen["because"]
    assert because in held["notes"][0]
    (outlook,) = [each["outlook"] for each in checked.json["activations"]]
    assert (checked.code, outlook["would"]) == (1, "be_held")
    assert because in outlook["because"]


def test_what_is_only_taken_back_is_not_counted_among_what_is_sent(mirror: Shop) -> None:
    mirror.add_many(30)
    mirror.sync()
    mirror.configure(limits="{rows: 5, removed: 100%}")
    mirror.execute(first_visits(8))

    assert mirror.sync().run["removed"] == 8


def test_check_foresees_what_a_mirror_would_do(mirror: Shop) -> None:
    model(mirror, a=1, b=2, c=3)
    mirror.sync()
    nothing = mirror.connector("check", "visits", "--json").json["activations"][0]["outlook"]
    model(mirror, b=5, c=3, d=4)

    checked = mirror.connector("check", "visits")
    outlook = mirror.connector("check", "visits", "--json").json["activations"][0]["outlook"]

    assert (nothing["would"], outlook["would"]) == ("send_nothing", "send")
    said = " ".join(checked.out.split())
    assert "a run would send 1 new row, take 1 back and replace 1, of 3 at the destination" in said
    assert checked.code == 0


def test_check_says_what_it_does_not_compare(mirror: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model that is larger than what a check reads."""
    mirror.add_many(30)
    mirror.sync()
    monkeypatch.setattr("connector.sync.check.MOST_ROWS", 20)

    checked = mirror.connector("check", "visits", "--json")

    (found,) = checked.json["activations"]
    assert (checked.code, found["outlook"]) == (0, None)
    assert any("`connector preview` compares" in each["message"] for each in found["findings"])


# --- what stands in the way ---------------------------------------------------------------------


def test_it_is_told_everywhere_why_a_mirror_is_at_attention(mirror: Shop) -> None:
    """No row is in quarantine then; a status that says no more than its word would help nobody."""
    model(mirror, a=1, b=2)
    mirror.sync()
    mirror.sandbox.behaviour = behaving(delete_faults=Faults(status_before={409: 1.0}))
    model(mirror, b=2)
    note = mirror.sync().run["notes"][0]
    served = started(mirror)
    pages = [text_of(served, path) for path in ("/", "/activations/visits")]
    assert served.end() == 0

    checked = mirror.connector("check", "visits")

    assert note.startswith("1 row is to be taken back (such as a), and Engage refused it: HTTP 409")
    assert ".." not in note
    assert checked.code == 1
    told = [mirror.connector("status").out, checked.out, *pages]
    assert all(note in " ".join(each.split()) for each in told)


def test_a_row_that_was_removed_shows_its_interaction_as_taken_back(mirror: Shop) -> None:
    model(mirror, a=1, b=2)
    mirror.sync()
    model(mirror, b=2)
    mirror.sync()
    served = started(mirror)
    page = text_of(served, "/rows?activation=visits&key=a")
    assert served.end() == 0

    assert "interaction, taken back: " in mirror.connector("explain", "visits", "a").out
    assert "  interaction: " in mirror.connector("explain", "visits", "b").out
    assert "Interaction, taken back" in page


def test_of_an_empty_model_that_is_approved_no_row_is_counted_twice(mirror: Shop) -> None:
    """A join that failed had changed all rows before, and one more was not sent yet."""
    mirror.add_many(20)
    mirror.sync()
    mirror.execute("update visits set rating = 3 - rating")
    mirror.add({"id": "new"})
    assert mirror.sync().run["status"] == "held"
    model(mirror)
    assert mirror.sync().run["status"] == "held"

    (status,) = mirror.connector("status", "--json").json["activations"]
    text = " ".join(mirror.connector("approve", "visits", "--yes").out.split())
    approval = mirror.connector("approve", "visits", "--yes", "--json").json["counts"]
    foreseen = mirror.connector("preview", "visits", "--json").json["outlook"]
    done = mirror.sync()

    assert (status["hold"]["removed"], status["hold"]["replaced"]) == (20, 0)
    assert "20 taken back" in text or "20 rows taken back" in text
    assert "sent" not in text.split("taken back")[1].split(".")[0]
    numbers = [approval.get(name, 0) for name in ("rows", "removed", "replaced", "live")]
    assert numbers == [20, 20, 0, 20]
    assert (foreseen["would"], done.run["removed"], there(mirror)) == ("send", 20, {})
    assert (done.run["delivered"], done.run["replaced"]) == (0, 0)
