"""A test send: what a row becomes now goes to a test contact, is looked at, and is taken back.

The row itself is not touched, whether it is recorded or not: it goes once, with a sync.
"""

import asyncio
from collections.abc import Callable
from dataclasses import field
from datetime import UTC, datetime, timedelta
from uuid import uuid4

from connector.basis import dataclass
from connector.destinations.port import AnyDestination, Item, Look, Parcel, References
from connector.project.app import App
from connector.project.row_now import contact_now, mapped_now
from connector.rules.activation import Activation
from connector.rules.deed import Agree, Document, error_document, status_word
from connector.rules.delivery import Accepted, Found, NotApplied, Submitted
from connector.rules.errors import ConfigurationError, ConnectorError, DestinationUnusable
from connector.rules.interaction import Invalid, instant_text
from connector.rules.trial import Aim, Trial
from connector.sync.leftovers import Cleaned, Leftovers
from connector.sync.preflight import preflight
from connector.sync.thread import LedgerThread
from connector.sync.trials import TrialBook
from connector.sync.try_out import Tried, TryOut, request_document, shown_document

CANNOT_TAKE_BACK = (
    "there what was sent cannot be taken back, so a test would stay for good; --keep sends it all"
    " the same"
)
FAR_AHEAD = timedelta(days=7)
"""How far ahead a test is put where the destination acts at a time: nobody is asked anything before
it is taken back, and whoever was killed has a week to clean up."""


@dataclass(frozen=True, slots=True)
class SendPlan:
    """What would be sent, to whom, and how the request looks."""

    activation: Activation
    row_key: str
    to: str
    item: Item
    look: Look
    called: str
    keep: bool
    ahead: bool
    stays: str
    empty: bool = False
    exit_code: int = 0

    @property
    def question(self) -> Agree:
        stay = ", which stays there" if self.keep else ""
        return Agree(f"Send 1 interaction to {self.to} at {self.called}{stay}?")

    @property
    def notes(self) -> list[str]:
        """What a person should know before."""
        sends = f"This sends 1 interaction to {self.to}; automations may start."
        told = [sends, *([] if self.keep else [f"It is taken back afterwards. {self.stays}"])]
        if self.ahead:
            told.append(
                f"So that nobody is asked before, it is due in {FAR_AHEAD.days} days, whatever the"
                " row says."
            )
        return told

    def document(self) -> Document:
        return {
            "status": "planned",
            "activation": self.activation.name,
            "row_key": self.row_key,
            "request": request_document(self.look),
            "notes": self.notes,
        }


@dataclass(slots=True)
class SendDone:
    """What came of it."""

    plan: SendPlan
    tried: Tried = field(default_factory=Tried)
    left: Cleaned = field(default_factory=Cleaned)
    error: ConnectorError | None = None

    @property
    def exit_code(self) -> int:
        """1: it was not taken, or something is left."""
        if self.error:
            return self.error.exit_code
        stored = isinstance(self.tried.outcome, Accepted | Submitted) or self.tried.interaction_id
        ended = self.tried.kept or self.tried.taken_back
        return int(not (stored and ended) or bool(self.tried.stuck or self.left.stuck))

    def document(self) -> Document:
        tried, plan, outcome = self.tried, self.plan, self.tried.outcome
        name = plan.activation.created_shown
        return {
            "status": status_word(self),
            "activation": plan.activation.name,
            "row_key": plan.row_key,
            "request": request_document(plan.look),
            "answer": outcome
            and {
                "outcome": outcome.word,
                "http_status": outcome.http_status,
                "reason": getattr(outcome, "reason", None),
                "interaction_id": tried.interaction_id,
            },
            "interaction": shown_document(tried.shown, name),
            "visible_after": tried.visible_after,
            "differences": [side.document() for side in tried.sides],
            "not_shown": tried.hidden or None,
            "kept": tried.kept,
            "taken_back": tried.taken_back,
            "left": tried.stuck,
            "cleaned_up": self.left.sentences,
            "notes": plan.notes,
            **error_document(self.error),
        }


@dataclass(frozen=True, slots=True)
class Send:
    """A deed: send what the row `row_key` becomes now to the contact `to`. `tell`: told what is
    waited for."""

    app: App
    activation: Activation
    row_key: str
    to: str
    keep: bool = False
    tell: Callable[[str], None] = lambda sentence: None
    by: str = ""

    @property
    def destination(self) -> str:
        """What the destination is called."""
        return self.app.settings.project.destination_of(self.activation)

    async def plan(self) -> SendPlan:
        """Map the row, look the contact up, compose the request. Raises ConfigurationError where
        there is no such row, it becomes no interaction, or there is no such contact."""
        name, app = self.destination, self.app
        if not self.keep:
            app.refuse_without(app.can(name).takes_back, name, CANNOT_TAKE_BACK)
        async with app.destination(name) as client:
            schema = await preflight(self.activation, client)
            row = await asyncio.to_thread(mapped_now, app, self.activation, schema, self.row_key)
            if row is None:
                raise ConfigurationError(
                    f'the model of "{self.activation.name}" has no row "{self.row_key}" now'
                )
            if isinstance(row.content, Invalid):
                raise ConfigurationError(
                    f'the row "{self.row_key}" becomes no interaction: {row.content.reason}'
                )
            contact = await self._contact(client)
            now = datetime.now(UTC).replace(microsecond=0)
            created = row.content.created or instant_text(now)
            ahead = self.activation.acts_at_its_time and not self.keep
            created = instant_text(now + FAR_AHEAD) if ahead else created
            mark = References(f"test {uuid4()}").of(self.row_key)
            item = Item(0, mark, contact, created, row.content.payload)
            look = client.compose(self.activation, Parcel(mark, (item,)))
        return SendPlan(
            activation=self.activation,
            row_key=self.row_key,
            to=self.to,
            item=item,
            look=look,
            called=app.called(name),
            keep=self.keep,
            ahead=ahead,
            stays=app.kind(name).stays,
        )

    async def _contact(self, client: AnyDestination) -> str:
        how, to = self.activation.contact, self.to.strip()
        if client.can.looks_up and how.is_own_id(to):
            return to
        found = await contact_now(self.app, self.activation, client, to)
        match found:
            case Found(contact_id):
                return contact_id
            case NotApplied(reason):
                raise DestinationUnusable(reason)
            case other:
                raise ConfigurationError(f'--to "{to}": {other.reason}')

    async def do(self, plan: SendPlan, agreed: bool) -> SendDone:
        """Clean up what earlier calls left, send it, look at it, take it back."""
        done, app, name = SendDone(plan), self.app, self.destination
        place = app.settings.project.destinations[name].place
        async with app.workshop() as workshop:
            with app.interruption.stop() as stop, LedgerThread() as thread:
                client = workshop.client(name).heeding(lambda: stop.asked)
                trials = workshop.ledger.trials(place, name)
                book = TrialBook(trials, thread, client, app.settle_after(name))
                leftovers = Leftovers(book, stop, self.tell)
                trying = TryOut(leftovers, self.activation, plan.keep, done.tried)
                try:
                    await preflight(self.activation, client)
                    done.left = await leftovers.clean()
                    parcel = Parcel(str(uuid4()), (plan.item,))
                    await trying.send(self._trial(plan.item), parcel)
                except ConnectorError as error:
                    if done.tried.outcome is None:
                        raise
                    done.error = error
        return done

    def _trial(self, item: Item) -> Trial:
        return Trial(
            aim=Aim.TEST,
            target=self.activation.target,
            contact=item.contact,
            created=item.created,
            payload=item.payload,
            reference=item.reference,
            activation=self.activation.name,
            row_key=self.row_key,
            by=self.by,
        )
