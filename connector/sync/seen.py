"""Which rows of the ledger a reading has met: one bit each, by delivery id."""

BITS = 65_536
"""Ids that share one piece of memory: an activation's rows lie close together."""


class Seen:
    """A set of delivery ids that takes little room, however many there are."""

    def __init__(self) -> None:
        self._pieces = dict[int, bytearray]()

    def add(self, delivery_id: int) -> bool:
        """Whether it is met for the first time."""
        piece, bit = divmod(delivery_id, BITS)
        if (bits := self._pieces.get(piece)) is None:
            bits = self._pieces[piece] = bytearray(BITS // 8)
        byte, mask = bit >> 3, 1 << (bit & 7)
        if bits[byte] & mask:
            return False
        bits[byte] |= mask
        return True

    def __contains__(self, delivery_id: object) -> bool:
        if not isinstance(delivery_id, int):
            return False
        piece, bit = divmod(delivery_id, BITS)
        found = self._pieces.get(piece)
        return found is not None and bool(found[bit >> 3] & 1 << (bit & 7))
