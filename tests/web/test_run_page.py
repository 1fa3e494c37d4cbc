"""The page of a run: how it went in time, its log, and what is decided about it."""

import html
import re
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from connector.sandbox.behaviour import Faults
from tests.web.test_persons import BY_TOKEN as NAMED
from tests.web.test_persons import TOKENS, served_with
from tests.whole.shop import Shop, behaving
from tests.whole.test_serve import Served, started, until

HREF = re.compile(r' href="([^"]+)"')


def run_of(served: Served) -> str:
    served.post("/api/sync/visits")
    until(lambda: served.status["last_run"] and served.status["last_run"]["status"] != "running")
    return str(served.status["last_run"]["run_id"])


def submit(served: Served, path: str, **fields: str) -> httpx.Response:
    return httpx.post(f"{served.url}{path}", data=fields, timeout=60, follow_redirects=True)


def test_a_run_is_shown_in_time_verified_and_taken_back_as_agreed(shop: Shop) -> None:
    shop.add_many(5)
    served = started(shop)
    run = run_of(served)

    shown = served.get(f"/runs/{run}").text
    assert "Requests a second" in shown
    assert "sending" in shown
    assert "run.finished" in shown  # its log

    whole = submit(served, f"/runs/{run}/verify").text
    assert "5 rows looked at: each is there, once and as it was sent" in whole
    lost = shop.sandbox.engage.interactions()[0]
    shop.sandbox.engage.remove_interaction(lost.id)
    amiss = submit(served, f"/runs/{run}/verify").text
    assert "1 not as they should be" in amiss
    assert "missing at the destination" in amiss

    plan = submit(served, f"/runs/{run}/undo").text
    (rows,) = re.findall(r'name="rows" value="(\d+)"', plan)
    assert "Delete 5 interactions" in plan
    other = submit(served, f"/runs/{run}/undo", confirmed="1", rows="4").text
    assert "than was agreed to" in other
    assert len(shop.sandbox.engage.interactions()) == 4
    done = submit(served, f"/runs/{run}/undo", confirmed="1", rows=rows, by="anna").text
    assert "5 interactions taken back." in done
    assert shop.sandbox.engage.interactions() == []
    assert served.status["counts"]["undone"] == 5


def test_what_was_not_found_so_soon_and_was_there_after_all_is_told(shop: Shop) -> None:
    shop.sandbox.behaviour = behaving(delete_delay=600, read_back_delay=600)
    shop.add_many(3)
    served = started(shop)
    run = run_of(served)

    young = submit(served, f"/runs/{run}/undo", confirmed="1", rows="3").text
    shop.sandbox.behaviour = behaving()
    there = submit(served, f"/runs/{run}/undo", confirmed="1", rows="3").text

    assert "3 interactions taken back." in young
    assert "they may yet appear" in young
    assert "0 interactions taken back." not in there
    assert "3 interactions asked for once more: 3 there after all, and deleted now." in there
    assert "they may yet appear" not in there
    assert shop.sandbox.engage.interactions() == []


def test_what_is_in_flight_is_told_while_nobody_answers(shop: Shop) -> None:
    faults = Faults(hang_seconds=4, hang_after=1)
    shop.sandbox.behaviour = behaving(faults=faults)
    shop.configure(concurrency=3)
    shop.add_many(5)
    served = started(shop)

    run_id = served.post("/api/sync/visits").json()["run_id"]
    until(lambda: served.status["in_flight"] == 3)

    assert served.get(f"/api/runs/{run_id}").json()["in_flight"] == 3
    assert "3 requests are in flight" in served.get(f"/runs/{run_id}").text
    (line,) = shop.connector("watch", "--times", "1").out.splitlines()
    assert "5 sending" in line  # they are on record before they go


def test_of_a_run_of_another_process_the_ledger_tells(shop: Shop) -> None:
    shop.add_many(2)
    run = shop.sync("--by", "anna").run["run_id"]
    served = started(shop)
    submit(served, f"/runs/{run}/undo", confirmed="1", rows="2", by="bert")

    shown = served.get(f"/runs/{run}").text
    _, _, story = shown.partition('id="story"')

    assert story.index("asked for by anna") < story.index("Ended: succeeded")
    assert (
        story.rfind("Finishing") < story.index("Ended: succeeded") < story.index("Undone by bert")
    )
    assert "2 interactions taken back" in story
    assert "Its lines are not here" in story
    assert f"<code>{run}</code>" in story


def test_taking_back_takes_an_approver(shop: Shop) -> None:
    served = served_with(shop, NAMED)
    as_otto = {"Authorization": f"Bearer {TOKENS['otto']}"}

    answer = served.post("/runs/any/undo", **as_otto)

    assert answer.status_code == 403
    assert "takes the role approver" in answer.text


def test_the_first_page_tells_of_rows_that_are_to_come_and_of_a_hold(shop: Shop) -> None:
    opens = datetime.now(UTC) + timedelta(hours=2)
    between = f"{opens:%H:%M}-{opens + timedelta(hours=1):%H:%M}"
    shop.configure(limits="{rows: 4}", more=f'send: {{between: "{between}", timezone: UTC}}')
    shop.add_many(3)
    shop.sync()
    served = started(shop)

    waits = " ".join(served.get("/").text.split())
    ended = served.get(f"/runs/{served.status['last_run']['run_id']}").text
    shop.add_many(9, first=100)
    shop.sync()
    held = " ".join(served.get("/").text.split())

    assert "3 read, 0 delivered, 3 pending" in ended
    assert "3 pending" in waits
    assert "sends again <time" in waits
    assert "a hold</a>" not in waits
    assert "12 pending" in held
    assert "sends again" not in held
    assert '<a href="/activations/visits/held">a hold</a>' in held


def test_a_run_of_another_process_is_one_that_runs(shop: Shop) -> None:
    shop.sandbox.behaviour = behaving(answer_delay=1.0)
    shop.add_many(200)
    served, other = started(shop), started(shop)
    other.post("/api/sync/visits")
    until(lambda: shop.posts > 0)

    shown = served.get("/").text

    run = other.status["running"]
    assert run
    assert ": 1 running," in shown
    assert f"/runs/{run}" in shown


@pytest.mark.parametrize("renamed_from", ["visits", "false"])
def test_no_page_links_to_one_that_an_activation_has_no_more(shop: Shop, renamed_from: str) -> None:
    """One that is taken out, or stands in the ledger under its earlier name still."""
    shop.configure(settle_after="0s", more="verify: {every: 1d, sample: 100%}")
    shop.add_many(2)
    shop.add({"id": "low", "rating": 99})
    run = str(shop.sync().run["run_id"])
    shop.connector("receipts", "visits", "--now")
    shop.connector("pause", "visits", "--by", "anna")
    shop.configure(name="calls", more=f"renamed_from: {renamed_from}")
    served = started(shop)
    row = "/rows?activation=visits&key="
    first = ["/", "/runs", "/receipts", "/audit", "/quarantine", "/destinations", f"{row}low"]

    pages = {path: served.get(path) for path in [*first, f"/runs/{run}", f"{row}v1"]}
    pages["undo"] = submit(served, f"/runs/{run}/undo")
    links = {(at, html.unescape(h)) for at, p in pages.items() for h in HREF.findall(p.text)}
    for path in {h for _, h in links if h.startswith("/receipts/")}:
        links |= {(path, html.unescape(h)) for h in HREF.findall(served.get(path).text)}

    assert {path for path, page in pages.items() if page.status_code != 200} == set()
    seen = {link: served.get(link).status_code for _, link in links if link[0] == "/"}
    assert {(at, link) for at, link in links if seen.get(link, 200) != 200} == set()


def test_what_was_decided_about_a_run_is_told_under_another_name_too(shop: Shop) -> None:
    shop.add_many(2)
    run = str(shop.sync().run["run_id"])
    shop.connector("undo", run, "--yes", "--by", "anna")
    shop.configure(name="calls", more="renamed_from: visits")
    shop.sync()

    assert "by anna" in started(shop).get(f"/runs/{run}").text
