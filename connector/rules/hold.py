"""The figures that a run is judged by, and is held for: they stay on record until it may go."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Self

from connector.basis import dataclass


@dataclass(frozen=True, slots=True)
class Hold:
    """The figures of a run that was held: before its first request, or when too many of its rows
    were rejected."""

    due: int
    staged: int
    invalid: int
    first: bool = False
    """It would have been the first sync of its activation."""
    rejected: int = 0
    again: int = 0
    """Rows that it should have read again; `gone` of them were missing, while as many unknown ones
    appeared."""
    gone: int = 0
    usual_rows: float | None = None
    """What `rows_runs` runs of the same weekday (`weekday`) usually had to send; None while they
    are too few."""
    rows_runs: int = 0
    weekday: str = ""
    looked_up: int = 0
    """Contact identifiers of its rows that were looked up before the first send; `found` of them
    belong to a contact."""
    found: int = 0
    usual_match: float | None = None
    """The share that is usually found, by `match_runs` runs; None while they are too few."""
    match_runs: int = 0
    old: int = 0
    """Rows that happened longer ago than the limit; `oldest`: when the oldest of them did;
    `old_keys`: some of them, the oldest first."""
    oldest: str | None = None
    old_keys: tuple[str, ...] = ()
    emptied: bool = False
    """The model had no row at all, and some in each of `runs_with_rows` runs before."""
    runs_with_rows: int = 0
    live: int = 0
    """In a mirror: the rows at the destination; those of them that it would take back since they
    are gone, or have changed; and whether the model has no row at all."""
    removed: int = 0
    replaced: int = 0
    unlike: int = 0
    """Of the replaced: those that cannot be sent as they read now, or are about another contact."""
    empty: bool = False
    without_key: int = 0
    """In a mirror that is empty: the rows that its model has all the same, without a row key."""
    edited: tuple[str, ...] = ()
    """In a mirror: the parts of what is sent that were edited since a reading was let go."""
    build: str = ""
    """In words, why what dbt has built was not read; `about`: what that is, to be compared."""
    about: str = ""
    run_id: str | None = None
    """The run that was held first; `askers`: who asked for it, and for those that read it anew."""
    askers: Sequence[str | None] = ()

    @property
    def ends_with_its_rows(self) -> bool:
        """Whether it is about rows, and not about what the model, or its build, is."""
        return not (self.build or self.emptied or self.empty)

    @property
    def text(self) -> str:
        """For the ledger."""
        return json.dumps(asdict(self))

    def document(self) -> dict[str, Any]:
        """For programs: without row keys, and `removed` also of a model without rows."""
        told = {**asdict(self), "removed": self.live if self.empty else self.removed}
        del told["old_keys"], told["askers"], told["about"]
        if not self.build:
            del told["build"]
        return {**told, "asked_by": [each for each in self.askers if each]}

    @classmethod
    def of(cls, text: str) -> Self:
        """From the ledger."""
        read = json.loads(text)
        names = ("old_keys", "edited", "askers")
        return cls(**{**read, **{name: tuple(read.get(name, ())) for name in names}})
