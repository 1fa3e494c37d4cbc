"""Approve a held run: shown, asked about, and recorded; or by a plan that was written before.

A plan is a file for a pull request: figures, reason and keyed digests of the rows, no key and
nothing of a customer. It is good as long as just these rows are held.
"""

import asyncio
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, ValidationError

from connector.basis import dataclass
from connector.decisions.deciding import taken_over
from connector.ledger.approvals import Approval, HeldRun
from connector.ledger.decisions import Person
from connector.ledger.records import Run, moment
from connector.ledger.store import Ledger
from connector.project.app import App
from connector.rules import clocks
from connector.rules.activation import Activation
from connector.rules.approval import Digests, what_goes
from connector.rules.deed import Agree, Document
from connector.rules.errors import (
    ActivationBusy,
    ApprovalRefused,
    ConfigurationError,
    ConnectorError,
)
from connector.rules.interaction import instant_text
from connector.rules.words import rows
from connector.sync.approving import Request, approve
from connector.sync.foreseen import Foreseen
from connector.sync.limits import reason_without_keys

PATIENCE = 1.0
"""Seconds for which another person's approval is waited for."""
LOOK_EVERY = 0.02
VERSION = 1
SEPARATOR = ":"
EDITED = "the plan does not say any more what was written into it; write it anew with --out"


@dataclass(frozen=True, slots=True)
class Held:
    """What is held, as it is shown."""

    run: HeldRun
    approval: Approval | None = None
    """The one that lets it go already."""
    in_the_way: tuple[str, ...] = ()
    """Why no run would begin that could use an approval."""
    newest: int = 0
    """The newest approval until then, whatever has become of it; 0: there was none."""
    empty: ClassVar[bool] = False
    exit_code: ClassVar[int] = 0

    @property
    def question(self) -> Agree:
        """Whether exactly these rows are to go."""
        if self.run.figures.build:
            return Agree("Let the next run read and send what dbt has built, as it is?")
        if self.run.figures.live:
            return Agree(f"Let exactly this go: {what_goes(self.run.counts)}?")
        number = self.run.rows.count
        return Agree(f"Let exactly {'this row' if number == 1 else f'these {rows(number)}'} go?")

    def document(self) -> Document:
        run = self.run
        return {
            "activation": run.activation,
            "run_id": run.run_id,
            "asked_by": list(run.figures.askers),
            "reason": run.reason,
            "counts": run.counts,
            **({"build": run.figures.about} if run.figures.build else {}),
            "digest": run.rows.digest,
            "examples": list(run.examples),
            "approval": self.approval.document() if self.approval else None,
            "in_the_way": list(self.in_the_way),
        }

    def plan(self, activation: Activation, seal: Callable[[str], str]) -> Document:
        """What a pull request gets to see: no key, and nothing of a customer."""
        run = self.run
        each = run.rows.each
        content: Document = {
            "version": VERSION,
            "activation": run.activation,
            "run_id": run.run_id,
            "reason": reason_without_keys(activation, run.figures),
            "counts": run.counts,
            "digest": run.rows.digest,
            "rows": None if each is None else [SEPARATOR.join(both) for both in each.items()],
        }
        return content | {"seal": seal(json.dumps(content, sort_keys=True))}


@dataclass(frozen=True, slots=True)
class Approved:
    """What came of it."""

    activation: str
    approval: Approval
    in_the_way: tuple[str, ...] = ()
    already: bool = False
    """Just that was approved before, and nothing else was recorded."""
    error: ClassVar[ConnectorError | None] = None
    exit_code: ClassVar[int] = 0

    def document(self) -> Document:
        told = {"activation": self.activation, **self.approval.document()}
        return {**told, "in_the_way": list(self.in_the_way), "already": self.already}


class Planned(BaseModel):
    """A plan as it is read from a file."""

    model_config = ConfigDict(frozen=True)

    version: int
    activation: str
    run_id: str | None = None
    reason: str
    counts: Mapping[str, int]
    digest: str
    rows: Sequence[str] | None = None
    seal: str

    @property
    def content(self) -> str:
        """What is sealed: all that it says."""
        return json.dumps(self.model_dump(exclude={"seal"}), sort_keys=True)

    @property
    def shown(self) -> Digests:
        """The rows that it is about."""
        each = None
        if self.rows is not None:
            each = {key: content for key, _, content in (r.partition(SEPARATOR) for r in self.rows)}
        return Digests(self.counts.get("rows", 0), self.digest, each)


def planned(content: Any) -> Planned:
    """A plan out of a file's content. Raises ConfigurationError."""
    try:
        found = Planned.model_validate(content)
    except ValidationError:
        raise ConfigurationError("that is no plan that `connector approve --out` wrote") from None
    if found.version != VERSION:
        raise ConfigurationError(f"a plan of version {found.version} is not known here")
    return found


@dataclass(frozen=True, slots=True)
class Approve:
    """A deed: let exactly the rows go that are held. `plan_of`: the plan that it is approved by;
    `digest`: of the rows that the person has seen elsewhere, such as on a page."""

    app: App
    activation: Activation
    person: Person
    plan_of: Planned | None = None
    digest: str | None = None

    async def plan(self) -> Held:
        """What is held. Raises ConfigurationError where nothing is."""
        return await asyncio.to_thread(held_now, self.app, self.activation.name)

    async def do(self, plan: Held, agreed: bool) -> Approved:
        """Approve it. Raises ApprovalRefused when it is not what was shown, or the person may not;
        ActivationBusy while a run goes on."""
        return await asyncio.to_thread(self._do, plan, agreed)

    def _do(self, plan: Held, agreed: bool) -> Approved:
        name = self.activation.name
        shown: Digests | str | None = self.digest or (plan.run.rows if agreed else None)
        if self.plan_of is not None:
            shown = self.plan_of.shown
        with self.app.ledger() as ledger:
            lease = self._lease(ledger, plan)
            if isinstance(lease, Approved):
                return lease
            try:
                meanwhile = self._meanwhile(ledger, plan)
                if meanwhile and meanwhile.approval.is_usable:  # else what it let go is held again
                    return meanwhile
                held = ledger.held_run(name)
                if held is None:
                    raise nothing_held(ledger, name)
                if self.plan_of and ledger.seal(self.plan_of.content) != self.plan_of.seal:
                    ledger.refuse_approval(name, self.person.name, EDITED, held.run_id)
                    raise ApprovalRefused(f'"{name}" stays held: {EDITED}')
                request = Request(self.person.name, self.person.note, shown)
                done = approve(ledger, lease, self.activation.limits, held, request)
            finally:
                ledger.let_go(lease)
        return Approved(name, done, plan.in_the_way, already=done.id <= plan.newest)

    def _lease(self, ledger: Ledger, plan: Held) -> Run | Approved:
        """The lease; or what another person has approved who has it, or has begun a run with it.
        Raises ActivationBusy."""
        until = clocks.now().monotonic + PATIENCE
        while True:
            try:
                return ledger.take_lease(self.activation.name)
            except ActivationBusy:
                if meanwhile := self._meanwhile(ledger, plan):
                    return meanwhile
                if clocks.now().monotonic > until:
                    raise
                time.sleep(LOOK_EVERY)  # who approves has it for a moment

    def _meanwhile(self, ledger: Ledger, plan: Held) -> Approved | None:
        """What another person has approved since this one was shown what is held."""
        newest = next(iter(ledger.approvals(self.activation.name)), None)
        if newest is None or newest.void or newest.expired or newest.id <= plan.newest:
            return None
        if newest.digest != plan.run.rows.digest:
            return None
        return Approved(self.activation.name, newest, plan.in_the_way, already=True)


def held_now(app: App, name: str) -> Held:
    """What is held of an activation. Raises ConfigurationError where nothing is."""
    with app.ledger() as ledger:
        return _held(app, ledger, name)


def plan_now(app: App, name: str) -> tuple[Held, Document]:
    """What is held of an activation, and a plan of it. Raises ConfigurationError where nothing
    is."""
    with app.ledger() as ledger:
        held = _held(app, ledger, name)
        return held, held.plan(app.settings.activation(name), ledger.sealing())


def _held(app: App, ledger: Ledger, name: str) -> Held:
    taken_over(app, ledger, name)
    found = ledger.held_run(name)
    if found is None:
        raise nothing_held(ledger, name)
    _refuse_if_read_anew(app, name)
    newest = next(iter(ledger.approvals(name)), None)
    stands = newest is not None and newest.is_usable and newest.digest == found.rows.digest
    ways = tuple(_in_the_way(app, name))
    return Held(found, newest if stands else None, ways, newest.id if newest else 0)


def _refuse_if_read_anew(app: App, name: str) -> None:
    """Raises ConfigurationError where the next run sends nothing of what is held."""
    identity = app.identity(app.settings.activation(name))
    with app.reports() as reports:
        found = Foreseen.of(reports, name, identity)
        if isinstance(found, Foreseen) and found.hold(name) is None:
            raise ConfigurationError(f'nothing that is held of "{name}" would go: {found.note}')


def _in_the_way(app: App, name: str) -> Iterator[str]:
    """Why no run would begin, whoever has approved what."""
    activation = app.settings.activation(name)
    with app.reports() as reports:
        for problem in reports.identity_problems(name, app.identity(activation)):
            yield app.settings.located(problem)
        for _, remedy in app.paused([activation], reports):
            yield f"it is paused; {remedy}"


def nothing_held(ledger: Ledger, name: str) -> ConfigurationError:
    """There is nothing to approve; it may be that another person was faster."""
    text = f'nothing is held of "{name}", so there is nothing to approve'
    newest = next(iter(ledger.approvals(name)), None)
    if newest and newest.used_by:
        at = instant_text(moment(newest.at))
        text += f"; the newest approval, by {newest.by} at {at}, was used by run {newest.used_by}"
    return ConfigurationError(text)
