"""What pages tell of where an activation stands: its last runs, its days, what needs a person."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import quote, urlencode

from connector.project.app import App
from connector.rules.activation import Activation
from connector.rules.deed import Document
from connector.rules.delivery import waiting_for_person
from connector.rules.receipt import FOUND
from connector.rules.words import counted
from connector.serve.web.charts import STRIP, line, strip
from connector.show.blocks import words

DAYS = 30


@dataclass(frozen=True, slots=True)
class Need:
    """What needs a person: of which activation, in a line, and where it is dealt with."""

    name: str
    text: str
    link: str
    action: str
    tone: str


def glances(app: App, documents: list[Document]) -> list[Document]:
    """`documents`, which say where activations stand, with what the pages tell more."""
    names, now = [document["name"] for document in documents], datetime.now(UTC)
    project = app.settings.project
    with app.reports() as reports:
        days, pasts = reports.days_of(names, now, DAYS), reports.recent_runs(names, STRIP)
    for document in documents:
        name = document["name"]
        activation = project.activations[name]
        read_at = document["read_at"]
        document |= {
            "description": activation.description,
            "destination": project.destination_of(activation),
            "days": days[name],
            "lag": (now - datetime.fromisoformat(read_at)).total_seconds() if read_at else None,
            "strip": strip(pasts[name]),
            "line": _line(days[name]),
            "person": sum(waiting_for_person(document["counts"]).values()),
        }
        document["needs"] = list(_needs(document, activation))
    return documents


def _line(days: Sequence[Mapping[str, int]]) -> object:
    numbers = [day["delivered"] for day in days]
    text = f"{sum(numbers):,} delivered in {len(days)} days, at most {max(numbers):,} in one"
    return line(numbers, text) if any(numbers) else None


def _needs(document: Document, activation: Activation) -> Iterator[Need]:
    """What a person has to do about an activation, the most pressing first."""
    name, last = document["name"], document["last_run"]
    here = f"/activations/{quote(name)}"
    if document["held"] and not (document["hold"] or {}).get("approval"):
        yield Need(name, f"held: {document['held']}", f"{here}/held", "Review", "warn")
    if last and last["status"] == "stopped" and not document["running"] and not document["paused"]:
        text = f"stopped: {last['error'] or 'it did not say why'}"
        yield Need(name, text, f"/runs/{last['run_id']}", "See why", "bad")
    if waits := {state: n for state, n in waiting_for_person(document["counts"]).items() if n}:
        kinds = ", ".join(f"{number:,} {words(state)}" for state, number in waits.items())
        text = f"{counted(document['person'], 'row')} to decide about: {kinds}"
        yield Need(name, text, f"/quarantine?{urlencode({'activation': name})}", "Decide", "warn")
    seen = (document["verification"] or {}).get("last")
    if seen and seen["result"] == "deviation":
        amiss = ", ".join(f"{seen[kind]:,} {kind}" for kind in FOUND if seen[kind])
        text = f"verified: {amiss}, against what was sent"
        yield Need(name, text, f"{here}/receipts", "Look", "bad")
    if document["suspect"]:
        text = "the ledger was put back from a backup: rows are read back before they are sent"
        yield Need(name, text, here, "Look", "warn")
    if document["state"] == "attention" and last and not document["held"]:
        for note in last["notes"]:
            yield Need(name, note, f"/runs/{last['run_id']}", "Look", "warn")
