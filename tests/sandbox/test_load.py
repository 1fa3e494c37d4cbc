"""Filling a sandbox from files."""

import json

import pytest

from connector.rules.errors import ConfigurationError
from connector.sandbox.engage.load import LoadError, load_contacts, load_schemas
from connector.sandbox.engage.store import Engage
from connector.sandbox.start import Files, Place, start

ANNA = "2e40b702-1111-4222-8333-000000000001"


def test_every_json_file_of_a_directory_is_a_schema(tmp_path, a_schema_body):
    for name in ("b", "a"):
        (tmp_path / f"{name}.json").write_text(json.dumps(a_schema_body(f"schema-{name}")))
    (tmp_path / "README.md").write_text("not a schema")
    engage = Engage()

    assert load_schemas(engage, tmp_path) == ["schema-a", "schema-b"]
    assert [schema.id for schema in engage.schemas()] == ["schema-a", "schema-b"]


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"id": "x"}', "\ud800"])
def test_a_bad_schema_file_is_named(tmp_path, content):
    path = tmp_path / "bad.json"
    path.write_bytes(content.encode(errors="surrogatepass"))

    with pytest.raises(LoadError, match=r"bad\.json: ."):
        load_schemas(Engage(), tmp_path)


def test_a_missing_directory_is_named(tmp_path):
    with pytest.raises(LoadError, match="nowhere: there is no such directory"):
        load_schemas(Engage(), tmp_path / "nowhere")


def test_every_row_of_a_csv_is_a_contact(tmp_path):
    path = tmp_path / "contacts.csv"
    path.write_text(
        "\ufeffcontactId,email,mobilePhone,memberNumber,contactType\n"
        f"{ANNA.upper()},anna@example.com,,M-1,Contact\n"
        ',"bo@example.com",+46701234567,,\n',
        encoding="utf-8",
    )
    engage = Engage()

    assert load_contacts(engage, path) == 2

    anna, bo = engage.contacts()
    assert (anna.id, anna.contact_type, anna.fields.get("mobilePhone")) == (ANNA, "Contact", None)
    assert (bo.contact_type, bo.fields["mobilePhone"]) == ("Member", "+46701234567")
    assert engage.find_contact({"customKey": "M-1"}) == ANNA


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("email,name\na@example.com,A\n", r"contacts\.csv:2: unknown field 'name'"),
        ("email\na@example.com\nb\n", r"contacts\.csv:3: email 'b' is malformed"),
        ("contactId\nx\n", r"contacts\.csv:2: contactId 'x' is not a GUID"),
        (f"contactId\n{ANNA}\n{ANNA}\n", r"contacts\.csv:3: contactId .* is in use"),
        ("email\na@example.com,b\n", r"contacts\.csv:2: the row has not as many values"),
        ("email,externalId\na@example.com\n", r"contacts\.csv:2: the row has not as many"),
        ('email\n"a@example.com\n', r"contacts\.csv: "),
    ],
)
def test_a_bad_row_is_named_with_its_line(tmp_path, content, message):
    path = tmp_path / "contacts.csv"
    path.write_text(content, encoding="utf-8")

    with pytest.raises(LoadError, match=message):
        load_contacts(Engage(), path)


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(LoadError, match=r"none\.csv: No such file or directory$"):
        load_contacts(Engage(), tmp_path / "none.csv")
    (tmp_path / "bytes.csv").write_bytes(b"email\n\xff\xfe\n")
    with pytest.raises(LoadError, match=r"bytes\.csv"):
        load_contacts(Engage(), tmp_path / "bytes.csv")


@pytest.mark.parametrize("suffix", ["yaml", "yml"])
def test_a_yaml_file_is_a_schema_too(tmp_path, a_schema_body, suffix):
    body = a_schema_body("dated")
    body["jsonSchema"]["title"] = "2026-01-31"
    text = json.dumps(body, indent=1).replace('"2026-01-31"', "2026-01-31")
    (tmp_path / f"a.{suffix}").write_text(f"# a comment\n{text}\n")
    engage = Engage()

    assert load_schemas(engage, tmp_path) == ["dated"]
    assert engage.schema("dated").json_schema["title"] == "2026-01-31"


@pytest.mark.parametrize("content", ["", "a: b: c", "[]", "id: x", "a: &x {b: *x}"])
def test_a_bad_yaml_file_is_named(tmp_path, content):
    (tmp_path / "bad.yaml").write_text(content)

    with pytest.raises(LoadError, match=r"bad\.yaml: ."):
        load_schemas(Engage(), tmp_path)


def test_a_type_that_there_is_no_sandbox_of_is_refused_with_those_that_there_are():
    with pytest.raises(ConfigurationError, match="no sandbox of type 'pigeon', only of engage"):
        start("pigeon", Place("127.0.0.1", 0, "key"), Files())


def test_schemas_of_another_api_that_happen_to_be_there_are_refused_with_the_way_out(
    tmp_path, monkeypatch
):
    (tmp_path / "schemas").mkdir()
    (tmp_path / "schemas" / "repair.json").write_text('{"type": "object"}')
    monkeypatch.chdir(tmp_path)

    with pytest.raises(ConfigurationError, match=r"schemas/repair\.json: .*--type survey_dynamix"):
        start("engage", Place("127.0.0.1", 0, "sandbox"), Files())
    with pytest.raises(ConfigurationError, match=r"repair\.json: [^(]*$"):
        start("engage", Place("127.0.0.1", 0, "sandbox"), Files(schemas=tmp_path / "schemas"))
