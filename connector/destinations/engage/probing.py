"""A probe of an Engage: in which order it tries things to find out how this one behaves.

It works in a schema of its own where one can be made, else in the one that is named, and only about
the contact that is named (one question is about a contact that is nobody's).
"""

import asyncio
import time
from collections.abc import Callable
from typing import Any
from uuid import uuid4

from connector.destinations.credentials import api_key
from connector.destinations.engage.answering import answer, order_of
from connector.destinations.engage.grammar import is_guid
from connector.destinations.engage.questions import QUESTIONS
from connector.destinations.engage.samples import (
    OWN,
    UNKNOWN,
    Bodies,
    Sample,
    bodies_for,
    own_schema,
)
from connector.destinations.engage.schemas import Schemas
from connector.destinations.engage.trying import (
    LEAST_WAIT,
    SHOWN_ON,
    TIMES,
    Listing,
    Sending,
    Trying,
)
from connector.destinations.port import Applied
from connector.destinations.probing import Asker, Exchange, lasted, pause_after
from connector.destinations.trials import Trials
from connector.rules.delivery import Accepted, NotApplied, Refused, Unknown
from connector.rules.errors import ConfigurationError, DestinationUnusable, KeyRefused
from connector.rules.probing import Answered, Prospect, Question, Subject
from connector.rules.trial import Aim, Trial

ABOUT = "They are about this contact, and one is about a contact that is nobody's."
AUTOMATIONS = (
    "Automations that start with a new interaction start with these, too: take a contact of your"
    " own, and pause what would send something."
)
FEWEST = 15
"""Interactions that all questions but the size of a page take."""
STEPS = (51, 101)
"""How many in one list show the size of a page: Engage has fifty on one."""
WRONG_KEY = "connector-probe-wrong-key"


class EngageProbe:
    """One measuring of one Engage."""

    questions: tuple[Question, ...] = QUESTIONS

    def __init__(self, engage: Schemas, subject: Subject) -> None:
        self._engage, self._subject = engage, subject
        self._asker = Asker(engage, {subject.contact: "CONTACT"})
        self._own = False

    # --- before ---------------------------------------------------------------------------------

    async def prospect(self) -> Prospect:
        """Whether this contact and schema will do, and whether the probe's own schema can be made.
        Raises ConfigurationError, DestinationUnusable."""
        subject = self._subject
        if not is_guid(subject.contact):
            raise ConfigurationError(
                "--contact wants a contactId of Engage, such as"
                " 2e40b702-1c5f-4a77-9d6b-3f0c5a1e8b42; `connector explain ACTIVATION KEY --live"
                " --show-values` shows that of a row"
            )
        if subject.most < FEWEST:
            raise ConfigurationError(f"--most wants {FEWEST} or more: so many the questions take")
        ids = await self._ids()
        definition = await self._engage.definition(subject.target)
        if definition is None:
            raise ConfigurationError(
                f'the destination has no schema "{subject.target}"; it has: {", ".join(ids)}'
            )
        self._own = OWN in subject.own or OWN.lower() not in [each.lower() for each in ids]
        notes = [ABOUT, AUTOMATIONS]
        if self._own:
            target = OWN
        else:
            bodies_for(definition)
            target = definition.id
            notes.append(
                f'there is a schema "{OWN}" already, which is not of a probe on record here, so'
                f' the probe works in "{target}"'
            )
        return Prospect(target, self._own, subject.most, notes)

    async def _ids(self) -> list[str]:
        """The schemas that there are; where they are not listed, those that matter here."""
        try:
            return await self._engage.schema_ids()
        except KeyRefused:
            raise
        except DestinationUnusable:
            names = (OWN, self._subject.target)
            return [name for name in names if await self._engage.definition(name) is not None]

    # --- the questions --------------------------------------------------------------------------

    async def answers(
        self, trials: Trials, tell: Callable[[str, int, int], None]
    ) -> list[Answered]:
        """Ask all questions, in an order in which each can build upon those before."""
        subject, engage = self._subject, self._engage
        bodies, target = await self._place(trials)
        tried = Trying(
            asker=self._asker,
            trials=trials,
            bodies=bodies,
            contact=subject.contact,
            target=target,
            most=subject.most,
            patience=subject.patience,
            tell=tell,
            stopping=engage.stopping,
        )
        await self._wrong_key(tried)
        plain = await self._plain(tried)
        await self._send_all(tried)
        young = await self._young(tried)
        await tried.watch(s for s in tried.samples.values() if s is not young)
        await tried.write_off(s for s in tried.samples.values() if s is not young)
        if young:
            await self._is_young_gone(tried, young)
        await self._lists(tried)
        await self._deletions(tried, plain)
        return [answer(tried, each.name) for each in QUESTIONS]

    async def _place(self, trials: Trials) -> tuple[Bodies, str]:
        """Where to work: the probe's own schema, made now, else the one that is named."""
        if self._own and await self._make_own(trials):
            return bodies_for(own_schema("")), OWN
        definition = await self._engage.definition(self._subject.target)
        if definition is None:
            raise DestinationUnusable(f'the schema "{self._subject.target}" is gone')
        return bodies_for(definition), definition.id

    async def _make_own(self, trials: Trials) -> bool:
        """Make the schema, on record before; whether it is there, and ours."""
        name = f"Connector probe {uuid4().hex[:8]}"
        number = await trials.open(Trial(aim=Aim.SCHEMA, target=OWN, reference=name))
        try:
            outcome = await self._engage.create_schema(own_schema(name))
        except DestinationUnusable as refused:  # a key may be good for all but this
            outcome = Refused(str(refused), refused.http_status)
        match outcome:
            case Applied(status):
                await trials.close(number, None, Accepted(None, status))
            case Refused() | NotApplied():
                await trials.close(number, None, outcome)
                return False
            case Unknown():
                await trials.close(number, None, outcome)
        end = time.monotonic() + max(LEAST_WAIT * TIMES, 10)
        while time.monotonic() < end:
            there = await self._engage.definition(OWN)
            if there is not None:
                return there.display_name == name
            await asyncio.sleep(0.2)
        return False

    async def _wrong_key(self, tried: Trying) -> None:
        other = self._engage.otherwise(api_key("apikey", WRONG_KEY))
        asked = await self._asker.ask("GET", "/interactionschemas", other)
        tried.notes["wrong_key"] = asked.status, [asked.shown()]

    async def _plain(self, tried: Trying) -> Sample:
        """One as a row would be sent, and how long until it is shown. Raises DestinationUnusable
        where there is nothing to go on with."""
        plain = await tried.send("plain")
        if plain is None or not plain.accepted or not plain.id:
            said = plain.sent.why or f"HTTP {plain.sent.status}" if plain else ""
            raise DestinationUnusable(
                f"an interaction about this contact is not taken ({said}), so nothing can be asked;"
                " is it the id of a contact that there is?",
                plain.sent.status if plain else None,
            )
        by_id, by_list = await tried.appearance(plain)
        evidence = [{"by_id": by_id, "in_the_list": by_list, "seconds_waited": tried.patience}]
        seen = [each for each in (by_id, by_list) if each is not None]
        if seen:
            tried.settled = max(LEAST_WAIT, TIMES * max(seen))
        whole = by_list if by_id is None else by_id if by_list is None else max(seen)
        tried.notes["visible_after"] = whole, evidence
        return plain

    async def _send_all(self, tried: Trying) -> None:
        """The samples, each for one question."""
        engage, breakable = self._engage, tried.bodies.breakable
        if breakable:
            without = Sending(payload=lambda p: {k: v for k, v in p.items() if k != breakable})
            await tried.send("breaking", without)
        await tried.send("extra", Sending(payload=lambda p: {**p, UNKNOWN: "x"}))
        await tried.send("nobody", Sending(contact=str(uuid4())))
        await tried.send("no schema", Sending(target=f"{OWN}{tried.bodies.run}"))
        if (swapped := tried.target.swapcase()) != tried.target:
            await tried.send("other case", Sending(target=swapped))
        await tried.send("untyped", Sending(type=""))
        await tried.send("unnamed", Sending(client=engage.otherwise(without=["User-Agent"])))
        await tried.send("precise", Sending(form="microseconds"))
        await tried.send("offset", Sending(form="offset"))
        first = await tried.send("one of two")
        if first:
            await tried.send("the other of two", Sending(like=first))

    # --- deleting -------------------------------------------------------------------------------

    async def _young(self, tried: Trying) -> Sample | None:
        """One that is deleted as soon as that succeeds."""
        young = await tried.send("young")
        if young is None or not young.id:
            return None
        deleted = await tried.delete_when_possible(young)
        evidence = [*young.evidence]
        if deleted is None:
            why = f"it could not be deleted within {tried.patience:g} s"
            tried.notes["deletable_after"] = None, [*evidence, {"why": why}]
            return None
        exchange, after = deleted
        tried.notes["deletable_after"] = after, [*evidence, exchange.shown()]
        return young

    async def _is_young_gone(self, tried: Trying, young: Sample) -> None:
        """A success may be said of a deletion that did nothing, since there was nothing to see yet:
        once all others are shown, this one must not be."""
        began = young.sent.sent
        if tried.notes["visible_after"][0] != 0:
            await tried.pause(max(0.0, young.sent.came + tried.settled - time.monotonic()))
        if await tried.is_gone(young, SHOWN_ON):
            return
        while time.monotonic() < began + tried.patience:
            exchange = await tried.delete(young)
            if (look := await tried.look(young)).status in (404, 410):
                young.gone = True
                await tried.trials.removed(young.number)
                said = {"why": "deletions before were answered with a success, and did nothing"}
                after = lasted(began, False, look.came)
                tried.notes["deletable_after"] = after, [exchange.shown(), said]
                return
            await tried.pause(pause_after(time.monotonic() - began))
        why = "deletions are answered with a success, and it is still there"
        tried.notes["deletable_after"] = None, [{"why": why}]

    async def _deletions(self, tried: Trying, plain: Sample) -> None:
        """Delete one, once more, and see how long it is listed."""
        deleted = await tried.delete_when_possible(plain)
        if deleted is None:
            return
        first, _ = deleted
        soon = await tried.listing()
        again = await tried.delete(plain)
        tried.notes["delete_status"] = first.status, [first.shown()]
        tried.notes["delete_again"] = again.status, [again.shown()]
        if plain.listed:
            await self._listed_on(tried, plain, first, soon)
        else:
            why = "the list did not show it before"
            tried.notes["listed_after_delete"] = None, [{"why": why}]
        await tried.is_gone(plain)

    async def _listed_on(
        self, tried: Trying, plain: Sample, first: Exchange, soon: Listing
    ) -> None:
        """How long what was deleted is listed still; `soon`: the list as it was just after."""
        looks, end = 0, first.sent + tried.patience
        while time.monotonic() < end:
            listing = await tried.listing() if looks else soon
            looks += 1
            if listing.first.status == 200 and plain.id not in listing.ids:
                span = lasted(first.sent, looks == 1, listing.came)
                seen = listing.first.shown(looks=looks)
                tried.notes["listed_after_delete"] = span, [first.shown(), seen]
                break
            waited = time.monotonic() - first.sent
            tried.tell("waiting until it is listed no more", round(waited), round(tried.patience))
            await tried.pause(pause_after(waited))
        else:
            why = f"it is still listed after {tried.patience:g} s"
            tried.notes["listed_after_delete"] = None, [{"why": why}]

    # --- lists ----------------------------------------------------------------------------------

    async def _lists(self, tried: Trying) -> None:
        """How a list is put, in which order, and how much of it is on a page."""
        listing = await tried.listing()
        tried.notes["list_shape"] = listing.shape, [listing.first.shown(shape=listing.shape)]
        if not listing.sizes and tried.target != self._subject.target:
            # there may be a long list already
            other = await tried.listing(self._subject.target)
            if other.sizes:
                self._page_size(tried, other)
        for step in STEPS if "page_size" not in tried.notes else ():
            if listing.sizes or (listing.shape is None):
                break
            listing = await self._fill(tried, step)
            if self._hides(tried, listing):
                break
        if "page_size" not in tried.notes:
            self._page_size(tried, listing)
        orders = dict[str | None, int]()
        for sample in tried.samples.values():
            orders.setdefault(sample.id, sample.order)
        numbers = [orders[name] for name in listing.ids if name in orders]
        distinct = list(dict.fromkeys(numbers))
        evidence = listing.first.shown(sent_as_number=distinct[:12], compared=len(distinct))
        tried.notes["list_order"] = order_of(distinct), [evidence]

    async def _fill(self, tried: Trying, number: int) -> Listing:
        """Make so many that a list should hold `number`; the list, once it shows all."""
        for _ in range(number - len({each.id for each in self._expected(tried)})):
            if await tried.send(f"filling {tried.made + 1}") is None:
                break
        await tried.watch(list(self._expected(tried))[-1:])
        expected = {each.id for each in self._expected(tried)}
        last = max(each.sent.came for each in tried.samples.values())
        while True:
            listing = await tried.listing()
            if expected <= set(listing.ids) or time.monotonic() > last + tried.settled:
                return listing
            await tried.pause(pause_after(time.monotonic() - last))

    def _expected(self, tried: Trying) -> list[Sample]:
        """The samples that the list should show."""
        mine = [s for s in tried.samples.values() if s.contact == tried.contact]
        here = [s for s in mine if s.target == tried.target and s.id and not s.gone]
        return [s for s in here if s.seen or s.name.startswith("filling")]

    def _hides(self, tried: Trying, listing: Listing) -> bool:
        """Whether there are interactions that a list without a next page does not show."""
        expected = {each.id for each in self._expected(tried)}
        return not listing.sizes and listing.complete and not expected <= set(listing.ids)

    def _page_size(self, tried: Trying, listing: Listing) -> None:
        number, pages = len(listing.ids), len(listing.sizes) + 1
        evidence: list[Any] = [listing.first.shown(interactions=number, pages=pages)]
        if listing.sizes:
            size: Any = max(set(listing.sizes), key=list(listing.sizes).count)
        elif self._hides(tried, listing):
            size = number
            evidence.append({"why": "there are more, and there is no way to a next page"})
        elif listing.shape == "array":
            size = "whole"
            evidence.append({"why": "a list is not cut into pages"})
        elif listing.shape is None:
            size = None
        else:
            size = f"more than {number}"
        tried.notes["page_size"] = size, evidence
