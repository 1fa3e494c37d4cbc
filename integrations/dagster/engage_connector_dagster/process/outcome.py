"""Decides what the end of a sync means for an orchestrator: pure, and the same for all of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Literal

from .command import Ended

On = Literal["succeed", "skip", "fail"]
"""What a task becomes of a run that a person must look at."""


class Verdict(IntEnum):
    """What a task becomes."""

    SUCCEED = 0
    WARN = 1
    """Success, and somebody is told."""
    SKIP = 2
    """Nothing was done that what follows could use; nobody is alerted by the task."""
    RETRY = 3
    """The same may do better later."""
    FAIL = 4
    """It would end like this again: no retry."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """A verdict with its reason, and the run that it is about, empty when there was none."""

    verdict: Verdict
    why: str
    run: Mapping[str, Any]

    @property
    def done(self) -> bool:
        """Nothing is left that another sync could send at once."""
        return self.run.get("done") is True


COUNTS = ("read", "staged", "delivered", "invalid", "rejected", "waiting", "in_doubt", "pending")
"""The counts that a task hands on; the last three say how rows stand."""
KINDS_TO_SKIP = ("paused",)


def judge(ended: Ended, on_held: On = "skip", on_attention: On = "succeed") -> Outcome:
    """What becomes of a task whose sync of one activation has `ended` so."""
    if "error" in ended.document:
        error = ended.document["error"]
        return _stopped(error, str(error.get("message")), {}, on_held)
    runs = ended.document.get("runs")
    if not runs:
        return Outcome(*_without_document(ended), {})
    if len(runs) > 1:
        names = ", ".join(str(run.get("activation")) for run in runs)
        return Outcome(Verdict.FAIL, f"one activation was to be synced, not {names}", {})
    return _of_run(runs[0], on_held, on_attention)


def _of_run(run: Mapping[str, Any], on_held: On, on_attention: On) -> Outcome:
    match run.get("status"):
        case "held":
            return Outcome(_on(on_held), f"held: {_notes(run)}", run)
        case "attention":
            why = f"something waits for a person: {_waits(run)}"
            verdict = _on(on_attention)
            return Outcome(Verdict.WARN if verdict is Verdict.SUCCEED else verdict, why, run)
        case "stopped":
            return _stopped(run, str(run.get("error")), run, on_held)
        case "succeeded" | "not_begun":
            return Outcome(Verdict.SUCCEED, "", run)
        case unknown:
            return Outcome(Verdict.FAIL, f"the connector ended with the status {unknown}", run)


def _stopped(told: Mapping[str, Any], message: str, run: Mapping[str, Any], on_held: On) -> Outcome:
    """By `kind` and `retryable`, which a run and an error both have."""
    kind = told.get("kind")
    why = f"{kind}: {message}"
    if kind == "held":
        return Outcome(_on(on_held), why, run)
    if kind in KINDS_TO_SKIP:
        return Outcome(Verdict.SKIP, why, run)
    return Outcome(Verdict.RETRY if told.get("retryable") else Verdict.FAIL, why, run)


def _without_document(ended: Ended) -> tuple[Verdict, str]:
    """A process that was killed may do better; one that cannot begin cannot."""
    why = f"the connector ended with {ended.code} and told nothing"
    why = f"{why}: {ended.last}" if ended.last else why
    killed = ended.code < 0 or ended.code > 128 or ended.code == 3
    return (Verdict.RETRY if killed or ended.asked else Verdict.FAIL), why


def _on(wanted: On) -> Verdict:
    return {"succeed": Verdict.SUCCEED, "skip": Verdict.SKIP, "fail": Verdict.FAIL}[wanted]


def _notes(run: Mapping[str, Any]) -> str:
    return "; ".join(run.get("notes") or ()) or "for an approval"


def _waits(run: Mapping[str, Any]) -> str:
    waits = run.get("waits") or {}
    return ", ".join(f"{number} {state}" for state, number in waits.items() if number) or _notes(
        run
    )


def counts_of(told: Mapping[str, Any]) -> dict[str, Any]:
    """The counts of a run, or of the `totals` of all runs with one tag."""
    return {name: told.get(name, 0) for name in COUNTS} | {"done": told.get("done")}


def tag_of(*parts: str, longest: int = 250) -> str:
    """A tag for the runs of one run of an orchestrator, of at most so many characters."""
    from hashlib import blake2b

    tag = "/".join(parts)
    if len(tag) <= longest:
        return tag
    digest = blake2b(tag.encode(), digest_size=8).hexdigest()
    return f"{tag[: longest - len(digest) - 1]}~{digest}"


def sync_arguments(
    activation: str,
    *,
    tag: str,
    budget: float | None = None,
    limit: int | None = None,
    full: bool = False,
) -> Sequence[str]:
    """The command line of a sync. `budget`: seconds, after which it ends in order."""
    line = ["sync", activation, "--tag", tag, "--progress", "json"]
    line += ["--for", f"{max(1, round(budget))}s"] if budget else []
    line += ["--limit", str(limit)] if limit else []
    return [*line, "--full"] if full else line
