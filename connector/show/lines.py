"""How far a sync is, for the program that started it: a line of JSON on standard error."""

import json
import sys
import threading
import time
from typing import Self

from connector.ledger.records import Run, Tally
from connector.rules.tempo import Tempo
from connector.sync.progress import Progress

EVERY = 2.0
"""Seconds between two lines."""


class LinesOfProgress(Progress):
    """A line every two seconds, from a thread of its own: also while a model is read, or an answer
    is waited for. One more when it ends."""

    def __init__(self, every: float = EVERY) -> None:
        self._every = every
        self._at = _Run(None, None)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._keep_telling, name="progress", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self._thread.join()
        self._tell(ended=True)

    def begun(self, run: Run, tempo: Tempo) -> None:
        """The line is about this run from now on."""
        self._at = _Run(run.run_id, run.activation, tempo)

    def reading(self, activation: str, rows: int) -> None:
        """`rows` were read so far."""
        self._at.read = rows

    def sending(self, activation: str, tally: Tally, total: int) -> None:
        """`tally` so far, of `total` rows that are to be sent."""
        self._at.saw(tally, total)

    def _keep_telling(self) -> None:
        while not self._over.wait(self._every):
            self._tell(ended=False)

    def _tell(self, ended: bool) -> None:
        line = json.dumps({**self._at.document(), "ended": ended}, separators=(",", ":"))
        try:
            print(line, file=sys.stderr, flush=True)
        except (OSError, ValueError):  # nobody reads any more, which stops no run
            self._over.set()


class _Run:
    """What is known of the run that goes on."""

    def __init__(
        self, run_id: str | None, activation: str | None, tempo: Tempo | None = None
    ) -> None:
        self.run_id, self.activation, self._tempo = run_id, activation, tempo
        self.read = self._total = self._before = 0
        self._tally = Tally()
        self._began = self._first = time.monotonic()

    def saw(self, tally: Tally, total: int) -> None:
        """Rows were sent, of so many in this round; what was in doubt may come to have another."""
        if self._tally is not tally:
            self._first = time.monotonic()
        if total != self._total:
            self._total, self._before = total, _answered(self._tally)
        self._tally = tally

    def document(self) -> dict[str, object]:
        """It, for a line. `rate`: rows that got an answer, a second, since the first was sent;
        `left`: rows that are still to be sent, as far as that is known, and how long they take."""
        now, tally = time.monotonic(), self._tally
        answered = _answered(tally)
        rate = answered / max(now - self._first, 0.001)
        left = max(self._total - (answered - self._before), 0)
        return {
            "run_id": self.run_id,
            "activation": self.activation,
            "read": max(self.read, tally.read),
            "staged": tally.staged,
            "delivered": tally.delivered,
            "submitted": tally.submitted,
            "invalid": tally.invalid,
            "rejected": tally.rejected,
            "rate": round(rate, 1),
            "left": left,
            "seconds_left": round(left / rate) if rate else None,
            "in_flight": self._tempo.in_flight if self._tempo else 0,
            "doubts": tally.in_doubt,
            "seconds": round(now - self._began, 1),
        }


def _answered(tally: Tally) -> int:
    return tally.delivered + tally.submitted + tally.rejected
