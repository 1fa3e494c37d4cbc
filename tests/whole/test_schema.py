"""Schemas go from files to Engage and back; nothing is deleted that was not asked for by name."""

import asyncio
import copy
import errno
import json
import os
import pty
import select
import sqlite3
import time
from contextlib import closing, suppress
from typing import Any

import pytest
from ruamel.yaml import YAML

from connector.project.app import App
from connector.project.schemas import catalogue_of
from connector.project.settings import load
from connector.rules.errors import ConfigurationError
from connector.sandbox.behaviour import Faults
from connector.sandbox.engage.running import Running
from connector.schemas import provision
from connector.schemas.delete import Delete
from tests.whole.shop import SCHEMA, Shop, behaving
from tests.whole.test_crash import killed, until

REPAIR = {
    "id": "repair",
    "displayName": "Repair",
    "jsonSchema": {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "properties": {
            "repairId": {"type": "string", "displayName": "Repair", "showInContactCard": "true"},
            "productSku": {"type": "string", "displayName": "SKU", "showInContactCard": "true"},
        },
        "required": ["repairId"],
    },
}


def changed(schema: dict[str, Any] = SCHEMA, **properties: Any) -> dict[str, Any]:
    """`schema` with other properties; None takes one away."""
    content = copy.deepcopy(schema)
    specs = content["jsonSchema"]["properties"]
    for name, spec in properties.items():
        specs[name] = {"displayName": name, **(spec or {})}
        if spec is None:
            del specs[name]
    return content


def with_file(shop: Shop, content: dict[str, Any], name: str = "") -> None:
    """Write a schema into the project."""
    (shop.path / "schemas").mkdir(exist_ok=True)
    path = shop.path / "schemas" / (name or f"{content['id']}.json")
    path.write_text(json.dumps(content))


def live(shop: Shop) -> list[str]:
    return [schema.id for schema in shop.sandbox.engage.schemas()]


def posts(shop: Shop) -> int:
    return shop.sandbox.requests.count("POST /interactionschemas")


def deletes(shop: Shop) -> int:
    return shop.sandbox.requests.count("DELETE /interactionschemas/{id}")


def statuses(document: Any) -> dict[str, str]:
    return {schema["id"]: schema["status"] for schema in document["schemas"]}


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """What does not show at once is given up soon."""
    monkeypatch.setattr(provision, "PAUSES", (0.0, 0.1))


# --- looking ------------------------------------------------------------------------------------


def test_the_list_has_what_is_live_and_what_has_a_file(shop: Shop) -> None:
    shop.add_many(3)
    shop.sync()
    with_file(shop, REPAIR)
    with_file(shop, changed(extra={"type": "string"}))

    visit, repair = shop.connector("schema", "list", "--json").json["schemas"]

    assert (visit["id"], visit["live"], visit["in_step"]) == ("visit", True, False)
    assert (visit["properties"], visit["segmentable"], visit["delivered"]) == (6, 0, 3)
    assert visit["activations"] == ["visits"]
    assert (repair["id"], repair["live"], repair["properties"]) == ("repair", False, 2)
    assert repair["file"] == str(shop.path / "schemas" / "repair.json")
    text = shop.connector("schema", "list").out
    assert "visits" in text
    assert "differs" in text


def test_what_a_killed_run_had_on_the_wire_is_told_as_in_doubt(shop: Shop) -> None:
    shop.sandbox.behaviour = behaving(faults=Faults(hang_after=1.0, hang_seconds=30))
    shop.configure(timeout="60s")
    shop.add({"id": "v1"})
    process = shop.start("sync")
    until(lambda: shop.posts == 1)
    killed(process)
    shop.sandbox.behaviour = behaving()
    with_file(shop, changed(mood={"type": "string"}))

    (plan,) = shop.connector("schema", "plan", "visit", "--json").json["schemas"]

    (use,) = plan["activations"]
    assert shop.state("v1") == "sending"
    assert (use["delivered"], use["in_doubt"], use["to_be_sent"]) == (0, 1, 0)
    told = plan["as_replacement"]
    assert (told["interactions"], told["in_doubt"], told["to_be_sent"]) == (0, 1, 0)


def test_one_schema_is_shown_live_or_as_its_file_has_it(shop: Shop) -> None:
    with_file(shop, changed(SCHEMA, extra={"type": "boolean"}))

    there = shop.connector("schema", "show", "visit", "--json")
    here = shop.connector("schema", "show", "visit", "--local", "--json")

    assert there.json["jsonSchema"] == SCHEMA["jsonSchema"]
    assert there.json["activations"][0]["name"] == "visits"
    assert "extra" in here.json["jsonSchema"]["properties"]
    assert "date-time" in shop.connector("schema", "show", "visit").out


@pytest.mark.parametrize("arguments", [["vist"], ["Visit"], ["vist", "--local"], ["../x"]])
def test_a_schema_that_is_not_there_is_not_shown(shop: Shop, arguments: list[str]) -> None:
    with_file(shop, SCHEMA)

    done = shop.connector("schema", "show", *arguments, "--json")

    assert done.code == 2
    assert "visit" in done.json["error"]["message"]


# --- lint ---------------------------------------------------------------------------------------


def test_lint_needs_no_configuration_and_asks_nobody(shop: Shop) -> None:
    with_file(shop, SCHEMA)
    shop.config.unlink()

    done = shop.connector("schema", "lint", "--json")

    assert (done.code, done.json["ok"]) == (0, True)
    assert shop.sandbox.requests.entries() == []


def test_lint_tells_each_problem_with_its_place(shop: Shop) -> None:
    with_file(shop, SCHEMA)
    (shop.path / "schemas" / "bad.yaml").write_text("id: bad\ndisplayName: Bad\njsonSchema: 5\n")

    done = shop.connector("schema", "lint", "--json")
    text = shop.connector("schema", "lint")

    bad = next(file for file in done.json["files"] if file["id"] == "bad")
    assert done.code == text.code == 1
    assert bad["problems"] == [
        {"message": "jsonSchema: expected a mapping", "line": 3, "column": 1}
    ]
    assert "bad.yaml:3:1: jsonSchema" in text.out
    assert shop.connector("schema", "lint", "visit").code == 0
    assert shop.connector("schema", "lint", str(shop.path / "schemas" / "bad.yaml")).code == 1
    assert shop.connector("schema", "lint", "nothing").code == 2


def test_lint_is_not_content_where_there_is_nothing_to_judge(shop: Shop) -> None:
    done = shop.connector("schema", "lint")

    assert done.code == 2
    assert f"there is no schema in {shop.path / 'schemas'}" in done.err


# --- plan ---------------------------------------------------------------------------------------


def test_a_plan_says_what_is_missing_unchanged_and_changed_and_changes_nothing(shop: Shop) -> None:
    shop.add_many(25)
    shop.configure(rate=50)
    shop.sync()
    with_file(shop, REPAIR)
    with_file(shop, changed(mood={"type": "string"}, rating={"type": "integer", "maximum": 5}))
    before = len(shop.sandbox.requests.entries())

    done = shop.connector("schema", "plan", "--json")

    repair, visit = done.json["schemas"]
    assert done.code == 1
    assert (repair["id"], repair["action"]) == ("repair", "create")
    assert (visit["id"], visit["action"], visit["compatible"]) == ("visit", "changed", True)
    assert {(c["kind"], c["property"]) for c in visit["changes"]} == {
        ("added", "mood"), ("changed", "rating"),
    }  # fmt: skip
    assert visit["interactions"] == 25
    assert visit["as_version"] == {"id": "visit_v2", "live": False}
    assert visit["as_replacement"]["interactions"] == 25
    assert visit["as_replacement"]["seconds"] == 0.5
    assert live(shop) == ["visit"]
    assert posts(shop) + deletes(shop) == 0
    assert {e.method for e in shop.sandbox.requests.entries()[before:]} == {"GET"}


def test_a_plan_for_people_names_the_cost(shop: Shop) -> None:
    shop.add_many(25)
    shop.sync()
    with_file(shop, changed(mood={"type": "string"}))

    text = shop.connector("schema", "plan").out

    assert "mood is added (string)" in text
    assert "schema apply visit --as-version` creates visit_v2" in text
    assert "the 25 interactions of all contacts" in text


def test_an_unchanged_schema_in_yaml_is_unchanged(shop: Shop) -> None:
    (shop.path / "schemas").mkdir()
    with (shop.path / "schemas" / "visit.yaml").open("w") as file:
        YAML(typ="safe").dump(SCHEMA, file)

    done = shop.connector("schema", "plan", "visit", "--json")

    assert done.code == 0
    assert done.json["schemas"][0]["action"] == "unchanged"


@pytest.mark.parametrize("change", [{"rating": None}, {"rating": {"type": "number"}}])
def test_a_property_that_is_removed_or_of_another_type_is_refused(
    shop: Shop, change: dict[str, Any]
) -> None:
    with_file(shop, changed(**change))

    plan = shop.connector("schema", "plan", "--json")
    done = shop.connector("schema", "apply", "--as-version", "--yes", "--json")

    (schema,) = plan.json["schemas"]
    assert plan.code == done.code == 1
    assert (schema["compatible"], schema["as_version"]) == (False, None)
    assert statuses(done.json) == {"visit": "refused"}
    assert "not backward compatible: rating" in done.json["schemas"][0]["message"]
    assert live(shop) == ["visit"]


@pytest.mark.parametrize("command", ["plan", "apply"])
def test_a_file_that_breaks_a_rule_is_neither_planned_nor_applied(shop: Shop, command: str) -> None:
    with_file(shop, {**REPAIR, "displayName": ""})

    done = shop.connector("schema", command, "--json")

    assert done.code == 2
    assert "repair.json:1:" in done.json["error"]["message"]
    assert posts(shop) == 0


def test_an_id_that_differs_from_a_live_one_in_capitals_is_refused(shop: Shop) -> None:
    with_file(shop, {**SCHEMA, "id": "Visit"})

    done = shop.connector("schema", "apply", "--yes", "--json")

    assert done.code == 2
    assert "in capitals only" in done.json["error"]["message"]
    assert posts(shop) == 0


def test_more_schemas_than_engage_takes_are_refused_before_the_first(shop: Shop) -> None:
    for number in range(14):
        shop.sandbox.engage.add_schema({**SCHEMA, "id": f"s{number}"})
    with_file(shop, REPAIR)

    plan = shop.connector("schema", "plan", "--json")
    done = shop.connector("schema", "apply", "--yes", "--json")

    assert (plan.code, done.code) == (1, 2)
    assert "may have 15" in plan.json["hindrance"]
    assert "may have 15" in done.json["error"]["message"]
    assert posts(shop) == 0


# --- apply --------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", ["v3", "v2"])
def test_apply_creates_what_is_missing_once(shop: Shop, version: str) -> None:
    text = shop.config.read_text()
    shop.config.write_text(
        text.replace("type: engage", f"type: engage\n    api_version: {version}")
    )
    with_file(shop, REPAIR)
    with_file(shop, SCHEMA)

    first = shop.connector("schema", "apply", "--yes", "--json")
    second = shop.connector("schema", "apply", "--yes", "--json")

    assert (first.code, second.code) == (0, 0)
    assert statuses(first.json) == {"repair": "created", "visit": "unchanged"}
    assert statuses(second.json) == {"repair": "unchanged", "visit": "unchanged"}
    assert posts(shop) == 1
    made = shop.sandbox.engage.schema("repair")
    assert (made.display_name, made.json_schema) == ("Repair", REPAIR["jsonSchema"])


def test_apply_asks_before_it_creates(shop: Shop) -> None:
    with_file(shop, REPAIR)

    done = shop.connector("schema", "apply", "--json")

    assert done.code == 2
    assert "--yes" in done.json["error"]["message"]
    assert live(shop) == ["visit"]


@pytest.mark.parametrize("kind", ["added", "removed"])
def test_of_many_changes_apply_tells_the_first_ones_and_where_the_others_are(
    shop: Shop, kind: str
) -> None:
    many = changed(**{f"property{n:02}": {"type": "string"} for n in range(30)})
    if kind == "removed":
        shop.sandbox.engage.add_schema({**many, "id": "wide"})
        with_file(shop, {**SCHEMA, "id": "wide"})
    else:
        with_file(shop, many)

    done = shop.connector("schema", "apply", "--yes")
    plan = " ".join(shop.connector("schema", "plan").out.split())

    (line,) = done.out.strip().splitlines()
    assert "and 25 more, as `connector schema plan` shows" in line
    assert ("property04" in line, "property05" in line) == (True, False)
    assert "property29" in plan


def test_a_changed_schema_is_left_alone_unless_a_version_is_asked_for(shop: Shop) -> None:
    with_file(shop, changed(mood={"type": "string"}))
    with_file(shop, REPAIR)

    done = shop.connector("schema", "apply", "--yes", "--json")

    assert done.code == 1
    assert statuses(done.json) == {"repair": "created", "visit": "refused"}
    assert "--as-version" in done.json["schemas"][0]["message"]
    assert deletes(shop) == 0


def test_a_version_stands_beside_the_live_schema_and_names_the_line_to_edit(shop: Shop) -> None:
    shop.add_many(5)
    shop.sync()
    with_file(shop, changed(mood={"type": "string"}))
    configuration = shop.config.read_bytes()

    done = shop.connector("schema", "apply", "visit", "--as-version", "--yes", "--json")
    again = shop.connector("schema", "apply", "visit", "--as-version", "--yes", "--json")

    assert (done.code, again.code) == (0, 0)
    assert statuses(done.json) == {"visit_v2": "created"}
    assert statuses(again.json) == {"visit_v2": "unchanged"}
    (edit,) = done.json["edits"]
    line = shop.config.read_text().splitlines()[edit["line"] - 1]
    assert line.strip() == "schema_id: visit"
    assert (edit["activation"], edit["schema_id"], edit["recorded"]) == ("visits", "visit_v2", 5)
    assert shop.config.read_bytes() == configuration
    assert live(shop) == ["visit", "visit_v2"]
    assert posts(shop) == 1
    assert deletes(shop) == 0
    assert len(shop.stored) == 5


def test_the_next_change_gets_the_next_version(shop: Shop) -> None:
    with_file(shop, changed(mood={"type": "string"}))
    shop.connector("schema", "apply", "--as-version", "--yes")
    with_file(shop, changed(mood={"type": "string"}, place={"type": "string"}))

    done = shop.connector("schema", "apply", "--as-version", "--yes", "--json")

    assert statuses(done.json) == {"visit_v3": "created"}
    assert live(shop) == ["visit", "visit_v2", "visit_v3"]


@pytest.mark.parametrize(
    "fault",
    [
        {"status_after": {500: 1.0}},
        {"reset_after": 1.0},
        {"html_after": 1.0},
        {"cut_after": 1.0},
        {"no_id_after": 1.0},
    ],
)
def test_an_answer_that_is_lost_is_settled_by_looking(shop: Shop, fault: dict[str, Any]) -> None:
    with_file(shop, REPAIR)
    shop.sandbox.behaviour = behaving(schema_faults=fault)

    done = shop.connector("schema", "apply", "--yes", "--json")

    assert (done.code, statuses(done.json)) == (0, {"repair": "created"})
    assert posts(shop) == 1


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("fault", [{"status_before": {503: 1.0}}, {"reset_before": 1.0}])
def test_a_schema_that_does_not_show_is_not_posted_again(shop: Shop, fault: dict[str, Any]) -> None:
    with_file(shop, REPAIR)
    with_file(shop, {**REPAIR, "id": "zebra"})
    shop.sandbox.behaviour = behaving(schema_faults=fault)

    done = shop.connector("schema", "apply", "--yes", "--json")

    assert done.code == 3
    assert statuses(done.json) == {"repair": "unknown"}
    assert "running it again is safe" in done.json["schemas"][0]["message"]
    assert posts(shop) == 1
    shop.sandbox.behaviour = behaving()
    assert shop.connector("schema", "apply", "--yes").code == 0
    assert live(shop) == ["visit", "repair", "zebra"]


def test_a_schema_that_shows_late_is_waited_for(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(provision, "PAUSES", (0.0, *[0.2] * 100))
    shop.sandbox.behaviour = behaving(schema_delay=0.5)
    with_file(shop, REPAIR)

    done = shop.connector("schema", "apply", "--yes", "--json")

    assert (done.code, statuses(done.json)) == (0, {"repair": "created"})
    assert posts(shop) == 1


def test_a_refusal_of_the_destination_is_told_in_its_words(shop: Shop) -> None:
    shop.sandbox.engage.add_schema(REPAIR)
    shop.sandbox.engage.remove_schema("repair")
    with_file(shop, changed(REPAIR, productSku=None))

    done = shop.connector("schema", "apply", "--yes", "--json")

    assert (done.code, statuses(done.json)) == (1, {"repair": "refused"})
    assert "'productSku' of the former schema 'repair' is missing" in done.out


@pytest.mark.parametrize("command", [["plan"], ["delete", "visit"]])
def test_a_destination_out_of_reach_is_told(shop: Shop, command: list[str]) -> None:
    with_file(shop, REPAIR)
    shop.config.write_text(shop.config.read_text().replace(shop.sandbox.url, "http://127.0.0.1:9"))

    done = shop.connector("schema", *command, "--json")

    assert (done.code, done.json["error"]["kind"]) == (3, "destination")


def test_a_refused_key_is_told_and_not_shown(shop: Shop) -> None:
    shop.config.write_text(
        shop.config.read_text().replace("api_key: sandbox", "api_key: wrong-key-4711")
    )

    done = shop.connector("schema", "list", "--json")

    assert done.code == 3
    assert "API key" in done.json["error"]["message"]
    assert "wrong-key-4711" not in done.out + done.err


# --- export -------------------------------------------------------------------------------------


def test_export_writes_what_plan_then_finds_unchanged(shop: Shop) -> None:
    done = shop.connector("schema", "export", "--json")

    assert done.json["schemas"][0]["status"] == "written"
    assert (shop.path / "schemas" / "visit.yaml").is_file()
    assert shop.connector("schema", "plan").code == 0
    assert shop.connector("schema", "lint").code == 0
    assert shop.connector("schema", "export", "--json").json["schemas"][0]["status"] == "unchanged"


def test_export_replaces_a_different_file_only_by_force(shop: Shop) -> None:
    with_file(shop, changed(mood={"type": "string"}))
    shop.sandbox.engage.add_schema(REPAIR)
    before = (shop.path / "schemas" / "visit.json").read_bytes()

    refused = shop.connector("schema", "export", "--json")

    assert refused.code == 2
    assert "visit.json" in refused.json["error"]["message"]
    assert (shop.path / "schemas" / "visit.json").read_bytes() == before
    assert not (shop.path / "schemas" / "repair.yaml").exists()
    assert shop.connector("schema", "export", "--force").code == 0
    assert json.loads((shop.path / "schemas" / "visit.json").read_text()) == SCHEMA
    assert {p.name for p in (shop.path / "schemas").iterdir()} == {"visit.json", "repair.yaml"}


def test_export_goes_where_it_is_told(shop: Shop) -> None:
    shop.sandbox.engage.add_schema(REPAIR)

    done = shop.connector("schema", "export", "repair", "--to", str(shop.path / "copies"))

    assert done.code == 0
    assert [p.name for p in (shop.path / "copies").iterdir()] == ["repair.yaml"]
    assert shop.connector("schema", "export", "repiar", "--json").code == 2


# --- delete -------------------------------------------------------------------------------------


def pause(shop: Shop) -> None:
    shop.config.write_text(shop.config.read_text() + "    paused: true\n")


def test_a_schema_that_is_sent_to_is_not_deleted(shop: Shop) -> None:
    done = shop.connector("schema", "delete", "visit", "--confirm", "visit 0", "--json")

    assert done.code == 2
    assert "in use by visits" in done.json["error"]["message"]
    assert deletes(shop) == 0


@pytest.mark.parametrize("typed", ["visit", "visit 3", "4", "visit 40", "Visit 4", ""])
def test_nothing_is_deleted_without_the_id_and_the_number(shop: Shop, typed: str) -> None:
    shop.add_many(4)
    shop.sync()
    pause(shop)

    done = shop.connector("schema", "delete", "visit", "--confirm", typed, "--json")

    assert done.code == 2
    assert '"visit 4"' in done.json["error"]["message"]
    assert deletes(shop) == 0
    assert len(shop.stored) == 4


def test_nothing_is_deleted_where_nobody_can_be_asked(shop: Shop) -> None:
    pause(shop)

    done = shop.connector("schema", "delete", "visit", "--json")

    assert done.code == 2
    assert '--confirm "visit 0"' in done.json["error"]["message"]
    assert deletes(shop) == 0


def test_a_confirmed_deletion_deletes_the_schema_and_its_interactions(shop: Shop) -> None:
    shop.add_many(4)
    shop.sync()
    pause(shop)

    done = shop.connector("schema", "delete", "visit", "--confirm", "visit 4", "--json")

    assert (done.code, done.json["status"], done.json["interactions"]) == (0, "deleted", 4)
    assert live(shop) == []
    assert shop.sandbox.engage.interactions() == []
    assert deletes(shop) == 1
    assert shop.connector("schema", "delete", "visit", "--confirm", "visit 4").code == 2


def test_an_activation_that_is_no_longer_configured_counts_too(shop: Shop) -> None:
    shop.add_many(4)
    shop.sync()
    shop.config.write_text(
        shop.config.read_text().replace("  visits:\n", "  others:\n    paused: true\n")
    )

    done = shop.connector("schema", "delete", "visit", "--confirm", "visit 4", "--json")

    assert done.code == 0
    assert {a["name"]: a["configured"] for a in done.json["activations"]} == {
        "others": True, "visits": False,
    }  # fmt: skip


def test_a_schema_is_not_deleted_under_a_run(shop: Shop) -> None:
    shop.add_many(2)
    shop.sync()
    pause(shop)
    with closing(sqlite3.connect(shop.ledger_file)) as ledger, ledger:
        ledger.execute("update leases set run_id = 'r1', expires_at = 9e15")

    done = shop.connector("schema", "delete", "visit", "--confirm", "visit 2", "--json")

    assert done.code == 2
    assert "run r1" in done.json["error"]["message"]
    assert deletes(shop) == 0


def test_a_number_that_has_changed_since_it_was_confirmed_deletes_nothing(shop: Shop) -> None:
    shop.add_many(2)
    shop.sync()
    pause(shop)
    deed = Delete(catalogue_of(App(load(shop.config)), None), "visit")
    confirmed = asyncio.run(deed.plan())
    with closing(sqlite3.connect(shop.ledger_file)) as ledger, ledger:
        ledger.execute("update watermarks set schema_id = 'other'")

    with pytest.raises(ConfigurationError, match=r"had 2 interactions .* has 0 now"):
        asyncio.run(deed.do(confirmed, agreed=True))

    assert deletes(shop) == 0


def test_export_into_a_place_that_takes_no_files_is_told(shop: Shop) -> None:
    (shop.path / "file").write_text("")

    done = shop.connector("schema", "export", "--to", str(shop.path / "file"), "--json")

    assert done.code == 2
    assert "cannot write" in done.json["error"]["message"]


def test_the_same_destination_under_another_name_counts(shop: Shop) -> None:
    text = shop.config.read_text()
    head, _, rest = text.partition("  engage:\n")
    settings = rest.partition("alerts:")[0]
    shop.config.write_text(
        f"{head}  other:\n{settings}  engage:\n{rest}".replace("visit\n", "visit\n", 1).replace(
            "schema_id: visit", "schema_id: visit\n    destination: engage"
        )
    )

    unnamed = shop.connector("schema", "list", "--json")
    done = shop.connector("schema", "delete", "visit", "--destination", "other", "--json")

    assert "--destination: other, engage" in unnamed.json["error"]["message"]
    assert "in use by visits" in done.json["error"]["message"]


@pytest.mark.parametrize("fault", [{"status_after": {500: 1.0}}, {"reset_after": 1.0}])
def test_a_lost_answer_to_a_deletion_is_settled_by_looking(
    shop: Shop, fault: dict[str, Any]
) -> None:
    pause(shop)
    shop.sandbox.behaviour = behaving(schema_faults=fault)

    done = shop.connector("schema", "delete", "visit", "--confirm", "visit 0", "--json")

    assert (done.code, done.json["status"]) == (0, "deleted")
    assert deletes(shop) == 1


@pytest.mark.usefixtures("impatient")
def test_a_deletion_that_did_not_happen_is_not_said_to(shop: Shop) -> None:
    pause(shop)
    shop.sandbox.behaviour = behaving(schema_faults={"status_before": {503: 1.0}})

    done = shop.connector("schema", "delete", "visit", "--confirm", "visit 0", "--json")

    assert (done.code, done.json["status"]) == (3, "unknown")
    assert live(shop) == ["visit"]
    assert deletes(shop) == 1


def typed_at_a_terminal(shop: Shop, answer: str, *arguments: str) -> tuple[int, str]:
    """Run a command at a terminal where a person types `answer`: its exit code, what it shows."""
    person, terminal = pty.openpty()
    process = shop.start_at(*arguments, stdin=terminal, stdout=terminal, stderr=terminal)
    os.close(terminal)
    shown, deadline = b"", time.monotonic() + 60
    try:
        answered = False
        while time.monotonic() < deadline:
            if not select.select([person], [], [], 1)[0]:
                continue
            try:
                chunk = os.read(person, 4096)
            except OSError as error:
                if error.errno != errno.EIO:  # the other end is closed
                    raise
                break
            if not chunk:
                break
            shown += chunk
            if not answered and shown.rstrip().endswith((b":", b"?")):
                os.write(person, f"{answer}\n".encode())
                answered = True
        return process.wait(timeout=60), shown.decode()
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        process.wait()
        os.close(person)


@pytest.mark.parametrize(("answer", "code"), [("visit 2", 0), ("yes", 2)])
def test_a_person_types_the_id_and_the_number(shop: Shop, answer: str, code: int) -> None:
    shop.add_many(2)
    shop.sync()
    pause(shop)

    ended, shown = typed_at_a_terminal(shop, answer, "schema", "delete", "visit")

    assert ended == code, shown
    assert "every interaction of it, of all contacts" in " ".join(shown.split())
    assert live(shop) == ([] if code == 0 else ["visit"])


@pytest.mark.parametrize(("answer", "code"), [("y", 0), ("n", 130)])
def test_a_person_is_asked_before_a_schema_is_created(shop: Shop, answer: str, code: int) -> None:
    with_file(shop, REPAIR)

    ended, shown = typed_at_a_terminal(shop, answer, "schema", "apply")

    assert ended == code, shown
    assert "Create repair at engage" in shown
    assert ("repair" in live(shop)) is (code == 0)


# --- generate -----------------------------------------------------------------------------------


def test_what_is_generated_for_an_activation_can_be_applied_and_sent_to(shop: Shop) -> None:
    shop.add_many(5)
    shop.configure(payload="{visitId: id, productSku: sku, rating: rating, free: free, "
                           "price: price, date: seen_at, channel: {value: web}}")  # fmt: skip
    generated = shop.connector("schema", "generate", "visits", "--id", "generated")
    (shop.path / "schemas").mkdir()
    (shop.path / "schemas" / "generated.yaml").write_text(generated.out)
    requests = len(shop.sandbox.requests.entries())

    assert (generated.code, requests) == (0, 0)
    assert shop.connector("schema", "lint", "--json").json["files"][0]["advice"] == []
    assert shop.connector("schema", "apply", "--yes").code == 0
    shop.config.write_text(shop.config.read_text().replace("visit\n", "generated\n"))
    assert shop.sync().run["delivered"] == 5
    assert shop.sandbox.engage.interactions()[0].payload.keys() == {
        "visitId", "productSku", "rating", "free", "price", "date", "channel",
    }  # fmt: skip


def test_a_schema_is_generated_for_a_model_alone(shop: Shop) -> None:
    model = shop.path / "product_reviews.sql"
    model.write_text("select 1 as review_id, 'x' as text, true as ok, now() as at, [1] as tags")

    document = shop.connector("schema", "generate", "--model", str(model), "--json").json

    assert document["schema"]["id"] == "productReviews"
    types = {n: s["type"] for n, s in document["schema"]["jsonSchema"]["properties"].items()}
    assert types == {"reviewId": "integer", "text": "string", "ok": "boolean", "at": "string"}
    assert document["payload"]["reviewId"] == "review_id"
    assert list(document["left_out"]) == ["tags"]


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["nobody"],
        ["visits", "--model", "x.sql"],
        ["--model", "none.sql"],
        ["visits", "--id", "a b"],
    ],
)
def test_what_cannot_be_generated_is_told(shop: Shop, arguments: list[str]) -> None:
    done = shop.connector("schema", "generate", *arguments, "--json")

    assert done.code == 2
    assert done.json["error"]["message"]


# --- the local schema elsewhere -----------------------------------------------------------------


def test_an_offline_preview_reads_a_schema_in_yaml(shop: Shop) -> None:
    shop.add({"id": "v1"}, {"id": "bad", "rating": 9})
    shop.connector("schema", "export")
    (shop.path / "schemas" / "visit.yaml").rename(shop.path / "schemas" / "visit.yml")

    document = shop.connector("preview", "visits", "--offline", "--json").json

    assert (document["new"], document["invalid"]) == (1, 1)


def test_a_sandbox_reads_schemas_in_yaml(shop: Shop, sandbox: Running) -> None:
    shop.connector("schema", "export")
    folder = str(shop.path / "schemas")

    process = shop.start("sandbox", "--port", "0", "--schemas", folder)
    assert process.stdout
    first, second = process.stdout.readline(), process.stdout.readline()

    assert "A local Engage listens" in first
    assert "schemas: visit" in second
