"""`quarantine list|retry|settle|discard`: rows that wait for a person. And `release`."""

from typing import Annotated, Literal

import typer

from connector.cli.asking import instant, one_line, person
from connector.cli.deeds import Consent, Showing, carry_out, documented
from connector.cli.options import (
    COUNTABLE,
    By,
    DryRun,
    Json,
    Key,
    Keys,
    MaybeName,
    Name,
    Note,
    Page,
    Reason,
    RunId,
    Since,
    Yes,
    group,
)
from connector.cli.working import app, progress, reporting, tell
from connector.rules.delivery import CORRECTABLE, QUARANTINE, State
from connector.rules.errors import ConfigurationError

quarantine = group("Rows that wait for a person.")

InQuarantine = Literal["invalid", "rejected", "in_doubt"]
Discardable = Literal["invalid", "rejected", "in_doubt", "pending", "waiting"]


@quarantine.command("list")
def show_list(
    name: MaybeName = None,
    state: Annotated[InQuarantine | None, typer.Option(help="Only rows that are so.")] = None,
    reason: Reason = None,
    row_key: Annotated[
        str | None,
        typer.Option("--key", metavar="TEXT", help="Only rows whose key holds this, or begins: X*"),
    ] = None,
    since: Since = None,
    limit: Annotated[
        int | None,
        typer.Option(min=1, max=COUNTABLE, help="How many rows to show; 20, and with --json all."),
    ] = None,
    page: Page = 1,
    json: Json = False,
) -> None:
    """List the rows that wait for a person, by reason and one by one."""
    from connector.project.renamed import as_called_now
    from connector.show.blocks import MOST_ROWS
    from connector.show.quarantine import show_quarantine

    project, began = reporting(), instant(since)
    if name is not None:
        name = project.recorded(name)
    if page > 1 and json and limit is None:
        raise ConfigurationError("--page goes with --limit where --json is said: all are told")
    most = limit if json else limit or MOST_ROWS
    only = State(state) if state else None
    with project.reports() as reports:
        up_to = most and most * page
        rows = reports.quarantine(name, up_to, only, reason, row_key, began)
        groups = reports.quarantine_groups(name, only, reason, row_key, began)
    before = (most or 0) * (page - 1)
    document = {
        "rows": project.with_mappings(as_called_now(project, rows[before:])),
        "groups": project.with_mappings(as_called_now(project, groups)),
    }
    narrowed = any(each is not None for each in (only, reason, row_key, began))
    tell(document, lambda ready: show_quarantine(ready, before, narrowed), json)


@quarantine.command()
def retry(
    name: MaybeName = None,
    keys: Keys = None,
    reason: Reason = None,
    run_id: Annotated[
        str | None,
        typer.Option("--run", metavar="RUN", help="What an undo took back of it; asks first."),
    ] = None,
    yes: Yes = False,
    dry_run: DryRun = False,
    by: By = None,
    note: Note = None,
    json: Json = False,
) -> None:
    """Map invalid and rejected rows again, as the model and the schema are now.

    All of the activation when no key is named. What fits becomes pending, and the next sync sends
    it; nothing is sent by this command.
    """
    from connector.cli.printing import show_release_plan, show_released
    from connector.decisions.deciding import Selection
    from connector.decisions.retry import Retry, RetryRun
    from connector.show.quarantine import show_retried

    project, who, bars = app(), person(by, note), progress(json)
    if run_id is not None:
        if reason is not None:
            raise ConfigurationError("--run takes keys, and no --reason")
        undone = RetryRun(project, run_id, name, keys or (), who, bars)
        showing = Showing(json, show_released, show_release_plan, bars)
        carry_out(project, undone, showing, Consent(yes, dry_run))
    if name is None:
        raise ConfigurationError("name an activation, or a run with --run")
    if dry_run:
        raise ConfigurationError("--dry-run goes with --run")
    (activation,) = project.activations([name])
    _either_keys_or_filters(keys, reason is not None)
    selection = Selection(tuple(keys or ()), CORRECTABLE, reason)
    deed = Retry(project, activation, selection, who, bars)
    carry_out(
        project,
        deed,
        Showing(json, documented(show_retried), bars=bars),
        Consent(yes=True),
        ends_in_order=False,
    )


def release(
    run_id: RunId,
    keys: Annotated[
        list[str] | None, typer.Argument(metavar="KEY", help="Row keys; all if left out.")
    ] = None,
    yes: Yes = False,
    dry_run: DryRun = False,
    by: By = None,
    json: Json = False,
) -> None:
    """Let rows that were taken back be sent again, as the model has them today.

    Another name of `quarantine retry --run`.
    """
    retry(keys=keys, run_id=run_id, yes=yes, dry_run=dry_run, by=by, json=json)


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
    from connector.decisions.quarantine import Arrived, NeverArrived, Settle
    from connector.show.quarantine import show_settled

    project, who = app(), person(by, note)
    (activation,) = project.activations([name])
    if delivered == not_delivered:
        raise ConfigurationError("say either --delivered or --not-delivered")
    if not_delivered and interaction_id is not None:
        raise ConfigurationError("--interaction-id goes with --delivered")
    found = _in_one_word(interaction_id)
    verdict = Arrived(found) if delivered else NeverArrived()
    deed = Settle(project, activation, key, verdict, who)
    carry_out(project, deed, Showing(json, documented(show_settled)), Consent(yes=True))


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
    from connector.decisions.deciding import Selection
    from connector.decisions.quarantine import Discard
    from connector.show.quarantine import show_discarded

    project, who = app(), person(by, note)
    name = project.recorded(name)
    filters = everything or state is not None or reason is not None
    _either_keys_or_filters(keys, filters)
    if not keys and not filters:
        raise ConfigurationError("name the keys, or say --all, --state or --reason")
    states = (State(state),) if state else QUARANTINE
    deed = Discard(project, name, Selection(tuple(keys or ()), states, reason), who)
    agreed = Consent(yes=yes or bool(keys))
    carry_out(project, deed, Showing(json, documented(show_discarded)), agreed)


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
