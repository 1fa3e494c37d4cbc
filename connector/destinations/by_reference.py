"""What stands together at an API that lists by rows' references, to find what is there twice."""

from collections.abc import Awaitable, Callable, Hashable
from operator import attrgetter

from connector.basis import dataclass
from connector.destinations.port import Item
from connector.rules.read_back import ReadBack, Shown, Stored


@dataclass(frozen=True, slots=True)
class ByReference:
    """Shelves: interactions of one row stand together. `listed` gives all that stands on a shelf,
    `shelf` names that of an interaction: its reference, where nothing else is needed to list it."""

    listed: Callable[[str], Awaitable[ReadBack]]
    shelf: Callable[[Stored], str] = attrgetter("reference")

    def of(self, shown: Shown) -> str:
        """As it is listed."""
        return self.shelf(shown.stored)

    async def read(self, shelf: str) -> ReadBack:
        """All interactions of the row."""
        return await self.listed(shelf)

    def likeness(self, stored: Stored) -> Hashable:
        """They are the same row's."""
        return stored.reference

    def could_be(self, item: Item, stored: Stored) -> bool:
        """A row has its own reference."""
        return item.reference == stored.reference
