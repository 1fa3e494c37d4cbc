"""The plan of the house: the rooms of `connector/`, from the top floor down.

A room imports what lies on lower floors, and nothing beside or above it.
"""

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
}
"""Name: floor, and what it is for."""

BESIDE = {"__init__", "__main__"}


def table() -> str:
    """The rooms, for people."""
    rows = ["| floor | room | what it is for |", "|---|---|---|"]
    rows += [f"| {floor} | `{name}/` | {why} |" for name, (floor, why) in ROOMS.items()]
    return "\n".join(rows)
