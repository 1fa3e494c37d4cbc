"""Files, and parts of files, that are written by the code. `make docs` writes them anew."""

import json
from collections.abc import Callable, Collection
from pathlib import Path

from pydantic import BaseModel

from connector.project.settings import json_schema
from connector.sandbox.behaviour import Common, Faults, ReadFaults
from connector.sandbox.engage.behaviour import Behaviour
from connector.sandbox.mxo.behaviour import Behaviour as Mxo
from connector.sandbox.mxo.behaviour import Words
from connector.sandbox.survey_dynamix.behaviour import Behaviour as SurveyDynamix
from connector.warehouse.drivers import DRIVERS
from tests import house
from tests.warehouse.kinds.words import KINDS

ROOT = Path(__file__).parent.parent
SWITCHES: dict[str, type[BaseModel]] = {
    "Behaviour": Behaviour,
    "Faults": Faults,
    "ReadFaults": ReadFaults,
    "SurveyDynamix": SurveyDynamix,
    "Mxo": Mxo,
    "Words": Words,
}
"""By the mark around their table in docs/sandbox.md."""


def editor_schema(_: str) -> str:
    return json.dumps(json_schema(), indent=2) + "\n"


def rooms(text: str) -> str:
    return _between(text, "<!-- rooms -->", "<!-- rooms end -->", house.table())


def warehouses(text: str) -> str:
    """What was tried, by the kinds that the tests run on and what is known of the drivers."""
    lines = ["| warehouse | URL | tried | streams | refuses writes | extra |", "|---" * 6 + "|"]
    for driver in DRIVERS:
        places = [kind.on for kind in KINDS if kind.driver == driver.url]
        alone = [each.dialect for each in DRIVERS].count(driver.dialect) == 1
        cells = (
            driver.title,
            f"`{driver.dialect if alone else driver.url}://`",
            f"{driver.tried}: {'; '.join(places)}" if places else driver.tried,
            "yes" if driver.streams else "**no**",
            "yes" if driver.read_only else "**no**",
            f"`{driver.extra}`" if driver.extra else "",
        )
        lines.append(f"| {' | '.join(cells)} |")
    return _between(text, "<!-- warehouses -->", "<!-- warehouses end -->", "\n".join(lines))


def switches(text: str) -> str:
    for title, model in SWITCHES.items():
        start, end = (f"<!-- {title}{mark} -->" for mark in ("", " ends"))
        text = _between(text, start, end, _table(model, _of_all(model)))
    return text


def _of_all(model: type[BaseModel]) -> set[str]:
    """The switches that say the same for every API: they stand once, with Engage's."""
    return {
        name
        for name, field in Common.model_fields.items()
        if issubclass(model, Common)
        and model is not Behaviour
        and _field(model, name) == (field.default, field.description)
    }


def _field(model: type[BaseModel], name: str) -> tuple[object, str | None]:
    field = model.model_fields[name]
    return field.default, field.description


def _between(text: str, start: str, end: str, what: str) -> str:
    before, _, rest = text.partition(start)
    _, _, after = rest.partition(end)
    return f"{before}{start}\n{what}\n{end}{after}"


def _table(model: type[BaseModel], without: Collection[str]) -> str:
    rows = ["| name | default | means |", "|---|---|---|"]
    for name, field in model.model_fields.items():
        if name in without:
            continue
        default = field.default
        if isinstance(default, Words):
            shown = "see below"
        elif isinstance(default, BaseModel):
            shown = "none"
        elif isinstance(default, frozenset | dict):
            shown = f"`{json.dumps(sorted(default))}`"
        else:
            shown = f"`{json.dumps(default)}`"
        rows.append(f"| `{name}` | {shown} | {field.description or ''} |")
    return "\n".join(rows)


FILES: dict[str, Callable[[str], str]] = {
    "activations.schema.json": editor_schema,
    "docs/sandbox.md": switches,
    "docs/warehouses.md": warehouses,
    "CONTRIBUTING.md": rooms,
    "docs/architecture.md": rooms,
}


def current(name: str) -> str:
    path = ROOT / name
    return path.read_text() if path.exists() else ""


if __name__ == "__main__":
    for name, write in FILES.items():
        (ROOT / name).write_text(write(current(name)))
