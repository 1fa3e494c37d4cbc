"""`check`, `preview` and `verify`: would a sync work, what would it send, is it there? Each reads
the warehouse or the destination, and writes nothing."""

from functools import partial
from typing import Annotated

import typer

from connector.cli.options import Json, Name, Names, RunId, group
from connector.cli.working import settings, tell, wait_for
from connector.project import look
from connector.project.app import App
from connector.rules.activation import parse_percentage
from connector.rules.errors import ConfigurationError
from connector.show.check import show_check
from connector.show.preview import show_preview
from connector.show.progress import progress
from connector.show.verification import show_verification

commands = group()


@commands.command()
def check(names: Names = None, json: Json = False) -> None:
    """Find out whether a sync would work. Writes nothing, sends no interaction."""
    app = App(settings())
    found = wait_for(look.check(app, app.activations(names or []), bool(names)))
    tell(found.document(), show_check, json, found.exit_code)


@commands.command()
def preview(
    name: Name,
    limit: Annotated[int, typer.Option(min=0, help="How many requests to show.")] = 10,
    offline: Annotated[bool, typer.Option("--offline", help="Ask no destination.")] = False,
    json: Json = False,
) -> None:
    """Show what a sync would do now. Writes nothing, sends no interaction."""
    app = App(settings())
    (activation,) = app.activations([name])
    forecast = wait_for(look.preview(app, activation, limit, offline))
    tell(forecast.document(), show_preview, json)


@commands.command()
def verify(
    run_id: RunId,
    sample: Annotated[str, typer.Option(help="How many of the rows, such as 5%.")] = "100%",
    json: Json = False,
) -> None:
    """Read back what a run delivered: is it there, once, as it was sent? Writes nothing."""
    app, share = App(settings()), _share(sample)
    with progress(json) as bars:
        told = partial(bars.counting, run_id, "reading back")
        run, found = wait_for(look.verify(app, run_id, share, told))
    tell(found.document(run, share), show_verification, json, 0 if found.ok else 1)


def _share(text: str) -> float:
    """`5%` or `0.05`. Raises ConfigurationError."""
    try:
        share: float = parse_percentage(text if text.strip().endswith("%") else float(text))
    except ValueError:
        share = 0.0
    if not share:
        raise ConfigurationError(f'--sample "{text}": expected a share such as 5% or 0.05, above 0')
    return share
