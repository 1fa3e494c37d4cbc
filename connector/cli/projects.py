"""`init`, `schema-for-editors` and `plan`: a new project, what helps to write one, what it says."""

from pathlib import Path
from typing import Annotated

import typer

from connector.cli.options import Json
from connector.cli.working import Before, tell
from connector.show.terminal import print_json

NEXT_STEPS = """A project with {activations} and sample data is ready. Next:

{change}  {sandbox:<28} # a local {called}; leave it running, and in another terminal:
  connector check              # would a sync work?
  connector preview repairs    # what would it send?
  connector sync               # send it, once
  connector status

Then put your warehouse and your {called} into .env (see .env.example)."""


def init(
    directory: Annotated[Path, typer.Argument(help="Where; made if it is not there.")] = Path(),
    destination: Annotated[
        str, typer.Option(help="The type of its destination, such as engage or mxo.")
    ] = "engage",
) -> None:
    """Make a new project that works at once, with sample data and a local destination."""
    from connector.destinations.kinds import Kinds
    from connector.sandbox.demo.project import create

    create(directory, destination)
    kind = Kinds()[destination]
    of_type = "" if destination == "engage" else f" --type {destination}"
    steps = {
        "activations": "three activations" if destination == "engage" else "an activation",
        "change": "" if directory == Path() else f"  cd {directory}\n",
        "sandbox": f"connector sandbox{of_type}",
        "called": kind.called or kind.title,
    }
    print(NEXT_STEPS.format(**steps))


def schema_for_editors() -> None:
    """Print the JSON Schema of activations.yaml, for editors."""
    from connector.project.settings import json_schema

    print_json(json_schema())


def plan(json: Json = False) -> None:
    """List what is configured; needs no secret and no connection."""
    from connector.project.plan import read_plan
    from connector.show.plan import show_plan

    tell(read_plan(Before.config).document(), show_plan, json)
