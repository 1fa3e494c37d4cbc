"""`sync`, and what lets runs go or keeps them: `pause`, `resume`, `restored`."""

from typing import Annotated

import typer

from connector.cli.asking import person
from connector.cli.options import Json, Name, Names, group
from connector.cli.working import interruptible, settings, tell
from connector.project import run
from connector.project.app import App
from connector.rules.errors import FailOn
from connector.show.progress import progress
from connector.show.runs import show_synced
from connector.sync.flow import Orders
from connector.sync.result import exit_code

commands = group()


@commands.command()
def sync(
    names: Names = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Send at most so many rows.")] = None,
    approve: Annotated[bool, typer.Option("--approve", help="Let a held run go.")] = False,
    wait: Annotated[
        bool, typer.Option("--wait", help="Stay until the run's own doubts are settled.")
    ] = False,
    full: Annotated[
        bool,
        typer.Option("--full", help="Read whole models; what is recorded is not sent again."),
    ] = False,
    fail_on: Annotated[
        FailOn,
        typer.Option(
            help="When to end with 1: this run has left something for a person; something waits"
            " for one, whichever run left it; never."
        ),
    ] = FailOn.WAITING,
    json: Json = False,
) -> None:
    """Send what is new: one run of each activation."""
    app = App(settings())
    activations, passed_by = run.to_run(app, names or [])
    with progress(json) as bars:
        work = run.sync(app, activations, Orders(limit, approve, wait, full), bars)
        ended = interruptible(app, work)
    document = {"runs": run.run_documents(app, ended)}
    code = exit_code([end.exit_code(fail_on) for end in ended])
    tell(document, lambda told: show_synced(told, passed_by), json, code)


@commands.command()
def pause(
    name: Name,
    by: Annotated[str | None, typer.Option(help="Who says so; default: your login name.")] = None,
) -> None:
    """Let nothing run an activation until it is resumed, without editing the configuration."""
    app = App(settings())
    app.activations([name])
    who = person(by).name
    with app.ledger() as ledger:
        before = ledger.pause(name, who)
    since = f" already, by {before}" if before else ""
    print(
        f'"{name}" is paused{since}. A run that goes on now ends as usual;'
        f" `connector resume {name}` ends the pause."
    )


@commands.command()
def resume(name: Name) -> None:
    """End a pause."""
    app = App(settings())
    (activation,) = app.activations([name])
    with app.ledger() as ledger:
        ended = ledger.resume(name)
    stays = " It stays paused by `paused: true` in the configuration." if activation.paused else ""
    print(f"{f'The pause of {name} has ended' if ended else f'Nobody had paused {name}'}.{stays}")


@commands.command()
def restored() -> None:
    """Say that the ledger was put back from a backup: rows are read back before they are sent."""
    with App(settings()).ledger() as ledger:
        ledger.distrust()
    print(
        "The ledger counts as put back from a backup. The next syncs ask the destination about\n"
        "every row that the ledger does not know to be delivered, and send what is not there."
    )
