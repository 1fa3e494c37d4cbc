"""What this process was lent of a key is used for as long as it was lent, and no longer; and each
protection of that is needed."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any
from unittest import mock

import pytest
import sqlalchemy
from sqlalchemy import make_url

from connector.destinations.credentials import api_key
from connector.destinations.http import Http
from connector.destinations.pacing import Pacer, Wire
from connector.destinations.slots import SlotLook
from connector.ledger.engine import writing_engine
from connector.ledger.rates import Lent, Question
from connector.project import borrowing
from connector.project.borrowing import Borrower
from connector.rules import clocks
from connector.rules.errors import LedgerOfAnotherVersion, LedgerUnavailable
from connector.rules.shares import LENT
from tests.ledger.factories import execute

URL = make_url("sqlite:///nowhere.db")


class Accounts:
    """A ledger that is never there; it answers after a while, or fails."""

    def __init__(self) -> None:
        self.takes, self.fails, self.lends, self.pause = 0.0, False, 100.0, 0.0
        self.closed = 0
        self.asked: list[tuple[float, Question]] = []

    def ask(self, _holder: str, questions: Sequence[Question]) -> Mapping[str, Lent]:
        self.asked += [(time.monotonic(), question) for question in questions]
        time.sleep(self.takes)
        if self.fails:
            raise LedgerUnavailable("it is gone")
        return {q.key: Lent(self.lends if q.wants else 0.0, self.pause) for q in questions}

    def look(self, questions: Sequence[Question]) -> Mapping[str, Lent]:
        return self.ask("", questions)

    def close(self) -> None:
        self.closed += 1


@pytest.fixture
def accounts() -> Iterator[Accounts]:
    accounts = Accounts()
    with (
        mock.patch.object(borrowing, "engine_for_rates", return_value=object()),
        mock.patch.object(borrowing, "Rates", return_value=accounts),
    ):
        yield accounts
        accounts.fails, accounts.takes = False, 0.0
        until(nobody_asks)


def nobody_asks() -> bool:
    return all(thread.name != "rates" for thread in threading.enumerate())


@pytest.fixture
def borrower(accounts: Accounts) -> Borrower:
    borrower = Borrower()
    borrower.ledger = lambda: URL
    borrower.needs_ledger()
    return borrower


def until(what: Callable[[], bool], seconds: float = 5.0) -> float:
    """When it is so."""
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "it never is"
        time.sleep(0.002)
    return time.monotonic()


def used_after(borrower: Borrower, accounts: Accounts) -> float:
    """For how many seconds after the question a part is used, whose answer took long, and after
    which none came."""
    loan = borrower.loan("key", 100)
    accounts.takes = 1.0
    until(loan.want)
    (asked, _), accounts.fails = accounts.asked[0], True
    used = before = time.monotonic()
    while loan.want() and before < asked + 2 * LENT:
        used = before
        time.sleep(0.002)
        before = time.monotonic()
    return used - asked


def test_a_part_is_used_for_two_seconds_from_before_the_question(
    borrower: Borrower, accounts: Accounts
) -> None:
    assert used_after(borrower, accounts) <= LENT


def test_counted_from_the_answer_it_would_be_used_when_another_has_it(
    borrower: Borrower, accounts: Accounts
) -> None:
    heard = Borrower._heard

    def late(self: Borrower, key: Any, question: Any, lent: Any, _since: Any) -> None:
        heard(self, key, question, lent, clocks.now())

    with mock.patch.object(Borrower, "_heard", late):
        assert used_after(borrower, accounts) > LENT


def test_nothing_is_asked_when_nobody_wants_to_send(borrower: Borrower, accounts: Accounts) -> None:
    loan = borrower.loan("key", 100)
    loan.want()
    until(lambda: accounts.asked[-1:] != [] and accounts.asked[-1][1].wants == 0)
    number = len(accounts.asked)
    until(nobody_asks)

    time.sleep(0.7)

    assert len(accounts.asked) == number <= 5
    assert not loan.holds()


def test_twice_a_second_is_asked_while_somebody_sends(
    borrower: Borrower, accounts: Accounts
) -> None:
    loan, end = borrower.loan("key", 100), time.monotonic() + 2.2

    while time.monotonic() < end:
        loan.want()
        time.sleep(0.01)

    assert 3 <= len(accounts.asked) <= 6


def test_that_less_is_known_is_said_at_once(borrower: Borrower, accounts: Accounts) -> None:
    loan = borrower.loan("key", 100)
    loan.want()
    until(loan.holds)
    accounts.lends = 40

    until(lambda: bool(loan.want()) and len(accounts.asked) >= 3)

    (_, first), (heard, less), (said, more) = accounts.asked[:3]
    assert (first.uses, less.uses, more.uses) == (0, 100, 40)
    assert said - heard < 0.4


def test_a_command_that_only_reads_goes_on_where_there_is_no_ledger(accounts: Accounts) -> None:
    borrower = Borrower()
    borrower.ledger = lambda: URL
    loan = borrower.loan("key", 100)
    with mock.patch.object(borrowing, "engine_for_rates", return_value=None):
        loan.want()
        until(loan.holds)
    assert loan.is_whole

    borrower.needs_ledger()

    assert not loan.holds()


def test_whoever_waits_is_told_when_there_is_no_answer_for_long(
    borrower: Borrower, accounts: Accounts
) -> None:
    accounts.fails = True

    async def waits() -> None:
        await Pacer(100, borrower.loan("key", 100)).slot()

    with (
        mock.patch.object(borrowing, "PATIENCE", 0.5),
        pytest.raises(LedgerUnavailable, match="it is gone"),
    ):
        asyncio.run(asyncio.wait_for(waits(), 10))


def test_whoever_waits_is_told_at_once_of_a_newer_connector(ledger_url: sqlalchemy.URL) -> None:
    borrower = Borrower()
    borrower.ledger = lambda: ledger_url
    borrower.needs_ledger()
    engine = writing_engine(ledger_url)
    execute(engine, "update alembic_version set version_num = '9999'")
    engine.dispose()

    async def waits() -> None:
        await Pacer(100, borrower.loan("key", 100)).slot()

    with pytest.raises(LedgerOfAnotherVersion, match=r"newer connector .*tables 9999.* upgrade it"):
        asyncio.run(asyncio.wait_for(waits(), borrowing.PATIENCE / 2))


def test_a_busy_destination_is_told_at_once(borrower: Borrower, accounts: Accounts) -> None:
    async def sends() -> None:
        pacer = Pacer(100, borrower.loan("key", 100))
        await pacer.slot()
        pacer.slow_down(7)
        await asyncio.sleep(0.3)

    asyncio.run(sends())

    (told,) = (question.busy for _, question in accounts.asked if question.busy is not None)
    assert 6.5 < told <= 7


def test_what_others_are_told_holds_here_too(borrower: Borrower, accounts: Accounts) -> None:
    async def sends() -> float:
        pacer = Pacer(100, borrower.loan("key", 100))
        await pacer.slot()
        accounts.lends, accounts.pause = 30, 1.5
        while pacer.rate != 30:
            pacer.wait()
            await asyncio.sleep(0.01)
        return pacer.wait()

    assert 1.2 < asyncio.run(sends()) <= 1.5


def test_who_has_nothing_to_send_leaves_all_to_the_others(ledger_url: sqlalchemy.URL) -> None:
    first, second = Borrower(), Borrower()
    for each in (first, second):
        each.ledger = lambda: ledger_url
        each.needs_ledger()
    mine, theirs = first.loan("key", 50), second.loan("key", 50)
    until(mine.want)
    until(lambda: mine.want() and theirs.want() and bool(theirs.share), 10)

    until(lambda: theirs.want() and theirs.share is not None and theirs.share.rate == 50, 10)

    assert not mine.holds()
    until(nobody_asks, 10)


def test_the_last_one_who_leaves_gives_it_up(borrower: Borrower, accounts: Accounts) -> None:
    async def sends() -> None:
        wire = Wire(1, Pacer(100, borrower.loan("key", 100)))
        await wire.enter()
        wire.leave()
        await wire.close()

    asyncio.run(sends())

    assert accounts.asked[-1][1].wants == 0


# --- what was lent is over between the slot and the first byte ------------------------------------


@contextmanager
def over_before_it_is_written(borrower: Borrower) -> Iterator[list[bool]]:
    """Requests whose connection takes long to make, as it is for who was frozen meanwhile; for each
    that arrives, whether anything was lent then."""
    arrived: list[bool] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.readline():
            arrived.append(loan.holds())
            while (await reader.readline()).strip():
                pass
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
        writer.close()

    async def story() -> None:
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        wire = Wire(4, Pacer(100, loan))
        http = Http(url, api_key("apikey", "k"), timedelta(seconds=5), wire)
        slot = wire.pacer.slot

        async def slow(*given: Any) -> None:
            await slot(*given)
            held.clear()
            asyncio.get_running_loop().call_later(0.3, held.set)

        with mock.patch.object(wire.pacer, "slot", slow):
            asked = asyncio.create_task(http.get("/"))
            await asyncio.sleep(0.2)
            wire.pacer.slot = slot  # type: ignore[method-assign]
            await asked
        await http.aclose()
        server.close()
        await asyncio.sleep(0.05)  # the other side sees the end, too

    held = threading.Event()
    held.set()
    loan = borrower.loan("key", 100)
    holds = loan.holds
    with mock.patch.object(loan, "holds", side_effect=lambda: held.is_set() and holds()):
        asyncio.run(story())
    yield arrived


def test_what_is_over_before_it_is_written_is_not_written(
    borrower: Borrower, accounts: Accounts
) -> None:
    with over_before_it_is_written(borrower) as arrived:
        assert arrived == [True]


def test_without_the_last_look_it_would_be(borrower: Borrower, accounts: Accounts) -> None:
    def blind(self: SlotLook) -> str | None:
        return self._last_look()

    with (
        mock.patch.object(SlotLook, "__call__", blind),
        over_before_it_is_written(borrower) as arrived,
    ):
        assert arrived == [False]


def test_who_leaves_in_the_middle_of_a_round_leaves_nothing_open(
    accounts: Accounts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(borrowing, "engine_to_look", lambda _: object())
    borrower = Borrower()
    borrower.ledger, borrower.only_looks = lambda: URL, True
    loan, open_then = borrower.loan("k", 50), list[int]()

    def leave() -> None:
        loan.give_up()
        open_then.append(accounts.closed)

    leaving, is_live = threading.Thread(target=leave), Borrower._is_live

    def and_then_it_leaves(self: Borrower, key: borrowing.Key) -> bool:
        live = is_live(self, key)
        if leaving.ident is None:
            leaving.start()
            until(lambda: key.leaving is not None)
        return live

    monkeypatch.setattr(Borrower, "_is_live", and_then_it_leaves)
    loan.want()
    until(lambda: leaving.ident is not None)
    leaving.join()

    assert open_then == [1]
