"""A project that dbt itself builds in the test, and the real commands on what it leaves behind.

`make test-dbt` puts dbt into an environment of its own and says where it is with CONNECTOR_DBT.
"""

import json
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from connector.sandbox.engage.running import running
from tests.whole.shop import Shop, an_engage, contact_id

DBT = os.environ.get("CONNECTOR_DBT")
pytestmark = [
    pytest.mark.skipif(not DBT, reason="dbt is not here: make test-dbt"),
    pytest.mark.timeout(900),
]

PROJECT = 'name: shop\nversion: "1.0"\nprofile: shop\n'
PROFILES = """
shop:
  target: dev
  outputs:
    dev: {type: duckdb, path: ../shop.duckdb, schema: dev, threads: 1}
    prod: {type: duckdb, path: ../shop.duckdb, schema: "{{ env_var('PROD', 'prod') }}", threads: 1}
"""
MODEL = (
    "select id, cast(seen_at as timestamp) as seen_at, contact, sku, rating"
    " from {{ ref('raw_visits') }}"
)
DESCRIBED = """
models:
  - name: visits
    description: One row for each visit.
    columns:
      - name: id
        description: The number of the visit.
        data_tests: [unique, not_null]
      - {name: seen_at, data_type: timestamp, description: When it was.}
      - {name: contact, data_type: varchar}
      - {name: rating, data_type: integer, description: Of five stars.}
"""


class Real:
    """A folder of dbt, and dbt."""

    def __init__(self, path: Path) -> None:
        self.path = path
        for name, text in {
            "dbt_project.yml": PROJECT,
            "profiles.yml": PROFILES,
            "models/visits.sql": MODEL,
            "models/best.sql": "{{ config(materialized='ephemeral') }} select * from"
            " {{ ref('visits') }} where rating > 1",
            "models/visits.yml": DESCRIBED,
        }.items():
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            (path / name).write_text(text)
        self.seed(3)

    def seed(self, number: int, repeated: bool = False) -> None:
        """What the model is made of."""
        lines = ["id,seen_at,contact,sku,rating"]
        lines += [
            f"v{n},2026-11-01 10:00:0{n},{contact_id(n)},sku-1,{n + 1}" for n in range(number)
        ]
        lines += lines[-1:] if repeated else []
        (self.path / "seeds").mkdir(exist_ok=True)
        (self.path / "seeds/raw_visits.csv").write_text("\n".join(lines) + "\n")

    def __call__(self, *arguments: str, code: int = 0) -> str:
        environment = os.environ | {"DBT_SEND_ANONYMOUS_USAGE_STATS": "false", "NO_COLOR": "1"}
        done = subprocess.run(
            [str(DBT), *arguments], cwd=self.path, env=environment, capture_output=True, text=True
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout


@pytest.fixture
def shop(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Shop]:
    with running(engage=an_engage()) as sandbox:
        shop = Shop(tmp_path, sandbox, capsys)
        yield shop
        shop.close()


def test_the_life_of_a_model_that_dbt_builds(shop):
    dbt = Real(shop.path / "dbt")
    text = shop.config.read_text()
    text = text.replace('model: {sql: "select * from visits"}', "model: {dbt: visits}")
    text = text.replace('url: "duckdb:///shop.duckdb"', "dbt: {}")
    both = "  best:\n" + text.partition("  visits:\n")[2].replace("dbt: visits", "dbt: best")
    shop.config.write_text(
        f"{text}\n{both}    paused: true\n"
        "dbt: {project: dbt, target: prod, require: passed, max_age: 6h}\n"
    )

    dbt("build", "--target", "prod")
    checked = shop.connector("check", "visits").out
    first = shop.sync("visits").run
    ephemeral = shop.connector("preview", "best", "--json")

    assert 'is "shop"."prod"."visits", in shop.prod' in checked
    assert "does not test the row_key" not in checked
    assert (first["status"], first["delivered"]) == ("succeeded", 3)
    assert ephemeral.code == 0, ephemeral.out

    dbt.seed(4)
    dbt("build", "--target", "dev")
    accident = shop.sync("visits").run
    assert accident["status"] == "held"
    assert '"shop"."dev"."visits"' in accident["notes"][-1]

    dbt.seed(4, repeated=True)
    dbt("build", "--target", "prod", code=1)
    failed = shop.sync("visits").run
    assert failed["status"] == "held"
    assert "unique_visits_id (fail)" in failed["notes"][-1]
    assert sum(shop.stored.values()) == 3

    dbt.seed(4)
    dbt("build", "--target", "prod")
    assert shop.sync("visits").run["delivered"] == 1

    shop.config.write_text(shop.config.read_text().replace("max_age: 6h", "max_age: 1s"))
    results = dbt.path / "target/run_results.json"
    while time.time() - results.stat().st_mtime < 1.1:
        time.sleep(0.05)  # until the build is older than that
    assert "dbt.max_age is 1s" in shop.sync("visits").run["notes"][-1]

    exposures = dbt.path / "models/connector.yml"
    assert shop.connector("dbt", "exposures", "--write", str(exposures)).code == 0
    dbt("parse", "--target", "prod")
    parsed = json.loads((dbt.path / "target/manifest.json").read_text())["exposures"]
    assert sorted(parsed) == ["exposure.shop.connector_best", "exposure.shop.connector_visits"]
    visits = parsed["exposure.shop.connector_visits"]
    assert visits["depends_on"]["nodes"] == ["model.shop.visits"]
    assert visits["meta"]["connector"]["activation"] == "visits"
    assert "a later call of dbt" in shop.sync("visits").run["notes"][-1]


SOURCES = """
sources:
  - name: till
    schema: prod
    tables:
      - name: raw_visits
        config:
          loaded_at_field: cast(seen_at as timestamp)
          freshness: {error_after: {count: DAYS, period: day}}
"""


def test_sources_that_dbt_finds_stale_hold_a_run(shop):
    dbt = Real(shop.path / "dbt")
    text = shop.config.read_text()
    text = text.replace('model: {sql: "select * from visits"}', "model: {dbt: visits}")
    text = text.replace('url: "duckdb:///shop.duckdb"', "dbt: {}")
    shop.config.write_text(f"{text}\ndbt: {{project: dbt, target: prod, require: fresh}}\n")
    dbt("seed", "--target", "prod")
    (dbt.path / "models/visits.sql").write_text(
        MODEL.replace("ref('raw_visits')", "source('till', 'raw_visits')")
    )

    for days, code in (("1", 1), ("100000", 0)):
        (dbt.path / "models/sources.yml").write_text(SOURCES.replace("DAYS", days))
        dbt("source", "freshness", "--target", "prod", code=code)
        dbt("build", "--target", "prod", "--select", "visits")
        run = shop.sync("visits").run
        if code:
            assert run["status"] == "held"
            assert "the source till.raw_visits" in run["notes"][-1]

    assert (run["status"], run["delivered"]) == ("succeeded", 3)
