"""`approve`: lets a held run go, by name or by a plan; `audit`: the list of what persons did."""

import json as format
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from connector.cli.asking import person
from connector.cli.deeds import Consent, Showing, carry_out, documented
from connector.cli.options import COUNTABLE, By, Json, MaybeName, Note, Yes
from connector.cli.working import app, reporting, tell, wait_for
from connector.rules.errors import ConfigurationError

if TYPE_CHECKING:
    from connector.project.app import App


def approve(
    name: MaybeName = None,
    yes: Yes = False,
    plan: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Approve by this plan; with a bare --out, write it.",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="[FILE]", help="Write the held run as a plan; with --plan, the approval."
        ),
    ] = None,
    by: By = None,
    note: Note = None,
    json: Json = False,
) -> None:
    """Let exactly the held rows of an activation go: the next run sends them.

    Shows what is held, and asks first on a terminal. With --out nothing is approved: the held run
    is written as a plan, without keys, to be approved later with --plan.
    """
    from connector.decisions.approve import Approve, plan_now, planned
    from connector.show.approvals import show_approved, show_held

    project, who = app(), person(by, note)
    if out == UNNAMED:  # the plan is what is written
        name = name or _held_one(project)
        out, plan = plan or Path(f"{name}.plan.json"), None
    found = planned(_read(plan)) if plan is not None else None
    if found is not None and name not in (None, found.activation):
        raise ConfigurationError(f'the plan is about "{found.activation}", not about "{name}"')
    name = name or (found.activation if found else None)
    if name is None and out is not None:
        name = _held_one(project)
    if name is None:
        raise ConfigurationError("name an activation, or a plan with --plan")
    (activation,) = project.activations([name])
    if out is not None and found is None:
        held, content = plan_now(project, name)
        _write(out, content)
        tell({**held.document(), "plan": str(out)}, show_held, json)
        return

    deed = Approve(project, activation, who, found)
    if out is not None:
        document = wait_for(deed.do(wait_for(deed.plan()), agreed=False)).document()
        _write(out, document)
        tell(document, show_approved, json)
        return
    showing = Showing(json, documented(show_approved), documented(show_held))
    # where nobody can be asked, naming the activation is the decision
    agreed = yes or found is not None or not sys.stdin.isatty()
    carry_out(project, deed, showing, Consent(agreed))


def audit(
    name: MaybeName = None,
    since: Annotated[
        str | None,
        typer.Option(metavar="WHEN", help="A date, a time with its zone, or a span such as 7d."),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=COUNTABLE, help="How many.")] = 50,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write all of it: .csv or .jsonl.")
    ] = None,
    json: Json = False,
) -> None:
    """Show what persons did, newest first: approvals, pauses, decisions, edits and the like."""
    from connector.ledger.audit import Deeds
    from connector.project.audit import entries, export, milliseconds, since_when
    from connector.show.approvals import show_audit

    project, which = reporting(), Deeds(since=milliseconds(since_when(since)))
    if out is not None:
        found = entries(project, name, which)
        _write_text(out, export(found, out.suffix))
        tell({"entries": len(found), "file": str(out)}, lambda told: print(out), json)
        return
    tell({"entries": entries(project, name, which, limit)}, show_audit, json)


UNNAMED = Path("--out")
"""What stands for the file of an --out that names none."""


def with_bare_out(arguments: Sequence[str]) -> list[str]:
    """The arguments of an `approve`, where `--out` needs no file after it."""
    found: list[str] = []
    for number, each in enumerate(arguments):
        found.append(each)
        after = arguments[number + 1 : number + 2]
        if each == "--out" and (not after or after[0].startswith("--")):
            found.append(str(UNNAMED))
    return found


def _held_one(project: "App") -> str:
    """The activation that is held, where that is one. Raises ConfigurationError."""
    with project.reports() as reports:
        held = [n for n in project.settings.project.activations if reports.held(n)]
    if len(held) != 1:
        told = f"held are {', '.join(held)}" if held else "nothing is held"
        raise ConfigurationError(f"name an activation: {told}")
    return held[0]


def _read(file: Path) -> Any:
    try:
        return format.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(f"cannot read {file}: {error.strerror}") from None
    except ValueError:
        raise ConfigurationError(f"{file} is not JSON") from None


def _write(file: Path, content: Any) -> None:
    _write_text(file, format.dumps(content, indent=2, ensure_ascii=False) + "\n")


def _write_text(file: Path, text: str) -> None:
    try:
        file.write_text(text, encoding="utf-8", newline="")
    except OSError as error:
        raise ConfigurationError(f"cannot write {file}: {error.strerror}") from None
