"""What stands together at an API that lists by rows' references, to find what is there twice."""

from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass

from connector.destinations.port import Item
from connector.rules.read_back import ReadBack, Shown, Stored


@dataclass(frozen=True, slots=True)
class ByReference:
    """Shelves: interactions of one row stand together. `listed` gives all with a reference."""

    listed: Callable[[str], Awaitable[ReadBack]]

    def of(self, shown: Shown) -> str:
        """Its reference."""
        return shown.stored.reference

    async def read(self, shelf: str) -> ReadBack:
        """All interactions with the reference."""
        return await self.listed(shelf)

    def likeness(self, stored: Stored) -> Hashable:
        """They are the same row's."""
        return stored.reference

    def could_be(self, item: Item, stored: Stored) -> bool:
        """A row has its own reference."""
        return item.reference == stored.reference
