"""A project of many files: each value keeps its place, a default fills in what is left out."""

from datetime import timedelta
from pathlib import Path

import pytest

from connector.destinations.survey_dynamix.grammar import SurveyDynamixActivation
from connector.project.plan import read_plan
from connector.project.settings import Settings, load
from connector.rules.errors import ConfigurationError
from connector.serve.stamp import stamp

MAIN = """\
version: 1
warehouse: {url: "duckdb:///w.duckdb"}
destinations:
  engage: {type: engage, url: "https://acme.voyado.com", api_key: k}
include: [activations/*.yaml]
"""
ONE = """\
activations:
  {name}:
    model: {{sql: "select 1"}}
    schema_id: review
    row_key: id
    start: all
    contact: {{column: email, identifier: email}}
"""


def read(folder: Path, main: str = MAIN, **others: str) -> Settings:
    (folder / "activations.yaml").write_text(main)
    (folder / "activations").mkdir(exist_ok=True)
    for name, text in others.items():
        (folder / "activations" / f"{name}.yaml").write_text(text)
    return load(folder / "activations.yaml", {})


def mistakes(folder: Path, main: str = MAIN, **others: str) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        read(folder, main, **others)
    return [problem.text.replace(f"{folder}/", "") for problem in caught.value.problems]


def one(name: str, **keys: str) -> str:
    return ONE.format(name=name) + "".join(f"    {key}: {value}\n" for key, value in keys.items())


def test_activations_of_several_files_are_one_project(tmp_path: Path) -> None:
    settings = read(tmp_path, b=one("bookings"), a=one("reviews"))

    assert list(settings.project.activations) == ["reviews", "bookings"]
    assert settings.mark(("activations", "bookings", "start")).file.name == "b.yaml"
    assert settings.mark(("activations", "bookings", "start")).line == 6


def test_mistakes_of_several_files_are_told_at_once_each_with_its_place(tmp_path: Path) -> None:
    found = mistakes(
        tmp_path,
        a=one("reviews", scheduel="daily"),
        b="activations: [",
        c=one("bookings", destination="engag"),
        d=one("repairs"),
    )

    assert [text.rpartition(": ")[0].split(": ")[0] for text in found] == [
        "activations/a.yaml:8:5",
        "activations/b.yaml:1:15",
        "activations/c.yaml:8:5",
    ]
    assert 'did you mean "schedule"' in found[0]
    assert 'did you mean "engage"' in found[2]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("version: 1\n" + one("x"), 'a.yaml:1:1: "version" does not belong into an included file'),
        ("other: 1\n", "an included file has activations, by name; this has none"),
        ("activations:\n", "an included file has activations, by name; this has none"),
        ("- a\n", "a.yaml:1:1: expected a mapping with activations"),
        (one("reviews"), 'there is another activation "reviews", in activations.yaml:7:3'),
    ],
)
def test_an_included_file_has_activations_of_its_own_and_nothing_else(
    tmp_path: Path, text: str, expected: str
) -> None:
    found = mistakes(tmp_path, MAIN + one("reviews"), a=text)

    assert expected in "\n".join(found)


def test_a_pattern_that_fits_no_file_is_a_mistake(tmp_path: Path) -> None:
    (found,) = mistakes(tmp_path, MAIN.replace("activations/*", "activation/*"))

    assert found.startswith('activations.yaml:5:11: include: no file fits "activation/*.yaml"')


def test_the_projects_own_file_is_not_included_again(tmp_path: Path) -> None:
    main = MAIN.replace("activations/*.yaml", "'*.yaml'") + one("reviews")
    (tmp_path / "more.yaml").write_text(one("bookings"))

    assert list(read(tmp_path, main).project.activations) == ["reviews", "bookings"]


@pytest.mark.parametrize("path", ["reviews.sql", "../activations/reviews.sql", "models/r.sql"])
def test_paths_are_seen_from_the_file_that_has_them_or_from_the_project(
    tmp_path: Path, path: str
) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models/r.sql").write_text("select 1")
    (tmp_path / "activations").mkdir()
    (tmp_path / "activations/reviews.sql").write_text("select 1")

    settings = read(tmp_path, a=one("reviews").replace('{sql: "select 1"}', path))

    model = settings.project.activations["reviews"].model.file
    assert model is not None
    assert (settings.base / model).is_file()


@pytest.mark.parametrize("schema", ["parcels.json", "schemas/parcels.json"])
def test_a_schema_is_seen_from_the_file_that_names_it_or_from_the_project(
    tmp_path: Path, schema: str
) -> None:
    sdx = "{type: survey_dynamix, url: 'https://eu1.surveydynamix.com', token: t}"
    main = MAIN.replace('{type: engage, url: "https://acme.voyado.com", api_key: k}', sdx)
    keys = f"survey_id: 1\n    survey_type: email\n    schema: {schema}"
    for folder in ("activations", "schemas"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "parcels.json").write_text("{}")

    settings = read(tmp_path, main, a=one("parcels").replace("schema_id: review", keys))

    activation = settings.project.activations["parcels"]
    assert isinstance(activation, SurveyDynamixActivation)
    folder = "schemas" if "/" in schema else "activations"
    assert activation.schema_file == f"{folder}/parcels.json"


def test_defaults_fill_in_what_an_activation_leaves_out(tmp_path: Path) -> None:
    main = MAIN + (
        "defaults:\n"
        "  schedule: {every: 15m}\n"
        "  tags: [crm]\n"
        "  limits: {rows: 10, refused: 5%}\n"
        "  contact: {identifier: any, wait: 3d}\n"
    )
    text = one("reviews", limits="{rows: 20}", tags="[daily, web]", schedule='"0 * * * *"')

    settings = read(tmp_path, main, a=text, b=one("bookings"))

    reviews, bookings = settings.project.activations.values()
    assert reviews.schedule
    assert reviews.schedule.every is None
    assert bookings.schedule
    assert bookings.schedule.every == timedelta(minutes=15)
    assert (reviews.limits.rows, reviews.limits.refused) == (20, 0.05)
    assert (reviews.tags, bookings.tags) == (("daily", "web"), ("crm",))
    assert (reviews.contact.patience, reviews.contact.word) == (timedelta(days=3), "email")


def test_a_wrong_default_is_told_once_where_it_stands(tmp_path: Path) -> None:
    main = MAIN + "defaults:\n  limits: {rows: few}\n  ownr: crm\n"

    found = mistakes(tmp_path, main, a=one("reviews"), b=one("bookings"))

    assert len(found) == 2
    assert found[0].startswith("activations.yaml:7:12: rows: expected")
    assert found[1].startswith('activations.yaml:8:3: defaults: an activation has no key "ownr"')
    assert 'did you mean "owner"?' in found[1]


def test_a_default_of_one_kind_of_destination_is_not_for_the_others(tmp_path: Path) -> None:
    main = MAIN.replace(
        "include:", "  mxo: {type: mxo, url: 'https://x.example', token: t}\ninclude:"
    ).replace("destinations:", "defaults: {destination: engage, schema_id: review}\ndestinations:")
    text = one("reviews").replace("    schema_id: review\n", "")

    found = "\n".join(mistakes(tmp_path, main, a=text, b=one("visits", destination="mxo")))

    assert "reviews" not in found
    assert 'b.yaml:4:5: unknown key "schema_id"' in found  # written there, it is a mistake


def test_what_one_kind_knows_of_a_contact_is_not_for_the_others(tmp_path: Path) -> None:
    mxo = "  mxo: {type: mxo, url: 'https://x.example', client_id: c, client_secret: s,"
    more = "        site_key: ONE-1, mode: single}"
    default = "defaults:\n  contact: {column: email, identifier: email, wait: 1d, wiat: 2d}"
    main = MAIN.replace("include:", f"{mxo}\n{more}\n{default}\ninclude:")
    reviews = one("reviews", destination="engage")
    visits = one("visits", destination="mxo").replace("schema_id: review", "touchpoint: store://x")
    whole = visits.replace("    contact: {column: email, identifier: email}\n", "")

    mistaken = mistakes(tmp_path, main, a=reviews, b=visits)
    right = main.replace(", wiat: 2d", "")
    settings = read(tmp_path, right, a=reviews, b=visits)
    settings_of_whole = read(tmp_path, right, a=reviews, b=whole)

    assert settings.project.activations["reviews"].contact.patience == timedelta(days=1)
    assert settings_of_whole.project.activations["visits"].contact.column == "email"
    assert mistaken  # what no kind knows is a mistake, and what another one knows is none
    assert all('unknown key "wiat"' in each for each in mistaken)


def test_a_name_that_may_not_be_is_told_where_it_stands_and_hides_nothing(tmp_path: Path) -> None:
    found = mistakes(tmp_path, a=one('"x 1;rm"'), b=one("bookings", destination="engag"))

    assert found[0].startswith('activations/a.yaml:2:3: the name "x 1;rm" may hold only')
    assert found[1].startswith("activations/b.yaml:8:5: there is no destination")


def test_what_a_default_leaves_open_is_told_of_the_activation(tmp_path: Path) -> None:
    main = MAIN + "defaults:\n  contact: {identifier: email}\n"
    text = one("reviews").replace("    contact: {column: email, identifier: email}\n", "")

    (found,) = mistakes(tmp_path, main, a=text)

    assert found.startswith('activations/a.yaml:2:3: the key "column" is missing')


def test_a_name_that_leads_nowhere_is_no_file_that_may_be_left_out(tmp_path: Path) -> None:
    (tmp_path / "activations").mkdir()
    (tmp_path / "activations" / "z.yaml").symlink_to(tmp_path / "nothing")

    (found,) = mistakes(tmp_path, a=one("reviews"))

    assert found == "activations/z.yaml:1:1: it is named, and leads nowhere"


def test_a_plan_says_what_the_grammar_reads(tmp_path: Path) -> None:
    every = "{cron: , every: 15m}"
    settings = read(tmp_path, a=one("reviews", schedule=every, verify=every, tags="[crm, crm]"))

    (planned,) = read_plan(settings.file, {}).activations

    assert (planned.schedule, planned.verify) == ("every 15m", "every 15m")
    assert planned.tags == list(settings.project.activations["reviews"].tags) == ["crm"]


@pytest.mark.parametrize("pattern", ["activations/*.yaml", "${FOLDER:-activations}/*.yaml"])
def test_a_new_file_is_seen_also_where_a_variable_says_where_files_are(
    tmp_path: Path, pattern: str
) -> None:
    settings = read(tmp_path, MAIN.replace("activations/*.yaml", f'"{pattern}"'), a=one("reviews"))
    before = stamp(settings.file, settings)

    (tmp_path / "activations" / "b.yaml").write_text(one("bookings"))

    assert stamp(settings.file, settings) != before
