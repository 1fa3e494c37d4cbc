"""Interactions as they are kept: what was asked for, and what became of it."""

import heapq
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import field
from typing import Literal

from connector.basis import dataclass

Fate = Literal["waiting", "sent", "prevented"]


@dataclass(slots=True)
class Interaction:
    """A survey that was asked for. All times are seconds since 1970."""

    id: int
    uuid: str
    survey_id: int
    survey_type: str
    phone_number: str | None
    email: str | None
    person: str  #: whom it reaches; "" for nobody
    scheduled_at: float
    stored_at: float
    updated_at: float
    reference: str | None  #: the row that it is about, as it was sent, whatever is kept of it
    texts: dict[str, str] = field(default_factory=dict)
    data: dict[str, str] = field(default_factory=dict)
    fate: Fate = "waiting"
    started_at: float | None = None
    removed_at: float | None = None

    @property
    def due_at(self) -> float:
        """When its person gets it."""
        return max(self.scheduled_at, self.stored_at)

    @property
    def external_ref(self) -> str | None:
        """What is kept of the reference of its caller."""
        return self.texts.get("external_ref")

    def is_started(self, now: float) -> bool:
        """Whether it can no longer be deleted."""
        return self.started_at is not None and self.started_at <= now

    def is_pending(self, now: float, until: Literal["started", "sent"]) -> bool:
        """Whether another one for the same person would be one too many."""
        if self.removed_at is not None or self.fate == "prevented":
            return False
        return self.fate == "waiting" or (until == "started" and not self.is_started(now))

    def status(self, now: float) -> str:
        """What became of it, for people."""
        match self.fate:
            case "prevented":
                return "Prevented/Abandoned due to survey restriction"
            case "sent":
                hours = max(1, int(now - self.scheduled_at) // 3600)
                return f"Sent {hours} hour{'s' if hours > 1 else ''} ago"
            case _:
                return "Not Started"


class Interactions:
    """All interactions, by id, by survey, by reference and by person."""

    def __init__(self) -> None:
        self._by_id: dict[int, Interaction] = {}
        self._by_survey: dict[int, list[Interaction]] = defaultdict(list)
        self._by_reference: dict[tuple[int, str], list[Interaction]] = defaultdict(list)
        self._by_person: dict[tuple[int, str], list[Interaction]] = defaultdict(list)
        self._late: list[tuple[float, int, Interaction]] = []
        self._due: list[tuple[float, int, Interaction]] = []

    def all(self) -> list[Interaction]:
        """Return everything that was ever stored, deleted or not, first stored first."""
        return list(self._by_id.values())

    def get(self, interaction_id: int) -> Interaction | None:
        """Return an interaction, also a deleted one."""
        return self._by_id.get(interaction_id)

    def add(self, interaction: Interaction, now: float) -> None:
        """Store an interaction, or let it wait until its `stored_at` if that is to come."""
        if interaction.stored_at > now:
            heapq.heappush(self._late, (interaction.stored_at, interaction.id, interaction))
        else:
            self._store(interaction)

    def of(self, survey_id: int, reference: str | None = None) -> Iterable[Interaction]:
        """Return what is stored of a survey, or of a reference in it whatever its capitals."""
        if reference is None:
            return self._by_survey.get(survey_id, ())
        return self._by_reference.get((survey_id, reference.casefold()), ())

    def of_person(self, survey_id: int, person: str) -> Iterable[Interaction]:
        """Return what is stored of a survey for a person."""
        return self._by_person.get((survey_id, person), ())

    def refer(self, interaction: Interaction, reference: str) -> None:
        """Give an interaction another reference."""
        if old := interaction.external_ref:
            self._by_reference[interaction.survey_id, old.casefold()].remove(interaction)
        interaction.texts["external_ref"] = reference
        self._by_reference[interaction.survey_id, reference.casefold()].append(interaction)

    def schedule(self, interaction: Interaction, at: float) -> None:
        """Let an interaction be due at another time."""
        interaction.scheduled_at = at
        self._await(interaction)

    def due(self, now: float) -> list[Interaction]:
        """Store what was to be stored by now; return what becomes due, first due first."""
        while self._late and self._late[0][0] <= now:
            self._store(heapq.heappop(self._late)[2])
        found = []
        while self._due and self._due[0][0] <= now:
            at, _, each = heapq.heappop(self._due)
            if each.fate == "waiting" and each.removed_at is None and at == each.due_at:
                found.append(each)
        return found

    def _store(self, each: Interaction) -> None:
        self._by_id[each.id] = each
        self._by_survey[each.survey_id].append(each)
        if each.external_ref is not None:
            self._by_reference[each.survey_id, each.external_ref.casefold()].append(each)
        if each.person:
            self._by_person[each.survey_id, each.person].append(each)
        self._await(each)

    def _await(self, each: Interaction) -> None:
        heapq.heappush(self._due, (each.due_at, each.id, each))
