"""A deed: measure how a destination behaves, by interactions about one contact that are all taken
back. A killed one is cleaned up after by the next."""

from collections.abc import Callable
from contextlib import AsyncExitStack, aclosing
from dataclasses import field
from datetime import timedelta
from typing import ClassVar

from connector.basis import dataclass
from connector.project.app import App
from connector.rules.deed import Agree, Document, error_document
from connector.rules.errors import ConfigurationError, ConnectorError, did_you_mean
from connector.rules.probing import Prospect, Question, Subject
from connector.rules.trial import Aim
from connector.rules.words import counted
from connector.sync.probe import Probing, document_of
from connector.sync.progress import Progress
from connector.sync.thread import LedgerThread
from connector.sync.trials import TrialBook

MOST = 115
"""Interactions that are made at most: what shows the size of a page up to a hundred."""
LEAST_PATIENCE = timedelta(minutes=3)
"""How long something is waited for at the least, before it is said that it does not come."""


@dataclass(frozen=True, slots=True)
class Order:
    """What was asked for on the command line. `destination` None: the only one."""

    destination: str | None
    contact: str
    target: str
    most: int = MOST
    by: str = ""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a probe would do."""

    destination: str
    url: str
    called: str
    prospect: Prospect
    left: int
    """Interactions of earlier calls, which are taken back first."""
    empty: ClassVar[bool] = False
    exit_code: ClassVar[int] = 0

    @property
    def question(self) -> Agree:
        if not self.prospect.most:
            return Agree(f"Ask {self.url} how it behaves? Nothing is made.")
        what = counted(self.prospect.most, "interaction")
        return Agree(f"Make up to {what} at {self.url}?")

    @property
    def notes(self) -> list[str]:
        own = " that the probe makes and deletes" if self.prospect.own_target else ""
        what = counted(self.prospect.most, "interaction")
        made = (
            f'At most {what} of "{self.prospect.target}"{own}; all that is made is taken back.'
            if self.prospect.most
            else "Only questions that store nothing: what is taken there cannot be taken back."
        )
        notes = [made, *self.prospect.notes]
        if self.left:
            what = counted(self.left, "interaction")
            notes.append(f"An earlier call has left {what} behind, taken back first.")
        return notes

    def document(self) -> Document:
        return {
            "destination": self.destination,
            "status": "planned",
            "most": self.prospect.most,
            "target": self.prospect.target,
            "notes": self.notes,
        }


@dataclass(slots=True)
class Done:
    """What came of it. `questions`: what was to be asked."""

    plan: Plan
    told: Document
    questions: tuple[Question, ...] = ()
    error: ConnectorError | None = None

    @property
    def exit_code(self) -> int:
        if self.error:
            return self.error.exit_code
        return 1 if self.told["left"] else 0

    def document(self) -> Document:
        return {**self.told, "notes": self.plan.notes, **error_document(self.error)}


@dataclass(frozen=True, slots=True)
class Probe:
    """The deed."""

    app: App
    order: Order
    progress: Progress = field(default_factory=Progress)
    written: Callable[[Document], None] = lambda document: None
    """Handed the document as soon as all is answered."""

    @property
    def destination(self) -> str:
        """Which one. Raises ConfigurationError."""
        known = self.app.settings.project.destinations
        name = self.order.destination
        if name is None:
            if len(known) > 1:
                raise ConfigurationError(f"which destination? One of: {', '.join(known)}")
            name = next(iter(known))
        if name not in known:
            hint = did_you_mean(name, list(known))
            raise ConfigurationError(f'there is no destination "{name}"{hint}')
        can, what = self.app.can(name), "how it behaves cannot be measured"
        self.app.refuse_without(can.probes, name, what)
        return name

    async def plan(self) -> Plan:
        """What it would do. Raises ConfigurationError, DestinationUnusable."""
        name = self.destination
        settings = self.app.settings.project.destinations[name]
        with self.app.interruption.stop() as stop:
            async with self.app.destination(name) as client:
                there = client.heeding(lambda: stop.asked)
                with self.app.ledger() as ledger:
                    left = ledger.trials(settings.place, name).left()
                mine = [each for each in left if not each.living]
                own = frozenset(t.trial.target for t in mine if t.trial.aim is Aim.SCHEMA)
                subject = self._subject(name, own)
                prospect = await there.probe(subject).prospect()
        things = sum(each.trial.aim is not Aim.SCHEMA for each in mine)
        return Plan(name, settings.url, self.app.called(name), prospect, things)

    async def do(self, plan: Plan, agreed: bool) -> Done:
        """Measure, keep the answers, and tell what has changed."""
        name = plan.destination
        settings = self.app.settings.project.destinations[name]
        async with AsyncExitStack() as stack:
            ledger = stack.enter_context(self.app.ledger())
            thread = stack.enter_context(LedgerThread())
            stop = stack.enter_context(self.app.interruption.stop())
            client = await stack.enter_async_context(self.app.destination(name))
            unheeding = aclosing(self.app.client(name, heeding=False))
            cleaner = await stack.enter_async_context(unheeding)
            trials = ledger.trials(settings.place, name)
            book = TrialBook(trials, thread, client, self.app.settle_after(name))
            probe = client.heeding(lambda: stop.asked).probe(self._subject(name))

            def tell(verb: str, done: int, total: int) -> None:
                self.progress.counting(name, verb, done, total)

            asked_for = (self.order.by, plan.prospect.target, plan.prospect.most)
            await thread.call(trials.probing, *asked_for)
            work = Probing(probe=probe, cleaner=cleaner, book=book, stop=stop, tell=tell)
            measured = await work.run()
            kept = ledger.probes(settings.place)
            earlier = await thread.call(kept.last)
            questions = tuple(probe.questions)
            told = document_of(name, measured, questions, settings.settle_after, earlier)
            if measured.error is None:
                await thread.call(kept.keep, name, told)
        if measured.error is None:
            self.written(told)
        return Done(plan, told, questions, measured.error)

    def _subject(self, name: str, own: frozenset[str] = frozenset()) -> Subject:
        settings = self.app.settings.project.destinations[name]
        patience = max(LEAST_PATIENCE, 2 * settings.settle_after)
        seconds = patience.total_seconds()
        return Subject(self.order.contact, self.order.target, self.order.most, seconds, own)
