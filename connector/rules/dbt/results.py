"""Read dbt's run_results.json: when its nodes were built, and whether they and their tests passed.

dbt writes it at the end of a call, and knows no target in it; each call writes over the one before,
also those that build nothing (`dbt compile`, `dbt docs generate`).
"""

from collections.abc import Mapping
from dataclasses import field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

from connector.basis import dataclass
from connector.rules.errors import ConfigurationError, Problem
from connector.rules.errors import Path as KeyPath

BUILDS = ("build", "run", "test", "retry", "seed", "snapshot", "clone", "run-operation", "")
"""What calls of dbt are that build or test something; "": it is not said."""
BUILT = ("success", "pass", "reused", "no-op", "warn")
PASSED = ("pass", "success", "warn", "reused")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a node; `ended`: when it was built."""

    status: str
    ended: datetime | None = None
    message: str = ""


@dataclass(frozen=True, slots=True)
class Results:
    """What the last call of dbt came to. `call`: which of its commands that was, or empty."""

    file: Path
    written: datetime | None = None
    invocation: str | None = None
    call: str = ""
    outcomes: Mapping[str, Outcome] = field(default_factory=dict)

    @property
    def builds(self) -> bool:
        """Whether it was a call that builds or tests something."""
        return self.call in BUILDS

    def ended(self, node: str) -> datetime | None:
        """When a node was built; by the older of two times, where the file has two."""
        outcome = self.outcomes.get(node)
        times = [time for time in (outcome and outcome.ended, self.written) if time]
        return min(times) if outcome and times else None


def read_results(file: Path, path: KeyPath) -> Results | None:
    """What is in `file`; None where it is not there. Raises ConfigurationError, at `path`, when it
    is no file of dbt."""
    try:
        content = orjson.loads(file.read_bytes())
        about, args = content.get("metadata") or {}, content.get("args") or {}
        outcomes = {str(each["unique_id"]): _outcome(each) for each in content["results"]}
        call = str(args.get("which") or "")
        said, written = about.get("invocation_id"), instant_of(about.get("generated_at"))
        return Results(file, written, str(said) if said else None, call, outcomes)
    except FileNotFoundError:
        return None
    except (ValueError, LookupError, AttributeError, TypeError, OSError) as error:
        wrong = (
            f"{file} is not a file of dbt's results ({type(error).__name__}); run `dbt build`, or"
            " run this again if dbt is writing it just now"
        )
        raise ConfigurationError(Problem(path, wrong)) from None


def _outcome(raw: Mapping[str, Any]) -> Outcome:
    steps = {step.get("name"): step for step in raw.get("timing") or ()}
    ended = instant_of((steps.get("execute") or {}).get("completed_at"))
    return Outcome(str(raw.get("status") or "").lower(), ended, str(raw.get("message") or ""))


def instant_of(text: Any) -> datetime | None:
    """A time as dbt writes it, which is in UTC where no zone is said."""
    if not isinstance(text, str) or not text:
        return None
    try:
        read = datetime.fromisoformat(text)
    except ValueError:
        return None
    return read if read.tzinfo else read.replace(tzinfo=UTC)
