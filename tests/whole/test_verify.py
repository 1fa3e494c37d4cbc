"""What a run delivered is read back: what is missing, stands twice or is changed is told."""

import json
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import URL

from connector.sandbox.behaviour import Faults, ReadFaults
from connector.sandbox.engage.interactions import Interaction
from tests.whole.shop import Done, Shop, behaving, contact_id

FINE: dict[str, Any] = {
    "activation": "visits",
    "status": "succeeded",
    "ok": True,
    "sample": 1.0,
    "unverifiable": 0,
    "missing": [],
    "doubled": [],
    "changed": [],
    "taken_back": {"rows": 0, "checked": 0},
    "still_there": [],
    "incomplete": [],
}
EVERYTHING = "{visitId: id, productSku: sku, rating: rating, price: price, date: seen_at}"
WITHOUT_KEY = "{visitId: sku, rating: rating}"


def synced(shop: Shop, *arguments: str) -> str:
    """The id of a run that delivers what is there."""
    run = shop.sync(*arguments).run
    assert run["status"] == "succeeded", run
    return str(run["run_id"])


def verified(shop: Shop, run_id: str, *arguments: str) -> Done:
    """`connector verify --json`."""
    return shop.connector("verify", run_id, "--json", *arguments)


def stored(shop: Shop) -> dict[str, Interaction]:
    """What is at the destination, by its visitId; the last one of those that share it."""
    return {i.payload["visitId"]: i for i in shop.sandbox.engage.interactions()}


def alter(shop: Shop, interaction: Interaction, **over: Any) -> None:
    """Change what the destination has under an id, as it never should."""
    store = shop.sandbox.engage._interactions
    store.remove(interaction.id)
    store.add(replace(interaction, **over), shop.sandbox.engage.clock())


def post_again(shop: Shop, interaction: Interaction, **over: Any) -> str:
    """Somebody else sends an equal interaction (but for `over`); its id."""
    body = json.loads(interaction.blob)
    body["payload"] |= over.pop("payload", {})
    receipt = shop.sandbox.engage.receive(json.dumps(body | over).encode())
    assert receipt.id
    return receipt.id


def ledger(shop: Shop, statement: str) -> None:
    """Change the ledger past the connector."""
    with closing(sqlite3.connect(shop.ledger_file)) as connection:
        connection.execute(statement)
        connection.commit()


def reads(shop: Shop, route: str) -> int:
    return shop.sandbox.requests.count(f"GET /{route}")


# --- all is well ----------------------------------------------------------------------------------


@pytest.mark.parametrize("payload", [EVERYTHING, WITHOUT_KEY])
@pytest.mark.parametrize("created", ["created_date: seen_at", ""])
def test_what_is_there_once_and_as_it_was_sent_is_fine(
    shop: Shop, payload: str, created: str
) -> None:
    shop.configure(payload=payload)
    shop.config.write_text(shop.config.read_text().replace("created_date: seen_at", created))
    shop.add_many(40)
    run_id = synced(shop)

    done = verified(shop, run_id)

    assert done.code == 0
    assert done.json == FINE | {"run_id": run_id, "rows": 40, "checked": 40}


def test_the_text_says_what_was_looked_at(shop: Shop) -> None:
    shop.add_many(3)

    done = shop.connector("verify", synced(shop))

    assert (done.code, done.err) == (0, "")
    assert "3 rows delivered, 3 looked at\n" in done.out
    assert "is there, once, as it was sent" in done.out


def test_a_run_that_delivered_nothing_asks_nothing_of_the_destination(shop: Shop) -> None:
    run_id = synced(shop)
    shop.configure(key="wrong")

    done = shop.connector("verify", run_id)

    assert done.code == 0
    assert "There was nothing to look at" in done.out


def test_only_the_rows_of_the_run_are_looked_at(shop: Shop) -> None:
    shop.add_many(10)
    first = synced(shop)
    shop.add_many(5, first=10)
    second = synced(shop)
    shop.sandbox.engage.remove_interaction(stored(shop)["v3"].id)

    assert (verified(shop, first).code, verified(shop, second).code) == (1, 0)
    assert verified(shop, second).json["checked"] == 5


def test_rows_that_a_later_run_found_by_reading_back_are_that_runs(shop: Shop) -> None:
    shop.sandbox.behaviour = behaving(faults=Faults(reset_after=1.0), read_back_delay=1)
    shop.add_many(4)
    lost = shop.sync().run
    shop.sandbox.behaviour = behaving()

    found = synced(shop)

    assert lost["in_doubt"] == 4
    assert verified(shop, lost["run_id"]).json["rows"] == 0
    assert verified(shop, found).json | {"run_id": ""} == FINE | {
        "run_id": "",
        "rows": 4,
        "checked": 4,
    }


def test_it_works_for_api_v2(shop: Shop) -> None:
    text = shop.config.read_text()
    shop.config.write_text(text.replace("concurrency:", "api_version: v2\n    concurrency:"))
    shop.add_many(12)
    run_id = synced(shop)
    fine = verified(shop, run_id)
    shop.sandbox.engage.remove_interaction(stored(shop)["v3"].id)
    twin = post_again(shop, stored(shop)["v4"])

    done = verified(shop, run_id)

    assert fine.code == 0
    assert [row["row_key"] for row in done.json["missing"]] == ["v3"]
    assert [row["also"] for row in done.json["doubled"]] == [[twin]]


def test_it_works_on_a_ledger_in_postgresql(shop: Shop, postgresql_url: URL) -> None:
    shop.configure(payload=WITHOUT_KEY, ledger=postgresql_url.render_as_string(hide_password=False))
    shop.add({"id": "a"}, {"id": "b"}, {"id": "c", "contact": contact_id(3)})
    run_id = synced(shop)
    fine = verified(shop, run_id, "--sample", "99%")
    (gone,) = shop.sandbox.engage.interactions(contact_id(3), "visit")
    twin = post_again(shop, shop.sandbox.engage.interactions(contact_id(1), "visit")[0])
    shop.sandbox.engage.remove_interaction(gone.id)

    document = verified(shop, run_id).json

    assert fine.code == 0
    assert [row["interaction_id"] for row in document["missing"]] == [gone.id]
    assert [row["also"] for row in document["doubled"]] == [[twin]]


def test_it_writes_nothing_anywhere(shop: Shop) -> None:
    shop.add_many(20)
    run_id = synced(shop)
    shop.sandbox.engage.remove_interaction(stored(shop)["v3"].id)
    post_again(shop, stored(shop)["v4"])
    before, there = shop.ledger_file.read_bytes(), shop.sandbox.engage.interactions()

    verified(shop, run_id)

    assert shop.ledger_file.read_bytes() == before
    assert shop.sandbox.engage.interactions() == there
    assert shop.posts == 20
    assert shop.sandbox.requests.count("DELETE /interactions/{id}") == 0


def test_it_shows_no_contact_no_payload_and_no_key(shop: Shop) -> None:
    shop.configure(identifier="email")
    shop.add({"id": "v1", "contact": "c3@example.com", "sku": "private-sku"}, {"id": "v2",
             "contact": "c4@example.com"}, {"id": "v3", "contact": "c5@example.com"})  # fmt: skip
    run_id = synced(shop)
    alter(shop, stored(shop)["v1"], payload={"visitId": "v1", "productSku": "another-sku"})
    shop.sandbox.engage.remove_interaction(stored(shop)["v2"].id)
    post_again(shop, stored(shop)["v3"])

    commands = (["verify", run_id], ["verify", run_id, "--json"], ["-v", "verify", run_id])
    said = "".join(d.out + d.err for d in (shop.connector(*command) for command in commands))

    assert run_id in said
    for private in ("@", contact_id(3), contact_id(4), contact_id(5), "sku", "apikey"):
        assert private not in said, private


# --- missing --------------------------------------------------------------------------------------


def test_an_interaction_that_is_gone_is_missing(shop: Shop) -> None:
    shop.configure(settle_after="0s")
    shop.add_many(20)
    run_id = synced(shop)
    gone = stored(shop)["v3"].id
    shop.sandbox.engage.remove_interaction(gone)

    done = verified(shop, run_id)

    assert done.code == 1
    row = {"row_key": "v3", "interaction_id": gone, "recent": False}
    assert done.json["missing"] == [row]
    assert (done.json["ok"], done.json["checked"]) == (False, 20)
    assert (done.json["doubled"], done.json["changed"], done.json["incomplete"]) == ([], [], [])


def test_one_that_may_only_not_show_yet_is_told_apart(shop: Shop) -> None:
    shop.add_many(3)
    run_id = synced(shop)
    shop.sandbox.behaviour = behaving(read_back_delay=60)

    done = verified(shop, run_id)
    text = shop.connector("verify", run_id)

    assert (done.code, text.code) == (1, 1)
    assert [row["recent"] for row in done.json["missing"]] == [True] * 3
    assert "3 of them came less than settle_after ago" in text.out


@pytest.mark.parametrize("everything", [False, True])
def test_a_404_without_a_word_is_still_about_the_interaction(shop: Shop, everything: bool) -> None:
    shop.configure(concurrency=1)
    shop.add_many(4)
    run_id = synced(shop)
    for key in stored(shop) if everything else ["v2"]:
        shop.sandbox.engage.remove_interaction(stored(shop)[key].id)
    shop.sandbox.behaviour = behaving(error_body="empty")

    done = verified(shop, run_id)

    assert done.code == 1
    assert len(done.json["missing"]) == (4 if everything else 1)
    assert done.json["incomplete"] == []
    assert reads(shop, "interactions") == (1 if everything else 3)  # one proof, or three lists


def test_with_its_schema_everything_is_gone(shop: Shop) -> None:
    shop.add_many(3)
    shop.add({"id": "a", "seen_at": "2026-11-02 10:00:00"})
    run_id = synced(shop)
    shop.sandbox.engage.remove_schema("visit")

    done = verified(shop, run_id)

    assert done.code == 1
    assert [row["row_key"] for row in done.json["missing"]] == ["a", "v0", "v1", "v2"]


def test_long_lists_are_cut_for_people_and_whole_for_programs(shop: Shop) -> None:
    shop.add_many(30)
    run_id = synced(shop)
    for key in [f"v{n}" for n in range(25)]:
        shop.sandbox.engage.remove_interaction(stored(shop)[key].id)

    text, document = shop.connector("verify", run_id).out, verified(shop, run_id).json

    assert len(document["missing"]) == 25
    assert "25 missing at the destination" in text
    assert sum(row["interaction_id"] in text for row in document["missing"]) == 20
    assert "and 5 more" in text


# --- doubled --------------------------------------------------------------------------------------


@pytest.mark.parametrize("payload", [EVERYTHING, "{visitId: sku, price: price, date: seen_at}"])
def test_an_equal_interaction_that_is_no_rows_stands_twice(shop: Shop, payload: str) -> None:
    shop.configure(payload=payload)
    shop.add({"id": "v1", "sku": "a"}, {"id": "v2", "sku": "b"})
    run_id = synced(shop)
    own = shop.connector("explain", "visits", "v1", "--json").json["interaction_id"]
    (original,) = (i for i in shop.sandbox.engage.interactions() if i.id == own)
    twins = sorted(post_again(shop, original) for _ in range(2))

    done = verified(shop, run_id)
    text = shop.connector("verify", run_id)

    assert (done.code, done.json["checked"]) == (1, 2)
    assert done.json["doubled"] == [{"row_key": "v1", "interaction_id": own, "also": twins}]
    assert (done.json["missing"], done.json["changed"], done.json["incomplete"]) == ([], [], [])
    assert all(i in text.out for i in (own, *twins))


def test_a_row_key_in_the_payload_decides_alone(shop: Shop) -> None:
    shop.add({"id": "v1"})
    run_id = synced(shop)
    twin = post_again(
        shop, stored(shop)["v1"], createdDate="2026-11-09T00:00:00Z", payload={"rating": 1}
    )

    (double,) = verified(shop, run_id).json["doubled"]

    assert double["also"] == [twin]


def test_without_the_row_key_another_time_or_payload_is_another_event(shop: Shop) -> None:
    shop.configure(payload=WITHOUT_KEY)
    shop.add({"id": "v1"})
    run_id = synced(shop)
    (original,) = shop.sandbox.engage.interactions()
    post_again(shop, original, createdDate="2026-11-09T00:00:00Z")
    post_again(shop, original, payload={"rating": 1})
    post_again(shop, original, contactId=contact_id(7))

    assert verified(shop, run_id).json["ok"]


def test_equal_rows_are_legal_and_what_they_share_is_told_once(shop: Shop) -> None:
    shop.configure(payload=WITHOUT_KEY)
    shop.add({"id": "a"}, {"id": "b"}, {"id": "c"})
    first = synced(shop)
    shop.add({"id": "d"})
    second = synced(shop)
    fine = [verified(shop, run_id).json["ok"] for run_id in (first, second)]
    twin = post_again(shop, shop.sandbox.engage.interactions()[0])

    of_first, of_second = (verified(shop, run_id).json for run_id in (first, second))

    assert shop.stored == {"sku-1": 5}
    assert fine == [True, True]
    assert [(d["row_key"], d["also"]) for d in of_first["doubled"]] == [("a", [twin])]
    assert [(d["row_key"], d["also"]) for d in of_second["doubled"]] == [("d", [twin])]


def test_a_row_of_another_activation_is_nobody_elses_double(shop: Shop) -> None:
    text = shop.config.read_text().replace("visitId: id", "visitId: sku")
    _, _, visits = text.partition("  visits:\n")
    shop.config.write_text(f"{text}  again:\n{visits}")
    shop.add({"id": "v1"})
    runs = shop.sync().json["runs"]

    assert shop.stored == {"sku-1": 2}
    assert [verified(shop, run["run_id"]).json["ok"] for run in runs] == [True, True]


def test_the_interaction_of_a_row_in_doubt_is_not_taken_for_a_double(shop: Shop) -> None:
    shop.configure(payload=WITHOUT_KEY)
    shop.add({"id": "a"})
    run_id = synced(shop)
    shop.sandbox.behaviour = behaving(faults=Faults(reset_after=1.0), read_back_delay=60)
    shop.add({"id": "b"})
    in_doubt = shop.sync().run["in_doubt"]
    shop.sandbox.behaviour = behaving()

    unsettled = verified(shop, run_id)
    synced(shop)
    settled = verified(shop, run_id)

    assert (in_doubt, unsettled.code, settled.code) == (1, 1, 0)
    assert unsettled.json["doubled"] == []
    (gap,) = unsettled.json["incomplete"]
    assert (gap["count"], gap["example_key"]) == (1, "a")
    assert "in doubt" in gap["reason"]


def test_many_rows_of_few_contacts_take_few_requests(shop: Shop) -> None:
    shop.add_many(1200)
    run_id = synced(shop)
    twin = post_again(shop, stored(shop)["v1199"])

    done = verified(shop, run_id)

    assert (done.json["rows"], done.json["checked"]) == (1200, 1200)
    assert [(d["row_key"], d["also"]) for d in done.json["doubled"]] == [("v1199", [twin])]
    assert reads(shop, "interactions/{id}") == 500
    assert reads(shop, "interactions") == 30  # ten contacts, three pages each


def test_a_contact_that_must_be_listed_again_has_its_doubles_told_once(shop: Shop) -> None:
    shop.add(*({"id": f"v{n:03}"} for n in range(501)))
    run_id = synced(shop)
    twin, last = post_again(shop, stored(shop)["v000"]), stored(shop)["v500"]
    shop.sandbox.engage._interactions._by_pair[last.contact_id, last.schema_id].remove(last)

    document = verified(shop, run_id).json

    assert [d["also"] for d in document["doubled"]] == [[twin]]
    assert [gap["example_key"] for gap in document["incomplete"]] == ["v500"]
    assert document["checked"] == 501


# --- changed --------------------------------------------------------------------------------------


def test_another_content_than_was_sent_is_told(shop: Shop) -> None:
    shop.configure(payload=EVERYTHING)
    shop.add_many(8)
    run_id = synced(shop)
    there = stored(shop)
    alter(shop, there["v1"], payload=there["v1"].payload | {"rating": 99})
    alter(shop, there["v2"], payload={**there["v2"].payload, "productSku": None})
    alter(shop, there["v3"], created_date="2026-11-01T03:00:00.000Z")
    alter(shop, there["v4"], created_date="0001-01-01T00:00:00Z", payload={"visitId": "v4"})
    alter(shop, there["v5"], payload=there["v5"].payload | {"added": "x"})

    done = verified(shop, run_id)
    text = shop.connector("verify", run_id).out

    assert (done.code, done.json["checked"]) == (1, 8)
    found = {row["row_key"]: row["differs"] for row in done.json["changed"]}
    assert found == {
        "v1": ["payload"],
        "v2": ["payload"],
        "v3": ["createdDate"],
        "v4": ["createdDate", "payload"],
        "v5": ["payload"],
    }
    assert done.json["changed"][0]["interaction_id"] == there["v1"].id
    assert (done.json["missing"], done.json["doubled"], done.json["incomplete"]) == ([], [], [])
    assert "5 not as sent" in text
    assert "createdDate, payload" in text


@pytest.mark.parametrize("kept", ["numbers as texts", "texts as numbers"])
def test_a_number_that_is_kept_as_a_text_is_no_change_and_another_number_is_one(
    shop: Shop, kept: str
) -> None:
    shop.configure(payload=EVERYTHING)
    shop.execute(
        "insert into visits select 'v' || i, timestamp '2026-11-01', "
        f"'{contact_id(1)}', '12' || i, 1 + i % 5, 9.5, true from range(6) t(i)"
    )
    run_id = synced(shop)
    for name, i in stored(shop).items():
        payload = dict(i.payload)
        if kept == "numbers as texts":
            payload |= {"rating": str(payload["rating"]), "price": str(payload["price"])}
        else:
            payload |= {"productSku": int(payload["productSku"])}
        if name == "v1":
            payload |= {"rating": "99"}
        alter(shop, i, payload=payload)

    done = verified(shop, run_id)

    assert [row["row_key"] for row in done.json["changed"]] == ["v1"]


def test_another_way_of_writing_is_no_change(shop: Shop) -> None:
    shop.configure(payload=EVERYTHING)
    shop.add_many(30)
    run_id = synced(shop)
    for i in shop.sandbox.engage.interactions():
        rewritten = dict(reversed(i.payload.items())) | {
            "rating": float(i.payload["rating"]),
            "date": i.payload["date"].replace("+01:00", ".000+01:00"),
            "free": None,
        }
        assert rewritten["date"] != i.payload["date"]
        alter(shop, i, payload=rewritten, created_date=i.created_date.replace("Z", "0000+00:00"))

    assert verified(shop, run_id).json["ok"]


@pytest.mark.parametrize("kept", ["utc_milliseconds", "as_sent"])
def test_microseconds_that_are_cut_are_no_change(shop: Shop, kept: str) -> None:
    shop.configure(payload=EVERYTHING)
    shop.sandbox.behaviour = behaving(created_date=kept)
    shop.add({"id": "v1", "seen_at": "2026-07-01 10:00:00.123456"})

    assert verified(shop, synced(shop)).json["ok"]


def test_an_edited_mapping_is_no_change_of_what_was_sent(shop: Shop) -> None:
    shop.configure(payload=EVERYTHING)
    shop.add_many(4)
    run_id = synced(shop)
    shop.configure(payload="{visitId: id, free: free}")
    shop.config.write_text(shop.config.read_text().replace("created_date: seen_at", ""))

    assert verified(shop, run_id).json["ok"]


# --- samples --------------------------------------------------------------------------------------


def test_a_sample_is_a_share_of_the_rows_and_the_same_each_time(shop: Shop) -> None:
    shop.add_many(400)
    run_id = synced(shop)
    for interaction in shop.sandbox.engage.interactions():
        shop.sandbox.engage.remove_interaction(interaction.id)

    once, again, other = (verified(shop, run_id, "--sample", s) for s in ("25%", "0.25", "50%"))

    assert (once.json["rows"], once.json["sample"]) == (400, 0.25)
    assert 50 < once.json["checked"] < 150  # some seven standard deviations
    assert once.json == again.json
    keys, more = ({row["row_key"] for row in d.json["missing"]} for d in (once, other))
    assert keys < more
    assert len(keys) == once.json["checked"]


def test_a_sample_has_at_least_one_row(shop: Shop) -> None:
    shop.add_many(3)
    run_id = synced(shop)

    done = verified(shop, run_id, "--sample", "0.001%")
    text = shop.connector("verify", run_id, "--sample", "0.001%")

    assert (done.code, done.json["checked"], done.json["rows"]) == (0, 1, 3)
    assert "3 rows delivered, 1 looked at (a sample of 0.001%)" in text.out


def test_what_is_not_in_the_sample_is_not_told(shop: Shop) -> None:
    """All rows are of one contact, so that its list shows the others, too."""
    shop.add(*({"id": f"v{n}"} for n in range(40)))
    run_id = synced(shop)
    for interaction in shop.sandbox.engage.interactions():
        post_again(shop, interaction)

    document = verified(shop, run_id, "--sample", "20%").json

    assert 0 < document["checked"] == len(document["doubled"]) < 40


@pytest.mark.parametrize("share", ["0", "0%", "5", "101%", "-1", "nan", "inf", "a few", ""])
def test_a_sample_that_is_no_share_is_refused(shop: Shop, share: str) -> None:
    shop.add_many(2)

    done = verified(shop, synced(shop), f"--sample={share}")

    assert done.code == 2
    assert "expected a share such as 5% or 0.05" in done.json["error"]["message"]


# --- what cannot be proven ------------------------------------------------------------------------


def reasons(done: Done) -> Sequence[tuple[str, int]]:
    return [(gap["reason"], gap["count"]) for gap in done.json["incomplete"]]


def test_a_list_that_may_go_on_proves_nothing(shop: Shop) -> None:
    """Whoever has fewer interactions than a page holds is shown whole."""
    shop.add(*({"id": f"v{n}"} for n in range(60)), {"id": "few", "contact": contact_id(2)})
    run_id = synced(shop)
    post_again(shop, stored(shop)["v5"])
    shop.sandbox.behaviour = behaving(page_shape="array")

    done = verified(shop, run_id)

    assert done.code == 1
    assert reasons(done) == [("reading back gave a full page and no way to the next one", 60)]
    assert done.json["checked"] == 61
    assert [d["row_key"] for d in done.json["doubled"]] == ["v5"]  # what is seen is seen
    assert (done.json["missing"], done.json["changed"]) == ([], [])


@pytest.mark.parametrize(
    "faults", [ReadFaults(html=1.0), ReadFaults(truncate=1.0), ReadFaults(status={418: 1.0})]
)
def test_a_list_that_cannot_be_read_proves_nothing(shop: Shop, faults: ReadFaults) -> None:
    shop.add_many(30)
    run_id = synced(shop)
    shop.sandbox.behaviour = behaving(read_faults=faults)

    done = verified(shop, run_id)
    text = shop.connector("verify", run_id)

    assert (done.code, done.json["ok"], done.json["missing"]) == (1, False, [])
    ((reason, count),) = reasons(done)
    assert reason.startswith("reading back")
    assert count == 30
    assert "30 not proven, such as v" in text.out


def test_a_list_that_does_not_show_the_row_itself_proves_nothing(shop: Shop) -> None:
    shop.add_many(11)
    run_id = synced(shop)
    hidden = stored(shop)["v3"]
    shop.sandbox.engage._interactions._by_pair[hidden.contact_id, hidden.schema_id].remove(hidden)

    done = verified(shop, run_id)

    assert (done.code, done.json["checked"], done.json["missing"]) == (1, 11, [])
    (gap,) = done.json["incomplete"]
    assert (gap["count"], gap["example_key"]) == (1, "v3")
    assert "does not show it" in gap["reason"]


def test_rows_that_a_person_settled_without_an_id_cannot_be_verified(shop: Shop) -> None:
    shop.add_many(5)
    run_id = synced(shop)
    ledger(shop, "update deliveries set interaction_id = null where row_key in ('v1', 'v2')")

    done = verified(shop, run_id)
    text = shop.connector("verify", run_id)

    assert done.code == 0
    assert (done.json["rows"], done.json["checked"], done.json["unverifiable"]) == (5, 3, 2)
    assert "2 cannot be read back" in text.out


def test_rows_that_were_taken_back_are_not_looked_at(shop: Shop) -> None:
    shop.add_many(5)
    run_id = synced(shop)
    shop.sandbox.engage.remove_interaction(stored(shop)["v2"].id)
    ledger(shop, "update deliveries set state = 'undone' where row_key = 'v2'")

    done = verified(shop, run_id)

    assert (done.code, done.json["rows"], done.json["checked"]) == (0, 4, 4)


def test_a_run_that_goes_on_is_verified_as_far_as_it_got(shop: Shop) -> None:
    shop.add_many(5)
    run_id = synced(shop)
    ledger(shop, "update runs set status = 'running', finished_at = null")
    ledger(shop, f"update leases set run_id = '{run_id}', expires_at = 9999999999999")

    done = verified(shop, run_id)

    assert (done.code, done.json["status"], done.json["checked"]) == (0, "running", 5)
    assert "The run has not ended" in shop.connector("verify", run_id).out


# --- what stands in the way -----------------------------------------------------------------------


def test_a_run_that_nobody_knows_is_a_mistake(shop: Shop) -> None:
    before = verified(shop, "nothing")
    run_id = synced(shop)

    after = verified(shop, "nothing")

    assert (before.code, after.code) == (2, 2)
    assert 'there is no run "nothing"' in before.json["error"]["message"]
    assert run_id in after.json["error"]["message"]


def test_a_refused_key_is_told_and_not_taken_for_missing(shop: Shop) -> None:
    shop.add_many(3)
    run_id = synced(shop)
    shop.configure(key="wrong")

    done = verified(shop, run_id)

    assert done.code == 3
    assert done.json["error"]["kind"] == "key_refused"
    assert "refuses the API key" in done.json["error"]["message"]


def test_a_destination_out_of_reach_is_told_and_not_taken_for_missing(shop: Shop) -> None:
    shop.add_many(3)
    run_id = synced(shop)
    shop.configure(url=f"http://127.0.0.1:9\n    previous_url: {shop.sandbox.url}")

    done = verified(shop, run_id)

    assert done.code == 3
    assert "could not connect" in done.json["error"]["message"]


def test_a_destination_that_falls_silent_is_given_up(shop: Shop) -> None:
    """Forty contacts whose lists all fail: the twentieth silence in a row is the last."""
    for number in range(10, 40):
        shop.sandbox.engage.add_contact({"contactId": contact_id(number)})
    shop.configure(concurrency=32)
    shop.add(*({"id": f"v{n}", "contact": contact_id(n)} for n in range(40)))
    run_id = synced(shop)
    shop.sandbox.behaviour = behaving(read_faults=ReadFaults(status={503: 1.0}))

    done = verified(shop, run_id)

    assert done.code == 3
    assert "20 requests in a row" in done.json["error"]["message"]
    assert "HTTP 503" in done.json["error"]["message"]


def test_an_activation_that_is_gone_from_the_configuration_is_still_verified(shop: Shop) -> None:
    shop.add_many(12)
    run_id = synced(shop)
    shop.config.write_text(shop.config.read_text().replace("  visits:", "  renamed:"))
    fine = verified(shop, run_id)
    shop.sandbox.engage.remove_interaction(stored(shop)["v3"].id)
    twin = post_again(shop, stored(shop)["v4"])

    done = verified(shop, run_id)

    assert (fine.code, done.code) == (0, 1)
    assert [row["row_key"] for row in done.json["missing"]] == ["v3"]
    assert [row["also"] for row in done.json["doubled"]] == [[twin]]


def test_a_destination_that_is_gone_from_the_configuration_is_named(shop: Shop) -> None:
    shop.add_many(2)
    run_id = synced(shop)
    shop.config.write_text(shop.config.read_text().replace("  engage:\n", "  engage_2:\n"))

    done = verified(shop, run_id)

    assert done.code == 2
    assert '"engage", which the configuration has no more' in done.json["error"]["message"]
    assert (
        '"engage_2" is at the same address: call it engage again' in (done.json["error"]["message"])
    )


def test_answers_that_fail_now_and_then_are_asked_for_again(shop: Shop) -> None:
    shop.configure(concurrency=1)  # in one order, so that the seed decides which fail
    shop.add_many(60)
    run_id = synced(shop)
    shop.sandbox.behaviour = behaving(read_faults=ReadFaults(reset=0.15, status={500: 0.15}))

    assert verified(shop, run_id).json["ok"]
    assert reads(shop, "interactions") > 10
