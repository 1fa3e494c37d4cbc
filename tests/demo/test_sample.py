"""The sample is what it says it is, and the starter project fits it."""

import csv
import json
import re
import tomllib
import unicodedata
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import duckdb
import jsonschema_rs
import pytest
import sqlglot
from ruamel.yaml import YAML

from connector.sandbox.demo import project, sample

PROJECT = Path(__file__).parents[2]
CONFIG = YAML(typ="safe").load((PROJECT / "activations.yaml").read_text(encoding="utf-8"))
ACTIVATIONS = CONFIG["activations"]
SCHEMAS = {
    path.stem: json.loads(path.read_text(encoding="utf-8"))
    for path in (PROJECT / "schemas").glob("*.json")
}
HOUR = timedelta(hours=1)

each_activation = pytest.mark.parametrize("name", sorted(ACTIVATIONS))
each_schema = pytest.mark.parametrize("schema", SCHEMAS.values(), ids=SCHEMAS)


@dataclass(frozen=True, kw_only=True)
class Kinds:
    """How the rows of a model divide: a key has at most one kind of trouble."""

    valid: int
    repeated: int = 0  #: further rows under a key that stood in the model before
    null_contact: int = 0  #: no contact identifier at all: invalid
    breaking_schema: int = 0  #: values that the schema does not allow: invalid
    malformed_contact: int = 0  #: no e-mail address: rejected
    ambiguous_contact: int = 0  #: an e-mail address of two contacts: rejected
    unknown_contact: int = 0  #: an e-mail address of no contact: waiting
    tied: int = 0  #: rows that share their cursor value with another row

    @property
    def refused(self):
        return (
            self.null_contact
            + self.breaking_schema
            + self.malformed_contact
            + self.ambiguous_contact
        )


KINDS = {
    "product_reviews": Kinds(
        valid=1383,
        repeated=2,
        null_contact=2,
        breaking_schema=6,
        malformed_contact=2,
        ambiguous_contact=1,
        unknown_contact=4,
        tied=820,
    ),
    "repairs": Kinds(valid=500, tied=300),
    "wishlist": Kinds(valid=899, unknown_contact=1, tied=120),
}


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    path = tmp_path_factory.mktemp("warehouse") / "warehouse.duckdb"
    sample.build(path)
    return path


@pytest.fixture(scope="module")
def contacts():
    with (sample.DATA / "contacts.csv").open(encoding="utf-8", newline="") as file:
        return [{k: v for k, v in row.items() if v} for row in csv.DictReader(file)]


@pytest.fixture
def own_path(tmp_path):
    """A warehouse that the test may change."""
    path = tmp_path / "warehouse.duckdb"
    sample.build(path)
    return path


def query(path, sql):
    with duckdb.connect(str(path), read_only=True) as warehouse:
        cursor = warehouse.execute(sql)
        columns = [column[0] for column in cursor.description]
        return [dict(zip(columns, values, strict=True)) for values in cursor.fetchall()]


def model(path, name):
    sql = (PROJECT / ACTIVATIONS[name]["model"]).read_text(encoding="utf-8")
    return query(path, sql)


def tables(path):
    names = (*sample.TABLES, "crm.engage_contacts")
    return {table: query(path, f"SELECT * FROM {table}") for table in names}


def cursor_of(name):
    cursor = ACTIVATIONS[name]["cursor"]
    return {"column": cursor} if isinstance(cursor, str) else cursor


def keys_of(name):
    row_key = ACTIVATIONS[name]["row_key"]
    return [row_key] if isinstance(row_key, str) else row_key


def key_of(name, row):
    return tuple(row[column] for column in keys_of(name))


def as_json(value):
    if isinstance(value, datetime):
        zone = value.tzinfo or ZoneInfo(CONFIG["warehouse"]["timezone"])
        return value.replace(tzinfo=zone).isoformat()
    return float(value) if isinstance(value, Decimal) else value


def payload_of(name, row):
    payload = {
        prop: source["value"] if isinstance(source, dict) else as_json(row[source])
        for prop, source in ACTIVATIONS[name]["payload"].items()
    }
    return {prop: value for prop, value in payload.items() if value is not None}


def validator_of(name):
    return jsonschema_rs.Draft202012Validator(
        SCHEMAS[ACTIVATIONS[name]["schema_id"]]["jsonSchema"], validate_formats=True
    )


def kinds_of_trouble(name, row, validator, emails, ids):
    identifier = row[ACTIVATIONS[name]["contact"]["column"]]
    if identifier is None:
        yield "null_contact"
    elif ACTIVATIONS[name]["contact"]["identifier"] == "contactId":
        if identifier not in ids:
            yield "unknown_contact"
    elif not re.fullmatch(r"[^@\s]+@[^@\s]+\.[a-z]+", identifier):
        yield "malformed_contact"
    elif emails[identifier] != 1:
        yield "ambiguous_contact" if emails[identifier] else "unknown_contact"
    if not validator.is_valid(payload_of(name, row)):
        yield "breaking_schema"


# ---- the warehouse ----------------------------------------------------------------------------


def test_a_file_that_is_there_is_never_touched(tmp_path):
    path = tmp_path / "precious.duckdb"
    path.write_text("mine")

    with pytest.raises(FileExistsError):
        sample.build(path)

    assert path.read_text() == "mine"


@each_activation
def test_the_models_return_exactly_what_the_facts_say(path, contacts, name):
    rows = model(path, name)
    rows.sort(key=lambda row: (row[cursor_of(name)["column"]], key_of(name, row)))
    first: dict[Any, Any] = {}
    for row in rows:
        first.setdefault(key_of(name, row), row)
    emails = Counter(contact["email"] for contact in contacts)
    ids = {contact["contactId"] for contact in contacts}
    validator = validator_of(name)

    kinds = [list(kinds_of_trouble(name, row, validator, emails, ids)) for row in first.values()]
    ties = Counter(row[cursor_of(name)["column"]] for row in rows)

    assert all(len(kind) < 2 for kind in kinds)
    assert sample.FACTS[name] == sample.Facts(rows=len(rows), valid=kinds.count([]))
    assert KINDS[name] == Kinds(
        valid=kinds.count([]),
        repeated=len(rows) - len(first),
        tied=sum(count for count in ties.values() if count > 1),
        **Counter(kind[0] for kind in kinds if kind),
    )


@pytest.mark.parametrize("name", KINDS)
def test_the_facts_add_up(name):
    facts, kinds = sample.FACTS[name], KINDS[name]

    assert facts.valid == kinds.valid
    assert facts.rows == kinds.valid + kinds.refused + kinds.unknown_contact + kinds.repeated


def test_there_is_enough_to_do():
    assert sum(facts.rows for facts in sample.FACTS.values()) >= 2000


def test_everything_happens_in_the_autumn_of_2026(path):
    for name in ACTIVATIONS:
        times = [
            value.replace(tzinfo=UTC)
            for row in model(path, name)
            for value in row.values()
            if isinstance(value, datetime)
        ]
        assert min(times) >= datetime(2026, 9, 1, tzinfo=UTC)
        assert max(times) < datetime(2026, 11, 15, tzinfo=UTC)
    for table, rows in tables(path).items():
        for column, value in rows[0].items():
            if isinstance(value, datetime):
                [latest] = query(path, f"SELECT max({column})::DATE AS day FROM {table}")
                assert latest["day"] < date(2026, 11, 15)


def test_no_local_time_is_ambiguous(path):
    zone = ZoneInfo("Europe/Stockholm")
    for row in query(path, "SELECT written_at FROM shop.reviews"):
        at = row["written_at"].replace(tzinfo=zone)
        assert at.utcoffset() == at.replace(fold=1).utcoffset()


def test_times_are_as_fine_as_microseconds(path):
    for name in ACTIVATIONS:
        column = cursor_of(name)["column"]
        assert sum(row[column].microsecond % 1000 != 0 for row in model(path, name)) > 100


def test_many_rows_share_one_time(path):
    ties = Counter(row["reviewed_at"] for row in model(path, "product_reviews"))

    assert ties.most_common(1) == [(datetime.fromisoformat("2026-09-01T04:00:00"), 640)]
    assert sorted(ties.values(), reverse=True)[:12] == [640, *[18] * 10, 1]


def test_texts_are_as_odd_as_in_real_life(path):
    texts = [row["review_text"] or "" for row in model(path, "product_reviews")]
    directions = [{unicodedata.bidirectional(character) for character in text} for text in texts]

    assert any("\n\tRad tre; DROP TABLE reviews;--" in text for text in texts)
    assert any("<script>alert('hej')</script> 100 %" in text for text in texts)
    assert sum(len(text) == 8000 for text in texts) == 2
    assert max(map(len, texts)) == 8000
    assert sum(bool(found & {"R", "AL"}) for found in directions) == 2
    assert sum(any(ord(character) > 0xFFFF for character in text) for text in texts) == 3
    assert sum(text != unicodedata.normalize("NFC", text) for text in texts) == 1


def test_optional_values_are_missing_now_and_then(path):
    reviews, repairs = model(path, "product_reviews"), model(path, "repairs")

    assert 200 < sum(row["title"] is None for row in reviews) < 700
    assert 100 < sum(row["would_recommend"] is None for row in reviews) < 500
    assert 200 < sum(row["customer_note"] is None for row in repairs) < 490


def test_values_have_the_types_of_a_warehouse(path):
    [repair, *_] = model(path, "repairs")

    assert isinstance(repair["price"], Decimal)
    assert isinstance(repair["is_free_repair"], bool)
    assert repair["completed_at"].tzinfo is not None
    assert {row["is_free_repair"] for row in model(path, "repairs")} == {True, False}


def test_the_models_have_something_to_filter(path):
    counts = {table: len(rows) for table, rows in tables(path).items()}

    assert counts["shop.reviews"] == 1458
    assert counts["workshop.repair_orders"] == 560
    assert counts["web.wishlist_events"] == 1080


def test_addresses_are_typed_carelessly_and_tidied_up(path):
    typed = query(path, "SELECT reviewer_email AS email FROM shop.reviews WHERE email IS NOT NULL")
    careless = [row for row in typed if row["email"] != row["email"].strip().lower()]

    assert len(careless) > 30
    for row in model(path, "product_reviews"):
        assert row["email"] is None or row["email"] == row["email"].strip().lower()


def test_every_address_is_under_a_domain_for_examples(path, contacts):
    addresses = [contact["email"] for contact in contacts]
    addresses += [row["email"] for row in tables(path)["shop.customers"] if row["email"]]
    addresses += [row["email"] for row in model(path, "product_reviews") if row["email"]]

    for address in addresses:
        assert re.search(r"[@.)]example\.(com|org|net)$", address), address
        assert address.isascii()


# ---- the contacts -----------------------------------------------------------------------------


def test_contacts_are_those_of_the_export(path, contacts):
    exported = {str(row["contact_id"]) for row in tables(path)["crm.engage_contacts"]}

    assert exported == {contact["contactId"] for contact in contacts}
    assert len(exported) == len(contacts) == 361


def test_one_address_belongs_to_a_member_and_a_guest(contacts):
    emails = Counter(contact["email"] for contact in contacts)
    [shared] = [email for email, count in emails.items() if count > 1]

    types = sorted(c["contactType"] for c in contacts if c["email"] == shared)

    assert types == ["Contact", "Member"]


@pytest.mark.parametrize("field", ["contactId", "memberNumber", "mobilePhone", "externalId"])
def test_no_other_identifier_is_shared(contacts, field):
    values = [contact[field] for contact in contacts if field in contact]

    assert values
    assert len(values) == len(set(values))


def test_contacts_are_written_as_csv(tmp_path):
    sample.write_contacts(tmp_path / "contacts.csv")

    text = (tmp_path / "contacts.csv").read_text(encoding="utf-8")
    assert text.splitlines()[0] == (
        "contactId,email,mobilePhone,socialSecurityNumber,memberNumber,externalId,contactType"
    )


# ---- the next day -----------------------------------------------------------------------------


def reviews_by_id(path):
    rows = sorted(model(path, "product_reviews"), key=lambda row: row["reviewed_at"], reverse=True)
    return {row["review_id"]: row for row in rows}  # of a repeated review, the first one


def test_the_next_day_changes_three_reviews_and_nothing_else(own_path):
    before, others = reviews_by_id(own_path), tables(own_path)

    sample.next_day(own_path)

    after = reviews_by_id(own_path)
    changed = {key for key, row in after.items() if row != before.get(key)}
    assert changed == {sample.LATE, sample.CORRECTED, sample.EDITED}
    assert after.keys() - before.keys() == {sample.LATE}
    for table, rows in tables(own_path).items():
        assert table == "shop.reviews" or rows == others[table]


def test_the_next_day_brings_what_a_second_sync_must_send(own_path, contacts):
    before = reviews_by_id(own_path)
    validator = validator_of("product_reviews")

    sample.next_day(own_path)

    after = reviews_by_id(own_path)
    assert (before[sample.CORRECTED]["rating"], after[sample.CORRECTED]["rating"]) == (7, 5)
    assert before[sample.CORRECTED] | {"rating": 5} == after[sample.CORRECTED]
    assert not validator.is_valid(payload_of("product_reviews", before[sample.CORRECTED]))
    assert validator.is_valid(payload_of("product_reviews", after[sample.CORRECTED]))
    assert validator.is_valid(payload_of("product_reviews", after[sample.LATE]))
    assert after[sample.LATE]["email"] in {c["email"] for c in contacts}


def test_the_next_day_edits_a_review_that_was_delivered(own_path):
    before, key = reviews_by_id(own_path), sample.EDITED

    sample.next_day(own_path)

    after = reviews_by_id(own_path)
    assert before[key]["review_text"] != after[key]["review_text"]
    assert before[key] | {"review_text": after[key]["review_text"]} == after[key]
    assert validator_of("product_reviews").is_valid(payload_of("product_reviews", before[key]))


def test_the_next_day_lies_within_the_overlap_and_behind_the_watermark(own_path):
    watermark = max(row["reviewed_at"] for row in reviews_by_id(own_path).values())
    assert cursor_of("product_reviews")["overlap"] == "2d"

    sample.next_day(own_path)

    for key in (sample.LATE, sample.CORRECTED, sample.EDITED):
        at = reviews_by_id(own_path)[key]["reviewed_at"]
        assert watermark - 48 * HOUR < at < watermark


def test_the_next_day_may_come_twice(own_path):
    sample.next_day(own_path)
    rows = model(own_path, "product_reviews")

    sample.next_day(own_path)

    assert model(own_path, "product_reviews") == rows


# ---- the starter project ----------------------------------------------------------------------


@each_schema
def test_the_schemas_obey_engage(schema):
    assert set(schema) == {"id", "displayName", "jsonSchema"}
    assert re.fullmatch(r"[A-Za-z0-9_-]+", schema["id"])
    assert schema["displayName"]
    body = schema["jsonSchema"]
    assert body["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert body["type"] == "object"
    assert set(body) == {"$schema", "type", "properties", "required"}
    assert set(body["required"]) <= set(body["properties"])
    assert body["properties"]["productSku"]["type"] == "string"
    segmentable = [p for p in body["properties"].values() if p["addToSegmentation"] == "true"]
    assert len(segmentable) <= 6
    orders = [prop["sortOrder"] for prop in body["properties"].values()]
    assert orders == [str(place) for place in range(len(orders))]
    for prop in body["properties"].values():
        assert prop["type"] in {"string", "number", "integer", "boolean"}
        assert prop["displayName"]
        assert prop["showInContactCard"] in {"true", "false"}
        assert prop["addToSegmentation"] in {"true", "false"}
        assert not any(isinstance(value, dict | list) for value in prop.values())


@each_schema
def test_a_schema_is_named_after_its_file(schema):
    assert SCHEMAS[schema["id"]] is schema


@each_activation
def test_every_property_is_in_the_schema(name):
    body = SCHEMAS[ACTIVATIONS[name]["schema_id"]]["jsonSchema"]
    payload = ACTIVATIONS[name]["payload"]

    assert list(payload.keys() - body["properties"].keys()) == []
    assert list(body["properties"].keys() - payload.keys()) == []


@each_activation
def test_every_column_is_in_the_model(path, name):
    activation = ACTIVATIONS[name]
    created = activation["created_date"]
    wanted = {
        *keys_of(name),
        cursor_of(name)["column"],
        activation["contact"]["column"],
        created if isinstance(created, str) else created["column"],
        *(source for source in activation["payload"].values() if isinstance(source, str)),
    }

    [row, *_] = model(path, name)

    assert wanted <= row.keys()
    assert row.keys() <= wanted | {"added_on"}, "a column that nothing uses"


@each_activation
def test_a_required_string_of_the_payload_carries_the_row_key(path, name):
    body = SCHEMAS[ACTIVATIONS[name]["schema_id"]]["jsonSchema"]
    [prop] = [p for p in body["required"] if p in {"reviewId", "repairId", "wishlistEntryId"}]
    column = ACTIVATIONS[name]["payload"][prop]

    rows = model(path, name)

    assert body["properties"][prop]["type"] == "string"
    assert all(isinstance(row[column], str) for row in rows)
    pairs = {(key_of(name, row), row[column]) for row in rows}
    assert len(pairs) == len({key for key, _ in pairs}) == len({text for _, text in pairs})


@each_activation
def test_no_cursor_and_no_row_key_is_null(path, name):
    for row in model(path, name):
        assert None not in key_of(name, row)
        assert row[cursor_of(name)["column"]] is not None


@each_activation
def test_a_model_is_one_query_that_opens_with_what_a_row_is(name):
    sql = (PROJECT / ACTIVATIONS[name]["model"]).read_text(encoding="utf-8")

    [statement] = [found for found in sqlglot.parse(sql, read="duckdb") if found is not None]

    assert isinstance(statement, sqlglot.exp.Query)
    assert sql.startswith("-- A row is ")


@each_activation
def test_the_sample_stays_below_the_limits(name):
    limits, facts, kinds = ACTIVATIONS[name]["limits"], sample.FACTS[name], KINDS[name]

    assert facts.rows <= limits["rows"]
    keys = facts.rows - kinds.repeated
    assert kinds.refused / keys < int(limits["refused"].rstrip("%")) / 100


def test_the_activations_are_those_of_the_facts_and_name_their_editor_schema():
    text = (PROJECT / "activations.yaml").read_text(encoding="utf-8")

    assert text.splitlines()[0] == "# yaml-language-server: $schema=activations.schema.json"
    assert ACTIVATIONS.keys() == sample.FACTS.keys()
    assert {activation["schema_id"] for activation in ACTIVATIONS.values()} == SCHEMAS.keys()


def test_every_variable_is_explained():
    text = (PROJECT / "activations.yaml").read_text(encoding="utf-8")
    used = dict(re.findall(r"\$\{([A-Z_]+):-([^}]*)\}", text))
    example = (PROJECT / ".env.example").read_text(encoding="utf-8")

    assert dict(re.findall(r"^#?([A-Z_]+)=(.*)$", example, re.MULTILINE)) == used


def test_a_wheel_carries_the_starter_where_it_is_looked_for():
    built = tomllib.loads((PROJECT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]
    carried = built["targets"]["wheel"]["force-include"]
    wanted = project.PACKAGED.relative_to(PROJECT).as_posix()

    assert carried == {name: f"{wanted}/{name}" for name in project.FILES}
    assert project.REPOSITORY == PROJECT
