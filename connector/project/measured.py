"""What a probe has found out about a destination, held against how that is used now."""

import json
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from connector.rules.deed import Document
from connector.rules.errors import ConfigurationError, Problem
from connector.rules.words import span_text
from connector.sync.check import Finding, Level

SHOWN = "visible_after"


class Answer(BaseModel):
    """Of an answer, what is held against the configuration."""

    question: str
    answer: Any
    agrees: bool | None = None
    means: str | None = None


class SettleAfter(BaseModel):
    """How long it took until an interaction was shown."""

    seen_after_seconds: float | None = None
    proposed: str | None = None


class Known(BaseModel):
    """Of what a probe wrote, what is read."""

    measured_at: str
    answers: Sequence[Answer]
    settle_after: SettleAfter | None = None


def read_behaviour(file: Path, destination: str) -> Document:
    """What `connector probe --out` wrote. Raises ConfigurationError."""
    path = ("destinations", destination, "behaviour")
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        document = content["measured"]
        Known.model_validate(document)
    except OSError as error:
        raise ConfigurationError(Problem(path, f"cannot read {file}: {error.strerror}")) from None
    except (ValueError, KeyError, TypeError):
        said = f"{file} is not what `connector probe --out` writes"
        raise ConfigurationError(Problem(path, said)) from None
    return dict(document)


def check_measured(
    destination: str, settle_after: timedelta, document: Document
) -> Iterator[Finding]:
    """What was measured, and each assumption that did not hold."""
    try:
        known = Known.model_validate(document)
    except ValidationError:
        return
    when, wait = known.measured_at[:10], known.settle_after
    yield Finding(Level.OK, f"how it behaves was measured on {when} (`connector probe`)")
    seen = wait.seen_after_seconds if wait else None
    if seen is not None and seen > settle_after.total_seconds():
        yield Finding(
            Level.ADVICE,
            f"settle_after is {span_text(settle_after)}, and an interaction was shown only after"
            f" {seen:g} s when that was measured on {when}: one that is there could be taken for"
            f" absent and be sent twice; let it be {wait.proposed if wait else None} or longer",
            ("destinations", destination, "settle_after"),
        )
    for each in known.answers:
        if each.agrees is False and each.means and each.question != SHOWN:
            yield Finding(
                Level.ADVICE,
                f"{each.question}: {each.answer} when it was measured on {when}: {each.means}",
                ("destinations", destination),
            )
