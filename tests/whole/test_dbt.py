"""What dbt has built is sent when it is the build that is meant, and not before: the real commands,
on files as dbt leaves them."""

import sqlite3
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from connector.sandbox.engage.running import Running
from tests.dbt.project import VISITS, Folder
from tests.whole.shop import Shop
from tests.whole.test_diff import commit, git

EVERYTHING = "{project: dbt, target: prod, require: passed, max_age: 6h}"


class DbtShop(Shop):
    """A shop whose model is one of dbt's. `prod` has the visits, `dev` two others."""

    def __init__(self, path: Path, sandbox: Running, capture: object) -> None:
        self.dbt, self.model, self.warehouse = EVERYTHING, "visits", ""
        super().__init__(path, sandbox, capture)
        self.folder = Folder(path / "dbt")
        self.add_many(3)
        self.execute("create schema prod")
        self.execute("create schema dev")
        self.execute("create view prod.visits as select * from main.visits")
        self.execute(
            "create view dev.visits as select * replace ('dev' || id as id) from main.visits"
        )

    def configure(self, **options: object) -> None:
        """With the model of dbt, and `dbt`, which may be empty."""
        super().configure(**options)
        text = self.config.read_text()
        text = text.replace('model: {sql: "select * from visits"}', f"model: {{dbt: {self.model}}}")
        text = (
            text.replace('url: "duckdb:///shop.duckdb"', self.warehouse) if self.warehouse else text
        )
        self.config.write_text(text + (f"\ndbt: {self.dbt}\n" if self.dbt else ""))

    def is_held(self, *said: str) -> None:
        """A run is held for all of `said`, reads nothing and asks nothing."""
        before = self.sandbox.requests.count()
        done = self.sync()
        assert (done.code, done.run["status"], done.run["read"]) == (1, "held", 0), done.out
        assert self.sandbox.requests.count() == before
        for text in said:
            assert text in done.run["notes"][-1]

    def sends(self, number: int, *options: str) -> None:
        done = self.sync(*options)
        assert (done.code, done.run["delivered"]) == (0, number), done.out + done.err


@pytest.fixture
def shop(tmp_path: Path, sandbox: Running, capsys: pytest.CaptureFixture[str]) -> Iterator[DbtShop]:
    shop = DbtShop(tmp_path, sandbox, capsys)
    yield shop
    shop.close()


def test_a_good_build_is_sent(shop):
    shop.folder.build()

    shop.sends(3)
    with sqlite3.connect(shop.ledger_file) as ledger:
        found = ledger.execute("select dbt_model, relation from runs").fetchall()
    assert found == [("visits", '"shop"."prod"."visits"')]


def test_what_was_built_for_another_target_is_not_sent(shop):
    shop.folder.build()
    shop.sends(3)
    shop.folder.build("dev")

    shop.is_held('"shop"."dev"."visits"', "shop.prod", "`dbt build --target prod`")
    shop.folder.build("prod")
    shop.sends(0)
    assert set(shop.stored) == {"v0", "v1", "v2"}


def test_a_first_run_on_another_target_is_held_too(shop):
    shop.folder.build("dev")

    shop.is_held("where the target prod (dbt.target) builds")
    shop.folder.build()
    shop.sends(3)


def test_a_relation_that_has_become_another_is_held_without_any_setting(shop):
    shop.dbt = "{project: dbt}"
    shop.configure(limits="{changed_keys: 1}")
    shop.folder.build()
    shop.sends(3)
    shop.folder.build("dev")

    shop.is_held('was "shop"."prod"."visits" when it was read last', '"shop"."dev"."visits" now')
    shop.is_held()
    held = shop.connector("approve", "visits", "--yes", "--by", "bert")
    assert held.code == 0, held.out
    assert "the next run of visits reads and sends what dbt has built" in held.out
    shop.sends(3)
    shop.sends(0)
    assert "devv0" in shop.stored


def test_an_activation_that_takes_another_model_is_not_held_for_that(shop):
    shop.dbt = "{project: dbt}"
    shop.configure(limits="{changed_keys: 1}")
    shop.folder.extra["model.shop.others"] = {
        "resource_type": "model",
        "name": "others",
        "package_name": "shop",
        "relation_name": '"shop"."dev"."visits"',
    }
    shop.folder.build()
    shop.sends(3)
    shop.model = "others"
    shop.configure()

    shop.sends(3)


@pytest.mark.parametrize(
    ("outcomes", "said"),
    [
        ({"unique": "fail"}, '1 test of "visits" did not pass: unique_visits_id (fail)'),
        ({"unique": "error", "not_null": "fail"}, '2 tests of "visits" did not pass'),
        ({"unique": ""}, "unique_visits_id (was not run)"),
        ({"visits": "error"}, 'dbt has not built "visits": error'),
        ({"visits": "skipped"}, 'dbt has not built "visits": skipped'),
        ({"visits": ""}, 'has no result of "visits"'),
    ],
)
def test_what_did_not_pass_is_held_until_it_does(shop, outcomes, said):
    shop.folder.build(**outcomes)

    shop.is_held(said, "goes on by itself once that is mended")
    shop.folder.build()
    shop.sends(3)


def test_a_test_that_only_warns_holds_nothing(shop):
    shop.folder.tests = {"unique": "warn", "not_null": "error"}
    shop.folder.build(unique="fail", not_null="warn")

    shop.sends(3)


def test_a_build_that_is_too_old_is_held(shop):
    shop.folder.build(age=timedelta(hours=7))

    shop.is_held('"visits" was built 7 hours ago, and dbt.max_age is 6h')
    shop.folder.build(age=timedelta(hours=5))
    shop.sends(3)


def test_without_results_nothing_is_known_to_have_passed(shop):
    shop.folder.parse()

    shop.is_held("run_results.json, so no build is on record")


def test_a_build_that_is_not_at_its_end_is_waited_for(shop):
    shop.folder.build(age=timedelta(minutes=1))
    shop.folder.parse()

    shop.is_held("a later call of dbt has written manifest.json and no results")


def test_a_call_that_builds_nothing_is_no_build(shop):
    invocation = shop.folder.parse()
    shop.folder.write_results({VISITS: "success"}, invocation, timedelta(0), which="generate")

    shop.is_held("the last call of dbt was `dbt docs generate`")


def test_an_approval_lets_just_what_was_shown_go(shop):
    shop.folder.build(unique="fail")
    shop.is_held()
    assert shop.connector("approve", "visits", "--yes", "--json", "--by", "bert").code == 0
    shop.folder.build("dev", unique="fail")

    done = shop.sync()

    assert done.run["status"] == "held"
    assert "not what was approved" in done.run["notes"][0]
    assert shop.posts == 0


def test_it_may_be_let_go_with_the_run_and_limits_are_judged_all_the_same(shop):
    shop.configure(limits="{rows: 2}")
    shop.folder.build(unique="fail")
    shop.is_held()

    done = shop.sync("--approve", "--by", "bert")

    assert done.run["status"] == "held"
    assert "limits.rows is 2" in done.run["notes"][-1]
    assert (
        "model.shop.visits"
        in shop.connector("audit", "--json").json["entries"][0]["details"]["build"]
    )
    shop.sends(3, "--approve")


def test_where_another_must_approve_nobody_lets_a_build_go_alone(shop):
    shop.configure(limits="{approval: other}")
    shop.folder.build(unique="fail")

    assert shop.sync("--approve", "--by", "anna").run["status"] == "held"
    assert shop.sync("--approve", "--by", "anna").run["status"] == "held"
    shop.sends(3, "--approve", "--by", "bert")


def test_a_mirror_takes_nothing_back_for_a_bad_build(shop):
    shop.configure(more="mode: mirror", cursor="")
    shop.folder.build()
    shop.sends(3)
    shop.execute("delete from visits where id = 'v1'")
    shop.folder.build(unique="fail")

    shop.is_held("did not pass")
    shop.folder.build()
    assert shop.sync().run["removed"] == 1


def test_what_is_held_for_its_rows_stays_so_and_may_go_by_its_approval(shop):
    shop.configure(limits="{rows: 2}")
    shop.folder.build()
    assert "limits.rows" in shop.sync().run["notes"][-1]
    shop.folder.build(unique="fail")

    assert shop.connector("approve", "visits", "--yes", "--json", "--by", "bert").code == 0
    shop.sends(3)


def test_everything_that_tells_of_a_run_tells_of_the_build(shop):
    shop.folder.build(unique="fail")
    shop.folder.tests = {"unique": "error"}

    before = shop.connector("check").out
    shop.is_held()
    after = shop.connector("check", "--json")
    status = shop.connector("status", "--json").json["activations"][0]
    preview = shop.connector("preview", "visits", "--json").json

    assert "a run would be held" in before
    assert 'is "shop"."prod"."visits", in shop.prod' in before
    assert after.json["activations"][0]["outlook"]["would"] == "be_held"
    assert "did not pass" in status["held"]
    assert "did not pass" in status["hold"]["build"]
    assert preview["would"]["would"] == "be_held" if "would" in preview else True
    shop.folder.build()
    assert shop.connector("check", "--json").json["activations"][0]["outlook"]["would"] == "send"


def test_a_check_hints_at_tests_that_dbt_has_not(shop):
    shop.folder.tests = {"unique": "error"}
    shop.folder.build()
    assert (
        "dbt does not test the row_key (id) of visits for not_null" in shop.connector("check").out
    )

    shop.folder.tests = {"unique": "error", "not_null": "error"}
    shop.folder.build()
    assert "does not test" not in shop.connector("check").out


def test_the_connection_may_be_that_of_profiles_yml(shop):
    shop.warehouse = "dbt: {}"
    shop.configure()
    shop.folder.build()

    shop.sends(3)


def test_a_project_without_a_profile_says_where_it_was_looked_for(shop):
    (shop.folder.path / "profiles.yml").unlink()
    shop.folder.build()

    done = shop.connector("sync")

    assert done.code == 2
    assert "there is no profiles.yml in" in done.out


def test_a_check_without_a_connection_warns_of_what_dbt_has_built(shop):
    shop.folder.tests = {"unique": "error"}
    shop.folder.build("dev")

    found = shop.connector("check", "--offline", "--json").json["findings"]

    assert [each["rule"] for each in found] == ["dbt-tests", "dbt-target"]
    assert {each["level"] for each in found} == {"warning"}
    assert found[1]["message"].endswith("`dbt build --target prod` mends it")


def test_a_diff_compares_the_relations_of_two_builds(shop):
    shop.dbt = "{project: dbt}"
    shop.configure()
    shop.folder.build()
    (shop.path / "state").mkdir()
    manifest = shop.folder.path / "target" / "manifest.json"
    (shop.path / "state" / "manifest.json").write_bytes(manifest.read_bytes())
    shop.sends(3)
    git(shop.path, "init", "-q", "-b", "main")
    (shop.path / "dbt" / ".gitignore").write_text("target/\n")
    commit(shop.path)
    shop.folder.build("dev")

    without = shop.connector("diff", "--json").json
    (found,) = shop.connector("diff", "--json", "--state", "state").json["activations"]

    assert without["activations"] == []
    assert "--state DIR" in without["notes"][0]
    assert found["parts"] == ["model"]
    assert found["rows"]["newly_eligible"] == found["rows"]["after"] > 0


@pytest.mark.parametrize("status", ["error", "runtime error"])
def test_sources_that_are_not_fresh_hold_a_run_where_that_is_required(shop, status):
    shop.dbt = "{project: dbt, require: fresh, max_age: 6h}"
    shop.configure()
    shop.folder.model = {"depends_on": {"nodes": ["model.shop.cleaned"]}}
    sources = ["source.shop.till.receipts", "source.shop.till.staff"]
    cleaned = {
        "resource_type": "model",
        "name": "cleaned",
        "package_name": "shop",
        "depends_on": {"nodes": sources},
    }
    shop.folder.extra = {"model.shop.cleaned": cleaned}
    shop.folder.build()
    shop.is_held("there is no", "sources.json", "`dbt source freshness`")

    shop.folder.write_freshness(
        {"source.shop.till.receipts": status, "source.shop.other.x": "pass"}
    )
    shop.is_held("till.receipts", "is not fresh", status)
    shop.folder.write_freshness({"source.shop.till.receipts": "pass"}, timedelta(hours=7))
    shop.is_held("were looked at 7 hours ago")
    shop.folder.write_freshness(
        {"source.shop.till.receipts": "warn", "source.shop.other.x": status}
    )

    shop.sends(3)


def test_a_model_without_sources_needs_none_to_be_fresh(shop):
    shop.dbt = "{project: dbt, require: fresh}"
    shop.configure()
    shop.folder.build()

    shop.sends(3)
