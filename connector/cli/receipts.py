"""`receipts`: what verifications of activations found, signed; and one more on request."""

import json as format
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from connector.cli.options import COUNTABLE, Json, MaybeName
from connector.cli.working import app, interruptible, reporting, tell
from connector.rules.deed import Document
from connector.rules.errors import ConfigurationError

UNCHANGED = "unchanged"


def receipts(
    name: MaybeName = None,
    limit: Annotated[int, typer.Option(min=1, max=COUNTABLE, help="How many.")] = 20,
    now: Annotated[
        bool, typer.Option("--now", help="Verify the activation now, and write a receipt.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the newest receipt into a file.")
    ] = None,
    export: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write each receipt into a file of its own.")
    ] = None,
    check: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Say whether a receipt in a file is unchanged."),
    ] = None,
    json: Json = False,
) -> None:
    """Show what verifications found, newest first; receipts of `verify:` in activations.yaml."""
    from connector.project.receipts import receipts as documents
    from connector.show.receipts import show_receipts

    if check is not None:
        _check(check, json)
        return
    if now:
        _verify(name)
        limit = 1
    found = documents(reporting(), name, limit)
    _write(found, out, export)
    wrong = now and found[0]["result"] != "ok"
    tell({"receipts": found}, show_receipts, json, 1 if wrong else 0)


def _verify(name: str | None) -> None:
    from connector.project.verifying import verify

    if name is None:
        raise ConfigurationError("--now: say which activation is to be verified")
    project = app()
    (activation,) = project.activations([name])
    destination = project.settings.project.destination_of(activation)
    what = "there what was delivered cannot be read back"
    project.refuse_without(project.can(destination).shows, destination, what)
    interruptible(project, verify(project, activation, due=None, polite=False))


def _write(found: Sequence[Document], out: Path | None, folder: Path | None) -> None:
    from connector.project.receipts import handed_out

    try:
        if out is not None:
            if not found:
                raise ConfigurationError("there is no receipt to be written yet")
            _write_one(out, handed_out(found[0]))
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            for each in found:
                _write_one(folder / f"{each['receipt_id']}.json", handed_out(each))
    except OSError as error:
        raise ConfigurationError(f"cannot write {error.filename}: {error.strerror}") from None


def _write_one(file: Path, content: Document) -> None:
    file.write_text(format.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _check(file: Path, json: bool) -> None:
    from connector.project.receipts import examined
    from connector.show.receipts import show_seal

    try:
        content: Any = format.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(f"cannot read {file}: {error.strerror}") from None
    except ValueError:
        raise ConfigurationError(f"{file} is not JSON") from None
    seal = examined(reporting(), content)
    tell({"file": str(file), "seal": seal}, show_seal, json, 0 if seal == UNCHANGED else 1)
