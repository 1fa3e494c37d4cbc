"""A project is begun beside dbt, an activation from its model, and dbt is told who reads it."""

import json
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from connector.cli.main import run
from connector.project.offline import check_offline
from connector.project.settings import load
from tests.dbt.project import VISITS, Folder
from tests.whole.shop import Shop

COLUMNS = {
    "id": {"name": "id", "description": "The number of the visit."},
    "updated_at": {"name": "updated_at", "data_type": "timestamp"},
    "email": {"name": "email", "data_type": "varchar"},
    "rating": {"name": "rating", "description": "Of five\n stars.", "data_type": "integer"},
}


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    model = {"columns": COLUMNS, "primary_key": ["id"], "description": 'Visits: "all" of them'}
    folder = Folder(tmp_path / "dbt", model=model)
    folder.build()
    return folder


def test_a_small_project_can_be_read_and_has_nothing_for_dbt(tmp_path):
    (tmp_path / "models").mkdir()
    (tmp_path / ".gitignore").write_text("target/\n")

    assert run(["init", "--minimal", str(tmp_path)]) == 0

    project = load(tmp_path / "activations.yaml", {}).project
    assert list(project.activations) == ["example"]
    assert not check_offline(tmp_path / "activations.yaml", (), {}).exit_code
    assert list((tmp_path / "models").iterdir()) == []
    assert (tmp_path / ".gitignore").read_text() == "target/\n.connector/\n.env\n"


def test_a_project_that_is_there_is_left_alone(tmp_path):
    (tmp_path / "activations.yaml").write_text("mine")

    assert run(["init", "--minimal", str(tmp_path)]) == 2

    assert (tmp_path / "activations.yaml").read_text() == "mine"
    assert not (tmp_path / "activations").exists()


def test_an_activation_is_written_from_what_dbt_says(folder, tmp_path, capsys):
    there = tmp_path / "connector"

    assert run(["init", str(there), "--from-dbt", "visits", "--dbt", str(folder.path)]) == 0

    said = capsys.readouterr().out
    assert str(there / "activations/visits.yaml") in said
    assert "Look at this first" not in said
    project = load(there / "activations.yaml", {}).project
    visits = project.activations["visits"]
    assert visits.model.dbt == "visits"
    assert visits.row_key == ("id",)
    assert visits.cursor
    assert visits.cursor.column == "updated_at"
    assert visits.contact.column == "email"
    assert {n: f.column for n, f in visits.payload.items()} == {
        "id": "id",
        "updatedAt": "updated_at",
        "rating": "rating",
    }
    assert visits.description == 'Visits: "all" of them'
    assert project.dbt
    assert (project.dbt.project, project.dbt.target) == ("../dbt", "prod")
    assert project.warehouse.dbt is not None
    assert "# Of five stars." in (there / "activations/visits.yaml").read_text()
    assert check_offline(there / "activations.yaml", (), {}).exit_code == 0


def test_names_that_yaml_takes_for_something_else_are_in_quotes(folder, tmp_path, capsys):
    odd = ["2024", "null", "we: ird", "- dash", "#x", "a b", "a/b", "x${CUR}", 'q"t', "Größe"]
    columns = COLUMNS | {name: {"name": name} for name in odd}
    folder.model = {"columns": columns, "primary_key": ["we: ird"], "description": "${CUR} each"}
    folder.build()
    there = tmp_path / "connector"

    assert run(["init", str(there), "--from-dbt", "visits", "--dbt", str(folder.path)]) == 0

    visits = load(there / "activations.yaml", {}).project.activations["visits"]
    assert (visits.row_key, visits.description) == (("we: ird",), "${CUR} each")
    payload = {field.column: name for name, field in visits.payload.items()}
    assert payload.keys() >= set(odd)
    assert (payload["a b"], payload["a/b"]) == ("aB", "aB2")


def test_what_is_a_guess_is_said(folder, tmp_path, capsys):
    folder.model = {"columns": {"visit_id": {"name": "visit_id"}}}
    folder.tests = {}
    folder.build()
    there = tmp_path / "connector"
    there.mkdir()
    (there / "activations.yaml").write_text("version: 1\n")

    assert run(["init", str(there), "--from-dbt", "visits", "--dbt", str(folder.path)]) == 0

    said = capsys.readouterr().out
    assert "visit_id is a guess" in said
    assert "email is a guess" in said
    assert "has to include activations/visits.yaml" in said


def test_a_model_that_is_not_there_writes_nothing(folder, tmp_path, capsys):
    there = tmp_path / "connector"

    assert run(["init", str(there), "--from-dbt", "visit", "--dbt", str(folder.path)]) == 2

    assert 'did you mean "visits"' in capsys.readouterr().err
    assert not there.exists()


def test_columns_that_dbt_does_not_describe_come_from_its_catalogue(folder, tmp_path):
    catalogue = {"nodes": {VISITS: {"columns": {"N": {"name": "note", "type": "VARCHAR"}}}}}
    (folder.path / "target/catalog.json").write_text(json.dumps(catalogue))
    there = tmp_path / "connector"

    run(["init", str(there), "--from-dbt", "visits", "--dbt", str(folder.path)])

    assert "note" in load(there / "activations.yaml", {}).project.activations["visits"].payload


def of_dbt(shop: Shop) -> None:
    shop.configure(more="owner: crm@example.com")
    text = shop.config.read_text()
    text = text.replace('model: {sql: "select * from visits"}', "model: {dbt: visits}")
    shop.config.write_text(text + "\ndbt: {project: dbt}\n")


def test_an_activation_is_an_exposure(folder, shop):
    of_dbt(shop)
    file = folder.path / "models.yml"

    found = shop.connector("dbt", "exposures", "--json").json["exposures"]
    assert shop.connector("dbt", "exposures", "--write", str(file)).code == 0
    written = YAML(typ="safe").load(file)
    again = shop.connector("dbt", "exposures", "--write", str(file)).code

    assert written == {"version": 2, "exposures": found}
    (exposure,) = found
    assert exposure["name"] == "connector_visits"
    assert exposure["type"] == "application"
    assert exposure["owner"] == {"email": "crm@example.com"}
    assert exposure["depends_on"] == ["ref('shop', 'visits')"]
    assert exposure["meta"]["connector"]["activation"] == "visits"
    assert again == 0


def test_each_exposure_has_a_name_of_its_own_and_tells_of_what_contacts_are_looked_up_in(
    folder, shop
):
    of_dbt(shop)
    text = shop.config.read_text()
    head, rest = text.split("  visits:\n")
    body, dbt, tail = rest.partition("\ndbt: ")
    lookup = body.replace("{dbt: visits}", "{table: visits}").replace(
        "identifier: contactId", "lookup: {dbt: visits}"
    )
    both = "".join(f"  {name}:\n{body}\n" for name in ("web-visits", "visits", "web_visits"))
    shop.config.write_text(f"{head}{both}  looked.up:\n{lookup}{dbt}{tail}")

    found = shop.connector("dbt", "exposures", "--json").json["exposures"]

    assert {each["label"]: each["name"] for each in found} == {
        "web-visits": "connector_web_visits_2",
        "visits": "connector_visits",
        "web_visits": "connector_web_visits",
        "looked.up": "connector_looked_up",
    }
    assert [each["depends_on"] for each in found] == [["ref('shop', 'visits')"]] * 4


def test_exposures_are_not_written_over_what_somebody_else_wrote(folder, shop):
    of_dbt(shop)
    file = folder.path / "models.yml"
    file.write_text("version: 2\n")

    assert shop.connector("dbt", "exposures", "--write", str(file)).code == 2
    assert file.read_text() == "version: 2\n"


def test_a_schema_takes_descriptions_from_dbt(folder, shop):
    shop.execute("create schema prod")
    shop.execute("create view prod.visits as select * from main.visits")
    of_dbt(shop)

    document = shop.connector("schema", "generate", "visits", "--json").json

    properties = document["schema"]["jsonSchema"]["properties"]
    assert properties["rating"]["description"] == "Of five\n stars."
    assert properties["visitId"]["description"] == "The number of the visit."
    assert "description" not in properties["productSku"]


@pytest.mark.parametrize(
    ("where", "why"),
    [
        ("nowhere", "there is no folder {0}; --dbt wants the folder of dbt's project"),
        ("bare", "there is no {0}/dbt_project.yml; --dbt wants the folder of dbt's project"),
        ("fresh", "there is no {0}/target/manifest.json; run `dbt parse` in {0} first"),
    ],
)
def test_a_folder_that_is_not_the_one_of_dbt_is_told_as_such(where, why, tmp_path, capsys):
    (tmp_path / "bare").mkdir()
    (tmp_path / "fresh").mkdir()
    (tmp_path / "fresh" / "dbt_project.yml").write_text("name: fresh\n")
    there, named = tmp_path / "connector", tmp_path / where

    assert run(["init", str(there), "--from-dbt", "visits", "--dbt", str(named)]) == 2

    said = capsys.readouterr().err
    assert why.format(named) in " ".join(said.split())
    assert "dbt.project" not in said
    assert not there.exists()


def test_a_folder_of_dbt_is_named_for_a_model_alone(tmp_path, capsys):
    assert run(["init", str(tmp_path / "connector"), "--dbt", str(tmp_path)]) == 2

    assert "--dbt goes with --from-dbt NAME" in capsys.readouterr().err
    assert not (tmp_path / "connector").exists()
