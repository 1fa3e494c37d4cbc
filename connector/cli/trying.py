"""`check`, `preview`, `diff`, `verify` and `send`: would a sync work, what would it send, what does
an edit mean, is it there, what becomes of it? All but the last write nothing."""

import sys
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from connector.cli.asking import person
from connector.cli.deeds import Consent, Showing, carry_out, documented
from connector.cli.options import COUNTABLE, By, Json, Key, Name, Names, RunId, Yes
from connector.cli.working import Before, app, progress, settings, tell, wait_for
from connector.rules.errors import ConfigurationError


class Format(StrEnum):
    """How findings are printed."""

    TEXT = "text"
    JSON = "json"
    GITHUB = "github"


def check(
    names: Names = None,
    offline: Annotated[
        bool,
        typer.Option("--offline", help="What needs no connection and no secret, file by file."),
    ] = False,
    alerts: Annotated[
        bool, typer.Option("--alerts", help="Send a message to each of `alerts`, and that alone.")
    ] = False,
    format: Annotated[
        Format, typer.Option(help="github: annotations of a pull request.")
    ] = Format.TEXT,
    json: Json = False,
) -> None:
    """Find out whether a sync would work. Writes nothing, sends no interaction."""
    from connector.show.check import show_alerts, show_annotations, show_check, show_offline

    if alerts:
        if offline or names or format is not Format.TEXT:
            raise ConfigurationError("--alerts is said alone: messages are all that it tries")
        from connector.serve.sending import try_all

        tried = wait_for(try_all(settings()))
        told = {"ok": all(each["sent"] for each in tried), "alerts": tried}
        tell(told, show_alerts, json, 0 if told["ok"] else 3)
        return
    as_document = json or format is Format.JSON
    show = show_annotations if format is Format.GITHUB else show_offline if offline else show_check
    if offline:
        from connector.project.offline import check_offline

        remarks = check_offline(Before.config, names or ())
        tell(remarks.document(), show, as_document, remarks.exit_code)
    else:
        from connector.project import look

        project = app()
        found = wait_for(look.check(project, project.activations(names or []), bool(names)))
        tell(found.document(), show, as_document, found.exit_code)


def preview(
    name: Name,
    limit: Annotated[
        int, typer.Option(min=0, max=COUNTABLE, help="How many requests to show.")
    ] = 10,
    offline: Annotated[bool, typer.Option("--offline", help="Ask no destination.")] = False,
    json: Json = False,
) -> None:
    """Show what a sync would do now. Writes nothing, sends no interaction."""
    from connector.project import look
    from connector.show.preview import show_preview

    project = app()
    (activation,) = project.activations([name])
    forecast = wait_for(look.preview(project, activation, limit, offline))
    tell(forecast.document(), show_preview, json)


def diff(
    names: Names = None,
    against: Annotated[
        str, typer.Option(metavar="REF", help="A commit, branch or tag of Git.")
    ] = "HEAD",
    limit: Annotated[
        int, typer.Option(min=0, max=COUNTABLE, help="Rows whose bodies are shown.")
    ] = 3,
    state: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Where dbt's manifest.json of the earlier version is."),
    ] = None,
    offline: Annotated[
        bool, typer.Option("--offline", help="Which parts were edited; look at no row.")
    ] = False,
    format: Annotated[
        Format, typer.Option(help="github: a comment of a pull request.")
    ] = Format.TEXT,
    show_values: Annotated[
        bool, typer.Option("--show-values", help="In a comment, show the values of rows, too.")
    ] = False,
    json: Json = False,
) -> None:
    """Show what an edit of models or YAML means for rows. Writes nothing, sends nothing."""
    from connector.project import look
    from connector.project.diff import Looking, review, review_offline
    from connector.show.diff import show_comment, show_diff

    if offline:
        found = review_offline(Before.config, against, names or (), state)
    else:
        looking = Looking(app(), look.preview, limit)
        found = wait_for(review(looking, against, names or (), state))
    as_comment = partial(show_comment, show_values=show_values)
    show = as_comment if format is Format.GITHUB else show_diff
    tell(found.document(), show, json or format is Format.JSON, found.exit_code)


def verify(
    run_id: RunId,
    sample: Annotated[str, typer.Option(help="How many of the rows, such as 5%.")] = "100%",
    json: Json = False,
) -> None:
    """Read back what a run delivered: is it there, once, as it was sent? Writes nothing."""
    from connector.project import look
    from connector.show.verification import show_verification

    project, share = app(), _share(sample)
    with progress(json) as bars:
        told = partial(bars.counting, run_id, "reading back")
        run, found = wait_for(look.verify(project, run_id, share, told))
    tell(found.document(run, share), show_verification, json, 0 if found.ok else 1)


def send(
    name: Name,
    key: Key,
    to: Annotated[
        str, typer.Option(metavar="CONTACT", help="As the rows have it, or a contactId.")
    ],
    keep: Annotated[bool, typer.Option("--keep", help="Do not take it back.")] = False,
    yes: Yes = False,
    by: By = None,
    json: Json = False,
) -> None:
    """Send a row's body to a test contact, show what becomes of it, and take it back."""
    from connector.decisions.send import Send
    from connector.show.trying import show_send_plan, show_sent

    project, who = app(), person(by).name
    (activation,) = project.activations([name])
    if not to.strip():
        raise ConfigurationError("--to wants a contactId or another identifier")
    deed = Send(project, activation, key, to.strip(), keep, partial(print, file=sys.stderr), who)
    showing = Showing(json, documented(show_sent), documented(show_send_plan))
    carry_out(project, deed, showing, Consent(yes))


def _share(text: str) -> float:
    """`5%` or `0.05`. Raises ConfigurationError."""
    from connector.rules.grammar import parse_percentage

    try:
        share: float = parse_percentage(text if text.strip().endswith("%") else float(text))
    except ValueError:
        share = 0.0
    if not share:
        raise ConfigurationError(f'--sample "{text}": expected a share such as 5% or 0.05, above 0')
    return share
