"""What charts draw, and what they say."""

import pytest

from connector.ledger.trends import Past
from connector.serve.web.charts import bars, line, spans, strip
from connector.serve.web.overview import Wanted
from connector.serve.web.page import with_code


def past(status: str) -> Past:
    return Past("id", status, 0, 1, 0, 0)


def test_a_strip_has_the_newest_at_its_end_and_says_how_many_went_how() -> None:
    shown = strip([past("stopped")] * 2 + [past("succeeded")] * 30 + [past("held")])

    assert shown.text == "30 runs: 29 succeeded, 1 held"
    assert shown.paths["warn"].startswith("M118 ")
    assert "bad" not in shown.paths
    assert strip([]).text == "no run yet"


@pytest.mark.parametrize("most", [1, 3, 7, 10, 12, 99, 1234, 0.03])
def test_the_scale_ends_at_a_round_number_that_nothing_passes(most: float) -> None:
    chart = bars("Rows", [("one", most / 2), ("two", most), ("three", None)], "{:,.3g}".format)

    assert max(bar.height for bar in chart.bars) <= 100
    assert chart.bars[1].height >= 50
    assert chart.text == f"Rows: at most {most:,.3g}, two"
    assert chart.bars[2].text == "–"
    assert len({text for _, text in chart.ticks}) == len(chart.ticks)


def test_nothing_is_an_empty_chart_and_a_flat_line() -> None:
    assert bars("Rows", [("one", 0), ("two", None)], str).is_empty
    assert line([0, 0, 0], "none").path == "M0 17L4 17L8 17"


def test_what_is_not_nothing_can_be_seen() -> None:
    drawn = bars("x", [("a", 1.0), ("b", 1_000.0), ("c", 0.0)], str).bars

    assert [(bar.height, bar.top) for bar in drawn] == [(1.5, 98.5), (100.0, 0.0), (0.0, 100.0)]


def test_code_in_a_message_is_code_and_what_a_row_has_brought_stays_text() -> None:
    assert with_code("try `a <b>` & see") == "try <code>a &lt;b&gt;</code> &amp; see"
    assert with_code("it's `<i>") == "it&#39;s `&lt;i&gt;"


def test_a_time_line_tells_what_took_time() -> None:
    shown = spans([("checking", 0.0), ("reading", 0.0), ("sending", 2.0)], 10.0)

    assert [(each.name, each.start, each.width) for each in shown] == [
        ("reading", 0.0, 200.0),
        ("sending", 200.0, 800.0),
    ]


def test_the_list_is_narrowed_down_and_sorted_by_its_address() -> None:
    def document(name: str, **more: object) -> dict[str, object]:
        plain: dict[str, object] = {
            "description": None,
            "tags": [],
            "state": "succeeded",
            "destination": "engage",
        }
        return {"name": name, **plain, "needs": [], "lag": None, "person": 0, **more}

    two = [document("reviews", tags=["crm"], lag=5.0), document("Repairs", state="stopped")]

    assert [d["name"] for d in two if Wanted(text="PAIR").covers(d)] == ["Repairs"]
    assert [d["name"] for d in two if Wanted(tag="crm").covers(d)] == ["reviews"]
    assert [d["name"] for d in two if Wanted(state="stopped").covers(d)] == ["Repairs"]
    assert [d["name"] for d in two if Wanted(state="person").covers(d)] == []
    assert [d["name"] for d in Wanted(sort="name").ordered(two)] == ["Repairs", "reviews"]
    assert [d["name"] for d in Wanted(sort="-lag").ordered(two)] == ["reviews", "Repairs"]
    assert Wanted(text="a b", page=2).address(page="") == "/?q=a+b"
