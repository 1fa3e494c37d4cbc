"""How far a sync is stands whole on a terminal of 80 columns."""

import sys
from types import SimpleNamespace
from typing import cast
from unittest.mock import patch

from connector.ledger.records import Run, Tally
from connector.rules.tempo import Tempo
from connector.show.progress import TerminalProgress
from tests.test_layout import STYLES, a_terminal


def test_no_number_is_cut() -> None:
    tally, tempo = Tally(delivered=1_234_567, in_doubt=1234), Tempo()

    with (
        a_terminal(80) as terminal,
        patch.object(sys, "stderr", terminal),
        TerminalProgress() as bars,
    ):
        bars.begun(cast(Run, SimpleNamespace(activation="received_repairs")), tempo)
        bars.sending("received_repairs", tally, 7_654_321)
        tempo.count(128)
        bars._bars.refresh()
    told = STYLES.sub("", terminal.getvalue())

    assert "received_repairs: sending" in told
    assert "1234567/7654321" in told
    for words in ("1,234 in doubt", "128 in flight", "rows/s"):
        assert words in told
