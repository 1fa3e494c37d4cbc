"""Remove what the ledger holds of a person, and, where that is wanted, their interactions.

Rows that are not delivered hold a contact and a body: they are discarded without them. Delivered
rows hold no contact, so whose they are is asked of the destination. Row keys stay, since they are
what keeps a row from being sent again.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace

from connector.basis import dataclass
from connector.basis.log import Log
from connector.decisions.forgotten import Forgotten, Plan, Theirs
from connector.destinations.port import AnyDestination
from connector.ledger.decisions import Person
from connector.ledger.records import Run
from connector.ledger.reports import Reports
from connector.project.app import App, Home, Workshop
from connector.rules.activation import Activation
from connector.rules.delivery import Found, NotApplied, Refused, Removed, Unknown
from connector.rules.errors import (
    ActivationBusy,
    ConfigurationError,
    ConnectorError,
    DestinationUnusable,
    StaleMove,
)
from connector.sync.flow import leased
from connector.sync.side_by_side import Stop, until_stopped
from connector.sync.silence import Silence
from connector.sync.thread import LedgerThread

log = Log(__name__)

CANNOT_LIST = (
    "what is there of a person cannot be listed; without --delete-interactions, what the ledger"
    " holds can be removed all the same"
)


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
        contacts, DestinationUnusable when the destination cannot say whose they are, ActivationBusy
        while rows are to be sent again that may be theirs."""
        with self.app.reports() as reports:
            recorded = reports.homes()
            only = {reports.recorded_as(name): name for name in self.only}
            for name in only.keys() - recorded.keys():
                self.app.settings.activation(only[name])  # one that never ran holds nothing
            identities = {n: i for n, i in recorded.items() if not self.only or n in only}
            _refuse_sent_again(reports, identities)
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
        asked = await asyncio.to_thread(reports.being_forgotten, list(homes))
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
                        gone = await asyncio.to_thread(reports.of_pruned, set(here), ids)
                        pruned += [(i, destination, min(here)) for i in sorted(gone - owned.keys())]
                        foreign += len(ids - ours)
            seen = {their.interaction_id for their in theirs}
            theirs += [
                Theirs(i, row, destination)
                for i, row in asked.items()
                if i not in seen and row.activation in here
            ]
            if not contacts:
                unknown.append(destination)
            everybody |= contacts
        # who it is is known now: other rows may be theirs, too, under the contact's own id
        names = tuple(dict.fromkeys((*plan.names, *sorted(everybody))))
        known = await asyncio.to_thread(self._known, reports, names, list(homes))
        there = {their.destination for their in theirs} | {name for _, name, _ in pruned}
        stays = tuple({home.stays: None for home in homes.values() if home.destination in there})
        found = replace(known, interactions=theirs, pruned=pruned, stays=stays)
        return replace(found, foreign=foreign, unknown=unknown, asked_before=len(asked))

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
                    by = None if plan.activations or done.deleted else plan.by
                    await thread.call(ledger.forget_contacts, everybody, plan.cached_as, by)
                    await thread.call(ledger.forget_turns, everybody, rows, plan.within)
                done.overwritten = await thread.call(ledger.pack)
            return done


def _refuse_sent_again(reports: Reports, activations: Collection[str]) -> None:
    """Raises ActivationBusy where what is recorded to be sent again may be of the person."""
    if kept := reports.being_sent_again(activations):
        name, schema = kept
        raise ActivationBusy(
            f'delivered rows of "{name}" are recorded to be sent again by the replacement of the'
            f' schema "{schema}", some of this contact perhaps: `connector schema replace {schema}`'
            " goes on with it; forget after that"
        )


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
                await self._refuse_renamed()
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

    async def _refuse_renamed(self) -> None:
        """Raises StaleMove where a run has taken rows over under another name since they were
        seen: under this one nothing is found any more."""
        if name := await self.thread.call(self.ledger.renamed_among, self.plan.within):
            raise StaleMove(
                f'"{name}" got another name since it was looked for what there is of this contact,'
                " so nothing was removed; run it again"
            )

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
        row, lease = their.row, self._leases[their.row.activation]
        # what is not heard of is not listed as theirs any more, and would stay as delivered
        await self.thread.call(self.ledger.ask, lease, row, their.interaction_id)
        removal = await self.client(their.destination).delete(their.interaction_id)
        match removal:
            case Removed():
                await self.thread.call(self.ledger.forget, lease, self.plan.by, [row])
                self.result.deleted += 1
            case Refused(reason):
                await self.thread.call(self.ledger.take_back_asking, row, their.interaction_id)
                self.result.refused.append((row.row_key, reason))
            case Unknown(reason):
                log.warning("forget.unanswered", row_key=row.row_key, reason=reason)
        self._silence.heard(removal)

    async def _delete_pruned(self) -> None:
        """Interactions of pruned rows: of these nothing is recorded any more."""
        call, ledger = self.thread.call, self.ledger
        for name, destination, near in self.plan.pruned:
            await call(ledger.ask_pruned, name, near)
            match await self.client(destination).delete(name):
                case Removed():
                    await call(ledger.forget_pruned, self.plan.by, name, near)
                    self.result.deleted += 1
                case Refused(reason):
                    await call(ledger.take_back_asking_pruned, name, near)
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
                    await self.thread.call(forget, [trial.number], self.plan.by)
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
