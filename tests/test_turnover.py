"""Rows that come back under other keys are noticed, and nothing else is taken for that."""

from hypothesis import given
from hypothesis import strategies as st

from connector.rules.turnover import FEW, SAMPLE, Rereads, Sampler, Watch

COLUMNS = [1]


def rows(keys, content=None):
    """Rows (key, content), each under its key."""
    return [(key, (key, content(key) if content else "c")) for key in keys]


def remembered(*batches, cursor=None, reads=lambda cursor: True):
    """What the next run should read again of `batches`, by way of the ledger."""
    sampler = Sampler(COLUMNS, cursor)
    for batch in batches:
        sampler.add(batch)
    found = sampler.rereads(None, reads)
    return found and Rereads.of(found.text)


def turnover(before, now, known=()):
    """What a reading of `now` finds."""
    watch = Watch(before, COLUMNS)
    watch.saw(now, known)
    return watch.turnover


keys = st.sets(st.text(max_size=8), min_size=1, max_size=400)


@given(keys, keys)
def test_rows_that_are_all_there_are_no_turnover_whatever_else_comes(old, new):
    again = turnover(remembered(rows(old)), rows(old | new), old)

    assert again is None


@given(keys, st.randoms())
def test_the_order_in_which_rows_are_read_changes_no_sample(old, random):
    shuffled = list(old)
    random.shuffle(shuffled)

    assert remembered(rows(sorted(old))) == remembered(rows(shuffled[:7]), rows(shuffled[7:]))


@given(st.integers(FEW, 3000), st.data())
def test_what_is_gone_is_estimated_from_the_sample(number, data):
    gone = data.draw(st.integers(0, number))
    old = [f"r{i}" for i in range(number)]
    kept, others = old[gone:], [f"n{i}" for i in range(number)]

    found = turnover(remembered(rows(old)), rows([*kept, *others]), set(kept))

    estimate = found.gone if found else 0
    if number <= SAMPLE and gone >= FEW:
        assert estimate == gone
    if gone == number:
        assert estimate == number


def test_fewer_new_rows_than_are_gone_are_a_deletion():
    old = [f"r{i}" for i in range(100)]

    assert turnover(remembered(rows(old)), rows([f"n{i}" for i in range(99)])) is None
    assert turnover(remembered(rows(old)), []) is None
    assert turnover(None, rows(old)) is None


def test_a_few_rows_must_look_the_same():
    before = remembered(rows(["a", "b", "c"], str))

    assert turnover(before, rows(["x", "y", "z"], str)) is None
    assert turnover(before, rows(["x", "y", "z"], {"x": "a", "y": "b", "z": "c"}.get))
    equal = remembered(rows(["a", "b", "c"]))
    assert turnover(equal, rows(["x"]) + rows(["y", "z"], str)) is None  # one alone looks so


def test_only_what_lies_in_the_overlap_is_looked_for():
    placed = [(f"r{i}", (i, "c")) for i in range(5000)]
    sampler = Sampler(COLUMNS, cursor=0)
    for start in range(0, 5000, 700):
        sampler.add(placed[start : start + 700])

    found = sampler.rereads("4000", lambda cursor: cursor >= 4000)
    assert found is not None

    assert (found.rows, len(found.sample)) == (1000, SAMPLE)
    assert turnover(found, placed[4000:], {key for key, _ in placed}) is None
    assert Sampler(COLUMNS, 0).rereads("0", lambda cursor: True) is None
