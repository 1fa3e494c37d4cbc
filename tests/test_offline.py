"""`check --offline`: every mistake of a project of many files, with no secret and no connection;
and what may stand on either side of a command."""

import json
import os
from pathlib import Path
from time import process_time
from typing import Any

import pytest

from connector.cli.main import in_order, run
from connector.project.urls import url_of
from tests.test_written import MAIN, one

SQL = "select id, email, rating from reviews"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("ENGAGE_")]:
        monkeypatch.delenv(name)
    main = MAIN.replace("https://acme.voyado.com", "${ENGAGE_URL}").replace(
        "key: k", "key: '${KEY}'"
    )
    Path("activations.yaml").write_text(main)
    Path("activations").mkdir()
    Path("models").mkdir()
    Path("models/reviews.sql").write_text(SQL)
    return tmp_path


def add(name: str, model: str = "models/reviews.sql", **keys: str) -> None:
    text = one(name, **keys).replace('{sql: "select 1"}', model)
    Path("activations", f"{name}.yaml").write_text(text)


def findings(capsys: pytest.CaptureFixture[str], *words: str) -> list[dict[str, Any]]:
    run(["check", "--offline", "--json", *words])
    found: list[dict[str, Any]] = json.loads(capsys.readouterr().out)["findings"]
    return found


def test_of_thirty_files_three_are_broken_each_in_its_own_way(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for i in range(27):
        add(f"a{i:02}", payload="{rating: rating}")
    add("no_model", model="models/review.sql")
    add("wrong_key", scheduled="daily")
    Path("activations/broken.yaml").write_text("activations:\n  x: {model: a.sql\n")

    found = findings(capsys)

    errors = [each for each in found if each["level"] == "error"]
    assert [(each["file"], each["line"], each["rule"]) for each in errors] == [
        ("activations/broken.yaml", 3, "yaml"),
        ("activations/no_model.yaml", 3, "model"),
        ("activations/wrong_key.yaml", 8, "unknown-key"),
    ]
    assert all(each["column"] >= 1 and each["message"] for each in errors)
    assert run(["check", "--offline"]) == 2


def test_a_variable_that_is_not_set_is_a_warning_with_its_place(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    add("reviews", limits="{rows: '${MOST_ROWS}'}", paused="${PAUSED}")

    found = findings(capsys)

    assert {each["level"] for each in found} == {"warning"}
    assert {each["rule"] for each in found} == {"variable-not-set"}
    assert [each["message"].split()[3] for each in found] == [
        "ENGAGE_URL", "KEY", "MOST_ROWS", "PAUSED"
    ]  # fmt: skip
    assert (found[0]["file"], found[0]["line"]) == ("activations.yaml", 4)
    assert run(["check", "--offline"]) == 0
    assert run(["check"]) == 2  # which needs them


def test_what_is_wrong_beside_a_variable_that_is_not_set_is_told(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    add("reviews", destination="${WHERE}", limits="{rows: few}")

    errors = [each for each in findings(capsys) if each["level"] == "error"]

    assert [each["message"].split(":")[0] for each in errors] == ["rows"]


@pytest.mark.parametrize(
    ("sql", "keys", "expected"),
    [
        (SQL, {"payload": "{rating: ratng}"}, 'no column "ratng"; did you mean "rating"?'),
        (SQL.replace("id,", "ID,"), {}, None),
        ("with a as (select 1) select * from a", {"payload": "{rating: x}"}, None),
        ("select id, email; select 2", {}, "holds more than one statement"),
        ("delete from reviews", {}, "is not a query"),
    ],
)
def test_queries_are_looked_at_as_far_as_they_say(
    project: Path,
    capsys: pytest.CaptureFixture[str],
    sql: str,
    keys: dict[str, str],
    expected: str | None,
) -> None:
    Path("models/reviews.sql").write_text(sql)
    add("reviews", **keys)

    errors = [each["message"] for each in findings(capsys) if each["level"] == "error"]

    assert len(errors) == (expected is not None), errors
    assert (expected or "") in "".join(errors)


def test_a_schema_of_the_project_is_held_against_the_mapping(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("schemas").mkdir()
    Path("schemas/review.yaml").write_text(
        "id: review\ndisplayName: Review\njsonSchema:\n"
        "  $schema: https://json-schema.org/draft/2020-12/schema\n  type: object\n"
        "  properties:\n    rating: {type: integer, displayName: Rating}\n"
    )
    add("reviews", payload="{ratng: rating}")

    (error,) = [each for each in findings(capsys) if each["level"] == "error"]

    assert (error["rule"], error["line"]) == ("schema", 8)
    assert "ratng" in error["message"]


def test_github_is_told_in_its_own_words(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    add("reviews", schedule='"61 * * * *"')

    assert run(["check", "--offline", "--format", "github"]) == 2

    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(
        "::error file=activations/reviews.yaml,line=8,col=5,title=connector%3A "
    )
    assert lines[1].startswith("::warning file=activations.yaml,line=4,")


def test_github_is_told_nothing_of_a_project_in_which_nothing_is_wrong(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    add("reviews", payload="{rating: rating}")
    monkeypatch.setenv("ENGAGE_URL", "https://acme.voyado.com")
    monkeypatch.setenv("KEY", "k")

    code = run(["check", "--offline", "--format", "github"])

    assert (code, capsys.readouterr().out) == (0, "")


def test_activations_are_chosen_by_tag_and_others_are_not_told_of(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    add("reviews", tags="[crm]", payload="{rating: nothing}")
    add("bookings", tags="[web]", payload="{rating: nothing}")

    errors = [each for each in findings(capsys, "tag:web") if each["level"] == "error"]

    assert [each["file"] for each in errors] == ["activations/bookings.yaml"]


@pytest.mark.parametrize("selector", ["reviews", "rev*", "tag:crm", "tag:c*"])
def test_an_activation_that_the_grammar_does_not_take_is_chosen_as_it_is_written(
    project: Path, capsys: pytest.CaptureFixture[str], selector: str
) -> None:
    add("reviews", tags="[crm]", row_kee="id")
    add("reviewers", tags="[crm]", payload="{rating: nothing}")
    add("bookings", tags="[web]", schedul="daily")

    found = [each for each in findings(capsys, selector) if each["level"] == "error"]

    files = [Path(each["file"]).stem for each in found]
    assert files == (["reviews"] if selector == "reviews" else ["reviewers", "reviews"])
    assert run(["check", "--offline", "revews"]) == 2
    assert 'did you mean "reviewers"?' in capsys.readouterr().err


def test_sixty_files_are_checked_in_two_seconds_of_work(project: Path) -> None:
    for i in range(60):
        add(f"a{i:02}", payload="{rating: rating, sku: {value: x}}", limits="{rows: 10}")
    run(["check", "--offline"])  # what is imported is imported
    began = process_time()

    assert run(["check", "--offline"]) == 0
    assert process_time() - began < 10  # far above what it takes, for a busy machine


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("sync a --config b.yaml --json", "--config b.yaml sync a --json"),
        ("--json status", "status --json"),
        ("status --config=b.yaml -v", "--config=b.yaml -v status"),
        ("quarantine --json list a", "quarantine list a --json"),
        ("explain a -- --config", "explain a -- --config"),
        ("--verbose sync --log-format json", "--verbose --log-format json sync"),
    ],
)
def test_what_belongs_to_all_commands_may_stand_on_either_side(typed: str, meant: str) -> None:
    assert in_order(typed.split()) == meant.split()


def test_sync_says_what_shows_what_it_would_send(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["sync", "reviews", "--dry-run"]) == 2
    assert "`connector preview reviews`" in capsys.readouterr().err


def test_a_short_help_is_a_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["sync", "-h"]) == 0
    assert "--approve" in capsys.readouterr().out


@pytest.mark.parametrize(
    "url", ["mysql://u:secret@h/d", "duckdb:///l.db", "sqlite:///:memory:", "x"]
)
def test_a_ledger_that_a_sync_would_refuse_is_refused(
    project: Path, capsys: pytest.CaptureFixture[str], url: str
) -> None:
    file = project / "activations.yaml"
    file.write_text(file.read_text() + f'\nledger: {{url: "{url}"}}\n')

    told = findings(capsys)

    assert any("ledger" in each["message"] for each in told), told
    assert "secret" not in str(told)


WHOLE = """\
activations:
  some:
    model: models/reviews.sql
    schema_id: review
    row_key: id
    cursor: id
    start: all
    contact: {column: email, identifier: email}
    created_date: {column: id, timezone: UTC}
    payload: {rating: rating, shop: {value: 7}}
    send: "08:00-20:00"
"""


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("row_key: id", "row_key: ${NOT_SET}"),
        ("row_key: id", "row_key: ['${NOT_SET}']"),
        ("row_key: id", "row_key: [id, '${NOT_SET}']"),
        ("cursor: id", "cursor: {column: '${NOT_SET}'}"),
        ("contact: {column: email", "contact: {column: '${NOT_SET}'"),
        ("created_date: {column: id", "created_date: {column: '${NOT_SET}'"),
        ("rating: rating", "rating: '${NOT_SET}'"),
        ("value: 7", "value: '${NOT_SET}'"),
        ("model: models/reviews.sql", "model: models/${NOT_SET}.sql"),
        ("model: models/reviews.sql", "model: {file: '${NOT_SET}'}"),
        ("model: models/reviews.sql", "model: {dbt: '${NOT_SET}'}"),
        ("w.duckdb", "w.duckdb', timezone: '${NOT_SET}"),
    ],
)
def test_what_a_variable_would_say_is_not_held_against_the_project(
    project: Path, capsys: pytest.CaptureFixture[str], before: str, after: str
) -> None:
    main = Path("activations.yaml")
    zone = "timezone: Europe/Stockholm, url: 'duckdb:///w.duckdb'"
    zone = zone.replace("timezone: Europe/Stockholm, ", "") if before == "w.duckdb" else zone
    text = main.read_text().replace('url: "duckdb:///w.duckdb"', zone)
    main.write_text(text.replace(before, after))
    Path("activations/some.yaml").write_text(WHOLE.replace(before, after))
    Path("schemas").mkdir()
    Path("schemas/review.yaml").write_text(
        "id: review\ndisplayName: Review\njsonSchema:\n"
        "  $schema: https://json-schema.org/draft/2020-12/schema\n  type: object\n  properties:\n"
        "    rating: {type: integer, displayName: Rating}\n"
        "    shop: {type: integer, displayName: Shop}\n"
    )

    told = [each for each in findings(capsys) if "NOT_SET" in each["message"]]

    assert [each["rule"] for each in told] == ["variable-not-set"]
    assert {each["level"] for each in findings(capsys)} == {"warning"}


@pytest.mark.parametrize(
    "key", ["survey_id: 493", "touchpoint: 'store://visit'", "schema_id: review"]
)
def test_a_destination_whose_type_is_not_known_here_may_have_the_keys_of_any(
    project: Path, capsys: pytest.CaptureFixture[str], key: str
) -> None:
    """What no kind knows is told all the same."""
    main = Path("activations.yaml")
    more = "type: '${NOT_SET}', customer: '${C}', site_key: ONE-1"
    main.write_text(main.read_text().replace("type: engage", more))
    add("reviews", shedule="{every: 1h}", payload="{rating: rating}")
    one_of_them = Path("activations/reviews.yaml")
    one_of_them.write_text(one_of_them.read_text().replace("schema_id: review", key))

    errors = [each for each in findings(capsys) if each["level"] == "error"]

    assert [each["message"] for each in errors] == [
        'unknown key "shedule"; did you mean "schedule"?'
    ]


def test_a_warehouse_whose_url_is_none_is_told(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main = Path("activations.yaml")
    main.write_text(main.read_text().replace("duckdb:///w.duckdb", "shop.duckdb"))
    add("reviews", payload="{rating: rating}")

    errors = [each for each in findings(capsys) if each["level"] == "error"]

    assert [each["message"] for each in errors] == ["warehouse.url is not a SQLAlchemy URL"]


@pytest.mark.parametrize("part", ["warehouse", "ledger"])
@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("postgresql://reader:secret@host:${PORT:-}x/shop", "a port that is no number"),
        ("postgresql://reader:sec@ret:1@host/shop", "a port that is no number"),
        ("postgresql://reader:sec@ret@host/shop", "two @: an @ in the user or the password is"),
        ("postgresql://reader:sec@re/t@host/shop", "two @: "),
        ("postgresql://reader:sec@ret/#?@host/shop", "two @: "),
    ],
)
def test_a_url_that_leads_to_no_host_is_told_and_nothing_of_it_shown(
    project: Path, capsys: pytest.CaptureFixture[str], part: str, url: str, words: str
) -> None:
    urls = {"warehouse": "duckdb:///w.duckdb", "ledger": "sqlite:///l.db"} | {part: url}
    main = Path("activations.yaml")
    text = main.read_text().replace("${ENGAGE_URL}", "https://x.voyado.com").replace("${KEY}", "k")
    text = text.replace("duckdb:///w.duckdb", urls["warehouse"])
    main.write_text(f"{text}ledger: {{url: '{urls['ledger']}'}}\n")
    add("reviews", payload="{rating: rating}")

    errors = findings(capsys)

    assert len(errors) == 1
    assert errors[0]["message"].startswith(f"{part}.url has {words}")
    assert "ret" not in errors[0]["message"]


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:p%40ss@host/shop?application_name=a@b",
        "snowflake://U@acme-eu/SHOP/MART?role=R&user_email=a@b",
        "duckdb:///a@b@c.duckdb",
        "awsathena+rest://@athena.eu-north-1.amazonaws.com/mart?s3_staging_dir=s3://r/",
    ],
)
def test_an_at_that_is_no_part_of_a_password_is_none_of_it(url: str) -> None:
    assert url_of("warehouse", url).render_as_string(hide_password=False)


@pytest.mark.parametrize("words", [["check"], ["sync"], ["status"], ["serve"]])
def test_a_url_that_leads_to_no_host_is_a_mistake_of_the_configuration_to_every_command(
    project: Path, capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    main = Path("activations.yaml")
    text = main.read_text().replace("${ENGAGE_URL}", "https://x.voyado.com").replace("${KEY}", "k")
    main.write_text(f"{text}ledger: {{url: 'postgresql://u:sec@ret:x@host/shop'}}\n")
    add("reviews", payload="{rating: rating}")

    code = run(words)

    told = "".join(capsys.readouterr())
    assert code == 2
    assert "activations.yaml:6:10: ledger.url has a port that is no number" in told
    assert "ret:x" not in told
    assert "Traceback" not in told


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("user_agent", '"Acme\\r\\nX: y"', "one line of printable characters"),
        ("user_agent", '"\\0"', "NUL"),
        ("api_version", '"v3\\0"', "NUL"),
    ],
)
def test_what_no_request_can_carry_is_told_with_its_place(
    project: Path, capsys: pytest.CaptureFixture[str], key: str, value: str, words: str
) -> None:
    main = Path("activations.yaml")
    main.write_text(main.read_text().replace("type: engage", f"type: engage, {key}: {value}"))

    errors = [each for each in findings(capsys) if each["level"] == "error"]

    assert words in errors[0]["message"]
    assert errors[0]["line"] > 1


@pytest.mark.parametrize(
    "words",
    [
        ["runs", "--limit"],
        ["runs", "--page"],
        ["preview", "reviews", "--limit"],
        ["diff", "--limit"],
        ["quarantine", "list", "--limit"],
        ["quarantine", "list", "--page"],
        ["audit", "--limit"],
        ["receipts", "--limit"],
    ],
)
def test_a_number_that_no_list_is_as_long_as_is_told(
    project: Path, capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    code = run([*words, "9" * 20, "--json"])

    error = json.loads(capsys.readouterr().out)["error"]
    assert (code, error["kind"]) == (2, "configuration")
    assert words[-1] in error["message"]


SURVEY = """\
version: 1
warehouse: {url: "duckdb:///w.duckdb", timezone: UTC}
destinations:
  out: {type: survey_dynamix, url: "https://eu1.surveydynamix.com", token: "${NOT_SET}"}
activations:
  sent:
    model: {sql: "select id, at, email, no from parcels"}
    survey_id: 493
    survey_type: email
    row_key: id
    start: all
    contact: {column: email, identifier: email}
    schema: shape.json
    payload: {orderNo: no}
"""
VISITS = """\
version: 1
warehouse: {url: "duckdb:///w.duckdb", timezone: UTC}
destinations:
  out:
    {type: mxo, url: "https://eu2.thunderhead.com", client_id: a, client_secret: "${NOT_SET}",
     site_key: ONE-1, workspace_id: w, mode: batch}
activations:
  sent:
    model: {sql: "select id, at, email, no from visits"}
    touchpoint: store://pos/visit
    row_key: id
    start: all
    contact: {column: email, identifier: customerkey}
    created_date: at
    schema: shape.json
    payload: {orderNo: no}
"""


@pytest.mark.parametrize("text", [SURVEY, VISITS], ids=["survey_dynamix", "mxo"])
@pytest.mark.parametrize(
    ("shape", "words"),
    [
        ('{"type": "object", "properties": {"orderNo": {"type": "string"}}}', None),
        ('{"type": "object", "properties": {"order_no": {"type": "string"}}}', "orderNo"),
        ("{", "is no JSON"),
        (None, "cannot be read"),
    ],
    ids=["fits", "another name", "broken", "none"],
)
def test_the_file_that_an_activation_names_is_held_against_its_mapping(
    project: Path,
    capsys: pytest.CaptureFixture[str],
    text: str,
    shape: str | None,
    words: str | None,
) -> None:
    Path("activations.yaml").write_text(text)
    if shape is not None:
        Path("shape.json").write_text(shape)

    errors = [each for each in findings(capsys) if each["level"] == "error"]

    assert [each["rule"] for each in errors] == (["schema"] if words else [])
    assert all(words in each["message"] and each["line"] > 6 for each in errors if words)


@pytest.mark.parametrize("form", [["--json"], ["--format", "json"], ["--format=json"]])
@pytest.mark.parametrize("command", [["check"], ["check", "nobody"], ["diff"], ["diff", "--limit"]])
def test_who_asks_for_json_is_told_of_a_failure_in_json(
    project: Path, capsys: pytest.CaptureFixture[str], command: list[str], form: list[str]
) -> None:
    add("reviews", scheduled="daily")

    code = run([*command, *form])

    printed = capsys.readouterr()
    assert (code, json.loads(printed.out)["error"]["kind"]) == (2, "configuration")
    assert printed.err == ""


def test_a_schema_that_is_hardly_another_one_is_a_warning(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("schemas").mkdir()
    schema = {"id": "productReview", "displayName": "Review", "jsonSchema": {"type": "object"}}
    Path("schemas/productReview.json").write_text(json.dumps(schema))
    for name in ("productReview", "ProductReview", "wishlist"):
        add(f"of_{name}")
        file = Path("activations", f"of_{name}.yaml")
        file.write_text(file.read_text().replace("schema_id: review", f"schema_id: {name}"))

    (hint,) = (each for each in findings(capsys) if each["rule"] == "no-schema-file")

    assert hint["level"] == "warning"
    assert (hint["file"], hint["line"]) == ("activations/of_ProductReview.yaml", 4)
    assert 'did you mean "productReview"?' in hint["message"]
