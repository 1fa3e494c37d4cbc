"""Which row keys come for the first time while a model is read, without keeping all of them."""

from collections.abc import Collection

MANY = 20_000
"""Keys that are kept without a second thought."""


class TooMany(Exception):
    """More keys than are to be kept."""


class Once:
    """Tells of each key whether it comes for the first time.

    With `repeated` only those are kept that may come again: all others come once. Without, all are,
    at most so many as `most`; more raise TooMany.
    """

    def __init__(self, repeated: Collection[str] | None = None, most: int | None = None) -> None:
        self._repeated, self._most = repeated, most
        self._seen = set[str]()
        self.alone = 0
        """How many rows came that will not come again, and would be sent; counted by whoever
        reads, where no key is kept to tell them by."""

    def may_come_again(self, key: str) -> bool:
        return self._repeated is None or key in self._repeated

    def comes_first(self, key: str) -> bool:
        """Whether `key` comes for the first time."""
        if self._repeated is not None and key not in self._repeated:
            return True
        if key in self._seen:
            return False
        self._seen.add(key)
        if self._most is not None and len(self._seen) > self._most:
            raise TooMany
        return True

    def __contains__(self, key: str) -> bool:
        """Whether a key that may come again has come."""
        return key in self._seen
