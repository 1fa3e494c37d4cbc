"""A diff tells what an edit means for rows, against Git, and does nothing."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.whole.shop import SCHEMA, Done, Shop, contact_id
from tests.whole.test_preview import files


def git(folder: Path, *arguments: str) -> str:
    own = ("-c", "user.name=tests", "-c", "user.email=tests@example.com", "-c", "gc.auto=0")
    done = subprocess.run(
        ["git", "-C", str(folder), *own, *arguments], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def commit(folder: Path) -> None:
    """Commit everything that a team would, but warehouse and ledger."""
    (folder / ".gitignore").write_text(".connector/\n*.duckdb\n.env\n")
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "a version")


@pytest.fixture
def shop(shop: Shop) -> Shop:
    """The shop in a Git checkout, with five visits that were sent."""
    git(shop.path, "init", "-q", "-b", "main")
    shop.configure(cursor="", model="select * from visits where rating < 5")
    shop.add_many(6)
    assert shop.sync().run["delivered"] == 5
    commit(shop.path)
    return shop


def diff(shop: Shop, *arguments: str) -> Done:
    return shop.connector("diff", "--json", *arguments)


def changed(shop: Shop, *arguments: str) -> Any:
    """What is said of the one activation that was edited."""
    (found,) = diff(shop, *arguments).json["activations"]
    return found


def test_nothing_edited_is_nothing_to_tell(shop: Shop) -> None:
    shop.configure(more="description: In other words", schema='"visit" # the same')

    done = diff(shop)

    assert done.code == 0
    assert (done.json["activations"], done.json["unchanged"]) == ([], 1)
    assert "no edit means anything" in shop.connector("diff").out


def test_a_wider_model_makes_rows_eligible_and_sends_none_again(shop: Shop) -> None:
    shop.configure(model="select * from visits")
    before, asked = files(shop.path), shop.posts

    done = diff(shop)
    (found,) = done.json["activations"]

    assert done.code == 0
    assert (found["change"], found["parts"]) == ("changed", ["model"])
    counts = {"before": 5, "after": 6, "recorded": 5, "newly_eligible": 1, "sent_again": 0}
    assert found["rows"].items() >= counts.items()
    (example,) = found["examples"]
    assert (example["row_key"], example["why"], example["before"]) == ("v4", "newly eligible", None)
    assert (files(shop.path), shop.posts) == (before, asked)
    shop.sync()
    body = next(i for i in shop.sandbox.engage.interactions() if i.payload["visitId"] == "v4")
    assert example["after"] == json.loads(body.blob)


def test_a_row_that_reads_otherwise_is_shown_before_and_after_and_stays_as_it_was_sent(
    shop: Shop,
) -> None:
    shop.configure(payload="{visitId: id, productSku: {value: every}, rating: rating}")

    found = changed(shop)

    assert found["parts"] == ["payload"]
    rows = found["rows"]
    assert (rows["changed"], rows["changed_waiting"], rows["newly_eligible"]) == (5, 0, 0)
    assert len(found["examples"]) == 3
    for example in found["examples"]:
        assert example["differences"] == ["payload.productSku"]
        assert example["before"]["payload"]["productSku"].startswith("sku-")
        assert example["after"]["payload"]["productSku"] == "every"
    assert '+ payload.productSku: "every"' in shop.connector("diff").out
    assert shop.sync().run["delivered"] == 0


def test_rows_that_wait_and_are_no_longer_in_the_model_are_told(shop: Shop) -> None:
    shop.execute("insert into visits select 'x' || i, seen_at, contact, sku, 1, 1, true"
                 " from visits, range(2) t(i) where id = 'v0'")  # fmt: skip
    shop.configure(model="select * from visits where rating < 5 and id not like 'x%'")

    found = changed(shop)

    assert (found["rows"]["before"], found["rows"]["after"]) == (7, 5)
    assert found["rows"]["no_longer_eligible"] == 2
    assert {each["row_key"] for each in found["examples"]} == {"x0", "x1"}
    assert all(each["after"] is None and each["before"] for each in found["examples"])


def test_what_can_never_fit_is_told_and_needs_a_look(shop: Shop) -> None:
    shop.configure(payload="{visitId: id, rating: sku}")

    done = diff(shop)
    (found,) = done.json["activations"]

    assert done.code == 1
    assert "never fits the property rating" in found["mapping"][0]
    assert found["rows"]["after"] == 0


def test_a_mapping_that_breaks_the_schema_is_a_problem(shop: Shop) -> None:
    shop.configure(payload="{productSku: sku, colour: sku}")

    done = diff(shop)
    (found,) = done.json["activations"]

    assert (done.code, found["rows"]) == (1, None)
    assert "visitId" in " ".join(found["problems"])
    assert "colour" in " ".join(found["problems"])


def test_another_activation_of_the_same_rows_would_send_them_again(shop: Shop) -> None:
    text = shop.config.read_text()
    start = text.index("  visits:")
    shop.config.write_text(text + text[start:].replace("  visits:", "  seen:"))

    done = diff(shop)
    (found,) = done.json["activations"]

    assert (done.code, found["activation"], found["change"]) == (1, "seen", "added")
    assert found["rows"]["sent_again"] == 5
    assert found["rows"]["sent_by_others"] == [{"activation": "visits", "rows": 5, "missing": []}]
    shop.config.write_text(
        text + text[start:].replace("  visits:", "  seen:").replace("start: all", "start: now")
    )
    assert changed(shop)["rows"]["sent_again"] == 0


def test_another_row_key_is_refused_as_a_run_would_refuse_it(shop: Shop) -> None:
    shop.configure(row_key="[id, sku]")

    done = diff(shop)
    (found,) = done.json["activations"]

    assert done.code == 1
    assert "every row would count as new" in found["problems"][0]
    assert shop.sync().code == 2


def test_a_new_name_is_known_again(shop: Shop) -> None:
    shop.configure(name="calls", more="renamed_from: visits")

    found = changed(shop)

    assert (found["activation"], found["change"], found["was"]) == ("calls", "renamed", "visits")
    assert (found["rows"]["recorded"], found["rows"]["newly_eligible"]) == (5, 0)
    assert found["rows"]["sent_again"] == 0


def test_an_activation_that_goes_leaves_what_it_has_sent(shop: Shop) -> None:
    shop.configure(name="others", model="select * from visits where false", more="tags: [a]")

    found = {each["activation"]: each for each in diff(shop).json["activations"]}

    assert found["visits"]["change"] == "removed"
    assert found["visits"]["recorded"] == {"delivered": 5}
    assert found["others"]["problems"]  # as a run: is it the old one under a new name?


def test_of_a_mirror_it_is_told_what_would_be_taken_back(shop: Shop) -> None:
    shop.configure(more="mode: mirror", start="all")
    shop.sync()
    commit(shop.path)
    shop.configure(model="select * replace (1 as rating) from visits where id <> 'v0'")

    found = changed(shop)

    assert found["next_run"]["removed"] == 1
    assert found["next_run"]["replaced"] == found["rows"]["changed"]


def test_a_comment_shows_no_value_of_a_row_unless_asked_to(shop: Shop) -> None:
    shop.configure(payload="{visitId: id, productSku: {value: every}, rating: rating}")

    hidden = shop.connector("diff", "--format", "github").out
    shown = shop.connector("diff", "--format", "github", "--show-values").out

    assert hidden.startswith("<!-- connector diff -->\n")
    assert "payload.productSku" in hidden
    for value in ("sku-", "every", contact_id(0), "`v0`"):
        assert value not in hidden
    assert "sku-" in shown
    assert shop.sandbox.api_key not in hidden + shown


def test_without_connection_and_secret_the_edited_parts_are_told(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.configure(key="${NOT_SET_AT_ALL}", payload="{visitId: id}")
    asked = shop.sandbox.requests.count()

    done = diff(shop, "--offline")

    assert (done.code, done.json["activations"][0]["parts"]) == (0, ["payload"])
    assert done.json["activations"][0]["rows"] is None
    assert done.json["edited"] == ["destinations"]
    assert "--offline" in " ".join(done.json["notes"])
    assert shop.sandbox.requests.count() == asked


def test_a_destination_that_is_not_there_leaves_the_schema_of_the_project(shop: Shop) -> None:
    (shop.path / "schemas").mkdir()
    (shop.path / "schemas" / "visit.json").write_text(json.dumps(SCHEMA))
    moved = f"http://127.0.0.1:9\n    previous_url: {shop.sandbox.url}"
    shop.configure(url=moved, model="select * from visits")

    found = changed(shop)

    assert "could not be asked" in " ".join(found["notes"]), found
    assert found["rows"]["newly_eligible"] == 1


def test_a_secret_that_is_kept_elsewhere_is_no_edit(shop: Shop) -> None:
    (shop.path / ".connector" / "key").write_text(shop.sandbox.api_key)
    shop.configure(key='"${file:.connector/key}"')
    commit(shop.path)

    done = diff(shop)

    assert (done.code, done.json["activations"], done.json["edited"]) == (0, [], [])


def test_compared_is_where_this_branch_left_the_other(shop: Shop) -> None:
    git(shop.path, "checkout", "-q", "-b", "mine")
    git(shop.path, "checkout", "-q", "main")
    shop.configure(payload="{visitId: id}")
    commit(shop.path)
    git(shop.path, "checkout", "-q", "mine")
    shop.configure(
        payload="{visitId: id, productSku: sku, rating: rating}", model="select * from visits"
    )
    commit(shop.path)

    done = diff(shop, "--against", "main")

    assert done.json["activations"][0]["parts"] == ["model"]
    assert "has gone on since" in done.json["notes"][0]


@pytest.mark.parametrize("model", ["a.sql", "team/activations/a.sql"])
def test_files_of_the_project_are_those_of_the_commit(shop: Shop, model: str) -> None:
    folder = shop.path / "team" / "activations"
    folder.mkdir(parents=True)
    text = shop.config.read_text()
    start = text.index("  visits:")
    (folder / "a.yaml").write_text(
        "activations:\n" + text[start:].replace(
            'model: {sql: "select * from visits where rating < 5"}', f"model: {model}"
        )
    )  # fmt: skip
    (folder / "a.sql").write_text("select * from visits where rating < 5;")
    shop.config.write_text(
        text[:start].replace("activations:\n", "") + "include: [team/activations/*.yaml]\n"
    )
    commit(shop.path)
    assert diff(shop).json["activations"] == []
    (folder / "a.sql").write_text("select * from visits where rating < 6")

    found = changed(shop)

    assert (found["parts"], found["rows"]["newly_eligible"]) == (["model"], 1)


def test_a_model_may_lie_in_any_file_and_an_earlier_one_that_git_has_not_is_told(
    shop: Shop,
) -> None:
    text = shop.config.read_text()
    inline = 'model: {sql: "select * from visits where rating < 5"}'
    shop.config.write_text(text.replace(inline, "model: query"))
    (shop.path / "query").write_text("select * from visits where rating < 5")
    commit(shop.path)
    (shop.path / "query").write_text("select * from visits where rating < 4")

    assert changed(shop)["parts"] == ["model"]

    git(shop.path, "rm", "-q", "--cached", "query")
    git(shop.path, "commit", "-q", "-m", "without it")
    (note,) = changed(shop)["notes"]
    assert note.startswith("its earlier version cannot be read: there is no file query;")


def test_an_earlier_model_that_runs_no_more_is_told(shop: Shop) -> None:
    shop.execute("alter table visits rename column rating to stars")
    shop.configure(
        model="select * from visits where stars < 5",
        payload="{visitId: id, productSku: sku, rating: stars}",
    )

    found = changed(shop)

    assert "cannot be read any more" in found["notes"][0]
    assert (found["rows"]["after"], found["rows"]["newly_eligible"]) == (5, 0)


def test_it_finds_its_checkout_inside_a_hook(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_DIR", "somewhere/else/.git")
    shop.configure(payload="{visitId: id}")

    assert changed(shop)["parts"] == ["payload"]


@pytest.mark.parametrize(
    ("against", "said"), [("no-such-branch", "fetch it first"), ("--upload-pack=x", "no commit")]
)
def test_a_commit_that_is_not_there_is_told(shop: Shop, against: str, said: str) -> None:
    done = shop.connector("diff", f"--against={against}")

    assert done.code == 2
    assert said in done.err


def test_without_git_it_is_told(shop: Shop) -> None:
    (shop.path / ".git").rename(shop.path / "not-git")

    done = shop.connector("diff")

    assert done.code == 2
    assert "no Git checkout" in done.err


def test_a_project_that_was_not_there_yet_is_new(shop: Shop) -> None:
    git(shop.path, "rm", "-q", "--cached", "activations.yaml")
    git(shop.path, "commit", "-q", "-m", "without it")

    done = diff(shop)

    assert [each["change"] for each in done.json["activations"]] == ["added"]
    assert "everything is new" in done.json["notes"][0]
