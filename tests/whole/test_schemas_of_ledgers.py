"""Projects that share one PostgreSQL database, each in a schema of its own."""

from collections import Counter
from pathlib import Path

from sqlalchemy import URL

from tests.whole.shop import Shop


def configured(shop: Shop, database: URL, schema: str | None) -> None:
    address = database.render_as_string(hide_password=False)
    key = f'", schema: "{schema}' if schema else ""
    shop.configure(ledger=f"{address}{key}")


def delivered(shop: Shop) -> tuple[int, str]:
    (found,) = shop.connector("status", "--json").json["activations"]
    return found["counts"]["delivered"], found["last_run"]["run_id"]


def test_each_row_of_each_project_goes_once_and_status_tells_its_own(
    shop: Shop, tmp_path: Path, postgresql_url: URL
) -> None:
    """Activations, and row keys, have the same names in all of them."""
    projects: dict[str | None, Shop] = {None: shop}
    for name in ("crm", "web"):
        folder = tmp_path / name
        folder.mkdir()
        projects[name] = Shop(folder, shop.sandbox, shop._capture)
    last: dict[Shop, tuple[int, str]] = {}
    for rows, (schema, project) in enumerate(projects.items(), 2):
        configured(project, postgresql_url, schema)
        project.add_many(rows)
        last[project] = (rows, project.sync().run["run_id"])

    for project in projects.values():
        assert delivered(project) == last[project]
        assert project.sync().run["staged"] == 0
        told = project.connector("check", "--json")
        assert told.code == 0, told
    names = {next((p.path / ".connector").glob("*.generation")).name for p in projects.values()}
    assert len(names) == 3
    assert shop.stored == Counter({"v0": 3, "v1": 3, "v2": 2, "v3": 1})


def test_a_file_has_no_schemas(shop: Shop) -> None:
    shop.configure(ledger='sqlite:///.connector/ledger.db", schema: "crm')

    done = shop.connector("status")

    assert done.code == 2
    assert "a SQLite file has no schemas" in done.err
    for wrong in ("Crm", "pg_crm", "1crm", "a b", "x" * 64):
        shop.configure(ledger=f'postgresql://localhost/x", schema: "{wrong}')
        done = shop.connector("status")
        assert (done.code, "expected at most 63 small letters" in done.err) == (2, True), done
