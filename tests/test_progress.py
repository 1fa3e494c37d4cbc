"""How far a sync is stands whole on a terminal of 80 columns."""

import sys
from unittest.mock import patch

from connector.ledger.records import Tally
from connector.show.progress import TerminalProgress
from tests.test_layout import STYLES, a_terminal


def test_no_number_is_cut() -> None:
    tally = Tally(delivered=1_234_567, in_doubt=1234)

    with (
        a_terminal(80) as terminal,
        patch.object(sys, "stderr", terminal),
        TerminalProgress() as bars,
    ):
        bars.sending("received_repairs", tally, 7_654_321)
        bars._bars.refresh()
    told = STYLES.sub("", terminal.getvalue())

    assert "received_repairs: sending" in told
    assert "1234567/7654321" in told
    assert ("1,234 in doubt" in told, "rows/s" in told) == (True, True)
