"""Work that goes on side by side, so much at a time, until it is told to stop."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import TypeVar

from connector.destinations.port import AnyDestination, Proof
from connector.rules.errors import ConnectorError

T = TypeVar("T")
R = TypeVar("R")


class Stop:
    """Says that no new send is to begin, and why."""

    def __init__(self) -> None:
        self.event = asyncio.Event()
        self.error: BaseException | None = None
        self.asked = False
        """Whether no new send is to begin."""

    def now(self, error: BaseException | None = None) -> None:
        """Stop; the first reason counts."""
        if not self.asked:
            self.asked, self.error = True, error
            self.event.set()

    async def wait(self, span: timedelta | None) -> None:
        """Until `span` has passed or the stop is asked for."""
        with suppress(TimeoutError):
            seconds = None if span is None else span.total_seconds() + 0.001
            await asyncio.wait_for(self.event.wait(), seconds)

    def raise_error(self) -> None:
        """Raise the reason, where it is an error."""
        if self.error:
            raise self.error


async def side_by_side(
    lanes: int, work: Callable[[T], Awaitable[None]], items: Iterable[T]
) -> None:
    """Do `work` on each of `items`, so many at a time. After the first error nothing more is begun;
    it is raised when what was begun has ended."""
    left, errors = iter(items), list[BaseException]()

    async def lane() -> None:
        for item in left:
            try:
                await work(item)
            except asyncio.CancelledError:
                raise
            except BaseException as error:
                errors.append(error)
            if errors:
                return

    tasks = [asyncio.create_task(lane()) for _ in range(lanes)]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    if errors:
        raise errors[0]


async def until_stopped(
    stop: Stop, lanes: int, work: Callable[[T], Awaitable[None]], items: Iterable[T]
) -> None:
    """Do `work` on each of `items`, so many at a time, until `stop` is asked; an error asks it."""

    async def one(item: T) -> None:
        if stop.asked:
            return
        try:
            await work(item)
        except ConnectorError as error:
            stop.now(error)

    await side_by_side(lanes, one, items)


def on_record_at_once(there: AnyDestination, besides: int) -> int:
    """How many requests may be on record, and not answered: so many `besides` those that are under
    way. None besides, where nobody can be asked about a request: each one that is on record when
    the process dies is work for a person."""
    return there.concurrency + (0 if there.can.proof is Proof.NONE else besides)


async def known_or_asked(
    items: Sequence[T], known: Callable[[T], R | None], ask: Callable[[T], Awaitable[R | None]]
) -> list[R | None]:
    """What is `known` of each item, else what `ask` says, side by side: a task for each of
    thousands that need none takes longer than the rest of what is done with them."""
    found = [known(item) for item in items]
    unknown = [i for i, each in enumerate(found) if each is None]
    answers = await asyncio.gather(*(ask(items[i]) for i in unknown))
    for i, answer in zip(unknown, answers, strict=True):
        found[i] = answer
    return found
