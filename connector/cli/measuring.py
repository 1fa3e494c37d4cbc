"""`probe`: how the real destination behaves, measured by interactions that are all taken back."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from connector.cli.asking import person
from connector.cli.deeds import Consent, Showing, carry_out
from connector.cli.options import By, Json, Yes
from connector.cli.working import app, progress

if TYPE_CHECKING:
    from connector.rules.deed import Document


def probe(
    destination: Annotated[
        str | None, typer.Argument(metavar="[DESTINATION]", help="Which one, where there are more.")
    ] = None,
    contact: Annotated[
        str, typer.Option(metavar="ID", help="Whom the interactions are about: one of your own.")
    ] = "",
    target: Annotated[
        str,
        typer.Option("--schema", metavar="ID", help="Where to, if it can make nothing of its own."),
    ] = "",
    most: Annotated[
        int | None, typer.Option(metavar="N", help="How many interactions are made at most.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write what `sandbox --behaviour` imitates.")
    ] = None,
    yes: Yes = False,
    by: By = None,
    json: Json = False,
) -> None:
    """Measure how the real destination behaves. Takes back all that it makes; asks first."""
    from connector.decisions.probe import MOST, Order, Probe
    from connector.rules.errors import ConfigurationError
    from connector.show.probe import show_probe, show_probe_plan

    if out is not None and not out.parent.is_dir():
        raise ConfigurationError(f"--out: there is no folder {out.parent}")

    def write(document: "Document") -> None:
        if out is not None:
            _write(out, kind, document)

    project, bars = app(), progress(json)
    number, who = MOST if most is None else most, person(by).name
    order = Order(destination, contact.strip(), target.strip(), number, who)
    deed = Probe(project, order, bars, write)
    kind = project.settings.project.destinations[deed.destination].type
    carry_out(project, deed, Showing(json, show_probe, show_probe_plan, bars), Consent(yes))


def _write(out: Path, kind: str, document: "Document") -> None:
    """The switches of a sandbox that behaves so, and what they were measured by."""
    from json import dumps

    from connector.rules.errors import ConfigurationError
    from connector.sandbox.start import switches_of

    content = {**switches_of(kind, document), "measured": document}
    try:
        out.write_text(dumps(content, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(f"cannot write {out}: {error.strerror}") from None
