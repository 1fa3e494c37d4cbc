"""128 bits by which a text is known again, in two numbers: as small as a database keeps them.

That two of so many texts have the same is out of the question: of 10^10 row keys two do with a
chance of 10^20 / 2^129, 1 in 7 * 10^18. And nobody can choose a key that has those of another one.
"""

from collections.abc import Iterable
from hashlib import blake2b

Halves = tuple[int, int]
"""The columns `high` and `low`."""


def halves(text: str) -> Halves:
    """Those of a row key."""
    return _two(blake2b(text.encode(errors="surrogatepass"), digest_size=16).digest())


def halves_of(digest: str) -> Halves:
    """Those of what is known by such a digest already, in hex."""
    return _two(bytes.fromhex(digest))


def as_rows(found: Iterable[Halves]) -> list[dict[str, int]]:
    """For a statement over many."""
    return [{"high": high, "low": low} for high, low in found]


def _two(digest: bytes) -> Halves:
    high, low = digest[:8], digest[8:]
    return int.from_bytes(high, signed=True), int.from_bytes(low, signed=True)
