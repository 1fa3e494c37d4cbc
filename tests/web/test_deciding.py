"""What the pages show of quarantine and schemas, and what their forms do, without a script."""

import csv
import html
import io
import json
import re
import time
from html.parser import HTMLParser
from pathlib import Path

import httpx
import pytest

from connector.sandbox.behaviour import Faults
from tests.whole.shop import Shop, behaving
from tests.whole.test_quarantine import left_on_the_wire
from tests.whole.test_serve import Served, started, until

PART = "rating: an integer breaks the rule maximum 5"
OTHER = "rating: an integer breaks the rule minimum 1"


def a_quarantine(shop: Shop) -> Served:
    """Three rows too high, one too low, and one in doubt."""
    shop.add({"id": "low", "rating": 0}, *({"id": f"high{n}", "rating": 9} for n in range(3)))
    shop.sandbox.behaviour = behaving(faults=Faults(status_before={503: 1.0}))
    shop.add({"id": "doubt\nful"})
    shop.sync()
    shop.sandbox.behaviour = behaving()
    return started(shop)


class Fields(HTMLParser):
    """The hidden fields of the only form with a button "Yes"."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: dict[str, str] = {}
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        if tag == "input" and found.get("type") == "hidden":
            self.found[found["name"] or ""] = found["value"] or ""


def submit(served: Served, action: str, meant: object, **fields: str) -> httpx.Response:
    data = {"meant": json.dumps(meant), **fields}
    return httpx.post(f"{served.url}/quarantine/{action}", data=data, timeout=60)


def agree(served: Served, action: str, meant: object, **fields: str) -> httpx.Response:
    """Submit a form, and say yes to the question that comes back."""
    named = {name: fields.pop(name) for name in ("by", "note") if name in fields}
    asked = submit(served, action, meant, **fields)
    assert asked.status_code == 200, asked.text
    assert "Are you sure?" in asked.text
    assert 'name="by"' in asked.text.partition("<dialog")[0]
    data = Fields(asked.text).found | named
    return httpx.post(f"{served.url}/quarantine/{action}", data=data, timeout=60)


def group(reason: str, count: int) -> dict[str, object]:
    return {"activation": "visits", "state": "invalid", "reason": reason, "count": count}


def test_rows_under_an_earlier_name_stand_under_the_new_one_before_a_run(shop: Shop) -> None:
    served = a_quarantine(shop)
    shop.configure(name="calls", more="renamed_from: visits")
    until(lambda: served.status["name"] == "calls")

    listed = httpx.get(f"{served.url}/quarantine?activation=calls", timeout=60).text
    file = httpx.get(f"{served.url}/quarantine/quarantine.csv", timeout=60).text

    assert "Try again" in listed
    assert "activation=visits" not in listed
    assert {row["activation"] for row in csv.DictReader(io.StringIO(file))} == {"calls"}


def test_rows_are_grouped_by_reason_and_narrowed_down(shop: Shop) -> None:
    served = a_quarantine(shop)
    every = served.get("/quarantine").text
    low = served.get("/quarantine?state=invalid&reason=MINIMUM").text

    assert "3 rows</a> of visits" in every
    assert "high1" in every
    assert "key=doubt%0Aful" in every
    assert ">low</a>" in low
    assert "high" not in low
    assert "doubt%0Aful" not in low
    assert served.get("/quarantine?state=delivered").status_code == 404


def test_a_group_is_tried_again_when_the_model_is_mended(shop: Shop) -> None:
    served = a_quarantine(shop)
    shop.execute("update visits set rating = 5 where id like 'high%'")

    done = agree(served, "retry", group(PART, 3), by="anna", note="mended")

    assert done.status_code == 303
    until(lambda: [shop.state(f"high{n}") for n in range(3)] == ["pending"] * 3)
    assert shop.state("low") == "invalid"
    told = served.get("/rows?activation=visits&key=high0").text
    assert "person: anna" in told
    assert "mended" in told


def many_invalid(shop: Shop, number: int) -> Served:
    """So many that a decision about all of them takes longer than a browser is kept waiting."""
    shop.add_many(number)
    shop.execute("update visits set rating = 9")
    shop.sync()
    shop.execute("update visits set rating = 5")
    return started(shop)


def test_what_takes_longer_than_a_moment_goes_on_by_itself_and_is_told(shop: Shop) -> None:
    served = many_invalid(shop, 60_000)

    begun = submit(served, "retry", group(PART, 60_000), confirmed="1")
    place = begun.headers["location"]
    meanwhile = served.get(place).text
    until(lambda: "60,000 rows are pending now" in served.get(place).text)

    assert place.startswith("/decisions/")
    assert f'data-live="{place}"' in meanwhile
    assert "data-live" not in served.get(place).text
    assert served.status["counts"]["pending"] == 60_000
    assert served.get("/decisions/other").status_code == 404


def test_a_decision_about_many_rows_does_not_keep_the_process_from_ending(shop: Shop) -> None:
    served = many_invalid(shop, 30_000)
    submit(served, "retry", group(PART, 30_000), confirmed="1")
    begun = time.monotonic()

    code = served.end()

    counts = shop.connector("status", "--json").json["activations"][0]["counts"]
    assert code == 0
    assert time.monotonic() - begun < 20
    assert counts["pending"] + counts["invalid"] == 30_000
    assert counts["pending"] % 10_000 == 0  # whole transactions


def test_what_a_filter_finds_is_decided_about_together(shop: Shop) -> None:
    served = a_quarantine(shop)
    shop.add({"id": "=cmd()", "rating": 0})
    shop.sync()
    page = served.get("/quarantine?activation=visits&key=HIGH*").text
    meant = {"activation": "visits", "states": ["invalid"], "holding": "HIGH*", "count": 3}

    stale = submit(served, "discard", {**meant, "count": 2}, confirmed="1")
    whole = submit(served, "discard", {**meant, "states": ["delivered"]}, confirmed="1")
    done = agree(served, "discard", meant)

    assert "Try all 3 again" in page
    assert "Discard all 3" in page
    assert ">low</a>" not in page
    assert (stale.status_code, whole.status_code, done.status_code) == (409, 404, 303)
    assert "/quarantine?activation=visits&amp;state=invalid&amp;key=HIGH%2A" in stale.text
    assert [shop.state(f"high{n}") for n in range(3)] == ["discarded"] * 3
    assert (shop.state("low"), shop.state("doubt\nful")) == ("invalid", "in_doubt")
    header, *rows = csv.reader(io.StringIO(served.get("/quarantine/quarantine.csv").text))
    assert header == ["activation", "row_key", "state", "reason", "since"]
    assert sorted(row[1] for row in rows) == ["'=cmd()", "doubt\nful", "low"]
    assert "To decide about" not in served.get("/quarantine?activation=visits").text


def test_rows_of_several_activations_are_decided_about_by_one_filter(shop: Shop) -> None:
    text = shop.config.read_text()
    again = text.partition("activations:\n")[2].replace("  visits:", "  again:", 1)
    shop.config.write_text(f"{text}\n{again}")
    served = a_quarantine(shop)
    unnarrowed = served.get("/quarantine").text
    page = served.get("/quarantine?reason=maximum").text
    (meant,) = re.findall(r'action="/quarantine/discard" data-who.*?value="(.*?)"', page, re.DOTALL)
    parts = json.loads(html.unescape(meant))
    parts[0]["count"] = 2  # one has left it meanwhile

    done = agree(served, "discard", parts, by="anna")
    told = html.unescape(httpx.get(f"{served.url}{done.headers['location']}").text)

    assert "To decide about all of them at once, choose which ones" in unnarrowed
    assert "Discard these 6 rows of 2 activations for good?" in page
    assert [part["activation"] for part in parts] == ["again", "visits"]
    assert "Discarded: 3 rows." in told
    assert 'the rows of "again" are not those' in told or "again:" in told
    assert [shop.state(f"high{n}") for n in range(3)] == ["discarded"] * 3
    assert ">high0</a>" in served.get("/quarantine?activation=again").text


def test_listed_rows_are_looked_at_together_and_masked(shop: Shop) -> None:
    shop.configure(identifier="email")
    shop.add({"id": "high", "rating": 9, "contact": "c1@example.com"})
    shop.add({"id": "nobody", "contact": "not an address"})
    shop.sync()
    shop.execute("update visits set rating = 8 where id = 'high'")
    served = started(shop)

    def look(**fields: str) -> str:
        answer = httpx.post(f"{served.url}/quarantine/now", data=fields, timeout=60)
        return html.unescape(answer.text)

    before, masked, shown = served.get("/quarantine").text, look(), look(show="1")

    assert "is more than the maximum" not in before
    assert "rating: 8 is more than the maximum 5" in masked
    assert "not an address" not in before + masked
    assert "not an address" in shown
    shop.execute("update visits set rating = 5 where id = 'high'")
    assert "The model and the schema fit by now" in look()


def test_every_row_stands_on_one_page_of_the_list(shop: Shop) -> None:
    shop.add_many(230)
    shop.execute("update visits set rating = 9")
    shop.sync()
    served = started(shop)
    page, pages = "/quarantine?order=newest", list[list[str]]()
    while True:
        text = served.get(page).text
        pages.append(re.findall(r">(v\d+)</a></th>", text))
        if (found := re.search(r'rel="next" href="([^"]+)"', text)) is None:
            break
        page = html.unescape(found[1])
    back = re.search(r'rel="prev" href="([^"]+)"', text)
    assert back is not None

    assert [len(each) for each in pages] == [100, 100, 30]
    assert len({key for each in pages for key in each}) == 230
    before = served.get(html.unescape(back[1])).text
    assert re.findall(r">(v\d+)</a></th>", before) == pages[1]


def test_nothing_is_decided_without_a_yes(shop: Shop) -> None:
    served = a_quarantine(shop)

    for action, fields in (("retry", {}), ("discard", {}), ("settle", {"verdict": "absent"})):
        key = "doubt\nful" if action == "settle" else "low"
        submit(served, action, {"activation": "visits", "key": key}, **fields)

    assert shop.state("low") == "invalid"
    assert shop.state("doubt\nful") == "in_doubt"


def test_a_group_that_has_changed_since_it_was_shown_is_not_discarded(shop: Shop) -> None:
    served = a_quarantine(shop)

    stale = submit(served, "discard", group(PART, 2), confirmed="1")
    done = agree(served, "discard", group(PART, 3))

    assert stale.status_code == 409
    assert "have changed since they were shown" in stale.text
    assert done.status_code == 303
    assert [shop.state(f"high{n}") for n in range(3)] == ["discarded"] * 3
    assert shop.state("low") == "invalid"
    assert "person: the web page" in served.get("/rows?activation=visits&key=high0").text


def test_a_doubt_is_settled_whatever_its_key_holds(shop: Shop) -> None:
    served = a_quarantine(shop)
    meant = {"activation": "visits", "key": "doubt\nful"}

    done = agree(served, "settle", meant, verdict="delivered", interaction_id="abc-1")

    assert done.status_code == 303
    assert shop.state("doubt\nful") == "delivered"
    assert agree(served, "settle", meant, verdict="absent").status_code == 404


@pytest.mark.parametrize("action", ["settle", "discard"])
def test_what_a_killed_run_had_on_the_wire_is_decided_about(shop: Shop, action: str) -> None:
    left_on_the_wire(shop, "v1")
    served = started(shop)
    page = served.get("/rows?activation=visits&key=v1").text
    fields = {"verdict": "delivered"} if action == "settle" else {}

    before = shop.state("v1")
    done = agree(served, action, {"activation": "visits", "key": "v1"}, **fields)

    assert before == "sending"
    assert ("It was delivered</button>" in page, ">Discard<" in page) == (True, True)
    assert "may have arrived" in page
    assert (done.status_code, shop.posts) == (303, 1)
    assert shop.state("v1") == ("delivered" if action == "settle" else "discarded")


def test_what_a_run_is_sending_is_not_decided_about(shop: Shop) -> None:
    shop.sandbox.behaviour = behaving(faults=Faults(hang_after=1.0, hang_seconds=30))
    shop.configure(timeout="60s")
    shop.add({"id": "v1"})
    served = started(shop)
    shop.start("sync")
    until(lambda: shop.posts == 1)
    meant = {"activation": "visits", "key": "v1"}

    refused = [
        submit(served, "discard", meant, confirmed="1"),
        submit(served, "settle", meant, confirmed="1", verdict="absent"),
    ]

    assert [answer.status_code for answer in refused] == [409, 409]
    assert all("is held by run" in answer.text for answer in refused)
    assert shop.state("v1") == "sending"


def test_a_form_that_makes_no_sense_is_a_sentence(shop: Shop) -> None:
    served = started(shop)

    for meant in ("nonsense", {"activation": "visits"}, {"activation": "nothing", "key": "a"}):
        answer = submit(served, "discard", meant, confirmed="1")
        assert answer.status_code == 404
        assert "That did not work" in answer.text


def test_schemas_tell_live_file_and_users(shop: Shop) -> None:
    Path(shop.path, "schemas").mkdir()
    Path(shop.path, "schemas", "visit.yaml").write_text(
        "id: visit\ndisplayName: Visit\njsonSchema:\n"
        '  $schema: "https://json-schema.org/draft/2020-12/schema"\n'
        "  type: object\n  properties: {mood: {type: string, displayName: Mood}}\n"
    )
    served = started(shop)
    listed, one = served.get("/schemas").text, served.get("/schema?id=visit").text
    outside = served.get("/schema?id=../activations")

    assert "they differ" in listed
    assert "mood is added (string)" in one
    assert "productSku" in one
    assert '<a href="/activations/visits">visits</a>' in one
    assert outside.status_code == 404


def test_schemas_of_a_destination_out_of_reach_are_a_sentence(shop: Shop) -> None:
    shop.options["key"] = "a-wrong-key"
    shop.config.write_text(shop.config.read_text().replace(shop.sandbox.api_key, "a-wrong-key"))
    served = started(shop)

    page = served.get("/schemas")

    assert page.status_code == 200
    assert "What is live there cannot be told now" in page.text
    assert "a-wrong-key" not in page.text
    assert served.get("/quarantine").status_code == 200


def test_the_match_rate_stands_with_the_run_its_activation_and_a_preview(shop: Shop) -> None:
    shop.configure(identifier="email")
    shop.add_by_email(12, contacts=12)
    shop.sync()
    shop.add_by_email(1, first=12, contacts=30)
    served = started(shop)
    run_id = served.status["last_run"]["run_id"]

    for path in (f"/runs/{run_id}", "/activations/visits", "/runs"):
        assert "83.3%" in served.get(path).text, path
    assert "belong to a contact" in served.get("/activations/visits/preview").text
    assert "at most 5000 requests a second" in served.get("/activations/visits").text
