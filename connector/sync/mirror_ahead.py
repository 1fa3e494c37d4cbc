"""What a preview counts of a mirror: what a run would take back, send in its place, or again."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import field

from connector.basis import dataclass
from connector.rules.activation import Activation
from connector.rules.deed import Document
from connector.rules.delivery import State
from connector.rules.hold import Hold
from connector.sync.limits import mirror_passed_limit

EXAMPLES = 3
"""Row keys of each kind that are named."""
JUDGED = ("removed", "replaced", "unlike")
"""What the limits of a mirror count."""


@dataclass(slots=True)
class Mirror:
    """Of a mirror: what would be taken back, sent in its place, or again. `sends`: rows that would
    be sent anew, or again; `deleted`: the row key and delivery id of those whose deletions are
    shown, and whether they are replaced; `ids`: their interactions."""

    removed: int = 0
    replaced: int = 0
    returned: int = 0
    dropped: int = 0
    """Rows that the model has no more, and of which nothing is at the destination."""
    sends: int = 0
    late: int = 0
    """Those of them that are on record as waiting for their turn: no limit counts them."""
    better: Counter[State] = field(default_factory=Counter)
    """By their state, rows that were refused and would not be any more: corrected, or gone."""
    told: Counter[State] = field(default_factory=Counter)
    """By their state, rows on record that are sent as they read now, if at all."""
    ended: int = 0
    """Those of `replaced` that are invalid now: taken back, and not sent."""
    live: int = 0
    unlike: int = 0
    empty: bool = False
    without_key: int = 0
    edited: Sequence[str] = ()
    examples: dict[str, list[str]] = field(default_factory=dict)
    approved: Counter[str] = field(default_factory=Counter)
    """Of `removed`, `replaced` and `unlike`, what an approval lets go: no limit counts it."""
    judged: dict[str, list[str]] = field(default_factory=dict)
    """The examples of what the limits count."""
    deleted: list[tuple[str, int, bool]] = field(default_factory=list)
    ids: Mapping[int, str] = field(default_factory=dict)

    def count(self, what: str, row_key: str) -> None:
        """One more row of which this is to be told; the first ones are the examples."""
        setattr(self, what, getattr(self, what) + 1)
        _name(self.examples, what, row_key)

    def judge(self, what: str, row_key: str) -> None:
        """The limits count it."""
        _name(self.judged, what, row_key)

    def holds(self, activation: Activation) -> str | None:
        """Why a run would take nothing back; None where it may go."""
        numbers = {name: getattr(self, name) - self.approved[name] for name in JUDGED}
        figures = Hold(
            0,
            0,
            0,
            live=self.live,
            **numbers,
            empty=self.empty,
            without_key=self.without_key,
            edited=tuple(self.edited),
        )
        of = "removed" if figures.removed >= max(figures.replaced, 1) else "replaced"
        examples = self.examples if self.empty else self.judged
        found = examples.get("live" if self.empty else of, ())
        return mirror_passed_limit(activation, figures, found)

    def document(self) -> Document:
        names = ("removed", "replaced", "returned", "dropped", "live")
        numbers = {name: getattr(self, name) for name in names}
        return {**numbers, "empty": self.empty, "examples": self.examples}


def _name(examples: dict[str, list[str]], what: str, row_key: str) -> None:
    if len(found := examples.setdefault(what, [])) < EXAMPLES:
        found.append(row_key)
