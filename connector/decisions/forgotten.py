"""What forgetting somebody would do, and what came of it: how much, and never whose."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import field

from connector.basis import dataclass
from connector.decisions.deciding import Outcome, with_reasons
from connector.ledger.forgetting import Besides, Held, HeldTrial
from connector.rules.deed import Agree, Document, error_document, status_word
from connector.rules.delivery import MAY_BE_THERE
from connector.rules.words import are, counted

NEVER_SENT = (
    "What was forgotten is never sent. New rows of this contact would be: leave them out in the"
    " model. Backups of the ledger hold what they held."
)
MAY_STAND = (
    "What was removed may stand in the database's files for a while, until they are vacuumed"
    " (PostgreSQL) or nobody reads them any more (SQLite)."
)
INTERACTIONS_STAY = (
    "Delivered rows hold no contact. Their interactions stay at the destination, and its words on"
    " earlier attempts in the ledger, unless --delete-interactions is given."
)
BESIDES = "What is kept of looking this contact up, or of when it was sent to, goes, too."


@dataclass(frozen=True, slots=True)
class Theirs:
    """An interaction of the person, and the row that it belongs to."""

    interaction_id: str
    row: Held
    destination: str


@dataclass(frozen=True, slots=True)
class Plan:
    """What forgetting somebody would do. `interactions` is None where they are to stay."""

    by: str
    names: Sequence[str]
    rows: Sequence[Held]
    keys: int
    """Row keys that hold one of the names themselves; they stay."""
    interactions: Sequence[Theirs] | None = None
    pruned: Sequence[tuple[str, str, str]] = ()
    """Those of rows that are pruned, of which the ledger holds nothing else: each with the
    destination where it is, and an activation whose rows go there."""
    asked_before: int = 0
    """How many of the interactions an earlier forgetting, whoever it was of, has asked to be
    deleted, without having heard what came of it."""
    foreign: int = 0
    """Interactions of the person that no row of the ledger owns; they stay."""
    unknown: Sequence[str] = ()
    """Destinations that have no contact with such a name, so nothing can be found there."""
    stays: Sequence[str] = ()
    """What deleting the interactions does not take back."""
    trials: Sequence[HeldTrial] = ()
    """Tests and probes about the person."""
    changes: Mapping[str, int] = field(default_factory=dict)
    """How many rows of mirrors read as if they were the person's now, whoever's they are on record,
    by activation."""
    everybody: Sequence[str] = ()
    """The names, and what rows with them know the person by."""
    besides: Besides = field(default_factory=Besides)
    cached_as: Collection[str] = ()
    """Under which digests look-ups of the names are kept."""
    within: Collection[str] = ()
    """The activations that were looked through, as they are recorded."""

    @property
    def kept_trials(self) -> list[HeldTrial]:
        """Those that were meant to stay."""
        return [trial for trial in self.trials if trial.kept]

    @property
    def to_be_deleted(self) -> int | None:
        """How many interactions, those of tests among them; None: none is asked for."""
        if self.interactions is None:
            return None
        tests = sum(trial.interaction_id is not None for trial in self.kept_trials)
        return len(self.interactions) + len(self.pruned) + tests

    @property
    def open_trials(self) -> int:
        """How many are not taken back yet: what is held of them is needed for that."""
        return len(self.trials) - len(self.kept_trials)

    @property
    def doubts(self) -> int:
        """Rows of which nobody knows whether they are there."""
        return sum(self.states.get(state, 0) for state in MAY_BE_THERE)

    @property
    def may_be_ours(self) -> int:
        """How many interactions that no row owns may be those of rows in doubt."""
        return min(self.foreign, self.doubts)

    def more_in(self, later: "Plan") -> list[Held]:
        """The rows whose interactions stand only in a `later` plan."""
        seen = {their.interaction_id for their in self.interactions or ()}
        return [their.row for their in later.interactions or () if their.interaction_id not in seen]

    @property
    def states(self) -> dict[str, int]:
        """How many rows hold something of the person, by state."""
        return dict(Counter(row.state.value for row in self.rows))

    @property
    def activations(self) -> list[str]:
        """The activations that something is removed from."""
        theirs = [their.row for their in self.interactions or ()]
        return sorted({row.activation for row in (*self.rows, *theirs)} | self.changes.keys())

    @property
    def question(self) -> Agree:
        return Agree("Remove it for good?")

    @property
    def empty(self) -> bool:
        held = self.activations or self.kept_trials or self.pruned
        return not (held or self.besides.number)

    @property
    def exit_code(self) -> int:
        """1 when something may be there all the same."""
        return int(bool(self.unknown or self.open_trials or self.may_be_ours))

    @property
    def notes(self) -> list[str]:
        """What stays, and what a person should know of it."""
        notes = []
        if self.doubts:
            notes.append(
                f"{are(self.doubts)} in doubt: what they sent may have arrived, and nobody will"
                " look for it any more. A sync before this settles them."
            )
        if self.kept_trials:
            number = len(self.kept_trials)
            there = "kept" if self.interactions is None else "there, and deleted, too"
            notes.append(f"{counted(number, 'test')} of this contact {_is(number)} {there}.")
        if self.open_trials:
            notes.append(
                f"{counted(self.open_trials, 'test')} of this contact"
                f" {_is(self.open_trials)} not taken back yet: the next `connector send` or"
                " `connector probe` there does so; forget once more after that."
            )
        if self.keys:
            notes.append(
                f"{self.keys:,} {'row key holds' if self.keys == 1 else 'row keys hold'} what was"
                " given itself. That stays, since row keys keep rows from being sent again; row"
                " keys without personal data are better."
            )
        if number := sum(self.changes.values()):
            read = "reads" if number == 1 else "read"
            notes.append(
                f"{counted(number, 'row')} of others {read} as this contact's now; what is noted of"
                " that goes, too."
            )
        if self.besides.number:
            notes.append(BESIDES)
        if self.interactions is None:
            notes.append(INTERACTIONS_STAY)
        notes += [
            f'At "{destination}" no contact goes with what was given, so no interactions could be'
            " looked for there; give the contactId if there may be some."
            for destination in self.unknown
        ]
        if self.asked_before:
            notes.append(
                f"{counted(self.asked_before, 'interaction')} of them an earlier forgetting has"
                " asked to be deleted, and heard nothing of it: that is asked for once more."
            )
        if self.foreign:
            notes.append(
                f"{counted(self.foreign, 'other interaction')} of this contact"
                f" {'stays' if self.foreign == 1 else 'stay'}: {self._whose}."
            )
        return notes

    @property
    def _whose(self) -> str:
        """Of interactions that no row owns, whether they are from here."""
        if not self.may_be_ours:
            return "not from here"
        some = "it" if self.foreign == 1 else f"{self.may_be_ours:,} of them"
        rows = "the row" if self.doubts == 1 else f"the {self.doubts:,} rows"
        return (
            f"{some} may be from here, sent for {rows} in doubt. Settle {rows} first (`connector"
            " sync`), or look at the destination"
        )

    def document(self) -> Document:
        return Forgotten(self).document() | {"status": "planned", "notes": self.notes}


@dataclass(slots=True)
class Forgotten(Outcome):
    """What was done."""

    plan: Plan
    rows: int = 0
    deleted: int = 0
    refused: list[tuple[str, str]] = field(default_factory=list)
    """Row keys of interactions that the destination would not delete, and its words."""
    overwritten: bool = False
    """Nothing of it stands in the ledger's own files any more; where the database is a server's,
    that is the server's to do."""

    @property
    def is_left(self) -> bool:
        return bool(self.refused or self.plan.exit_code)

    @property
    def warnings(self) -> list[str]:
        """What a person should know that was not known before."""
        stands = [] if self.error or self.overwritten else [MAY_STAND]
        stays = self.plan.stays if self.deleted else ()
        return [*self.restored_notes, *stays, NEVER_SENT, *stands]

    def document(self) -> Document:
        plan = self.plan
        return {
            "status": status_word(self),
            "rows": len(plan.rows),
            "states": plan.states,
            "activations": plan.activations,
            "row_keys_that_stay": plan.keys,
            "interactions": plan.to_be_deleted,
            "interactions_of_others": plan.foreign,
            "forgotten": self.rows,
            "deleted": self.deleted,
            "refused": with_reasons(self.refused),
            "by": plan.by,
            "notes": [*plan.notes, *self.warnings],
            **error_document(self.error),
        }


def _is(number: int) -> str:
    return "is" if number == 1 else "are"
