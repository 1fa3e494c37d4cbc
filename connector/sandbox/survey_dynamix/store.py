"""The Survey Dynamix of a sandbox: interactions in memory, and the surveys that persons got."""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from itertools import count
from random import Random
from threading import RLock
from uuid import uuid4

from connector.basis import dataclass
from connector.sandbox.clock import Clock
from connector.sandbox.exchange import Refusal
from connector.sandbox.survey_dynamix.asked import Asked, asked, instant
from connector.sandbox.survey_dynamix.behaviour import Behaviour
from connector.sandbox.survey_dynamix.interactions import Interaction, Interactions

REFERENCE = "connector_ref"
"""The metadata that says which row an interaction is about, where it is not `external_ref`."""


@dataclass(frozen=True, slots=True)
class Got:
    """The truth about a row, whatever was answered."""

    stored: int  #: interactions that there are, without those that were deleted
    surveys: int  #: surveys that persons got
    prevented: int  #: surveys that a restriction kept from them


class SurveyDynamix:
    """Everything that a sandbox keeps. May be read and filled from any thread.

    `behaviour` may be replaced at any time; `clock` may be advanced, and what is due by then
    happens.
    """

    def __init__(self, behaviour: Behaviour | None = None, *, clock: Clock | None = None) -> None:
        self.behaviour = behaviour or Behaviour()
        self.clock = clock or Clock()
        self._born = self.clock.real()
        self._lock = RLock()
        self._ids = count(1001)
        self._interactions = Interactions()

    def date(self) -> str | None:
        """The Date of an answer that is made now."""
        return self.behaviour.date_at(self.clock.real(), self._born)

    def ask(self, form: Mapping[str, str], late_by: float = 0) -> Interaction:
        """Take a POST /interactions, storing it `late_by` seconds from now. Raises Refusal."""
        says = self.behaviour
        with self.now() as now:
            given = asked(dict(form), now, iso_time=says.iso_time, bad_name=says.bad_name)
            if given.survey_id not in says.surveys:
                status = says.unknown_survey_status
                raise Refusal(status, "not_found", f"There is no survey {given.survey_id}")
            at = now if given.scheduled_at is None else given.scheduled_at
            if given.scheduled_at is not None and at < now - 1 and says.past_time == "400":
                raise Refusal(400, "malformed", "scheduled_at is past")
            if not given.force_new:
                self._refuse_another(given, now)
            interaction = self._interaction(given, at, now + late_by)
            self._interactions.add(interaction, now)
            return interaction

    def interaction(self, interaction_id: str) -> Interaction:
        """Return an interaction that callers can see. Raises Refusal for any other."""
        with self.now() as now:
            return self._visible(interaction_id, now)

    def listed(self, survey_id: int, reference: str | None = None) -> list[Interaction]:
        """Return what a list of a survey shows, by id: of a reference, or of all."""
        says = self.behaviour
        with self.now() as now:
            wanted = None if says.reference_filter == "ignored" else reference
            found = [
                each
                for each in self._interactions.of(survey_id, wanted)
                if each.stored_at <= now - says.read_back_delay
                and (each.removed_at is None or now < each.removed_at + says.listed_after_delete)
            ]
            if wanted is not None and says.reference_filter == "exact":
                found = [each for each in found if each.external_ref == wanted]
            return sorted(found, key=lambda each: each.id)

    def delete(self, interaction_id: str) -> None:
        """Delete an interaction that has not started. Raises Refusal for any other."""
        with self.now() as now:
            interaction = self._kept(interaction_id)
            if interaction.is_started(now) or interaction.fate == "prevented":
                raise Refusal(409, "not_modified", "The interaction has started")
            interaction.removed_at = now

    def change(self, interaction_id: str, given: Mapping[str, object]) -> Interaction:
        """Take a PUT of a whole resource: time, texts. Raises Refusal where it has started."""
        with self.now() as now:
            interaction = self._kept(interaction_id)
            if str(given.get("id")) != str(interaction.id):
                raise Refusal(400, "malformed", "The id in the interaction is another one")
            if interaction.fate != "waiting":
                raise Refusal(409, "not_modified", "The interaction has started")
            if at := given.get("scheduled_at"):
                until = instant(str(at), now, self.behaviour.iso_time)
                self._interactions.schedule(interaction, until)
            for name in ("call_type", "agent_id"):
                if isinstance(text := given.get(name), str):
                    interaction.texts[name] = text
            if isinstance(reference := given.get("external_ref"), str):
                self._interactions.refer(interaction, self._cut(reference))
            interaction.updated_at = now
            return interaction

    def set_data(self, interaction_id: str, key: str, value: str) -> Interaction:
        """Give an interaction a datum, another value if it has one. Raises Refusal."""
        with self.now() as now:
            interaction = self._kept(interaction_id)
            interaction.data[key] = value
            interaction.updated_at = now
            return interaction

    def remove_data(self, interaction_id: str, key: str) -> None:
        """Take a datum from an interaction. Raises Refusal when it has none of that name."""
        with self.now():
            if self._kept(interaction_id).data.pop(key, None) is None:
                raise Refusal(404, "not_found", "There is no such data")

    # The truth

    def interactions(self, survey_id: int | None = None) -> list[Interaction]:
        """Return what is really stored, visible or not, without what was deleted."""
        with self.now():
            return [
                each
                for each in self._interactions.all()
                if each.removed_at is None and survey_id in (None, each.survey_id)
            ]

    def truth(self) -> dict[str, Got]:
        """Return by row reference what there is of it and what its person got. What was sent
        without a reference stands under ""."""
        with self.now():
            every = self._interactions.all()
        stored, sent, prevented = (
            Counter(each.reference or "" for each in every if counts(each))
            for counts in (
                lambda each: each.removed_at is None,
                lambda each: each.fate == "sent",
                lambda each: each.fate == "prevented",
            )
        )
        names = dict.fromkeys(each.reference or "" for each in every)
        return {name: Got(stored[name], sent[name], prevented[name]) for name in names}

    def surveys(self) -> int:
        """Return how many surveys persons got."""
        return sum(got.surveys for got in self.truth().values())

    def reset(self, keep: Collection[str] = ()) -> None:
        """Forget everything."""
        with self._lock:
            self._interactions = Interactions()

    @contextmanager
    def now(self) -> Iterator[float]:
        """Hold the store at one moment, with everything done that is due by then."""
        with self._lock:
            now = self.clock()
            for each in self._interactions.due(now):
                each.fate = "prevented" if self._is_restricted(each.person) else "sent"
                if each.fate == "sent":
                    each.started_at = each.due_at + self.behaviour.starts_after
            yield now

    def _interaction(self, given: Asked, at: float, stored_at: float) -> Interaction:
        texts = dict(given.texts)
        sent = texts.get("external_ref")
        if sent is not None:
            texts["external_ref"] = self._cut(sent)
        return Interaction(
            id=next(self._ids),
            uuid=str(uuid4()),
            survey_id=given.survey_id,
            survey_type=given.survey_type,
            phone_number=given.phone_number,
            email=given.email,
            person=given.person,
            scheduled_at=at,
            stored_at=stored_at,
            updated_at=stored_at,
            reference=given.data.get(REFERENCE, sent),
            texts=texts,
            data=dict(given.data),
        )

    def _refuse_another(self, given: Asked, now: float) -> None:
        says = self.behaviour
        if given.survey_type == "email" and not says.email_pending:
            return
        there = self._interactions.of_person(given.survey_id, given.person)
        if any(each.is_pending(now, says.pending_ends) for each in there):
            raise Refusal(409, "conflict", "There is a pending interaction for this survey")

    def _cut(self, reference: str) -> str:
        return reference[: self.behaviour.reference_cut]

    def _is_restricted(self, person: str) -> bool:
        says = self.behaviour
        if person in says.do_not_contact:
            return True
        return bool(says.restricted) and Random(f"{says.seed} {person}").random() < says.restricted

    def _visible(self, interaction_id: str, now: float) -> Interaction:
        interaction = self._kept(interaction_id)
        if interaction.stored_at > now - self.behaviour.read_back_delay:
            raise _nothing()
        return interaction

    def _kept(self, interaction_id: str) -> Interaction:
        number = (
            int(interaction_id) if interaction_id.isascii() and interaction_id.isdecimal() else 0
        )
        interaction = self._interactions.get(number)
        if interaction is None:
            raise _nothing()
        if interaction.removed_at is not None:
            raise Refusal(self.behaviour.gone_status, "gone", "The interaction was deleted")
        return interaction


def _nothing() -> Refusal:
    return Refusal(404, "not_found", "There is no such interaction")
