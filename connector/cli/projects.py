"""`init`, `schema-for-editors` and `plan`: a new project, what helps to write one, what it says."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from connector.cli.options import Json
from connector.cli.working import Before, tell
from connector.rules.deed import Document
from connector.rules.errors import ConfigurationError
from connector.show.terminal import print_json

INTRODUCTION = "A project with {what} and sample data is ready. Next:\n"
STEPS = {
    "connector sandbox{type}": "a local {called}; leave it running, and in another terminal:",
    "connector check": "would a sync work?",
    "connector preview {name}": "what would it send?",
    "connector sync": "send it, once",
}
CLOSING = (
    "  connector status\n\nThen put your warehouse and your {called} into .env (see .env.example)."
)
WIDE = 29
"""Characters of a step before what is said of it."""


def init(
    directory: Annotated[Path, typer.Argument(help="Where; made if it is not there.")] = Path(),
    destination: Annotated[
        str, typer.Option(metavar="TYPE", help="The API it is for: engage, survey_dynamix or mxo.")
    ] = "engage",
    minimal: Annotated[
        bool, typer.Option("--minimal", help="A few files to be edited, without sample data.")
    ] = False,
    model: Annotated[
        str | None,
        typer.Option(
            "--from-dbt", metavar="NAME", help="Write an activation for this model of dbt."
        ),
    ] = None,
    dbt: Annotated[
        Path | None, typer.Option("--dbt", metavar="DIR", help="Where dbt's project is.")
    ] = None,
    json: Json = False,
) -> None:
    """Make a new project that works at once, with sample data and a local Engage; or begin a small
    one, or one beside dbt."""
    if dbt is not None and model is None:
        raise ConfigurationError("--dbt goes with --from-dbt NAME")
    try:
        if minimal or model is not None:
            _begin(directory, model, dbt, destination, json)
        else:
            _create(directory, destination, json)
    except OSError as error:
        said = "it is a file; name a folder" if directory.is_file() else error.strerror
        raise ConfigurationError(f"cannot write {directory}: {said}") from None


def _document(directory: Path, files: Sequence[Path], doubts: Sequence[str] = ()) -> Document:
    return {
        "directory": str(directory),
        "files": [str(file) for file in files],
        "doubts": list(doubts),
    }


def _create(directory: Path, destination: str, json: bool) -> None:
    from connector.sandbox.demo.project import create

    document = _document(directory, create(directory, destination))
    tell(document, lambda _: _show_steps(directory, destination), json)


def _show_steps(directory: Path, destination: str) -> None:
    from connector.destinations.kinds import Kinds
    from connector.project.settings import load

    names = list(load(directory / "activations.yaml", {}).project.activations)
    kind = Kinds()[destination]
    words = {
        "what": "three activations" if len(names) == 3 else "an activation",
        "type": "" if destination == "engage" else f" --type {destination}",
        "called": kind.called or kind.title,
        "name": "repairs" if "repairs" in names else names[0],
    }
    steps = {step.format(**words): said.format(**words) for step, said in STEPS.items()}
    wide = max(WIDE, *(len(step) + 2 for step in steps))
    print(INTRODUCTION.format(**words))
    if directory != Path():
        print(f"  cd {directory}")
    for step, said in steps.items():
        print(f"  {step.ljust(wide)}# {said}")
    print(CLOSING.format(**words))


def _begin(
    directory: Path, model: str | None, dbt: Path | None, destination: str, json: bool
) -> None:
    from connector.project import starting

    if destination != "engage":
        raise ConfigurationError(
            "--minimal and --from-dbt write for Engage; leave --destination out, or them"
        )
    if model is None:
        started = starting.minimal(directory)
    else:
        started = starting.from_dbt(directory, model, dbt)
    tell(_document(directory, started.files, started.doubts), _show_written, json)


def _show_written(document: Document) -> None:
    print("Written:\n")
    for file in document["files"]:
        print(f"  {file}")
    if document["doubts"]:
        print("\nLook at this first:\n")
        for doubt in document["doubts"]:
            print(f"  {doubt}")
    print("\nThen: connector check --offline, and with a connection connector check")


def schema_for_editors(json: Json = False) -> None:
    """Print the JSON Schema of activations.yaml, for editors: JSON in any case."""
    from connector.project.settings import json_schema

    print_json(json_schema())


def plan(json: Json = False) -> None:
    """List what is configured; needs no secret and no connection."""
    from connector.project.plan import read_plan

    def show(document: dict[str, Any]) -> None:
        from connector.show.plan import show_plan

        show_plan(document)

    tell(read_plan(Before.config).document(), show, json)
