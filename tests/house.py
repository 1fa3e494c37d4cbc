"""The plan of the house: the rooms of `connector/`, from the top floor down.

A room imports what lies on lower floors, and nothing beside or above it.
"""

import ast
import sys
from collections import Counter
from pathlib import Path

ROOMS = {
    "cli": (8, "parse, ask, print: a module for each group of commands"),
    "serve": (7, "the service: its clock, alerts, metrics, and the pages in `web/`"),
    "sandbox": (
        7,
        "the other side: APIs on loopback that can misbehave, a folder for each; `demo/`",
    ),
    "decisions": (6, "what a person decides about recorded rows: quarantine, undo, forget"),
    "project": (5, "a project wired together: settings, engines and clients, schedule, reports"),
    "show": (5, "documents as text for a terminal"),
    "schemas": (4, "interaction schemas as files: difference, plan, provision, replace"),
    "sync": (3, "one run: reading, stage, deliver, settle; beside it check, preview, verify"),
    "ledger": (2, "durable memory: tables, moves, reports, migrations"),
    "warehouse": (2, "reading models"),
    "destinations": (2, "the port, and what every API over HTTP needs; a module for each API"),
    "rules": (1, "pure: the grammar, mapping, columns, states, errors"),
    "basis": (
        0,
        "what every room stands on: dataclasses and a log, made when they are used",
    ),
}
"""Name: floor, and what it is for."""

BESIDE = {"__init__", "__main__"}


def table() -> str:
    """The rooms, for people."""
    rows = ["| floor | room | what it is for |", "|---|---|---|"]
    rows += [f"| {floor} | `{name}/` | {why} |" for name, (floor, why) in ROOMS.items()]
    return "\n".join(rows)


def figures(package: Path) -> dict[str, int]:
    """Of a folder with the package: entries, modules, arrows between entries, classes, functions,
    and lines without the sandbox and the demo."""
    paths = [path for path in package.rglob("*.py") if "migrations" not in path.parts]
    arrows = set[tuple[str, str]]()
    kinds = Counter[str]()
    lines = 0
    for path in paths:
        place = path.relative_to(package).parts
        kinds["modules"] += 1
        if not {"sandbox", "demo"} & set(place):
            lines += len(path.read_text().splitlines())
        for node in ast.walk(ast.parse(path.read_text())):
            kinds["classes"] += isinstance(node, ast.ClassDef)
            kinds["functions"] += isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("connector"):
                for alias in node.names:
                    target = f"{node.module}.{alias.name}".split(".")[1]
                    arrows.add((place[0].removesuffix(".py"), target))
    entries = {
        path.name for path in package.iterdir() if path.name[0] != "_" and path.suffix != ".typed"
    }
    between = sum(one != other for one, other in arrows)
    return {"entries": len(entries), **kinds, "arrows between entries": between, "lines": lines}


if __name__ == "__main__":
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "connector")
    for what, number in figures(folder).items():
        print(f"{what}\t{number:,}")
