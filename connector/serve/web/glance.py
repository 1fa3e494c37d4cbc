"""What pages tell of where an activation stands: its last runs, its days, what needs a person."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from urllib.parse import quote, urlencode

from connector.basis import dataclass
from connector.project.app import App
from connector.rules.deed import Document
from connector.rules.delivery import waiting_for_person
from connector.rules.needs import BAD, Need, needs_of
from connector.serve.web.charts import STRIP, line, strip
from connector.show.story import without_command

DAYS = 30


@dataclass(frozen=True, slots=True)
class Linked:
    """What needs a person: of which activation (`here` is its page), in a line, and where it is
    dealt with. Of the project itself there is no page."""

    name: str
    text: str
    link: str | None
    action: str
    tone: str
    here: str | None


def glances(app: App, documents: list[Document]) -> list[Document]:
    """`documents`, which say where activations stand, with what the pages tell more."""
    names, now = [document["name"] for document in documents], datetime.now(UTC)
    project = app.settings.project
    with app.reports() as reports:
        delivered = reports.delivered_since(names, now, DAYS)
    for document in documents:
        name = document["name"]
        activation = project.activations[name]
        document |= {
            "description": activation.description,
            "destination": project.destination_of(activation),
            "delivered": delivered[name][0],
            "delivered_today": delivered[name][1],
            "person": sum(waiting_for_person(document["counts"]).values()),
        }
        running = document.get("running")  # here, so that what stopped before is over
        found = [
            need
            for need in needs_of(document)
            if not (running and need.run_id and need.tone == BAD)
        ]
        document["needs"] = list(map(_linked, found))
    return documents


def drawn(app: App, documents: list[Document]) -> list[Document]:
    """`documents` of glances, with what is drawn of each: its last runs, and its days."""
    names = [document["name"] for document in documents]
    with app.reports() as reports:
        pasts, days = (
            reports.recent_runs(names, STRIP),
            reports.days_of(names, datetime.now(UTC), DAYS),
        )
    for document in documents:
        name = document["name"]
        document |= {"strip": strip(pasts[name]), "line": _line(days[name])}
    return documents


def _line(days: Sequence[Mapping[str, int]]) -> object:
    numbers = [day["delivered"] for day in days]
    text = f"{sum(numbers):,} delivered in {len(days)} days, at most {max(numbers):,} in one"
    return line(numbers, text) if any(numbers) else None


def _linked(need: Need) -> Linked:
    """`need`, and the page where it is dealt with."""
    here = f"/activations/{quote(need.name)}"
    match need.kind:
        case "held":
            link, action = f"{here}/held", "Review"
        case "stopped" | "interrupted":
            link, action = f"/runs/{need.run_id}", "See why"
        case "rows":
            link, action = f"/quarantine?{urlencode({'activation': need.name})}", "Decide"
        case "young":
            link, action = f"/quarantine?{urlencode({'activation': need.name})}", "Look"
        case "deviation":
            link, action = f"/receipts?{urlencode({'activation': need.name})}", "Look"
        case "note":
            link, action = f"/runs/{need.run_id}", "Look"
        case _:
            link, action = here, "Look"
    return Linked(need.name, without_command(need.text), link, action, need.tone, here)


def of_project(app: App) -> list[Linked]:
    """What needs a person in the project itself."""
    return [_of_project(need) for need in app.needs()]


def _of_project(need: Need) -> Linked:
    if need.kind == "left" and need.about:
        link = f"/quarantine?{urlencode({'activation': need.about})}"
        return Linked(need.name, need.text, link, "Decide", need.tone, None)
    return Linked(need.name, f"{need.text}; see {need.command}", None, "", need.tone, None)
