"""Remove what the ledger holds of a person, and, where that is wanted, their interactions.

Rows that are not delivered hold a contact and a body: they are discarded without them. Delivered
rows hold no contact, so whose they are is asked of the destination. Row keys stay, since they are
what keeps a row from being sent again.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import field, replace

from connector.basis import dataclass
from connector.basis.log import Log
from connector.decisions.deciding import Outcome, with_reasons
from connector.destinations.port import AnyDestination
from connector.ledger.decisions import Person
from connector.ledger.forgetting import Besides, Held, HeldTrial
from connector.ledger.records import Run
from connector.ledger.reports import Reports
from connector.project.app import App, Home, Workshop
from connector.rules.activation import Activation
from connector.rules.deed import Agree, Document, error_document, status_word
from connector.rules.delivery import MAY_BE_THERE, Found, NotApplied, Refused, Removed, Unknown
from connector.rules.errors import ConfigurationError, ConnectorError, DestinationUnusable
from connector.rules.words import are, counted
from connector.sync.flow import leased
from connector.sync.side_by_side import Stop, until_stopped
from connector.sync.silence import Silence
from connector.sync.thread import LedgerThread

log = Log(__name__)

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
CANNOT_LIST = (
    "what is there of a person cannot be listed; without --delete-interactions, what the ledger"
    " holds can be removed all the same"
)


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


@dataclass(frozen=True, slots=True)
class Forget:
    """A deed: forget the person with these names. `only`: in these activations; in all without.
    `interactions`: delete what was delivered, too."""

    app: App
    names: Sequence[str]
    only: Sequence[str]
    interactions: bool
    person: Person

    async def plan(self) -> Plan:
        """What would be removed. Raises ConfigurationError when the names are those of several
        contacts, DestinationUnusable when the destination cannot say whose they are."""
        with self.app.reports() as reports:
            recorded = reports.homes()
            only = {reports.recorded_as(name): name for name in self.only}
            for name in only.keys() - recorded.keys():
                self.app.settings.activation(only[name])  # one that never ran holds nothing
            identities = {n: i for n, i in recorded.items() if not self.only or n in only}
            plan = self._known(reports, self.names, list(identities))
            if not self.interactions:
                return plan
            homes = {name: self.app.home(name, identity) for name, identity in identities.items()}
            for name in {home.destination for home in homes.values()}:
                how = self.app.kind(name).forgetting
                why = f"{CANNOT_LIST}. {how}" if how else CANNOT_LIST
                self.app.refuse_without(self.app.can(name).lists_person, name, why)
            return await self._with_interactions(plan, reports, homes)

    def _known(self, reports: Reports, names: Sequence[str], activations: Collection[str]) -> Plan:
        """What the ledger holds of the person with these names."""
        rows = reports.held_of(names, activations)
        known_as = (row.contact_id for row in rows if row.contact_id)
        everybody = list(dict.fromkeys([*names, *known_as]))
        cached_as = self._cached_as([*names, *(row.contact for row in rows if row.contact)])
        ids = [row.delivery_id for row in rows]
        return Plan(
            self.person.text,
            names,
            rows,
            reports.keys_holding(names, activations),
            trials=reports.trials_of(everybody),
            changes=reports.changes_about(everybody, activations),
            everybody=everybody,
            besides=reports.kept_besides(everybody, cached_as, ids, activations),
            cached_as=cached_as,
            within=activations,
        )

    def _cached_as(self, names: Collection[str]) -> set[str]:
        """Under which digests a look-up of one of `names` may be kept."""
        # written in small letters as a rule, however it is asked for here
        written = dict.fromkeys([*names, *(name.lower() for name in names if "@" in name)])
        return {
            self.app.contact_cache(activation).digest(name, activation.contact)
            for activation in self.app.settings.project.activations.values()
            for name in written
        }

    async def _with_interactions(
        self, plan: Plan, reports: Reports, homes: Mapping[str, Home]
    ) -> Plan:
        """The plan, with the person's interactions that belong to rows of the activations."""
        everybody: set[str] = set()
        theirs: list[Theirs] = []
        pruned = list[tuple[str, str, str]]()
        foreign, unknown = 0, []
        for destination in dict.fromkeys(home.destination for home in homes.values()):
            here = {n: home for n, home in homes.items() if home.destination == destination}
            every = self.app.settings.project.activations.items()
            configured = [a for name, a in every if reports.recorded_as(name) in here]
            async with self.app.destination(destination) as client:
                contacts = await _contacts(plan, set(here), configured, client)
                for target in sorted({home.schema_id for home in here.values()}):
                    for contact_id in sorted(contacts):
                        ids = await client.of_person(contact_id, target)
                        owned = await asyncio.to_thread(reports.owned_rows, ids, set(here))
                        theirs += [Theirs(i, row, destination) for i, row in owned.items()]
                        ours = await asyncio.to_thread(reports.owned, min(here), ids)
                        gone = await asyncio.to_thread(reports.of_pruned, min(here), ids)
                        pruned += [(i, destination, min(here)) for i in sorted(gone - owned.keys())]
                        foreign += len(ids - ours)
            if not contacts:
                unknown.append(destination)
            everybody |= contacts
        # who it is is known now: other rows may be theirs, too, under the contact's own id
        names = tuple(dict.fromkeys((*plan.names, *sorted(everybody))))
        known = await asyncio.to_thread(self._known, reports, names, list(homes))
        there = {their.destination for their in theirs} | {name for _, name, _ in pruned}
        stays = tuple({home.stays: None for home in homes.values() if home.destination in there})
        found = replace(known, interactions=theirs, pruned=pruned, stays=stays)
        return replace(found, foreign=foreign, unknown=unknown)

    async def do(self, plan: Plan, agreed: bool) -> Forgotten:
        """Delete the interactions, then remove what the ledger holds. What stops it is in the
        result.

        In this order, since the ledger may know best which contact it is: whoever was stopped can
        begin anew. Raises ActivationBusy while a run has the lease of one of the activations.
        """
        async with self.app.workshop() as workshop:
            with self.app.interruption.stop() as stop, LedgerThread() as thread:
                done = await Forgetting(plan, workshop, stop, thread).forget(self.plan)
                everybody = [*plan.everybody, *plan.besides.contact_ids]
                ledger, rows = workshop.ledger, [row.delivery_id for row in plan.rows]
                if done.error is None:  # else rows wait for their turn still
                    await thread.call(ledger.forget_contacts, everybody, plan.cached_as)
                    await thread.call(ledger.forget_turns, everybody, rows, plan.within)
                done.overwritten = await thread.call(ledger.pack)
            return done


def _is(number: int) -> str:
    return "is" if number == 1 else "are"


async def _contacts(
    plan: Plan,
    activations: Collection[str],
    configured: Sequence[Activation],
    client: AnyDestination,
) -> set[str]:
    """Who it is at one destination: contacts that were named, that rows know, or that are found by
    the identifiers. Raises ConfigurationError when they are several and not all were named."""
    named = {person for name in plan.names if (person := client.person(name))}
    known = {
        client.person(row.contact_id) or row.contact_id.lower()
        for row in plan.rows
        if row.contact_id and row.activation in activations
    }
    others = [name for name in plan.names if not client.person(name)]
    for activation in configured:
        if activation.contact.asks_destination:
            for name in others:
                if activation.contact.malformed(name):
                    continue
                match await client.look_up(name, activation.contact):
                    case Found(contact_id):
                        known.add(contact_id.strip("{}").lower())
                    case NotApplied(reason):
                        raise DestinationUnusable(reason)
    if len(known | named) > 1 and not known <= named:
        raise ConfigurationError(
            f"{len(known | named)} contacts go with what was given; name each that is to be"
            " forgotten by its contactId (--contact may be repeated), or narrow it down with"
            " --activation"
        )
    return known | named


# --- doing it -----------------------------------------------------------------------------------


class Forgetting:
    """One forgetting: the deletions side by side, then the ledger."""

    def __init__(self, plan: Plan, workshop: Workshop, stop: Stop, thread: LedgerThread) -> None:
        self.plan, self.ledger, self.client = plan, workshop.ledger, workshop.client
        self.beat = workshop.beat
        self.stop, self.thread, self.result = stop, thread, Forgotten(plan)
        self._leases: dict[str, Run] = {}
        self._silence = Silence()

    async def forget(self, anew: Callable[[], Awaitable[Plan]]) -> Forgotten:
        """All of it, under the lease of every activation; what stops it is in the result."""
        async with AsyncExitStack() as stack:
            for name in self.plan.activations:
                lease = leased(self.ledger, self.beat, self.thread, self.stop, name)
                self._leases[name] = await stack.enter_async_context(lease)
            restored = (lease.restored for lease in self._leases.values() if lease.restored)
            self.result.restored = next(restored, None)
            try:
                if self.plan.interactions is not None:
                    more = self.plan.more_in(await anew())
                    await self.thread.call(self.ledger.refuse_sent, self.plan.rows, more)
                await self._delete()
                await self._delete_pruned()
                if self.plan.interactions is not None:
                    await self._delete_trials()
                await self.thread.call(self._remove)
            except ConnectorError as error:
                self.result.error = error
        return self.result

    async def _delete(self) -> None:
        theirs, result = self.plan.interactions or (), self.result
        for name in dict.fromkeys(their.destination for their in theirs):
            here = [their for their in theirs if their.destination == name]
            await until_stopped(self.stop, self.client(name).concurrency, self._one, here)
        self.stop.raise_error()
        if unanswered := len(theirs) - result.deleted - len(result.refused):
            raise DestinationUnusable(
                f"{unanswered} deletions got no answer that can be used; running it again goes on"
            )

    async def _one(self, their: Theirs) -> None:
        row = their.row
        removal = await self.client(their.destination).delete(their.interaction_id)
        match removal:
            case Removed():
                lease, by = self._leases[row.activation], self.plan.by
                await self.thread.call(self.ledger.forget, lease, by, [row])
                self.result.deleted += 1
            case Refused(reason):
                self.result.refused.append((row.row_key, reason))
            case Unknown(reason):
                log.warning("forget.unanswered", row_key=row.row_key, reason=reason)
        self._silence.heard(removal)

    async def _delete_pruned(self) -> None:
        """Interactions of pruned rows: of these nothing is recorded any more."""
        for name, destination, near in self.plan.pruned:
            match await self.client(destination).delete(name):
                case Removed():
                    await self.thread.call(self.ledger.forget_pruned, self.plan.by, name, near)
                    self.result.deleted += 1
                case Refused(reason):
                    self.result.refused.append((f"a pruned row ({name})", reason))
                case Unknown(reason):
                    raise DestinationUnusable(f"that of a pruned row was not deleted: {reason}")
            self.stop.raise_error()

    async def _delete_trials(self) -> None:
        """What tests have left on purpose."""
        for trial in self.plan.kept_trials:
            if trial.interaction_id is None:
                continue
            match await self.client(trial.destination).delete(trial.interaction_id):
                case Removed():
                    forget = self.ledger.forget_trials
                    await self.thread.call(forget, [trial.number], removed=True)
                    self.result.deleted += 1
                case Refused(reason):
                    self.result.refused.append((f"a test ({trial.interaction_id})", reason))
                case Unknown(reason):
                    raise DestinationUnusable(f"what a test has left was not deleted: {reason}")

    def _remove(self) -> None:
        self.ledger.forget_trials([trial.number for trial in self.plan.kept_trials])
        self.ledger.forget_changes(self.plan.everybody, list(self._leases))
        # as they stand now: what was on the wire of a dead run has become a doubt
        held = self.ledger.held_of(self.plan.names, list(self._leases))
        for activation, lease in self._leases.items():
            rows = [row for row in held if row.activation == activation]
            self.ledger.forget(lease, self.plan.by, rows)
            self.result.rows += len(rows)
