"""The ledger's own driver on a disk of the tests' own.

apsw lets Python be the file system below SQLite, which sqlite3 does not.
"""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import apsw

from connector.ledger import sqlite


class Driver(sqlite.Driver):
    """The driver, whose files lie on the VFS `vfs`.

    `about_to_commit` and `committed` are told of every COMMIT of what writes, before it and once it
    is acknowledged.
    """

    def __init__(
        self,
        vfs: str,
        about_to_commit: Callable[[apsw.Connection], None] = lambda _: None,
        committed: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__()
        self.vfs, self.about_to_commit, self.committed = vfs, about_to_commit, committed
        self.opened: list[apsw.Connection] = []

    def connect(self, filename: str, uri: bool = False, **_: Any) -> "Connection":
        """As sqlite3.connect."""
        raw = self.open(filename, uri)
        self.opened.append(raw)
        return Connection(self, raw)

    def close(self) -> None:
        """Close what was opened, whoever still holds it."""
        for raw in self.opened:
            with suppress(apsw.Error):
                raw.close(force=True)


class Connection(sqlite.Connection):
    """Tells its driver of every COMMIT."""

    driver: Driver

    def _commit(self) -> None:
        writes = self.raw.txn_state() == apsw.SQLITE_TXN_WRITE  # what only read may be behind
        if writes:
            self.driver.about_to_commit(self.raw)
        super()._commit()
        if writes:
            self.driver.committed()
