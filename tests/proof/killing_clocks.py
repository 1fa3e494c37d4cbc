"""Clocks for forked workers that step, and that do not count what a machine slept: kept in a file
that all of them map.

The ledger's clock can be set ahead. A worker that was suspended finds that neither CLOCK_MONOTONIC
nor CLOCK_BOOTTIME has counted that, as in a virtual machine that was paused; the wall clock has.
"""

import mmap
import sqlite3
import struct
from pathlib import Path
from typing import Any

import psycopg
from sqlalchemy import Engine as Database
from sqlalchemy import event, make_url

from connector.rules import clocks
from connector.rules.clocks import Moment

SLOTS = 4096
JULIAN_1970 = 2440587.5
REAL = clocks.now
HOUR = 3600.0


class Clocks:
    """What is wrong with the clocks; the same in all processes that were forked with it."""

    def __init__(self, file: Path, ledger: str) -> None:
        file.write_bytes(bytes(8 * SLOTS))
        with file.open("r+b") as opened:
            self._map = mmap.mmap(opened.fileno(), 0)
        self._ledger = make_url(ledger)
        self._ahead(0.0)
        if self._on_postgresql:
            self._execute(
                "create table stepped (ahead interval)",
                "insert into stepped values ('0 s')",
                "create function public.clock_timestamp() returns timestamptz language sql as"
                " $$ select pg_catalog.clock_timestamp() + ahead from public.stepped $$",
                f'alter database "{self._ledger.database}" set search_path = public, pg_catalog',
            )

    @property
    def _on_postgresql(self) -> bool:
        return self._ledger.get_backend_name() == "postgresql"

    def step(self, ahead: float) -> None:
        """The ledger's clock, and with SQLite that of the machine, is so many seconds ahead."""
        self._ahead(ahead)
        if self._on_postgresql:
            self._execute(f"update stepped set ahead = '{ahead} s'")

    def slept(self, worker: int, seconds: float) -> None:
        """`worker` was suspended, and must not be let go on before this is said."""
        self._put(worker, self._get(worker) + seconds)

    def wear(self, worker: int) -> None:
        """From now on this process has these clocks. For forked processes."""
        clocks.now = lambda: self._moment(worker)
        # a machine that sleeps alone is a machine of its own
        clocks.boot = lambda: worker
        if not self._on_postgresql:
            event.listen(Database, "connect", self._set_clock)

    def _moment(self, worker: int) -> Moment:
        moment, missed = REAL(), self._get(worker)
        wall = moment.wall + (0 if self._on_postgresql else self._get(0))
        return Moment(moment.monotonic - missed, moment.boot - missed, wall)

    def _set_clock(self, connection: Any, _: object) -> None:
        if isinstance(connection, sqlite3.Connection):
            connection.create_function("julianday", 1, self._julian)

    def _julian(self, _: object) -> float:
        return JULIAN_1970 + (REAL().wall + self._get(0) + 0.0005) / 86400

    def _ahead(self, seconds: float) -> None:
        self._put(0, seconds)

    def _get(self, slot: int) -> float:
        (value,) = struct.unpack_from("d", self._map, 8 * (slot % SLOTS))
        return float(value)

    def _put(self, slot: int, value: float) -> None:
        struct.pack_into("d", self._map, 8 * (slot % SLOTS), value)

    def _execute(self, *statements: str) -> None:
        address = self._ledger.set(drivername="postgresql").render_as_string(hide_password=False)
        with psycopg.connect(address, autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement.encode())
