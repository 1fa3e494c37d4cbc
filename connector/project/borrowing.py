"""Borrow from the ledger what this process may send of the rate of each API key.

One thread asks for all keys of the process, twice a second while somebody wants to send, and not at
all otherwise. It never waits for the event loop, and the loop never for it: without an answer in
time nothing is sent.
"""

import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial

from sqlalchemy import URL

from connector.basis import dataclass
from connector.destinations.pacing import Pacer
from connector.destinations.settings import DestinationSettings
from connector.ledger.engine import engine_for_rates, engine_to_look
from connector.ledger.rates import Lent, Question, Rates
from connector.ledger.transaction import OnlyToRead
from connector.project.loan import Loan
from connector.rules import clocks
from connector.rules.clocks import Moment
from connector.rules.errors import ConnectorError, LedgerOfAnotherVersion, LedgerUnavailable
from connector.rules.shares import BEAT, Share

HUNGRY = 0.15
"""Seconds between two questions of a process that others have left nothing yet."""
PATIENCE = 30.0
"""Seconds without an answer after which whoever waits is told why."""
UNREACHED = 3.0
"""Seconds after which a command that only reads goes by its own pace, though the ledger cannot be
reached: it may have to say just that."""
FAREWELL = 1.0
"""Seconds for which giving up is waited for: without it, what was lent is over soon anyway."""


class Paces:
    """The pace of each key that this process uses."""

    def __init__(self) -> None:
        self.pacers: dict[str, Pacer] = {}
        self._borrower = Borrower()

    def of(self, settings: DestinationSettings, ledger: Callable[[], URL]) -> Pacer:
        """The pace of the key in `settings`, of which others may have a part by the `ledger`."""
        rate, key = settings.requests_per_second, settings.pace
        self._borrower.ledger = ledger
        if key not in self.pacers:
            self.pacers[key] = Pacer(rate, self._borrower.loan(key, rate))
        self.pacers[key].limit(rate)
        return self.pacers[key]

    def written(self) -> None:
        """This process writes the ledger: so it is there, and nothing is sent without it."""
        self._borrower.needs_ledger()

    def only_look(self) -> None:
        """What this process does writes nothing, unless it writes the ledger anyway: it takes no
        part, and sends little beside others."""
        self._borrower.only_looks = True


@dataclass(slots=True)
class Key:
    """One that this process uses."""

    hash: str
    loan: Loan
    due: float = 0.0
    """When it is asked for next, by time.monotonic()."""
    is_on_account: bool = False
    """The ledger may have something that this process was lent."""
    leaving: threading.Event | None = None
    """It is to be given up; set once it is."""


class Borrower:
    """Asks for the parts of one process. `ledger`: where they are divided."""

    ledger: Callable[[], URL]

    def __init__(self) -> None:
        self._holder = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
        self._keys: dict[str, Key] = {}
        self._writes = False
        self.only_looks = False
        """Nothing may be written."""
        self._looking = False
        """What is open cannot write."""
        self._lock, self._called = threading.Lock(), threading.Event()
        self._thread: threading.Thread | None = None
        self._rates: Rates | None = None
        self._url: URL | None = None
        self._failing: float | None = None
        """Since when there is no answer."""

    def loan(self, key: str, full: float) -> Loan:
        """What there will be of the key with this hash."""
        loan = Loan(full, self._call, partial(self._give_up, key))
        self._keys[key] = Key(key, loan)
        return loan

    def needs_ledger(self) -> None:
        """Nothing is sent without it from now on."""
        self._writes = True
        for key in self._keys.values():
            key.loan.is_whole = False

    def _call(self) -> None:
        self._called.set()
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="rates", daemon=True)
                self._thread.start()

    def _give_up(self, hash: str) -> None:
        key = self._keys[hash]
        if key.is_on_account or self._thread is not None:
            gone = key.leaving = threading.Event()
            self._call()
            gone.wait(FAREWELL)

    # --- the thread -----------------------------------------------------------------------------

    def _run(self) -> None:
        while True:
            self._called.clear()
            if (pause := self._round()) is not None:
                self._called.wait(pause)
                continue
            with self._lock:
                if not self._called.is_set():
                    self._thread = None
                    return

    def _round(self) -> float | None:
        """Ask for what is due. Seconds until the next round; None: nobody wants anything."""
        keys, now = list(self._keys.values()), time.monotonic()
        # who leaves from here on is told in the next round, when nothing is open for it any more
        leaving = [(key, key.leaving) for key in keys if key.leaving is not None]
        asked = [(key, question) for key in keys if (question := self._question(key, now))]
        if asked:
            self._ask(asked)
        live = [key for key in keys if self._is_live(key)]
        if not live:
            self._close()
        for key, gone in leaving:
            if not key.is_on_account:
                if key.leaving is gone:
                    key.leaving = None
                gone.set()
        return max(0.0, min(key.due for key in live) - time.monotonic()) if live else None

    def _is_live(self, key: Key) -> bool:
        wanted = key.loan.is_wanted() and not key.loan.is_whole and key.leaving is None
        return wanted or key.is_on_account

    def _question(self, key: Key, now: float) -> Question | None:
        """What is to be asked about a key now."""
        loan = key.loan
        if loan.is_whole:
            return None
        if key.leaving is not None or not loan.is_wanted():
            loan.share = None  # before anybody else hears of it
            return Question(key.hash, loan.full, 0, 0) if key.is_on_account else None
        if now < key.due and (loan.busy_until is None or self._failing is not None):
            return None
        if loan.share is not None and loan.share.is_over(clocks.now()):
            loan.share = None
        uses = loan.share.rate if loan.share else 0.0
        busy, loan.busy_until = loan.busy_until, None
        pause = None if busy is None else max(0.0, busy - now)
        return Question(key.hash, loan.full, loan.wish(), uses, pause)

    def _ask(self, asked: Sequence[tuple[Key, Question]]) -> None:
        since = clocks.now()
        try:
            rates = self._opened()
            if rates is None:
                self._go_alone(asked)
                return
            questions = [question for _, question in asked]
            if self._looking:
                answers = rates.look(questions)
            else:
                for key, _ in asked:
                    key.is_on_account = True
                answers = rates.ask(self._holder, questions)
        except Exception as error:
            self._failed(asked, error)
            return
        self._failing = None
        for key, question in asked:
            self._heard(key, question, answers[key.hash], since)

    def _heard(self, key: Key, question: Question, lent: Lent, since: Moment) -> None:
        loan, before = key.loan, key.loan.share
        if not question.wants:
            key.is_on_account = False
            return
        not_before = time.monotonic() + lent.pause if lent.pause else 0.0
        loan.share, loan.trouble = Share(lent.share, since, not_before), None
        if lent.share < question.uses:
            key.due = since.monotonic  # that it is known here frees the rest for others
        else:
            key.due = since.monotonic + (BEAT if lent.share > 0 else HUNGRY)
        if before is None or before.rate != lent.share or lent.pause:
            loan.changed()

    # --- without an answer ----------------------------------------------------------------------

    def _opened(self) -> Rates | None:
        """The accounts; None: there is no ledger with today's tables, and none is needed."""
        url, looking = self.ledger(), self.only_looks and not self._writes
        if self._rates is None or (self._url, self._looking) != (url, looking):
            self._close()
            engine = engine_to_look(url) if looking else engine_for_rates(url, self._writes)
            if engine is None and self._writes:
                raise LedgerUnavailable("the ledger is gone, or another version has written it")
            self._rates = None if engine is None else Rates(engine)
            self._url, self._looking = url, looking
        return self._rates

    def _close(self) -> None:
        rates, self._rates = self._rates, None
        if rates is not None:
            rates.close()

    def _go_alone(self, asked: Sequence[tuple[Key, Question]]) -> None:
        """There is nothing by which it could be divided."""
        for key, _ in asked:
            key.loan.is_whole, key.is_on_account = True, False
            key.loan.changed()

    def _failed(self, asked: Sequence[tuple[Key, Question]], error: Exception) -> None:
        """What is lent is used until it is over."""
        now = time.monotonic()
        self._close()
        self._failing = self._failing or now
        if not self._writes and (isinstance(error, OnlyToRead) or now - self._failing > UNREACHED):
            self._go_alone(asked)
            return
        if not isinstance(error, ConnectorError):
            error = LedgerUnavailable(
                f"unexpected {type(error).__name__} while the rate is divided"
            )
        for key, question in asked:
            key.due = now + BEAT / 2
            if not question.wants:
                key.is_on_account = False  # it is over soon anyway
            if question.busy is not None:
                key.loan.busy_until = max(key.loan.busy_until or 0.0, now + question.busy)
            stays = isinstance(error, OnlyToRead | LedgerOfAnotherVersion)
            if stays or now - self._failing > PATIENCE:
                key.loan.trouble = error
                key.loan.changed()
