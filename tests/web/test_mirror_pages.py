"""The pages of a mirror: what was taken back and replaced, what would be, and what holds it."""

import pytest

from connector.show.limits import approval_text, limits_text
from tests.factories import an_activation
from tests.whole.shop import Shop
from tests.whole.test_mirror import model
from tests.whole.test_serve import Served, started

MIRROR = "mode: mirror"


@pytest.fixture
def mirror(shop: Shop) -> Shop:
    """One row was removed, one replaced, and one is still there as it was."""
    shop.configure(more=MIRROR, cursor="", settle_after="0s", timeout="1s")
    model(shop, a=1, b=2, c=3)
    shop.sync()
    model(shop, a=1, b=5)
    shop.sync()
    return shop


def text_of(served: Served, path: str) -> str:
    answer = served.get(path)
    assert answer.status_code == 200, answer.text
    return " ".join(answer.text.split())


def figure(name: str, value: str) -> str:
    return f"<dt>{name}</dt><dd>{value}</dd>"


def test_what_was_taken_back_and_replaced_stands_wherever_runs_and_rows_do(mirror: Shop) -> None:
    served = started(mirror)
    run = served.status["last_run"]["run_id"]

    assert figure("Removed", "1") in text_of(served, "/activations/visits")
    for path in ("/runs", "/activations/visits"):
        table = text_of(served, path)
        assert 'data-label="Removed">1<' in table
        assert 'data-label="Replaced">1<' in table
    page = text_of(served, f"/runs/{run}")
    assert figure("Removed", "1") in page
    assert figure("Replaced", "1") in page


def test_a_preview_shows_what_would_be_taken_back_and_its_requests(mirror: Shop) -> None:
    model(mirror, a=2)
    served = started(mirror)

    page = text_of(served, "/activations/visits/preview")

    assert figure("At the destination now", "2") in page
    assert figure("Gone from the model: would be taken back", "1") in page
    assert figure("Changed: would be taken back and sent anew", "1") in page
    assert "DELETE " in page
    assert "POST " in page


def test_every_limit_is_told() -> None:
    limits = {
        "rows": "3x",
        "refused": "5%",
        "matched": "20%",
        "older_than": "90d",
        "removed": "15%",
        "replaced": "30%",
        "changed_keys": "1%",
        "approval": "other",
        "approval_for": "1d",
    }
    mirror = an_activation(mode="mirror", cursor=None, start="all", limits=limits)

    assert limits_text(mirror) == (
        "3 times the usual rows, 5.0% invalid or rejected, 1.0% of the rows under other keys, 20.0%"
        " fewer contacts found than usual, rows older than 90d, 15.0% of the live rows taken back,"
        " 30.0% of them replaced, a model without rows"
    )
    assert approval_text(mirror.limits) == (
        "by somebody else than who asked for the run or edited last; holds for 1d"
    )


def test_what_holds_where_nothing_is_written_is_told_too() -> None:
    mirror = an_activation(mode="mirror", cursor=None, start="all")

    assert limits_text(mirror) == (
        "10.0% of the live rows taken back, 10.0% of them replaced after an edit, a model without"
        " rows"
    )
    assert limits_text(an_activation()) == "a model without rows that always had some"
    assert limits_text(an_activation(limits={"empty": "allow"})) == "none"
    assert approval_text(mirror.limits) == "by anyone; holds for 7d"


def test_a_held_mirror_asks_for_just_what_would_happen_and_says_who_approved(shop: Shop) -> None:
    shop.configure(more=MIRROR, cursor="", settle_after="0s", timeout="1s")
    shop.add_many(20)
    shop.sync()
    shop.execute("delete from visits where id in (select id from visits order by id limit 15)")
    shop.sync("--by", "anna")
    served = started(shop)

    page = text_of(served, "/activations/visits/held")
    asked = " ".join(served.post("/activations/visits/approve").text.split())
    shop.connector("approve", "visits", "--by", "bert")
    after, overview = text_of(served, "/activations/visits/held"), text_of(served, "/")

    assert figure("Would be taken back", "15") in page
    assert figure("At the destination now", "20") in page
    assert "Let exactly this go: 15 rows taken back?" in page
    assert "Let exactly this go: 15 rows taken back?" in asked
    assert "Approve and run" not in after
    assert "Run as approved" in after
    assert "the next run lets it go, until" in after
    assert "Approved by bert: the next run lets it go." in overview


def test_a_row_tells_what_is_about_to_be_done_with_it(shop: Shop) -> None:
    shop.configure(more=MIRROR, cursor="", settle_after="0s", timeout="1s")
    shop.add_many(20)
    shop.sync()
    shop.execute("delete from visits where id != 'v1'")
    shop.sync()
    served = started(shop)

    page = text_of(served, "/rows?activation=visits&key=v2")
    story = shop.connector("explain", "visits", "v2").out
    other = shop.connector("explain", "visits", "v1", "--json").json
    change = shop.connector("explain", "visits", "v2", "--json").json["change"]
    shop.connector("approve", "visits", "--by", "bert")
    shop.sync()
    after = shop.connector("explain", "visits", "v2")

    gone = "t is gone from the model: the next run takes it back"
    assert f"I{gone}." in page
    assert f"i{gone}" in story
    assert "held: 19 of 20 rows" in story
    assert (other["change"], change["aim"], change["refused"]) == (None, "remove", None)
    assert "is gone" not in after.out
    assert "it was delivered: the interaction " in after.out
