"""The outside of the commands: documents, exit codes, sentences, and no secrets."""

import json
import sqlite3
from pathlib import Path

import pytest

from connector import __version__
from connector.cli.main import run
from connector.sandbox.mxo.running import running as running_mxo
from tests.whole.shop import Shop

COUNTS = ("read", "staged", "delivered", "invalid", "rejected", "waiting", "in_doubt", "pending")


def test_sync_prints_the_documented_document(shop: Shop) -> None:
    shop.add_many(3)

    run_document = shop.sync().run

    assert run_document["activation"] == "visits"
    assert {name: run_document[name] for name in COUNTS} == dict.fromkeys(COUNTS, 0) | {
        "read": 3,
        "staged": 3,
        "delivered": 3,
    }
    assert run_document["watermark"] == "2026-11-01 00:00:00"
    assert run_document["error"] is None
    assert run_document["started_at"] <= run_document["finished_at"]


def test_status_tells_where_everything_stands(shop: Shop) -> None:
    before = shop.connector("status", "--json").json["activations"][0]
    created = shop.ledger_file.exists()
    shop.add({"id": "v1"}, {"id": "bad", "rating": 9})
    run_id = shop.sync().run["run_id"]

    (after,) = shop.connector("status", "--json").json["activations"]

    assert (before["last_run"], before["watermark"], created) == (None, None, False)
    assert before["counts"] == dict.fromkeys(before["counts"], 0)
    assert set(before["counts"]) >= {
        "pending", "sending", "delivered", "invalid", "rejected", "waiting", "in_doubt",
        "discarded", "undone",
    }  # fmt: skip
    assert (after["name"], after["paused"], after["schedule"]) == ("visits", False, None)
    assert after["last_run"]["run_id"] == run_id
    assert (after["counts"]["delivered"], after["counts"]["invalid"]) == (1, 1)


def test_runs_are_listed_newest_first(shop: Shop) -> None:
    ids = [shop.sync().run["run_id"] for _ in range(3)]

    listed = shop.connector("runs", "visits", "--limit", "2", "--json").json["runs"]

    assert [r["run_id"] for r in listed] == ids[:0:-1]
    paged = ("runs", "--limit", "2", "--status", "succeeded", "--since", "1h")
    first = shop.connector(*paged).out
    second = shop.connector(*paged, "--page", "2", "--json").json["runs"]
    assert "There are older ones; --page 2 shows them." in first
    assert [run["run_id"] for run in second] == ids[:1]
    assert shop.connector("runs", "--before", "1h").out == "There is no such run.\n"
    assert "--before wants a date" in shop.connector("runs", "--before", "later").err


def test_rows_in_quarantine_are_shown_page_by_page(shop: Shop) -> None:
    shop.add(*({"id": f"bad{number}", "rating": 9} for number in range(5)))
    shop.sync()
    paged = ("quarantine", "list", "visits", "--limit", "2", "--key", "bad*")

    pages = [shop.connector(*paged, "--page", f"{number}").out for number in (1, 3, 4)]
    third = shop.connector(*paged, "--page", "3", "--json").json

    assert "… and 3 more; --limit shows more of them, --page the next ones." in pages[0]
    assert ("… and" in pages[1], [row["row_key"] for row in third["rows"]]) == (False, ["bad4"])
    assert pages[2] == "There are no more: 5 in all, on earlier pages.\n"
    assert shop.connector("quarantine", "list", "--key", "x").out == (
        "No such row waits for a person.\n"
    )


def test_explain_tells_the_story_of_a_row(shop: Shop) -> None:
    shop.add({"id": "v1"})
    run_id = shop.sync().run["run_id"]

    story = shop.connector("explain", "visits", "v1", "--json").json

    assert (story["activation"], story["row_key"], story["state"]) == ("visits", "v1", "delivered")
    assert story["interaction_id"] == shop.sandbox.engage.interactions()[0].id
    (attempt,) = story["attempts"]
    assert (attempt["number"], attempt["run_id"], attempt["outcome"]) == (1, run_id, "accepted")
    assert attempt["opened_at"] <= attempt["closed_at"]
    assert (attempt["http_status"], attempt["reason"]) == (200, None)


def test_a_row_is_found_without_its_activation(shop: Shop) -> None:
    shop.add({"id": "v1"}, {"id": "v10"})
    shop.sync()

    (found,) = shop.connector("find", "v1", "--json").json["rows"]

    assert (found["activation"], found["row_key"], found["state"]) == ("visits", "v1", "delivered")
    assert "visits" in shop.connector("find", "v1").out
    assert "No activation has recorded" in shop.connector("find", "v").out


def test_a_key_that_is_not_recorded_gets_a_hint(shop: Shop) -> None:
    shop.add({"id": "V-100"})
    shop.sync()

    done = shop.connector("explain", "visits", "v-1")

    assert done.code == 2
    assert "V-100" in done.err


@pytest.mark.parametrize(
    ("arguments", "code", "kind"),
    [
        (["sync", "nobody"], 2, "configuration"),
        (["preview", "visit"], 2, "configuration"),
        (["explain", "visits", "nothing"], 2, "configuration"),
        (["sync", "--limit", "many"], 2, "configuration"),
        (["no-such-command"], 2, "configuration"),
        (["sync", "--no-such-option"], 2, "configuration"),
        (["preview"], 2, "configuration"),
    ],
)
def test_a_failure_under_json_is_one_document(
    shop: Shop, arguments: list[str], code: int, kind: str
) -> None:
    done = shop.connector(*arguments, "--json")

    assert done.code == code
    assert done.json["error"]["kind"] == kind
    assert done.json["error"]["message"]


def test_a_failure_without_json_is_a_sentence_on_standard_error(shop: Shop) -> None:
    done = shop.connector("sync", "vists")

    assert (done.code, done.out) == (2, "")
    assert 'there is no activation "vists"' in done.err
    assert 'did you mean "visits"?' in done.err


def test_a_missing_file_and_a_missing_variable_are_named(shop: Shop) -> None:
    text = shop.config.read_text()
    shop.config.write_text(text.replace("api_key: sandbox", "api_key: ${NO_SUCH_KEY}"))
    missing_variable = shop.connector("sync", "--json")
    shop.config.unlink()
    missing_file = shop.connector("sync", "--json")

    assert missing_variable.code == missing_file.code == 2
    assert "NO_SUCH_KEY" in missing_variable.json["error"]["message"]
    assert "activations.yaml:" in missing_variable.json["error"]["message"]
    assert "connector init" in missing_file.json["error"]["message"]


def test_a_paused_activation_is_passed_by_and_refused_by_name(shop: Shop) -> None:
    shop.add({"id": "v1"})
    shop.config.write_text(shop.config.read_text() + "    paused: true\n")

    everything = shop.sync()
    by_name = shop.sync("visits")

    assert (everything.code, everything.json) == (0, {"runs": []})
    assert by_name.code == 2
    assert "paused" in by_name.json["error"]["message"]
    assert shop.posts == 0


def test_no_output_and_no_file_ever_holds_the_api_key(shop: Shop, tmp_path: Path) -> None:
    key = "k3y-Th4t-must-not-show"
    text = shop.config.read_text().replace("api_key: sandbox", f"api_key: {key}")
    shop.config.write_text(text)
    shop.add({"id": "v1"})
    commands = (
        ["--verbose", "sync"], ["sync", "--json"], ["check"], ["preview", "visits"], ["status"],
        ["runs"], ["check", "--json"], ["--log-format", "json", "sync"],
        ["explain", "visits", "v1"],
    )  # fmt: skip

    said = "".join(d.out + d.err for d in (shop.connector(*command) for command in commands))

    assert key not in said
    assert key.encode() not in shop.ledger_file.read_bytes()


def test_logs_are_json_lines_with_the_run_and_without_people(shop: Shop) -> None:
    shop.configure(identifier="email")
    shop.add({"id": "v1", "contact": "nobody is here@example.com"})

    done = shop.connector("--log-format", "json", "sync")

    lines = [json.loads(line) for line in done.err.splitlines()]
    assert {line["event"] for line in lines} >= {"run.started", "run.finished"}
    assert all(line["run_id"] and line["activation"] == "visits" for line in lines)
    assert "example.com" not in done.err


def test_the_ledger_has_the_documented_tables(shop: Shop) -> None:
    shop.add({"id": "v1"})
    run_id = shop.sync().run["run_id"]

    connection = sqlite3.connect(shop.ledger_file)
    query = "select activation, row_key, state, interaction_id, run_id from deliveries"
    (delivery,) = connection.execute(query).fetchall()
    marks = connection.execute("select activation, value from watermarks").fetchall()
    numbers = [connection.execute(f"select count(*) from {t}").fetchone()[0]
               for t in ("attempts", "runs")]  # fmt: skip
    connection.close()

    interaction = shop.sandbox.engage.interactions()[0].id
    assert delivery == ("visits", "v1", "delivered", interaction, run_id)
    assert marks == [("visits", "2026-11-01 10:00:00")]
    assert numbers == [1, 1]


def test_a_pipe_gets_no_progress_bar(shop: Shop) -> None:
    shop.add_many(5)

    process = shop.start("sync")
    out, err = process.communicate(timeout=30)

    assert process.returncode == 0
    assert err == ""
    assert "succeeded" in out
    assert "\x1b" not in out


def test_the_version_and_the_help_are_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--version"]) == 0
    assert __version__ in capsys.readouterr().out
    assert run(["--help"]) == 0
    assert "sync" in capsys.readouterr().out


def test_the_schema_for_editors_takes_the_example_and_refuses_mistakes(
    capsys: pytest.CaptureFixture[str],
) -> None:
    import jsonschema
    from ruamel.yaml import YAML

    run(["schema-for-editors"])
    schema = json.loads(capsys.readouterr().out)
    assert run(["schema-for-editors", "--json"]) == 0  # as of any command that prints a result
    assert json.loads(capsys.readouterr().out) == schema
    example = YAML(typ="safe").load(Path(__file__).parents[2] / "activations.yaml")

    jsonschema.validate(example, schema)
    example["activations"]["repairs"]["shema_id"] = "x"
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(example, schema)


def test_a_new_project_works_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["init", str(tmp_path / "shop")]) == 0
    assert "connector sandbox" in capsys.readouterr().out
    done = run(
        ["--config", str(tmp_path / "shop/activations.yaml"), "preview", "repairs", "--offline"]
    )

    assert done == 0
    assert "500  would be sent" in capsys.readouterr().out
    assert run(["init", str(tmp_path / "shop")]) == 2


@pytest.mark.parametrize(
    ("more", "one"), [([], "warehouse.duckdb"), (["--minimal"], "activations.yaml")]
)
def test_a_new_project_is_one_document_for_programs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], more: list[str], one: str
) -> None:
    assert run(["init", str(tmp_path / "shop"), *more, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)

    there = {str(file) for file in tmp_path.rglob("*") if file.is_file()}
    ignored = {str(tmp_path / "shop/.gitignore")}  # lines are added where there is one
    assert (document["directory"], document["doubts"]) == (str(tmp_path / "shop"), [])
    assert {*document["files"]} | ignored == there
    assert str(tmp_path / "shop" / one) in there


def test_a_new_project_for_mxo_works_at_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(["init", str(tmp_path / "shop"), "--destination", "mxo"]) == 0
    assert "connector sandbox --type mxo" in capsys.readouterr().out
    config = ["--config", str(tmp_path / "shop/activations.yaml")]
    with running_mxo() as sandbox:
        sandbox.behaviour = sandbox.behaviour.model_copy(update={"process_delay": 0})
        monkeypatch.setenv("MXO_URL", sandbox.url)

        assert run([*config, "check"]) == 0, capsys.readouterr()
        assert run([*config, "sync", "--wait"]) == 0, capsys.readouterr()
        assert {took.effects for took in sandbox.truth().values()} == {1}


def test_a_project_for_a_destination_that_there_is_not_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["init", str(tmp_path), "--destination", "mxi"]) == 2
    assert 'did you mean "mxo"?' in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["sync", "--fail-on", "x"], "'--fail-on': 'x' is not one of 'new', 'waiting', 'never'"),
        (["sync", "--limit", "x"], "'--limit': expected a valid integer (connector --help)"),
        (["serve", "--port", "99999"], "'--port': expected less than or equal to 65535"),
    ],
)
def test_a_value_of_an_option_that_is_none_is_told_in_words(
    capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    assert run(words) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("more", [[], ["--minimal"]])
def test_a_project_in_a_place_that_is_a_file_is_a_mistake_of_the_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], more: list[str]
) -> None:
    (tmp_path / "shop").write_text("a list")

    assert run(["init", str(tmp_path / "shop"), *more]) == 2
    assert "shop: it is a file; name a folder" in capsys.readouterr().err
    assert run(["init", str(tmp_path / "shop/new"), *more]) == 2
    assert "shop/new: Not a directory" in capsys.readouterr().err


def test_where_the_ledgers_folder_is_a_file_nothing_is_said_never_to_have_run(shop: Shop) -> None:
    """Nor that nothing of a person is recorded."""
    shop.ledger_file.parent.write_text("")

    asked = (["status"], ["runs"], ["quarantine", "list"], ["audit"], ["explain", "visits", "v1"])
    for command in (*asked, ["forget", "--contact", "a@b.se"], ["sync"]):
        done = shop.connector(*command, "--json")
        assert (done.code, done.json["error"]["kind"]) == (3, "ledger"), command
    checked = shop.connector("check")
    assert (checked.code, checked.out.count("STOP")) == (3, 1)
    assert "is no folder" in checked.out
    assert "columns" in checked.out  # of the model, which is looked at all the same
    preview = shop.connector("preview", "visits", "--json").json
    assert preview["outlook"]["would"] == "be_stopped"


def test_a_pause_and_its_end_are_told_as_documents(shop: Shop) -> None:
    first = shop.connector("pause", "visits", "--by", "anna", "--json").json
    again = shop.connector("--json", "pause", "visits", "--by", "bert").json
    ended = shop.connector("resume", "visits", "--json").json
    restored = shop.connector("restored", "--json")

    assert first == again == {"activations": [{"activation": "visits", "paused_by": "anna"}]}
    assert ended == {"activations": [{"activation": "visits", "was_paused": True, "paused": False}]}
    assert (restored.code, restored.json) == (0, {"restored": True})


def test_a_negative_key_is_told_where_it_stands(shop: Shop) -> None:
    shop.add({"id": "-5"})
    shop.sync()

    refused = shop.connector("explain", "visits", "-5")
    explained = shop.connector("explain", "visits", "--", "-5")

    assert (refused.code, explained.code) == (2, 0)
    assert "stands after --" in refused.said
    assert "visits / -5: delivered" in explained.said
