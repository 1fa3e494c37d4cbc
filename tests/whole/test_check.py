"""A check finds what would go wrong, and changes nothing."""

import copy
import re
from pathlib import Path
from types import SimpleNamespace

import pytest

from connector.ledger import room
from tests.whole.shop import SCHEMA, Shop


def messages(done: object, level: str) -> str:
    findings = done.json["activations"][0]["findings"]  # type: ignore[attr-defined]
    return " | ".join(f["message"] for f in findings if f["level"] == level)


def test_a_good_project_is_ready(shop: Shop) -> None:
    shop.add_many(10)

    done = shop.connector("check", "--json")

    assert (done.code, done.json["ok"]) == (0, True)
    assert not shop.ledger_file.exists()
    assert shop.posts == 0
    assert "Ready" in shop.connector("check").out


def test_repeated_row_keys_are_found(shop: Shop) -> None:
    shop.add({"id": "twice"}, {"id": "twice"}, {"id": None})

    done = shop.connector("check", "--json")

    assert done.code == 1
    assert "row_key id is not unique: 1 key stand" in messages(done, "data")
    assert "twice" in messages(done, "data")
    assert "1 row without a row_key" in messages(done, "data")


@pytest.mark.parametrize(
    ("change", "code", "level", "word"),
    [
        (("visitId: id", "visitId: idd"), 2, "configuration", 'did you mean "id"?'),
        (("productSku: sku", "productSkuu: sku"), 2, "configuration", 'did you mean "productSku"?'),
        (("schema_id: visit", "schema_id: vsiit"), 2, "configuration", 'did you mean "visit"?'),
        (("visitId: id, ", ""), 2, "configuration", 'requires the property "visitId"'),
        (("select * from visits", "select * from vists"), 2, "configuration", "vists"),
        (("select * from visits", "drop table visits"), 2, "configuration", "not a query"),
        (("select * from visits", "select 1; select 2"), 2, "configuration", "one SELECT"),
        (("Sku: sku", "Sku: {column: tags}"), 2, "configuration", "tags"),
        (("api_key: sandbox", "api_key: wrong-key"), 3, "outside", "API key"),
        (("shop.duckdb", "nowhere.duckdb"), 3, "outside", "nowhere.duckdb"),
        ((", timezone: Europe/Stockholm", ""), 2, "configuration", "without a zone"),
    ],
)
def test_every_mistake_is_named(
    shop: Shop, change: tuple[str, str], code: int, level: str, word: str
) -> None:
    shop.add_many(3)
    shop.config.write_text(shop.config.read_text().replace(*change))

    done = shop.connector("check", "--json")

    assert done.code == code
    assert word in messages(done, level)
    assert "wrong-key" not in done.out


def test_a_mistake_is_told_with_its_line_and_column(shop: Shop) -> None:
    shop.config.write_text(shop.config.read_text().replace("row_key: id", "row_key: idd"))

    text = shop.connector("check").out

    line = shop.config.read_text().splitlines().index("    row_key: idd") + 1
    assert f"(activations.yaml:{line}:5)" in text


@pytest.mark.parametrize(
    "url",
    [
        *("sqlite://", "sqlite:///:memory:", "mysql://u:p@h/x"),
        *("sqlite:///file:x?mode=memory&uri=true", "sqlite:///file:ledger.db?uri=true"),
    ],
)
@pytest.mark.parametrize("command", ["check", "preview", "sync", "status", "runs", "quarantine"])
def test_what_can_be_no_ledger_is_a_mistake_of_the_configuration_for_every_command(
    shop: Shop, url: str, command: str
) -> None:
    written = shop.config.read_text()
    shop.config.write_text(re.sub(r"ledger:.*", f'ledger: {{url: "{url}"}}', written))
    arguments = {"preview": ["visits"], "quarantine": ["list"]}.get(command, [])

    done = shop.connector(command, *arguments, "--json")

    line = written[: written.index("ledger:")].count("\n") + 1
    assert (done.code, done.json["error"]["kind"]) == (2, "configuration")
    assert f"activations.yaml:{line}:10: a ledger " in done.json["error"]["message"]


def test_lists_and_structures_are_refused(shop: Shop) -> None:
    shop.configure(model="select *, ['a'] as tags from visits", payload="{visitId: id, date: tags}")

    done = shop.connector("check", "--json")

    assert done.code == 2
    assert "flat" in messages(done, "configuration")


def test_a_payload_without_the_row_key_gets_advice(shop: Shop) -> None:
    shop.configure(payload="{visitId: sku}")
    shop.add({"id": "v1"})

    done = shop.connector("check", "--json")

    assert done.code == 0
    assert "carries the row key" in messages(done, "advice")


def test_several_mistakes_are_told_at_once(shop: Shop) -> None:
    shop.config.write_text(
        shop.config.read_text().replace("row_key: id", "row_key: idd").replace("Sku: sku", "Sku: s")
    )

    found = messages(shop.connector("check", "--json"), "configuration")

    assert '"idd"' in found
    assert '"s"' in found


@pytest.mark.parametrize(
    ("payload", "words"),
    [
        ("{visitId: id, rating: sku}", ["sku is a text (VARCHAR)", "rating (integer)"]),
        ("{visitId: id, date: rating}", ["rating is an integer", "the format date-time"]),
        ("{visitId: id, free: price}", ["price is a number (DECIMAL(9,2))", "free (boolean)"]),
    ],
)
def test_a_column_that_can_never_fit_is_found(shop: Shop, payload: str, words: list[str]) -> None:
    shop.configure(payload=payload)
    shop.add({"id": "v1"})

    done = shop.connector("check", "--json")

    assert done.code == 2
    assert all(word in messages(done, "configuration") for word in words)
    assert "activations.yaml:" in shop.connector("check").out


def test_what_the_schema_offers_and_nothing_is_mapped_to_is_advised(shop: Shop) -> None:
    schema = copy.deepcopy(SCHEMA)
    schema["jsonSchema"]["properties"]["rating"]["addToSegmentation"] = "true"
    shop.sandbox.engage.remove_schema("visit")
    shop.sandbox.engage.add_schema(schema)
    shop.configure(payload="{visitId: id}")
    shop.add({"id": "v1"})

    done = shop.connector("check", "--json")

    assert done.code == 0
    assert "nothing is mapped to rating, by which Engage could segment" in messages(done, "advice")
    assert "nothing is mapped to productSku" in messages(done, "advice")


def test_invalid_rows_are_counted_by_reason_with_an_example(shop: Shop) -> None:
    ratings = {"a": 9, "b": 0, "c": 9, "d": 4}
    shop.add(*({"id": key, "rating": rating} for key, rating in ratings.items()))

    done = shop.connector("check", "--json")

    data = messages(done, "data")
    assert "2 of the first 4 rows would be invalid, such as a: rating" in data
    assert "1 of the first 4 rows would be invalid, such as b: rating" in data
    assert done.code == 1


def test_the_rarest_of_many_reasons_are_left_to_a_preview(shop: Shop) -> None:
    with_bounds = copy.deepcopy(SCHEMA)
    specs = with_bounds["jsonSchema"]["properties"]
    specs |= {f"p{n}": {"type": "string", "displayName": "P", "maxLength": n} for n in range(7)}
    shop.sandbox.engage.remove_schema("visit")
    shop.sandbox.engage.add_schema(with_bounds)
    fields = ", ".join(f"p{n}: {{column: c{n}}}" for n in range(7))
    columns = ", ".join(f"case when id = 'v{n}' then 'a long text' end as c{n}" for n in range(7))
    shop.configure(model=f"select *, {columns} from visits", payload=f"{{visitId: id, {fields}}}")
    shop.add(*({"id": f"v{n}"} for n in range(7)))

    data = messages(shop.connector("check", "--json"), "data")

    assert data.count("would be invalid") == 5
    assert "2 more reasons; `connector preview` counts the rows of each" in data


@pytest.mark.parametrize(
    ("timeout", "settle_after", "short"),
    [
        ("2s", "1s", True),
        ("1s", "0s", True),
        ("60s", "30s", True),
        ("2s", "118s", False),
        ("60s", "3m", False),
        ("1s", "10m", False),
    ],
)
def test_a_wait_that_a_late_request_outlives_gets_advice(
    shop: Shop, timeout: str, settle_after: str, short: bool
) -> None:
    shop.add_many(3)
    shop.configure(timeout=timeout, settle_after=settle_after)

    done = shop.connector("check", "--json")

    assert done.code == 0
    assert ("timeout and settle_after are" in messages(done, "advice")) == short


def test_files_that_others_can_read_are_told(shop: Shop) -> None:
    shop.add_many(1)
    shop.sync()
    (shop.path / ".env").write_text("A=1\n")
    (shop.path / ".env").chmod(0o600)
    before = messages(shop.connector("check", "--json"), "advice")
    shop.ledger_file.chmod(0o644)
    (shop.path / ".env").chmod(0o640)
    Path(f"{shop.ledger_file}.generation").chmod(0o604)

    done = shop.connector("check", "--json")

    assert "others on this machine can read" not in before
    assert done.code == 0
    for name in (".env", "ledger.db", "ledger.db.generation"):
        assert f"{name}, which holds" in messages(done, "advice"), name


@pytest.mark.parametrize("more", ["description: Visits", "per_contact: {most: 1, every: 1d}"])
def test_recorded_rows_that_are_unfit_are_none_of_the_first_rows(shop: Shop, more: str) -> None:
    shop.configure(limits="{rows: 2}", more=more, identifier="email")
    shop.add_many(4)
    assert shop.sync().run["status"] == "held"
    shop.add({"id": "new"})

    told = shop.connector("check", "visits").said
    done = shop.sync("--approve")

    assert "1 of the first 1 row would be rejected, such as new: malformed contact" in told
    assert "4 recorded rows would be rejected, such as v0: malformed contact" in told
    assert "`connector quarantine retry visits` maps it" in told
    assert "would be invalid" not in told
    assert done.run["rejected"] == 4


def test_a_full_disk_is_told_by_who_only_reads_the_ledger(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run on it cannot even record that it was stopped."""
    shop.sync()
    monkeypatch.setattr(room, "disk_usage", lambda _: SimpleNamespace(total=2**30, free=4096))
    shop.add_many(1)

    status, checked = shop.connector("status", "--json").json, shop.connector("check")
    outlook = shop.connector("preview", "visits", "--json").json["outlook"]

    (need,) = status["needs"]
    assert need["kind"] == "full"
    assert f"the disk of {shop.ledger_file.parent} is full" in need["text"]
    assert need["command"] == f"df -h {shop.ledger_file.parent}"
    assert (checked.code, need["text"] in checked.said) == (3, True)
    assert (outlook["would"], outlook["because"]) == ("be_stopped", need["text"])
