"""The MXO of a sandbox: batches in memory, and the interactions that took effect."""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from random import Random
from threading import RLock
from typing import Any
from uuid import uuid4

from connector.basis import dataclass
from connector.sandbox.clock import Clock
from connector.sandbox.exchange import Refusal
from connector.sandbox.mxo.behaviour import Behaviour, Words
from connector.sandbox.mxo.progress import Progress, begun
from connector.sandbox.mxo.records import Record, Time, record_of
from connector.sandbox.mxo.tokens import Tokens


@dataclass(frozen=True, slots=True)
class Took:
    """The truth about a row, whatever was answered."""

    effects: int  #: how often it took effect
    licensed: int  #: how often it was taken, with effect or not


@dataclass(frozen=True, slots=True)
class Effect:
    """An interaction as a person finds it in Monitor."""

    at: float
    reference: str
    customer: str
    uri: str
    properties: Mapping[str, str]  #: those that are configured


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch that was taken over."""

    id: str
    records: Sequence[Record]
    progress: Progress

    def word(self, words: Words, now: float) -> str:
        """Return the word that says how far it has come."""
        progress = self.progress
        if progress.ended_at is not None:
            if progress.fate == "failed":
                return words.failed
            return words.partly if progress.errors else words.done
        if progress.fate == "stuck" or now < progress.begins_at:
            return words.queued
        return words.running


class Mxo:
    """Everything that a sandbox keeps. May be read and filled from any thread.

    `behaviour` may be replaced at any time; `clock` may be advanced, and what is due by then
    happens.
    """

    def __init__(self, behaviour: Behaviour | None = None, *, clock: Clock | None = None) -> None:
        self.behaviour = behaviour or Behaviour()
        self.clock = clock or Clock()
        self._born = self.clock.real()
        self._lock = RLock()
        self.reset()

    def reset(self, keep: Collection[str] = ()) -> None:
        """Forget everything."""
        with self._lock:
            self.tokens = Tokens()
            self._batches: dict[str, list[Batch]] = {}
            self._open: list[Batch] = []
            self._late: list[tuple[float, Record]] = []
            self._effects: list[Effect] = []
            self._taking = Counter[str]()
            self._licensed = Counter[str]()
            self._number = 0

    def date(self) -> str | None:
        """The Date of an answer that is made now."""
        return self.behaviour.date_at(self.clock.real(), self._born)

    # Tokens

    def token(self) -> str:
        """Return a new token."""
        says = self.behaviour
        with self._lock:
            return self.tokens.make(self.clock(), says.token_life, says.token_uses, says.old_tokens)

    def lets_in(self, token: str) -> bool:
        """Say whether a token is taken, and count its use."""
        with self._lock:
            return self.tokens.takes(token, self.clock())

    # Single interactions, and lists of them

    def capture(self, raws: Sequence[Any], time: Time, late_by: float = 0) -> None:
        """Take interactions that count at once, or `late_by` seconds from now. Raises Refusal for
        all of them where one is not valid, unless the good ones are to be taken."""
        says = self.behaviour
        with self.now() as now:
            records = [self._judged(record_of(each, form="list", time=time)) for each in raws]
            good = [each for each in records if each.problem is None]
            partly = len(raws) > 1 and says.offline_partly == "taken"
            if len(good) < len(records) and not partly:
                bad = next(each for each in records if each.problem)
                unknown = self._is_unknown(bad) and says.unknown_uri == "404"
                raise Refusal(404 if unknown else 400, "malformed", bad.problem or "")
            if says.inner_status != 200 and not says.inner_stored:
                return
            for each in good:
                self._late.append((now + late_by, each))
            self._happen(now)

    def remove_customer(self, customer: str) -> int:
        """Forget what is known of a customer; return how many interactions that was."""
        with self.now():
            before = len(self._effects)
            self._effects = [each for each in self._effects if each.customer != customer]
            return before - len(self._effects)

    # Batches

    def take_over(self, raws: Sequence[Any], own_id: str | None, late_by: float = 0) -> str:
        """Take a batch, to be processed later; return its id. Raises Refusal."""
        says = self.behaviour
        with self.now() as now:
            batch_id = own_id if own_id and says.own_id == "honoured" else str(uuid4())
            if self._known(batch_id, now) and says.same_id != "twice":
                if says.same_id == "ignored":
                    return batch_id
                raise Refusal(int(says.same_id), "conflict", "There is a batch with this id")
            records = [self._record(each) for each in raws]
            if says.bad_record == "refused" and any(each.problem for each in records):
                raise Refusal(says.refuse_status, "malformed", "A record is not valid")
            batch = Batch(batch_id, records, self._begun(len(records), now + late_by))
            self._batches.setdefault(batch_id, []).append(batch)
            self._open.append(batch)
            self._happen(now)
            return batch_id

    def batch(self, batch_id: str) -> tuple[Batch, float]:
        """Return a batch that callers can find, and what time it is. Raises Refusal."""
        says = self.behaviour
        with self.now() as now:
            until = now - says.status_delay
            there = [b for b in self._known(batch_id, now) if b.progress.taken_at <= until]
            if not there:
                raise Refusal(404, "not_found", "There is no such batch")
            return there[-1], now

    def batches(self) -> list[Batch]:
        """Return all batches that were taken over, by their ids."""
        with self.now():
            return [each for same in self._batches.values() for each in same]

    def finish(self) -> None:
        """Process everything now that is not stuck for ever."""
        with self.now() as now:
            for batch in self._open:
                batch.progress.finish(now)
            self._happen(now)

    # The truth

    def truth(self) -> dict[str, Took]:
        """Return by row reference how often it took effect, and how often it was taken. A row
        that was sent without a reference stands under all of its record."""
        with self.now():
            return {
                name: Took(self._taking[name], number) for name, number in self._licensed.items()
            }

    def effects(self) -> list[Effect]:
        """Return what took effect and was not forgotten, first of all the first."""
        with self.now():
            return list(self._effects)

    @contextmanager
    def now(self) -> Iterator[float]:
        """Hold the store at one moment, with everything done that is due by then."""
        with self._lock:
            now = self.clock()
            self._happen(now)
            yield now

    def _happen(self, now: float) -> None:
        waiting = []
        for at, record in self._late:
            if at <= now:
                self._take(record, at)
            else:
                waiting.append((at, record))
        self._late = waiting
        for batch in self._open:
            for place in batch.progress.due(now):
                record = batch.records[place]
                if record.problem:
                    batch.progress.errors[place] = record.problem
                else:
                    self._take(record, now)
            if batch.progress.ended_at is not None and batch.progress.fate == "failed":
                self._list_failed(batch)
        self._open = [each for each in self._open if each.progress.ended_at is None]

    def _take(self, record: Record, at: float) -> None:
        says = self.behaviour
        reference = record.reference(says.reference_property)
        self._licensed[reference] += 1
        if self._is_unknown(record):
            return
        self._taking[reference] += 1
        kept = {
            name: value
            for name, value in record.properties.items()
            if says.properties is None or name in says.properties
        }
        self._effects.append(Effect(at, reference, record.customer, record.uri, kept))

    def _list_failed(self, batch: Batch) -> None:
        if self.behaviour.failing_lists:
            for place in range(len(batch.records)):
                batch.progress.errors[place] = "The batch failed"

    def _known(self, batch_id: str, now: float) -> list[Batch]:
        """The batches of an id that are not forgotten."""
        keeps = self.behaviour.kept_for
        return [
            each
            for each in self._batches.get(batch_id, ())
            if keeps is None
            or each.progress.ended_at is None
            or now < each.progress.ended_at + keeps
        ]

    def _record(self, raw: Any) -> Record:
        form = self.behaviour.properties_form
        return self._judged(record_of(raw, form=form, time="iso", nobody=True))

    def _judged(self, record: Record) -> Record:
        """Return a record with what this configuration finds wrong with it."""
        says = self.behaviour
        if record.problem is None and record.customer in says.bad_customers:
            return replace(record, problem="the customer key is not valid")
        if record.problem is None and says.unknown_uri != "dropped" and self._is_unknown(record):
            return replace(record, problem="the uri is not configured")
        return record

    def _is_unknown(self, record: Record) -> bool:
        return self.behaviour.uris is not None and record.uri not in self.behaviour.uris

    def _begun(self, records: int, taken_at: float) -> Progress:
        says = self.behaviour
        self._number += 1
        dice = Random(f"{says.seed} batch {self._number}")
        # Drawn always, so that one switch does not shift what another one draws.
        stuck, failing, crashing = (dice.random() for _ in range(3))
        pause = says.crash_seconds if crashing < says.crashing else 0.0
        times = (says.process_delay, says.process_time, pause)
        progress = begun(records, dice, taken_at, times)
        if stuck < says.stuck:
            progress.fate = "stuck"
        elif failing < says.failing:
            progress.fate = "failed"
        return progress
