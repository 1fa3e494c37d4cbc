"""Schemas in files: one form in YAML and in JSON, and every mistake with its place."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.rules.definition import DIALECT, Definition
from connector.rules.errors import ConfigurationError
from connector.schemas.files import find, folder_files, local_schema, read, text_of
from connector.schemas.lint import definitions, lint

REPAIR = Definition(
    "repair",
    "Repair",
    {
        "$schema": DIALECT,
        "type": "object",
        "properties": {
            "price": {
                "type": "number",
                "minimum": 0.5,
                "displayName": "Price: in SEK",
                "showInContactCard": "true",
                "sortOrder": "0",
            }
        },
        "required": ["price"],
    },
)


@pytest.fixture
def project(tmp_path):
    (tmp_path / "schemas").mkdir()

    def write(name, content):
        text = content if isinstance(content, str) else text_of(content, name[name.index(".") :])
        (tmp_path / "schemas" / name).write_text(text, encoding="utf-8")
        return tmp_path

    return write


def named(schema_id):
    return Definition(schema_id, "Name", REPAIR.json_schema)


def told(base, *names):
    return [
        each.file.located(p).removeprefix(f"{base}/schemas/")
        for each in lint(base, names)
        for p in each.problems
    ]


@pytest.mark.parametrize("name", ["repair.yaml", "repair.yml", "repair.json"])
def test_yaml_and_json_hold_the_same(project, name):
    base = project(name, REPAIR)

    path = find(base, "repair")

    assert path is not None
    assert path.name == name
    assert read(path).definition() == REPAIR
    schema = local_schema(base, "repair")
    assert schema is not None
    assert schema.accepts({"price": 1})
    assert told(base) == []


def test_the_yaml_is_what_a_person_would_write():
    assert text_of(REPAIR).splitlines()[:8] == [
        "id: repair",
        "displayName: Repair",
        "jsonSchema:",
        f"  $schema: {DIALECT}",
        "  type: object",
        "  properties:",
        "    price:",
        "      type: number",
    ]
    assert "      sortOrder: '0'" in text_of(REPAIR)


SCALARS = (
    st.text(st.characters(exclude_categories=["Cs"]))
    | st.sampled_from(["true", "null", "0", "1e3", "~", "2026-01-31", "a: b", "# c", "- d", "x\ny"])
    | st.booleans()
    | st.none()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
)
VALUES = st.recursive(
    SCALARS, lambda v: st.lists(v, max_size=3) | st.dictionaries(st.text(max_size=5), v, max_size=3)
)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]))


@given(
    TEXTS, TEXTS, st.dictionaries(TEXTS, VALUES, max_size=3), st.sampled_from([".yaml", ".json"])
)
def test_what_is_written_is_read_back_as_it_was(
    tmp_path_factory, schema_id, name, json_schema, suffix
):
    path = tmp_path_factory.getbasetemp() / f"any{suffix}"
    definition = Definition(schema_id, name, json_schema)

    path.write_bytes(text_of(definition, suffix).encode())

    assert read(path).error is None
    assert read(path).parsed.content == definition.content


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("a.yaml", "id: a\ndisplayName: b: c\n", "a.yaml:2:15: not valid YAML"),
        ("a.json", '{"id": "a",\n', "a.json:2:1: not valid JSON"),
        ("a.yaml", "", "a.yaml:1:1: expected a mapping with id"),
        ("a.json", "[]", "a.json:1:1: a schema is a mapping"),
        ("a.yaml", "a: &x\n  b: *x\n", "a.yaml:2:3: nested too deeply, or aliases that contain"),
        ("a.yaml", "id: a\nid: b\n", 'a.yaml:2:1: the key "id" stands twice'),
        ("a.json", '{"id": "a",\n "id": "b"}', 'a.json:2:2: the key "id" stands twice'),
        ("a.json", '{"id": "a",\n\t"idd": 1}', 'unknown key "idd"'),
    ],
)
def test_a_file_that_cannot_be_read_as_a_schema_has_its_line_and_column(
    project, name, text, expected
):
    assert any(expected in line for line in told(project(name, text)))


def test_a_flag_without_quotes_is_told_where_it_stands(project):
    text = text_of(REPAIR).replace("'true'", "true").replace("'0'", "0")

    assert told(project("repair.yaml", text)) == [
        'repair.yaml:11:7: price: showInContactCard: expected the text "true" or "false"; put it in'
        ' quotes: "true"',
        'repair.yaml:12:7: price: sortOrder: expected a text of digits such as "0"; put it in'
        ' quotes: "0"',
    ]


def test_a_variable_is_a_text_like_any_other_in_a_schema(project):
    base = project("repair.yaml", text_of(REPAIR).replace("Price: in SEK", "${HOME}"))

    assert "${HOME}" in read(base / "schemas" / "repair.yaml").parsed.content["jsonSchema"][
        "properties"]["price"]["displayName"]  # fmt: skip


def test_a_file_is_named_by_its_id(project):
    base = project("other.yaml", REPAIR)

    assert told(base) == ['other.yaml:1:1: id: the file of "repair" must be named repair.yaml']
    assert told(base, str(base / "schemas" / "other.yaml"))


def test_a_file_anywhere_may_have_any_name(project, tmp_path):
    path = tmp_path / "draft.yaml"
    path.write_text(text_of(REPAIR))

    assert lint(tmp_path, [str(path)])[0].problems == []


def test_files_that_do_not_go_together_are_told(project):
    project("Repair.yaml", named("Repair"))
    project("repair.json", REPAIR)
    base = project("repair.yaml", REPAIR)

    assert told(base) == [
        'repair.json:2:3: id: "repair" differs from "Repair" in capitals only, and Engage may take'
        " both for one",
        'repair.yaml:1:1: id: "repair" stands in repair.json, too; remove one of them',
    ]
    with pytest.raises(ConfigurationError, match="remove one of them"):
        find(base, "repair")


def test_more_than_15_schemas_are_told(project):
    for number in range(16):
        base = project(f"s{number:02}.yaml", named(f"s{number:02}"))

    assert told(base) == ["s15.yaml:1:1: is schema number 16, and Engage has at most 15"]


def test_an_unknown_name_gets_the_nearest_one(project):
    base = project("repair.yaml", REPAIR)

    with pytest.raises(ConfigurationError, match='did you mean "repair"'):
        lint(base, ["repiar"])
    with pytest.raises(ConfigurationError, match=r"no file nowhere\.yaml"):
        lint(base, ["nowhere.yaml"])


@pytest.mark.parametrize("schema_id", ["../repair", "", "schemas/repair", "repair.yaml"])
def test_an_id_never_leads_out_of_the_folder(project, schema_id):
    base = project("repair.yaml", REPAIR)
    (base / "repair.yaml").write_text(text_of(REPAIR))

    assert find(base, schema_id) is None
    assert local_schema(base, schema_id) is None


def test_definitions_are_given_only_when_every_file_is_right(project):
    project("repair.yaml", REPAIR)
    base = project("bad.json", json.dumps({"id": "bad"}))

    with pytest.raises(ConfigurationError, match=r"bad\.json:1:1: .*displayName"):
        definitions(base, [])

    assert definitions(base, ["repair"]) == {"repair": (REPAIR, base / "schemas" / "repair.yaml")}


@pytest.mark.parametrize(
    "text", ["id: repair", "- 1", "id: [", '{"id": "repair", "jsonSchema": {}}']
)
def test_a_local_schema_that_is_none_is_told_with_its_file(project, text):
    base = project("repair.yaml", text)

    with pytest.raises(ConfigurationError, match=r"repair\.yaml:\d+:\d+: not a schema: "):
        local_schema(base, "repair")


def test_other_files_in_the_folder_are_left_alone(project):
    project("README.md", "# schemas")
    base = project("repair.yaml", REPAIR)

    assert [path.name for path in folder_files(base)] == ["repair.yaml"]
