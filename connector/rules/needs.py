"""What needs a person where an activation stands: why, how pressing, and the command for it.

The terminal and the pages tell the same; a page leads to a page instead of a command.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from shlex import quote
from typing import Protocol

from connector.basis import dataclass
from connector.rules.deed import Document
from connector.rules.delivery import State, waiting_for_person
from connector.rules.errors import HELD
from connector.rules.receipt import FOUND
from connector.rules.words import by_state, counted, first_few, rows, settle_from

BAD, WARN = "bad", "warn"
PROJECT = "the project"
COMMANDS = {
    "held": "connector approve {name}",
    "build": "dbt build",
    "stopped": "connector check {name}",
    "refused": "connector check {name}",
    "interrupted": "connector sync {name}",
    "rows": "connector quarantine list {name}",
    "young": "connector sync {name}",
    "deviation": "connector receipts {name}",
    "backup": "connector sync {name}",
    "paused": "connector resume {name}",
    "note": "connector runs {name}",
    "alerts": "connector check --alerts",
    "full": "df -h",
    "restored": "connector sync",
    "left": "connector quarantine list {name}",
    "left_unsent": "connector runs {name}",
}
"""What deals with which kind of need."""
TOLD = 2
"""Of the mistakes that stopped a run, how many a line tells; a check tells all."""


SYNC = re.compile(r"(?<=`connector sync )[\w.-]+(?= --(?:approve|full)`)")
DISCARD = re.compile(r"(?<=`connector quarantine discard )[\w.-]+(?= --state pending`)")


def as_called(sentence: str, now: str, recorded: str) -> str:
    """`sentence` of an earlier run, with commands that can be typed still: those that run the
    activation name it as it is called `now`, and those that decide about its rows as they are
    `recorded`."""
    return DISCARD.sub(recorded, SYNC.sub(now, sentence))


@dataclass(frozen=True, slots=True)
class Need:
    """What needs a person, in a line. `kind`: one of COMMANDS; `run_id`: of the run that says so,
    if one does; `about`: the activation that a need of the project is about."""

    name: str
    kind: str
    text: str
    tone: str = WARN
    run_id: str | None = None
    about: str | None = None
    exactly: str | None = None
    """The command that deals with it, where its kind does not say that."""

    @property
    def command(self) -> str:
        """What deals with it."""
        return self.exactly or COMMANDS[self.kind].format(name=self.about or self.name)

    @property
    def document(self) -> Document:
        """It, for programs."""
        return {"kind": self.kind, "text": self.text, "command": self.command}


def needs_of(document: Document) -> Iterator[Need]:
    """What a person has to do about an activation, which stands as `document` of `status` says, the
    most pressing first."""
    name, last = document["name"], document["last_run"]
    hold = document["hold"] or {}
    if document["held"] and not hold.get("approval"):
        kind = "build" if hold.get("build") else "held"  # what dbt mends is not let go as it is
        text = f"held: {document['held'].removeprefix('held: ')}"
        # a run has to take over first what is recorded under an earlier name
        is_under = kind == "held" and last and last["activation"] != name
        yield Need(name, kind, text, exactly=f"connector sync {name}" if is_under else None)
    if refused := document.get("refused"):
        yield Need(name, "refused", f"no run is begun: {refused}", BAD)
    elif last and last["status"] == "stopped" and not document["paused"]:
        why = first_few((last["error"] or "it did not say why").splitlines(), TOLD)
        kind = "interrupted" if last.get("kind") == "interrupted" else "stopped"
        yield Need(name, kind, f"stopped: {why}", BAD, last["run_id"])
    yield from _rows(document)
    seen = (document["verification"] or {}).get("last")
    if seen and seen["result"] == "deviation":
        amiss = ", ".join(f"{seen[kind]:,} {kind}" for kind in FOUND if seen[kind])
        yield Need(name, "deviation", f"verified: {amiss}, against what was sent", BAD)
    elif seen and seen["deviating"]:
        before = counted(seen["deviating"], "row")
        text = f"verified: {before} that deviated before could not be looked at again"
        yield Need(name, "deviation", text, BAD)
    if document["suspect"]:
        text = "the ledger was put back from a backup: rows are read back before they are sent"
        yield Need(name, "paused" if document["paused_by"] else "backup", text)
    if document["state"] == "attention" and last and not document["held"]:
        for note in notes_of(last):
            yield Need(name, "note", note, run_id=last["run_id"])


def _rows(document: Document) -> Iterator[Need]:
    """Rows to decide about; and those in doubt that a run settles, once they are old enough."""
    name, last, waits = document["name"], document["last_run"], dict(document["counts"])
    doubts = waits.get(State.IN_DOUBT, 0)
    young = min(doubts, last["too_young"]) if last else 0
    if waits := waiting_for_person({**waits, State.IN_DOUBT.value: doubts - young}):
        text = f"{rows(sum(waits.values()))} to decide about: {by_state(waits)}"
        yield Need(name, "rows", text)
    if young and last:
        yield Need(name, "young", settle_from(young, last["next_settling"]))


def notes_of(last: Document) -> Sequence[str]:
    """What the newest run has to say of an activation that is not held: why that run was held, its
    last note, is over."""
    notes: Sequence[str] = last["notes"]
    return notes[:-1] if last["status"] == HELD else notes


class Failing(Protocol):
    """What is needed of connector.rules.telling.Failing."""

    @property
    def number(self) -> int: ...
    @property
    def text(self) -> str: ...


def needs_of_project(
    failing: Iterable[Failing],
    restored: str | None,
    left: Mapping[str, Mapping[str, int]],
    full: str | None = None,
) -> list[Need]:
    """What a person has to do about the project itself: alerts that are `failing`, in whichever
    process that serves it; a ledger of which something says that it was put back, before a run has
    found that out; rows that wait, counted by state, of activations that are not configured; the
    folder of the ledger, where its disk is `full`."""
    texts = dict.fromkeys(each.text for each in sorted(failing, key=lambda each: each.number))
    needs = [Need(PROJECT, "alerts", text, BAD) for text in texts]
    if full:
        needs.append(Need(PROJECT, "full", no_room(full), BAD, exactly=f"df -h {quote(full)}"))
    if restored:
        text = (
            f"the ledger seems to be from a backup ({restored}): the next run reads rows back"
            " before it sends them"
        )
        needs.append(Need(PROJECT, "restored", text))
    for name, states in left.items():
        number = sum(states.values())
        text = (
            f'"{name}" is not configured any more, and {counted(number, "row")} of it'
            f" {'waits' if number == 1 else 'wait'}: {by_state(states)}. Put it back, or say"
            f" renamed_from: {name} where it goes on"
        )
        text, exactly = (
            f"{text}, or discard them" if (up := giving_up(name, states)) else text,
            None,
        )
        kind = "left" if waiting_for_person(states) else "left_unsent"
        if kind == "left":  # somebody looks at them first
            text = f"{text}: {', '.join(f'`{each}`' for each in up)}"
        elif up:
            exactly = " && ".join(up)
        needs.append(Need(PROJECT, kind, text, about=name, exactly=exactly))
    return needs


def no_room(folder: str) -> str:
    """That the disk with the ledger's `folder` is full."""
    return f"the disk of {folder} is full: no run can record anything in the ledger, so none begins"


def giving_up(name: str, states: Mapping[str, int]) -> list[str]:
    """The commands that give up the rows of an activation, counted by state; none for those whose
    request may be under way."""
    which = ["--all"] if waiting_for_person(states) else []
    which += [f"--state {state}" for state in (State.PENDING, State.WAITING) if states.get(state)]
    return [f"connector quarantine discard {quote(name)} {each}" for each in which]


def most_pressing(needs: Sequence[Need]) -> list[Need]:
    """`needs` of several activations, the bad ones first."""
    return sorted(needs, key=lambda need: need.tone != BAD)
