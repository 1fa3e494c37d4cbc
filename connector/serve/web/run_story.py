"""What the ledger tells of a run, in the order of time: whichever process it ran in, whose log may
be elsewhere."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

from connector.ledger.audit import Deeds
from connector.project.app import App
from connector.rules.deed import Document
from connector.rules.interaction import instant_text
from connector.serve.web.audit import effect
from connector.serve.web.charts import took_text
from connector.serve.web.page import shortened
from connector.show.blocks import words

SEEN = 0.01
"""Seconds that a phase must take to be told."""


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened: when, in words, what more is told of it, and how grave it is."""

    at: str
    what: str
    told: str = ""
    tone: str = "calm"


def story(app: App, run: Document, tempo: Document | None) -> list[Event]:
    """What happened to `run`, from its beginning to what persons did about it since."""
    name, run_id = run["activation"], run["run_id"]
    with app.reports() as reports:
        deeds = reports.audit(Deeds((name,), run_id=run_id))
        approved = [each for each in reports.approvals(name, 50) if each.used_by == run_id]
    found = [
        Event(run["started_at"], "began", _asked(run)),
        *(_let_go(run, each.by, each.note) for each in approved),
        *_phases(run, tempo),
        *_ended(run),
    ]
    for each in deeds:
        what, by = words(each["what"]), f"by {shortened(each['by'], 60)}"
        told = "; ".join(effect(each["what"], dict(each["details"])))
        found.append(Event(each["at"], f"{what} {by}", told))
    return sorted(found, key=lambda event: event.at)


def _asked(run: Document) -> str:
    by, tag = run["by"], run["tag"]
    return ", ".join([*([f"asked for by {by}"] if by else []), *([f"tag {tag}"] if tag else [])])


def _let_go(run: Document, by: str, note: str | None) -> Event:
    told = "what was held before goes with this run" + (f": “{note}”" if note else "")
    return Event(run["started_at"], f"approved by {shortened(by, 60)}", told)


def _phases(run: Document, tempo: Document | None) -> Iterator[Event]:
    """What it did one after the other, as far as it is kept."""
    if tempo is None:
        return
    began = datetime.fromisoformat(run["started_at"])
    for (phase, begin), (_, end) in pairwise([*tempo["phases"], ("", tempo["seconds"])]):
        if end - begin >= SEEN:
            at = instant_text(began + timedelta(seconds=begin))
            yield Event(at, phase, took_text(end - begin))


def _ended(run: Document) -> Iterator[Event]:
    if run["finished_at"]:
        tone = {"stopped": "bad", "succeeded": "good"}.get(run["status"], "warn")
        told = run["error"] or f"{run['read']:,} read, {run['delivered']:,} delivered"
        yield Event(run["finished_at"], f"ended: {words(run['status'])}", told, tone)
