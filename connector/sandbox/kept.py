"""What a sandbox keeps, how it behaves and by which clock: the base of the store of any API."""

import time
from collections.abc import Callable, Collection
from email.utils import formatdate
from typing import Generic, TypeVar

from connector.sandbox.behaviour import Common

B = TypeVar("B", bound=Common)
Clock = Callable[[], float]


class Kept(Generic[B]):
    """Everything that a sandbox keeps. May be read and filled from any thread.

    `behaviour` may be replaced at any time. `clock` gives seconds since 1970; every delay that
    concerns what is stored or visible is measured with it.
    """

    def __init__(self, behaviour: B, clock: Clock = time.time) -> None:
        self.behaviour, self.clock = behaviour, clock
        self._born = clock()

    def date(self) -> str | None:
        """The Date of an answer that is made now."""
        match self.behaviour.date:
            case "now":
                return formatdate(self.clock() + self.behaviour.clock_ahead, usegmt=True)
            case "frozen":
                return formatdate(self._born + self.behaviour.clock_ahead, usegmt=True)
            case "nonsense":
                return "Yesterday, 99 Foo 20261 25:61:61 XYZ"
            case _:
                return None

    def reset(self, keep: Collection[str] = ()) -> None:
        """Forget everything but what is named."""
        raise NotImplementedError
