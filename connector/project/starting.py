"""Begin a project beside dbt, or a small one: files to be edited, and nothing that dbt would read.

dbt takes each `.sql` file below `models/` for a model of its own, so models of the connector stand
in `activations/`. Nothing that is there is written over.
"""

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import orjson

from connector.basis import dataclass
from connector.project.settings import json_schema
from connector.rules.columns import Kind, by_property, kind_of_type, property_name
from connector.rules.dbt.manifest import Described, Manifest, Node, read_manifest
from connector.rules.dbt.profiles import Profiles, project_setting
from connector.rules.errors import ConfigurationError

IGNORED = (".connector/", ".env")
CONTACTS = (
    (r"contact_?id", "contactId"),
    (r".*e_?mail(_?address)?", "email"),
    (r".*(phone|mobile)(_?number)?", "mobilePhone"),
    (r"(customer|member|user|contact)(_?(id|key|no|number))?", "externalId"),
)
CURSORS = r".*(updated|modified|changed|loaded|synced|created|inserted)(_?(at|on|date|time))?"
TIMES = (Kind.TIMESTAMP, Kind.DATE)

MAIN = """\
# yaml-language-server: $schema=activations.schema.json
#
# What is sent to Engage; a file for each activation is in activations/. A dollar sign and braces: a
# variable, from the environment or from a .env file beside this one.
version: 1
include: activations/*.yaml

warehouse:
{warehouse}
  timezone: UTC                 # what a time without a zone means

{dbt}ledger:
  url: ${{LEDGER_URL:-sqlite:///.connector/ledger.db}}   # what was sent: keep it, and back it up

destinations:
  engage:
    type: engage
    url: ${{ENGAGE_URL:-http://127.0.0.1:8765}}          # https://<client>.voyado.com
    api_key: ${{ENGAGE_API_KEY:-sandbox}}
"""
DBT = """\
dbt:
  project: {project}
  {target}
  require: passed               # hold a run whose model or its tests did not pass
  # max_age: 24h                # and one whose model was built longer ago

"""
EXAMPLE_SQL = """\
-- One SELECT; one row becomes one interaction. Not below models/, which dbt would take for its own.
select 1 as id, 'anna@example.com' as email, timestamp '2026-01-01 10:00:00' as happened_at
"""
EXAMPLE = """\
activations:
  example:
    paused: true                # take it out once it is what you mean
    model: activations/example.sql
    schema_id: example
    row_key: id                 # twice the same key is never sent twice
    start: all                  # or: now, which leaves out what is there at the first run
    contact: {column: email, identifier: email}
    created_date: happened_at
    payload:                    # schema property: model column
      id: id
"""


NO_NAMES = frozenset({"null", "true", "false", "yes", "no", "on", "off", "y", "n"})
"""What YAML, of one version or another, takes for a value."""


@dataclass(frozen=True, slots=True)
class Started:
    """What was written; `doubts`: what a person has to look at."""

    files: Sequence[Path]
    doubts: Sequence[str] = ()


def minimal(directory: Path) -> Started:
    """A project with one activation that is paused, in `directory`. Raises ConfigurationError, and
    writes nothing, where one is there already."""
    url = "  url: ${WAREHOUSE_URL:-duckdb:///warehouse.duckdb}   # any SQLAlchemy URL"
    return _write(
        directory,
        {
            **_main(url, ""),
            "activations/example.yaml": EXAMPLE,
            "activations/example.sql": EXAMPLE_SQL,
        },
    )


def from_dbt(directory: Path, wanted: str, project: Path | None) -> Started:
    """An activation for a model of dbt, from what its manifest says of it; and a project around it,
    where there is none in `directory`. Raises ConfigurationError."""
    folder = _named(project) if project else _project_of(directory)
    target = os.environ.get("DBT_TARGET_PATH") or project_setting(folder, "target-path")
    file = folder / (target or "target") / "manifest.json"
    if not file.exists():
        raise ConfigurationError(f"there is no {file}; run `dbt parse` in {folder} first")
    manifest = read_manifest(file)
    node = manifest.find(wanted)
    name = re.sub(r"[^A-Za-z0-9_-]", "_", node.name)
    text, doubts = activation_text(name, wanted, manifest, node, _catalogued(manifest, node))
    files = {f"activations/{name}.yaml": text}
    if (directory / "activations.yaml").exists():
        doubts = [*doubts, f"activations.yaml has to include activations/{name}.yaml (include:)"]
    else:
        relative = os.path.relpath(folder.resolve(), directory.resolve())
        files |= _main(*_connected(folder, relative))
    started = _write(directory, files)
    return Started(started.files, doubts)


def _named(folder: Path) -> Path:
    """A folder that was named as the one of dbt's project. Raises ConfigurationError."""
    if (folder / "dbt_project.yml").is_file():
        return folder
    missing = folder / "dbt_project.yml" if folder.is_dir() else f"folder {folder}"
    raise ConfigurationError(
        f"there is no {missing}; --dbt wants the folder of dbt's project, where its dbt_project.yml"
        " is"
    )


def _project_of(directory: Path) -> Path:
    near = [directory, directory / "dbt", directory.resolve().parent / "dbt", Path()]
    for folder in near:
        if (folder / "dbt_project.yml").is_file():
            return folder
    looked = ", ".join(str(folder / "dbt_project.yml") for folder in near)
    raise ConfigurationError(f"there is no {looked}; say with --dbt where dbt's project is")


def _connected(folder: Path, relative: str) -> tuple[str, str]:
    """How the warehouse is opened, and what `dbt` says, as far as profiles.yml can be read."""
    url = "  url: ${WAREHOUSE_URL}          # any SQLAlchemy URL"
    unknown = "# target: prod                # the target that is sent; others are held"
    profiles = Profiles(folder, dict(os.environ))
    try:
        default = profiles.target(None, None)
    except ConfigurationError:
        return url, DBT.format(project=relative, target=unknown)
    name = default.name
    for each in ("prod", "production"):
        try:
            name = profiles.target(None, each).name
            break
        except ConfigurationError:
            continue
    told = f"target: {name}".ljust(30) + "# what is built for another target is held"
    warehouse = "  dbt: {}                       # the connection that profiles.yml has"
    return warehouse, DBT.format(project=relative, target=told)


def _main(warehouse: str, dbt: str) -> dict[str, str]:
    return {
        "activations.yaml": MAIN.format(warehouse=warehouse, dbt=dbt),
        "activations.schema.json": json.dumps(json_schema(), indent=2) + "\n",
    }


def _write(directory: Path, files: Mapping[str, str]) -> Started:
    there = [name for name in files if (directory / name).exists()]
    if there:
        raise ConfigurationError(f"{directory} already has {', '.join(there)}; nothing was written")
    for name, text in files.items():
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_text(text, encoding="utf-8")
    ignore = directory / ".gitignore"
    lines = ignore.read_text(encoding="utf-8").splitlines() if ignore.exists() else []
    if missing := [line for line in IGNORED if line not in lines]:
        ignore.write_text("\n".join([*lines, *missing]) + "\n", encoding="utf-8")
    return Started([directory / name for name in files])


# --- an activation from a manifest ----------------------------------------------------------------


def _catalogued(manifest: Manifest, node: Node) -> list[Described]:
    """The columns of a node: as dbt describes them, and as `dbt docs generate` found them."""
    columns = {column.name: column for column in node.columns}
    try:
        content = orjson.loads((manifest.file.parent / "catalog.json").read_bytes())
        found = content["nodes"][node.id]["columns"].values()
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        found = ()
    spelt = {name.casefold(): name for name in columns}
    for each in found:
        name, type = str(each.get("name")), str(each.get("type") or "")
        known = columns.get(spelt.get(name.casefold(), name))
        if known is None:
            columns[name] = Described(name, "", type)
        elif not known.type:
            columns[known.name] = Described(known.name, known.description, type)
    return list(columns.values())


def activation_text(
    name: str, wanted: str, manifest: Manifest, node: Node, columns: Sequence[Described]
) -> tuple[str, list[str]]:
    """An activation as it is written, and what in it is a guess."""
    doubts: list[str] = []
    key = _keys(manifest, node, columns, doubts)
    contact, identifier = _contact(columns, doubts)
    times = [c.name for c in columns if kind_of_type(c.type) in TIMES]
    cursor = next((c for c in times if re.fullmatch(CURSORS, c, re.IGNORECASE)), None)
    if not columns:
        doubts.append(
            f"dbt describes no column of {node.called}; write payload by hand, or run `dbt docs"
            " generate` and this again"
        )
    key_text = _yaml(key[0]) if len(key) == 1 else f"[{', '.join(map(_yaml, key))}]"
    lines = ["activations:", f"  {_yaml(name)}:"]
    if node.description:
        lines.append(f"    description: {_quoted(_one_line(node.description))}")
    lines += [
        "    model:",
        f"      dbt: {_yaml(wanted)}",
        f"    schema_id: {_yaml(property_name(name))}",
        f"    row_key: {key_text}",
        *([f"    cursor: {{column: {_yaml(cursor)}, overlap: 2d}}"] if cursor else []),
        "    start: now                  # all: also what is there at the first run",
        f"    contact: {{column: {_yaml(contact)}, identifier: {identifier}}}",
        *([f"    created_date: {_yaml(times[0])}"] if times else []),
        "    payload:                    # schema property: model column",
        *_payload(columns, key, contact),
    ]
    return "\n".join(lines) + "\n", doubts


def _keys(
    manifest: Manifest, node: Node, columns: Sequence[Described], doubts: list[str]
) -> tuple[str, ...]:
    if node.primary_key:
        return node.primary_key
    for test in manifest.tests_of(node):
        if test.kind in ("unique", "unique_combination_of_columns") and test.columns:
            return test.columns
    guess = next((c.name for c in columns if c.name.lower().endswith("id")), "id")
    doubts.append(f"row_key: dbt tests no column of {node.called} for unique; {guess} is a guess")
    return (guess,)


def _contact(columns: Sequence[Described], doubts: list[str]) -> tuple[str, str]:
    for pattern, identifier in CONTACTS:
        for column in columns:
            if re.fullmatch(pattern, column.name, re.IGNORECASE):
                if identifier != "email":
                    doubts.append(f"contact: {column.name} as {identifier} is a guess")
                return column.name, identifier
    doubts.append("contact: no column looks like an identifier of a contact; email is a guess")
    return "email", "email"


def _payload(columns: Sequence[Described], key: Sequence[str], contact: str) -> Iterator[str]:
    names = [c.name for c in columns if c.name != contact] or list(key)
    texts = {c.name: _one_line(c.description) for c in columns}
    columns_once = list(dict.fromkeys([*(k for k in key if k != contact), *names]))
    for called, name in by_property(columns_once).items():
        line = f"      {_yaml(called)}: {_yaml(name)}"
        yield f"{line.ljust(31)} # {texts[name]}" if texts.get(name) else line


def _yaml(name: str) -> str:
    """A name as YAML has it: in quotes where it would be read as something else."""
    plain = re.fullmatch(r"[A-Za-z_][\w.]*", name, re.ASCII) and name.lower() not in NO_NAMES
    return name if plain else _quoted(name)


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("${", "$${")


def _one_line(text: str) -> str:
    return " ".join(text.split())
