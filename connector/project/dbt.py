"""What a project has to do with dbt: its files, which builds are good, its connection."""

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import URL

from connector.project.settings import Settings
from connector.rules.activation import Activation
from connector.rules.dbt.gate import Gate, Pinned, age_text, built_nodes
from connector.rules.dbt.grammar import DbtSettings
from connector.rules.dbt.manifest import Described, Manifest, Node, read_manifest
from connector.rules.dbt.profiles import Profiles, project_setting
from connector.rules.dbt.results import instant_of
from connector.rules.variables import variables_for

PATH = ("dbt", "target")


def folder_of(settings: Settings) -> Path:
    """The folder of dbt's project."""
    return settings.base / Path(_of(settings).project).expanduser()


def _of(settings: Settings) -> DbtSettings:
    return settings.project.dbt or DbtSettings()


def manifest_file(settings: Settings) -> Path:
    """Where dbt's manifest.json is: where the configuration says, or where dbt writes it."""
    warehouse = settings.project.warehouse
    if settings.project.dbt is None or "dbt_manifest" in warehouse.model_fields_set:
        return settings.base / warehouse.dbt_manifest
    folder = folder_of(settings)
    told = os.environ.get("DBT_TARGET_PATH") or project_setting(folder, "target-path", ("dbt",))
    return folder / (told or "target") / "manifest.json"


def gate_of(settings: Settings, activation: Activation) -> Gate | None:
    """What judges the builds of what an activation reads; None: it reads nothing of dbt."""
    about, lookup = _of(settings), activation.contact.table
    named = [each.dbt for each in (activation.model, lookup) if each and each.dbt]
    if not named:
        return None
    return Gate(
        manifest_file(settings),
        named[0],
        tuple(named[1:]),
        _pinned(settings) if about.target else None,
        about.require is not None,
        about.max_age,
        ("activations", activation.name, "model"),
        about.require == "fresh",
    )


def _pinned(settings: Settings) -> Pinned:
    about = _of(settings)
    target = _profiles(settings).target(about.profile, about.target, PATH)
    return Pinned(target.name, target.database, target.schema)


def _profiles(settings: Settings) -> Profiles:
    named = _of(settings).profiles_dir
    values = variables_for(settings.file).values
    return Profiles(folder_of(settings), values, settings.base / named if named else None)


def connection(settings: Settings) -> tuple[URL, dict[str, Any]] | None:
    """The connection that `warehouse.dbt` names; None where there is a URL instead. Raises
    ConfigurationError, without a value of profiles.yml."""
    from connector.warehouse.profiles import connection_of

    wanted, about = settings.project.warehouse.dbt, _of(settings)
    if wanted is None:
        return None
    target = _profiles(settings).target(
        wanted.profile or about.profile, wanted.target or about.target, ("warehouse", "dbt")
    )
    return connection_of(target, folder_of(settings))


def described_by_dbt(settings: Settings, activation: Activation) -> tuple[Described, ...]:
    """What dbt says of the columns of a model that is one of its own. Raises ConfigurationError."""
    if activation.model.dbt is None:
        return ()
    path = ("activations", activation.name, "model")
    return read_manifest(manifest_file(settings), path).find(activation.model.dbt, path).columns


# --- what a check tells ---------------------------------------------------------------------------


def told_of(settings: Settings, activation: Activation) -> Iterator[tuple[bool, str]]:
    """What dbt says of the model of an activation: each a sentence, and whether it is advice.
    Raises ConfigurationError."""
    if activation.model.dbt is None:
        return
    manifest = read_manifest(manifest_file(settings), ("activations", activation.name, "model"))
    node = manifest.find(activation.model.dbt, ("activations", activation.name, "model"))
    written = instant_of(manifest.generated)
    age = f", written {age_text(datetime.now(UTC) - written)} ago" if written else ""
    if node.ephemeral:
        built = ", ".join(each.relation or each.id for each in built_nodes(manifest, node))
        what = f"is ephemeral, and reads {built or 'no model that is built'}"
    else:
        what = f"is {node.relation}, in {node.place}"
    told = f"the dbt {node.kind} {node.package}.{node.called} {what} (manifest{age})"
    yield False, told
    if advice := _about_keys(activation, manifest, node):
        yield True, advice


def _about_keys(activation: Activation, manifest: Manifest, node: Node) -> str | None:
    """That dbt does not test what the row key has to be."""
    key = tuple(sorted(column.casefold() for column in activation.row_key))
    if node.primary_key and tuple(sorted(c.casefold() for c in node.primary_key)) == key:
        return None
    tests = manifest.tests_of(node)
    tested = {(t.kind, tuple(sorted(c.casefold() for c in t.columns))) for t in tests}
    unique = any((kind, key) in tested for kind in ("unique", "unique_combination_of_columns"))
    missing = [] if unique else ["unique"]
    if not all(("not_null", (column,)) in tested for column in key):
        missing.append("not_null")
    if not missing:
        return None
    named = ", ".join(activation.row_key)
    return (
        f"dbt does not test the row_key ({named}) of {node.called} for {' and '.join(missing)};"
        " with such tests, and dbt.require: passed, a build with doubled or missing keys is held"
    )
