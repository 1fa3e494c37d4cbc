"""What a probe does with its interactions at an Engage: send, look, list, wait for, delete.

Each is on record before its first byte, and goes out once.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import urlencode

import orjson

from connector.basis import dataclass
from connector.destinations.bodies import Body
from connector.destinations.engage.pages import id_text, page_of, path_of, token_of
from connector.destinations.engage.samples import Bodies, Sample, Seen, content_of, written
from connector.destinations.http import Http
from connector.destinations.probing import Exchange, lasted, pause_after
from connector.destinations.trials import Trials
from connector.rules.delivery import Accepted, NotApplied, Outcome, Refused, Unknown
from connector.rules.errors import Interrupted
from connector.rules.read_back import Stored
from connector.rules.trial import Aim, Trial

JSON = "application/json"
LEAST_WAIT = 2.0
"""Seconds after which what is not shown counts as dropped, where things are shown at once."""
TIMES = 4
"""How many times as long as others took is waited for what is not shown."""
SHOWN_ON = 10.0
"""Seconds for which what was deleted may be shown by its id."""
MOST_PAGES = 200
AGAIN = 3


@dataclass(frozen=True, slots=True)
class Listing:
    """What a list shows, as far as it was read. `cut`: it has a way to a next page; `sizes`: how
    many are on each page that has one after it."""

    stored: Sequence[Stored]
    shape: str | None
    sizes: Sequence[int]
    first: Exchange
    came: float
    complete: bool

    @property
    def ids(self) -> list[str]:
        return [each.id for each in self.stored]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sending:
    """How a sample differs from a plain one."""

    contact: str = ""
    target: str = ""
    payload: Callable[[dict[str, Any]], dict[str, Any]] = dict
    form: str = "milliseconds"
    client: Http | None = None
    type: str = JSON
    like: Sample | None = None
    """Equal to this one, to the last byte."""


PLAIN = Sending()


@dataclass(slots=True, kw_only=True)
class Trying(Seen):
    """The interactions of one probe. `tell`: what is going on, done and total."""

    trials: Trials
    bodies: Bodies
    contact: str
    target: str
    most: int
    patience: float
    tell: Callable[[str, int, int], None]
    stopping: Callable[[], object]
    made: int = 0
    settled: float = LEAST_WAIT
    """Seconds after which what is not shown counts as dropped."""

    def may_go_on(self) -> None:
        """Raises Interrupted when somebody has asked to stop."""
        if self.stopping():
            raise Interrupted("interrupted")

    async def pause(self, seconds: float) -> None:
        """Wait, and stop when that is asked for."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self.may_go_on()
            await asyncio.sleep(min(left, 0.2))

    # --- sending --------------------------------------------------------------------------------

    async def send(self, name: str, how: Sending = PLAIN) -> Sample | None:
        """Make a sample; None where no more may be made. One without an answer is made anew."""
        for _ in range(AGAIN):
            if self.made >= self.most:
                return None
            sample = await self._send(name, how)
            self.samples[name] = sample
            self.tell("sending", self.made, self.most)
            if sample.sent.unsent or sample.sent.status == 429:
                self.made -= 1  # nothing came of it, for certain
                await self.pause(1.0)
            elif sample.sent.status is not None:
                return sample
            else:
                self.samples[f"{name} {sample.number}"] = sample  # whatever came of it
        return self.samples[name]

    async def _send(self, name: str, how: Sending) -> Sample:
        self.may_go_on()
        self.made += 1
        contact, target = how.contact or self.contact, how.target or self.target
        if how.like:
            created, mark, payload = how.like.created, how.like.mark, dict(how.like.payload)
        else:
            created, mark = written(self.bodies.moment(), how.form), self.bodies.mark()
            payload = how.payload(self.bodies.payload(mark))
            mark = mark if mark in payload.values() else ""
        trial = Trial(
            aim=Aim.PROBE,
            target=target,
            contact=contact,
            created=created,
            payload=orjson.dumps(payload),
            reference=mark,
        )
        client = how.client or self.asker.client
        await client.wire.come_near(self.stopping)
        try:
            number = await self.trials.open(trial)
        except BaseException:
            client.wire.go_away()
            raise
        body = Body(content_of(contact, target, created, payload), how.type)
        look = self.trials.last_look(number)
        sent = await self.asker.once("POST", "/interactions", body, look, client, came_near=True)
        sample = Sample(name, number, self.made, contact, target, created, payload, mark, sent)
        await self._closed(sample)
        shown = {"createdDate": created, "schemaId": target, "payload": payload}
        said = {"id": sample.id} if sample.id else {}
        sample.evidence.append(sent.shown(sent=shown, **said))
        return sample

    async def _closed(self, sample: Sample) -> None:
        """Record the answer; its id counts only where it is nobody else's."""
        outcome = outcome_of(sample.sent)
        name = outcome.interaction_id if isinstance(outcome, Accepted) else None
        if await self.trials.close(sample.number, name, outcome):
            sample.id = name
        elif name:
            sample.evidence.append({"why": "the id in the answer is another interaction's"})

    # --- looking --------------------------------------------------------------------------------

    async def look(self, sample: Sample) -> Exchange:
        """Ask for a sample by its id."""
        exchange = await self.asker.ask("GET", path_of(sample.id or ""))
        content = exchange.content
        shown = content.get("id") if isinstance(content, dict) else None
        if exchange.status == 200 and id_text(shown) == sample.id:
            sample.seen = sample.seen or exchange
            return exchange
        sample.unseen = exchange
        return exchange

    async def listing(self, target: str = "", contact: str = "") -> Listing:
        """Read a list to its last page."""
        params = {"contactId": contact or self.contact, "schemaId": target or self.target}
        stored: dict[str, Stored] = {}
        sizes, tokens, first, shape = list[int](), set[str](), None, None
        while True:
            exchange = await self.asker.ask("GET", f"/interactions?{urlencode(params)}")
            first = first or exchange
            shape, page = shape_of(exchange.content)
            if exchange.status != 200 or page is None:
                return Listing([*stored.values()], shape, sizes, first, exchange.came, False)
            stored.update((each.id, each) for each in page)
            token = token_of(exchange.content, tokens)
            if token is None or token in tokens or len(sizes) >= MOST_PAGES:
                ended = token is None
                return Listing([*stored.values()], shape, sizes, first, exchange.came, ended)
            sizes.append(len(page))
            tokens.add(token)
            params["continuation"] = token

    async def find(self, sample: Sample) -> bool:
        """Look for one that has no id in the list of its contact; one that is there is the sample's
        own from now on."""
        known = {each.id for each in self.samples.values()}
        listing = await self.listing(sample.target, sample.contact)
        for stored in (s for s in listing.stored if s.id not in known and is_of(sample, s)):
            if await self.trials.adopt(sample.number, stored.id):
                sample.id, sample.listed = stored.id, True
                await self.look(sample)
                return True
        sample.unseen = listing.first
        return False

    async def watch(self, samples: Iterable[Sample]) -> None:
        """Look for samples until all are seen, or enough time has passed since they were sent."""
        waiting = [each for each in samples if not each.seen and not each.sent.refused]
        while waiting:
            for sample in waiting:
                self.may_go_on()
                await (self.look(sample) if sample.id else self.find(sample))
            began = time.monotonic()
            waiting = [s for s in waiting if not s.seen and began < s.sent.came + self.settled]
            if waiting:
                await self.pause(pause_after(began - max(s.sent.came for s in waiting)))

    async def write_off(self, samples: Iterable[Sample]) -> None:
        """What was answered and is not shown by now has made nothing."""
        for sample in samples:
            answered = sample.sent.status is not None
            if answered and not sample.sent.refused and not sample.seen and not sample.listed:
                await self.trials.absent(sample.number)

    async def appearance(self, sample: Sample) -> tuple[float | None, float | None]:
        """Seconds until a sample is shown by its id, and in the list; None: not while it was waited
        for."""
        began, first = sample.sent.sent, True
        by_id: float | None = None
        by_list: float | None = None
        end = began + self.patience
        while time.monotonic() < end:
            self.may_go_on()
            if by_id is None and (look := await self.look(sample)) and sample.seen:
                by_id = lasted(began, first, look.came)
            if by_list is None:
                listing = await self.listing()
                if sample.id in listing.ids:
                    by_list, sample.listed = lasted(began, first, listing.came), True
            if by_id is not None and by_list is not None:
                break
            waited = time.monotonic() - began
            if (seen := by_list if by_id is None else by_id) is not None:
                end = min(end, began + TIMES * seen + 10)  # one of both may never come
            first = False
            self.tell("waiting until it is shown", round(waited), round(self.patience))
            await self.pause(pause_after(waited))
        return by_id, by_list

    # --- deleting -------------------------------------------------------------------------------

    async def delete(self, sample: Sample) -> Exchange:
        """Ask once for a sample to be deleted."""
        return await self.asker.ask("DELETE", path_of(sample.id or ""))

    async def delete_when_possible(self, sample: Sample) -> tuple[Exchange, float] | None:
        """Ask for it until that succeeds; after how many seconds since it was sent. None: not while
        it was waited for."""
        began, first = sample.sent.sent, True
        end = time.monotonic() + self.patience
        while time.monotonic() < end:
            self.may_go_on()
            exchange = await self.delete(sample)
            if exchange.succeeded:
                return exchange, lasted(began, first, exchange.came)
            first = False
            waited = time.monotonic() - began
            self.tell("waiting until it can be deleted", round(waited), round(self.patience))
            await self.pause(pause_after(waited))
        return None

    async def is_gone(self, sample: Sample, least: float = 0) -> bool:
        """Whether it is not found by its id any more, after so many seconds at least; then that is
        on record."""
        end = time.monotonic() + max(self.settled, least)
        while True:
            exchange = await self.look(sample)
            if exchange.status in (404, 410):
                sample.gone = True
                await self.trials.removed(sample.number)
                return True
            if time.monotonic() > end:
                return False
            await self.pause(0.1)


def outcome_of(sent: Exchange) -> Outcome:
    """What an answer to a sample says of it."""
    status = sent.status
    if status is None or sent.unsent or status == 429:
        return NotApplied(sent.why, status) if sent.unsent or status else Unknown(sent.why)
    if sent.succeeded:
        name = given_id(sent.content)
        return Accepted(name, status) if name else Unknown("a success without an id", status)
    if sent.refused and status != 408:
        return Refused(sent.why, status)
    return Unknown(sent.why or f"HTTP {status}", status)


def given_id(content: Any) -> str | None:
    """The id in the answer to a POST."""
    names = ("id", "Id", "interactionId")
    values = [content.get(name) for name in names] if isinstance(content, dict) else []
    return next((text for value in values if (text := id_text(value))), None)


def is_of(sample: Sample, stored: Stored) -> bool:
    """Whether `stored` is what was sent as the sample: by its mark, else by all of it."""
    if sample.mark:
        return sample.mark in stored.payload.values()
    sent = replace(stored, payload=dict(sample.payload))
    created = stored.created is None or written(stored.created)[:19] == sample.created[:19]
    return created and sent.payload == stored.payload


def shape_of(content: Any) -> tuple[str | None, list[Stored] | None]:
    """How a list is put, and what is on the page; None where it cannot be read."""
    page = page_of(content)
    if isinstance(content, list):
        return "array", page
    if not isinstance(content, dict):
        return None, None
    name = next((name for name in ("items", "data") if name in content), None)
    return name, page
