"""The accounts of a key, on both databases: what is lent, to whom, and until when."""

import random
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from unittest import mock

import pytest
from sqlalchemy import URL, Engine, text, update

from connector.ledger.engine import engine_for_rates, reading_engine
from connector.ledger.rates import FROZEN, LENT_FOR, Question, Rates, rate_shares
from connector.ledger.rates import rates as keys
from connector.ledger.transaction import transaction
from connector.rules.errors import LedgerUnavailable

KEY = "a key"


@pytest.fixture
def accounts(ledger_url: URL) -> Iterator[Rates]:
    engine = engine_for_rates(ledger_url)
    assert engine is not None
    yield Rates(engine)
    engine.dispose()


class Process:
    """One that uses what it is lent."""

    def __init__(self, name: str, rates: Rates, full: float = 50) -> None:
        self.name, self.rates, self.full = name, rates, full
        self.share = self.pause = 0.0

    def asks(self, wants: float | None = None, busy: float | None = None) -> float:
        wanted = self.full if wants is None else wants
        if not wanted:
            self.share = 0.0
        question = Question(KEY, self.full, wanted, self.share, busy)
        lent = self.rates.ask(self.name, [question])[KEY]
        self.share, self.pause = lent.share, lent.pause
        return self.share


def later(engine: Engine, milliseconds: int) -> None:
    """All that is lent was lent so much earlier."""
    with transaction(engine) as c:
        c.execute(update(rate_shares).values(until=rate_shares.c.until - milliseconds))


def test_one_alone_has_the_whole_rate(accounts: Rates) -> None:
    assert Process("a", accounts).asks() == 50


def test_two_have_half_of_it_as_soon_as_the_first_one_knows(accounts: Rates) -> None:
    a, b = Process("a", accounts), Process("b", accounts)
    a.asks()

    assert b.asks() == 0
    assert a.asks() == 25
    assert b.asks() == 0, "a may not have heard of it yet"
    a.asks()
    assert b.asks() == 25


def test_whoever_gives_up_leaves_all_to_the_other_at_once(accounts: Rates) -> None:
    a, b = Process("a", accounts), Process("b", accounts)
    for each in (a, b, a, a, b, b):
        each.asks()

    a.asks(wants=0)

    assert b.asks() == 50


def test_what_is_over_is_lent_to_others(accounts: Rates, engine: Engine) -> None:
    a, b = Process("a", accounts), Process("b", accounts)
    a.asks()
    later(engine, LENT_FOR + 50)

    assert b.asks() == 50
    assert a.asks() == 0, "whatever it believes to have"


def test_at_no_moment_more_is_lent_than_the_rate(accounts: Rates, engine: Engine) -> None:
    chance = random.Random(7)
    processes = [Process(str(n), accounts) for n in range(4)]
    for _ in range(120):
        one = chance.choice(processes)
        one.asks(chance.choice((0, 3, 50, 50)))
        assert sum(each.share for each in processes) <= 50 + 1e-9
        if chance.random() < 0.05:  # all have stood still
            later(engine, LENT_FOR + 50)
            for each in processes:
                each.share = 0.0


def test_who_is_told_to_slow_down_slows_down_all(accounts: Rates) -> None:
    a, b = Process("a", accounts), Process("b", accounts)
    for each in (a, b, a, a, b):
        each.asks()

    a.asks(busy=20)
    b.asks()

    assert a.share + b.share == pytest.approx(25, rel=0.1)
    assert 15 < b.pause <= 20


def test_one_wave_of_busy_answers_halves_it_once(accounts: Rates) -> None:
    a, b = Process("a", accounts), Process("b", accounts)
    for each in (a, b, a, a, b):
        each.asks()

    a.asks(busy=1)
    b.asks(busy=1)

    assert a.share + b.share == pytest.approx(25, rel=0.1)


def test_the_smallest_rate_that_is_configured_holds(accounts: Rates) -> None:
    a, b = Process("a", accounts), Process("b", accounts, full=20)
    a.asks()
    for each in (b, a, a, b, b):
        each.asks()

    assert a.share + b.share <= 20


def test_a_clock_that_was_put_back_makes_nothing_last_for_ever(
    accounts: Rates, engine: Engine
) -> None:
    Process("a", accounts).asks(busy=0)
    hour, k = 3_600_000, keys.c
    with transaction(engine) as c:
        c.execute(update(rate_shares).values(until=rate_shares.c.until + hour))
        ahead = {"changed_at": k.changed_at + hour, "slowed_until": k.slowed_until + hour}
        c.execute(update(keys).values(**ahead))
    b = Process("b", accounts)

    assert b.asks() == 0
    assert b.pause <= 300
    later(engine, LENT_FOR + 50)
    assert b.asks() > 0


def test_a_process_whose_clock_is_off_by_an_hour_changes_nothing(accounts: Rates) -> None:
    a, b = Process("a", accounts), Process("b", accounts)
    a.asks()
    real = time.time

    with mock.patch("time.time", side_effect=lambda: real() + 3600):
        assert b.asks() == 0
    a.asks()
    a.asks()

    assert a.share == 25
    assert b.asks() == 25


def test_two_that_ask_about_many_keys_never_wait_for_each_other_in_a_ring(ledger_url: URL) -> None:
    names = [f"key {n}" for n in range(6)]
    errors: list[Exception] = []

    def asks(holder: str, backwards: bool) -> None:
        engine = engine_for_rates(ledger_url)
        assert engine is not None
        for _ in range(15):
            order = reversed(names) if backwards else names
            try:
                Rates(engine).ask(holder, [Question(name, 50, 50, 0) for name in order])
            except LedgerUnavailable as error:
                errors.append(error)
        engine.dispose()

    threads = [threading.Thread(target=asks, args=(str(n), n > 0)) for n in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert errors == []


def test_whoever_is_frozen_while_it_asks_keeps_others_waiting_for_less_than_is_lent(
    accounts: Rates, engine: Engine
) -> None:
    if engine.dialect.name == "sqlite":
        pytest.skip("whoever is frozen there keeps the whole ledger")
    Process("a", accounts).asks()
    with suppress(LedgerUnavailable), transaction(engine) as frozen:
        frozen.execute(FROZEN)
        frozen.execute(text("select * from rates for update"))
        began = time.monotonic()

        Process("b", accounts).asks()

        assert time.monotonic() - began < 1.5


def test_where_there_is_no_ledger_none_is_made(fresh_url: URL) -> None:
    assert engine_for_rates(fresh_url) is None
    assert fresh_url.get_backend_name() != "sqlite" or not Path(fresh_url.database or "").exists()


def test_who_takes_no_part_writes_nothing_and_sends_little_beside_others(
    accounts: Rates, ledger_url: URL
) -> None:
    a = Process("a", accounts)
    engine = reading_engine(ledger_url)
    assert engine is not None
    onlooker, question = Rates(engine), [Question(KEY, 50, 50, 0)]
    try:
        assert onlooker.look(question)[KEY].share == 50
        a.asks(busy=100)
        lent = onlooker.look(question)[KEY]
        assert (lent.share, a.share > 0) == (1, True)
        assert 90 < lent.pause <= 100
        assert a.asks() > 20  # it knows nothing of the onlooker
        a.asks(wants=0)
        assert onlooker.look(question)[KEY].share == 50
    finally:
        onlooker.close()
