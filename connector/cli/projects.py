"""`init` and `schema-for-editors`: a new project, and what helps to write one."""

from pathlib import Path
from typing import Annotated

import typer

from connector.cli.options import group
from connector.project.settings import json_schema
from connector.sandbox.demo.project import create
from connector.show.terminal import print_json

NEXT_STEPS = """A project with three activations and sample data is ready. Next:

{change}  connector sandbox            # a local Engage; leave it running, and in another terminal:
  connector check              # would a sync work?
  connector preview repairs    # what would it send?
  connector sync               # send it, once
  connector status

Then put your warehouse and your Engage into .env (see .env.example)."""

commands = group()


@commands.command()
def init(
    directory: Annotated[Path, typer.Argument(help="Where; made if it is not there.")] = Path(),
) -> None:
    """Make a new project that works at once, with sample data and a local Engage."""
    create(directory)
    print(NEXT_STEPS.format(change="" if directory == Path() else f"  cd {directory}\n"))


@commands.command("schema-for-editors")
def schema_for_editors() -> None:
    """Print the JSON Schema of activations.yaml, for editors."""
    print_json(json_schema())
