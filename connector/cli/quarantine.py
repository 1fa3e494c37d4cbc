"""`quarantine list|retry|settle|discard`: rows that wait for a person."""

from enum import StrEnum
from typing import Annotated

import typer

from connector.cli.asking import ask, one_line, person
from connector.cli.options import By, Json, Key, Keys, MaybeName, Name, Note, Reason, Yes, group
from connector.cli.working import settings, tell, wait_for
from connector.decisions.quarantine import Selection
from connector.project import decide
from connector.project.app import App
from connector.rules.delivery import CORRECTABLE, QUARANTINE, State
from connector.rules.errors import ConfigurationError
from connector.show import texts as show

commands = group()
quarantine = group("Rows that wait for a person.")
commands.add_typer(quarantine, name="quarantine")


class InQuarantine(StrEnum):
    """The states of rows that wait for a person."""

    INVALID = "invalid"
    REJECTED = "rejected"
    IN_DOUBT = "in_doubt"


class Discardable(StrEnum):
    """The states of rows that can be given up together."""

    INVALID = "invalid"
    REJECTED = "rejected"
    IN_DOUBT = "in_doubt"
    PENDING = "pending"
    WAITING = "waiting"


@quarantine.command("list")
def show_list(
    name: MaybeName = None,
    state: Annotated[InQuarantine | None, typer.Option(help="Only rows that are so.")] = None,
    reason: Reason = None,
    limit: Annotated[
        int | None,
        typer.Option(min=1, help="How many rows to show; 20, and with --json all."),
    ] = None,
    json: Json = False,
) -> None:
    """List the rows that wait for a person, by reason and one by one."""
    app = App(settings())
    if name is not None:
        app.activations([name])
    most = limit if json else limit or show.MOST_ROWS
    only = State(state.value) if state else None
    with app.reports() as reports:
        document = {
            "rows": reports.quarantine(name, most, only, reason),
            "groups": reports.quarantine_groups(name, only, reason),
        }
    tell(document, lambda d: show.quarantine(d["rows"], d["groups"]), json)


@quarantine.command()
def retry(
    name: Name,
    keys: Keys = None,
    reason: Reason = None,
    by: By = None,
    note: Note = None,
    json: Json = False,
) -> None:
    """Map invalid and rejected rows again, as the model and the schema are now.

    All of the activation when no key is named. What fits becomes pending, and the next sync sends
    it; nothing is sent by this command.
    """
    app, who = App(settings()), person(by, note)
    (activation,) = app.activations([name])
    _either_keys_or_filters(keys, reason is not None)
    selection = Selection(tuple(keys or ()), CORRECTABLE, reason)
    with show.progress(json) as bars:
        decided = wait_for(decide.retry(app, activation, selection, who, bars))
    tell(show.decided_document(decided), lambda _: show.retried(decided), json)


@quarantine.command()
def settle(
    name: Name,
    key: Key,
    delivered: Annotated[
        bool, typer.Option("--delivered", help="The interaction is at the destination.")
    ] = False,
    interaction_id: Annotated[
        str | None, typer.Option(metavar="ID", help="Its id there, if you know it.")
    ] = None,
    not_delivered: Annotated[
        bool, typer.Option("--not-delivered", help="It is not: the row is to be sent again.")
    ] = False,
    by: By = None,
    note: Note = None,
    json: Json = False,
) -> None:
    """Say what became of a row in doubt, when you have looked at the destination."""
    app, who = App(settings()), person(by, note)
    (activation,) = app.activations([name])
    if delivered == not_delivered:
        raise ConfigurationError("say either --delivered or --not-delivered")
    if not_delivered and interaction_id is not None:
        raise ConfigurationError("--interaction-id goes with --delivered")
    if delivered:
        decided = decide.settle_delivered(app, activation, key, _in_one_word(interaction_id), who)
    else:
        decided = decide.settle_not_delivered(app, activation, key, who)
    tell(show.decided_document(decided), lambda _: show.settled(decided), json)


@quarantine.command()
def discard(
    name: Name,
    keys: Keys = None,
    everything: Annotated[
        bool, typer.Option("--all", help="All rows of the activation in quarantine.")
    ] = False,
    state: Annotated[Discardable | None, typer.Option(help="All that are so.")] = None,
    reason: Reason = None,
    yes: Yes = False,
    by: By = None,
    note: Note = None,
    json: Json = False,
) -> None:
    """Give rows up: they are never sent, whatever the model says. This is final.

    Rows in quarantine; also pending and waiting ones when their keys or that state are named.
    """
    app, who = App(settings()), person(by, note)
    (activation,) = app.activations([name])
    filters = everything or state is not None or reason is not None
    _either_keys_or_filters(keys, filters)
    if not keys and not filters:
        raise ConfigurationError("name the keys, or say --all, --state or --reason")
    states = (State(state.value),) if state else QUARANTINE
    selection = Selection(tuple(keys or ()), states, reason)
    shown = None
    if not keys and not yes and (shown := decide.discardable(app, activation, selection)):
        ask(f"{show.discarding(shown)} Discard them?")
    decided = decide.discard(app, activation, selection, who, shown)
    tell(show.decided_document(decided), lambda _: show.discarded(decided), json)


def _either_keys_or_filters(keys: list[str] | None, filters: bool) -> None:
    if keys and filters:
        raise ConfigurationError(
            "name keys, or say which rows by --all, --state or --reason: not both"
        )


def _in_one_word(text: str | None) -> str | None:
    """The id of an interaction. Raises ConfigurationError for what cannot be one."""
    if text is None:
        return None
    if not (text := text.strip()) or one_line(text) != text or " " in text:
        raise ConfigurationError(
            "--interaction-id wants the id that the destination shows, in one word"
        )
    return text
