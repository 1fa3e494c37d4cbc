"""Which rows a reading has met, in little room."""

import random
import sys

from connector.sync.seen import BITS, Seen


def test_it_holds_what_was_added_and_nothing_else() -> None:
    draw = random.Random(7)
    added = {draw.randrange(10 * BITS) for _ in range(5000)}
    others = {draw.randrange(10 * BITS) for _ in range(5000)} - added
    seen = Seen()
    for each in added:
        seen.add(each)

    assert all(each in seen for each in added)
    assert not any(each in seen for each in others)


def test_the_ends_of_its_pieces_are_apart() -> None:
    seen = Seen()
    for each in (0, BITS - 1, BITS):
        seen.add(each)
        seen.add(each)

    found = [each for each in range(2 * BITS) if each in seen]
    assert found == [0, BITS - 1, BITS]


def test_ids_that_lie_far_apart_take_no_room_between_them() -> None:
    seen = Seen()
    for each in (1, 10**15):
        seen.add(each)

    room = sum(sys.getsizeof(piece) for piece in seen._pieces.values())
    assert room < 3 * BITS // 8
