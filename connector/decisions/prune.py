"""Prune what was delivered long ago, all of it and at once: see connector.ledger.pruning."""

from collections.abc import Sequence
from dataclasses import asdict, field, replace
from datetime import timedelta
from functools import partial

from connector.basis import dataclass
from connector.decisions.deciding import Outcome
from connector.ledger.decisions import Person
from connector.ledger.pruning import Old, Pruned
from connector.ledger.records import instant
from connector.project.app import App, Workshop
from connector.rules.activation import Activation
from connector.rules.deed import Agree, Document, error_document, status_word
from connector.rules.errors import ActivationBusy, ConfigurationError, ConnectorError
from connector.rules.keeping import SHORTEST
from connector.rules.words import counted
from connector.sync.flow import leased
from connector.sync.side_by_side import Stop
from connector.sync.thread import LedgerThread

STAYS = (
    "Of each row stays by what it is known again, so that it is never sent again. What is pruned"
    " cannot be verified, taken back or told any more; the ledger's backups still have it."
)
OLDER = (
    "{} is an older connector at work on this ledger, which does not know of pruned rows, and would"
    " send them again: nothing can be pruned until it has ended"
)


@dataclass(frozen=True, slots=True)
class Plan:
    """What would be pruned, by activation; those with nothing left out."""

    span: timedelta
    old: dict[str, Old]
    exit_code: int = 0

    @property
    def empty(self) -> bool:
        return not self.old

    @property
    def question(self) -> Agree:
        number = sum(old.rows for old in self.old.values())
        ended = sum(old.runs for old in self.old.values())
        return Agree(f"Prune {counted(number, 'row')} and {counted(ended, 'run')} for good?")

    def document(self) -> Document:
        each = [
            {"activation": name, "rows": old.rows, "runs": old.runs, "before": instant(old.before)}
            for name, old in self.old.items()
        ]
        return {"status": "planned", "activations": each, "busy": [], **error_document(None)}


@dataclass(slots=True)
class Done(Outcome):
    """What was pruned, by activation. `busy`: where nothing was, since somebody works on it."""

    plan: Plan
    pruned: dict[str, Pruned] = field(default_factory=dict)
    busy: dict[str, str] = field(default_factory=dict)

    @property
    def is_left(self) -> bool:
        return bool(self.busy) or not all(done.done for done in self.pruned.values())

    def document(self) -> Document:
        return {
            "status": status_word(self),
            "activations": [{"activation": n, **asdict(each)} for n, each in self.pruned.items()],
            "busy": [{"activation": n, "reason": why} for n, why in self.busy.items()],
            **error_document(self.error),
        }


@dataclass(frozen=True, slots=True)
class Prune:
    """A deed: prune what of these activations is older than `span`; None: than `ledger.keep`."""

    app: App
    activations: Sequence[Activation]
    span: timedelta | None
    person: Person

    async def plan(self) -> Plan:
        """What is old enough. Raises ConfigurationError."""
        span = self.span or self.app.settings.project.ledger.keep
        if span is None:
            raise ConfigurationError(
                "nothing says for how long rows are kept: write ledger.keep, such as 400d, or say"
                " --older-than 400d"
            )
        if problems := self.app.settings.project.kept_too_short(span):
            raise ConfigurationError(*[problem.message for problem in problems])
        if span < SHORTEST:
            raise ConfigurationError("--older-than: expected 1d or longer")
        with self.app.reports() as reports:
            if older := reports.older_connector():
                raise ConfigurationError(OLDER.format(older))
            found = {
                each.name: reports.old(each.name, span, not each.mirrors)
                for each in self.activations
            }
        return Plan(span, {name: old for name, old in found.items() if old.rows or old.runs})

    async def do(self, plan: Plan, agreed: bool) -> Done:
        """Prune it, one activation after the other; what somebody works on is left as it is."""
        done = Done(plan)
        async with self.app.workshop() as workshop:
            with self.app.interruption.stop() as stop, LedgerThread() as thread:
                for activation in (each for each in self.activations if each.name in plan.old):
                    try:
                        await self._one(done, activation, workshop, stop, thread)
                        stop.raise_error()
                    except ActivationBusy as busy:
                        done.busy[activation.name] = str(busy)
                    except ConnectorError as error:
                        done.error = error
                        break
        return done

    async def _one(
        self,
        done: Done,
        activation: Activation,
        workshop: Workshop,
        stop: Stop,
        thread: LedgerThread,
    ) -> None:
        ledger, identity = workshop.ledger, self.app.identity(activation)
        prune = partial(ledger.prune, rows=not activation.mirrors, stop=lambda: stop.asked)
        # under its earlier name, until a run has taken its rows over
        name = self.app.reports_from(ledger.engine).recorded_as(activation.name)
        holding = (ledger, workshop.beat, thread, stop, name, identity)
        async with leased(*holding) as lease:
            theirs = replace(lease, by=self.person.text)
            done.pruned[activation.name] = await thread.call(prune, theirs, done.plan.span)
