"""What programs get to know of a project, typed: each holds the document that ``--json`` prints."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Self

from connector.rules.deed import Document


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """The most wanted facts of a document by name, and all of it as `document()`."""

    everything: Document = field(repr=False)

    @classmethod
    def of(cls, document: Document) -> Self:
        """The facts of `document`."""
        names = [each.name for each in fields(cls) if each.name != "everything"]
        return cls(everything=document, **{name: document[name] for name in names})

    def document(self) -> Document:
        """What ``--json`` prints of it."""
        return self.everything


@dataclass(frozen=True, slots=True, kw_only=True)
class Run(Told):
    """One run: how it ended, and how many rows it read, recorded and delivered. The other counts
    are what has become of its rows."""

    run_id: str | None
    activation: str
    status: str
    read: int
    staged: int
    delivered: int
    submitted: int
    invalid: int
    rejected: int
    waiting: int
    in_doubt: int
    pending: int
    watermark: str | None
    started_at: str | None
    finished_at: str | None
    error: str | None
    kind: str | None
    retryable: bool
    notes: Sequence[str]
    tag: str | None
    done: bool | None
    """Nothing is left that another run could send at once; None: that is not known."""


@dataclass(frozen=True, slots=True)
class Runs:
    """The runs of a sync, or the newest ones. `exit_code`: that of the command; `totals`: the sum
    of those with one tag, where they were asked for."""

    runs: Sequence[Run]
    exit_code: int = 0
    totals: Mapping[str, Any] | None = None

    def document(self) -> Document:
        """What ``--json`` prints of them."""
        of_all = {} if self.totals is None else {"totals": dict(self.totals)}
        return {"runs": [run.document() for run in self.runs], **of_all}


@dataclass(frozen=True, slots=True, kw_only=True)
class ActivationStatus(Told):
    """Where an activation stands."""

    name: str
    state: str
    paused: bool
    schedule: str | None
    next_run: str | None
    watermark: str | None
    held: str | None
    counts: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Status:
    """Where every activation stands; `needs`: what a person must do about the project itself."""

    activations: Sequence[ActivationStatus]
    needs: Sequence[Document] = ()

    def document(self) -> Document:
        """What `status --json` prints."""
        activations = [each.document() for each in self.activations]
        return {"activations": activations, "needs": list(self.needs)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation(Told):
    """The whole story of one row."""

    activation: str
    row_key: str
    state: str
    reason: str | None
    interaction_id: str | None
    run_id: str
    since: str
    attempts: Sequence[Document]
