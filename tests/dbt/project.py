"""A folder of dbt as dbt leaves it: profiles, a manifest, and the results of a build."""

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

PROFILES = """
shop:
  target: dev
  outputs:
    dev: {type: duckdb, path: ../shop.duckdb, schema: dev}
    prod: {type: duckdb, path: ../shop.duckdb, schema: prod}
"""
VISITS = "model.shop.visits"


def instant(age: timedelta) -> str:
    """So long ago, as dbt writes it."""
    return (datetime.now(UTC) - age).isoformat().replace("+00:00", "Z")


@dataclass
class Folder:
    """A project with a model `visits`, and tests of it: by name, their severity."""

    path: Path
    tests: dict[str, str] = field(default_factory=lambda: {"unique": "error", "not_null": "error"})
    model: dict[str, Any] = field(default_factory=dict)
    extra: dict[str, dict[str, Any]] = field(default_factory=dict)
    """More nodes, by their ids."""
    key: str = "id"
    """The column that the tests are about."""

    def __post_init__(self) -> None:
        self.path.mkdir(exist_ok=True)
        (self.path / "dbt_project.yml").write_text("name: shop\nprofile: shop\n")
        (self.path / "profiles.yml").write_text(PROFILES)

    def build(self, target: str = "prod", age: timedelta = timedelta(0), **outcomes: str) -> None:
        """`dbt build`; `outcomes`: what became of the model (`visits`), and of tests; "": there is
        no result."""
        invocation = self.parse(target, age)
        results = {VISITS: outcomes.get("visits", "success")}
        results |= {f"test.shop.{name}": outcomes.get(name, "pass") for name in self.tests}
        self.write_results(results, invocation, age)

    def write_results(
        self, results: dict[str, str], invocation: str, age: timedelta, which: str = "build"
    ) -> None:
        """run_results.json."""
        at = instant(age)
        timing = [{"name": name, "started_at": at, "completed_at": at} for name in ("execute",)]
        document = {
            "metadata": {
                "dbt_schema_version": "https://schemas.getdbt.com/dbt/run-results/v6.json",
                "generated_at": instant(age - timedelta(seconds=0.01)),
                "invocation_id": invocation,
            },
            "results": [
                {"unique_id": id, "status": status, "timing": timing, "message": None}
                for id, status in results.items()
                if status
            ],
            "args": {"which": which},
        }
        self._write("run_results.json", document)

    def write_freshness(self, results: dict[str, str], age: timedelta = timedelta(0)) -> None:
        """sources.json, as `dbt source freshness` writes it."""
        document = {
            "metadata": {
                "dbt_schema_version": "https://schemas.getdbt.com/dbt/sources/v3.json",
                "generated_at": instant(age),
                "invocation_id": str(uuid4()),
            },
            "results": [{"unique_id": id, "status": status} for id, status in results.items()],
        }
        self._write("sources.json", document)

    def parse(self, target: str = "prod", age: timedelta = timedelta(0)) -> str:
        """`dbt parse`: a manifest alone; its invocation."""
        invocation = str(uuid4())
        node = {
            "resource_type": "model",
            "name": "visits",
            "package_name": "shop",
            "database": "shop",
            "schema": target,
            "relation_name": f'"shop"."{target}"."visits"',
            "config": {"materialized": "table"},
            **self.model,
        }
        tests = {
            f"test.shop.{name}": {
                "resource_type": "test",
                "name": f"{name}_visits_{self.key}",
                "package_name": "shop",
                "attached_node": VISITS,
                "column_name": self.key,
                "config": {"severity": severity},
                "test_metadata": {"name": name, "kwargs": {"column_name": self.key}},
            }
            for name, severity in self.tests.items()
        }
        document = {
            "metadata": {
                "dbt_schema_version": "https://schemas.getdbt.com/dbt/manifest/v12.json",
                "generated_at": instant(age),
                "invocation_id": invocation,
            },
            "nodes": {VISITS: node, **tests, **self.extra},
        }
        self._write("manifest.json", document)
        return invocation

    def _write(self, name: str, document: Any) -> None:
        file = self.path / "target" / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(json.dumps(document))
