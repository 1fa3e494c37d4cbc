"""A MariaDB server for the tests, whose clock shows another zone than anybody would guess."""

import getpass
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import URL

ZONE = "+05:00"
START = 60
"""Seconds that it may take to start, on a busy machine."""
SPARING = (
    "--innodb-buffer-pool-size=16M",
    "--innodb-flush-log-at-trx-commit=0",
    "--performance-schema=OFF",
    "--skip-log-bin",
    "--skip-networking",
)


class MariaDB:
    """A server behind a socket, with one database."""

    def __init__(self, socket: Path) -> None:
        self._socket = str(socket)
        query = {"unix_socket": self._socket}
        self.url = URL.create(
            "mysql+pymysql", "root", host="localhost", database="shop", query=query
        )

    def execute(self, *statements: str, database: str | None = "shop") -> None:
        """Run `statements`, and commit."""
        import pymysql

        connection: Any = pymysql.connect(
            user="root", unix_socket=self._socket, database=database, autocommit=True
        )
        with connection, connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)


@contextmanager
def mariadb_server(folder: Path) -> Iterator[MariaDB]:
    """A server whose files are in `folder`."""
    data, user = folder / "data", getpass.getuser()
    making = ["mariadb-install-db", "--no-defaults", f"--user={user}", f"--datadir={data}"]
    making += ["--auth-root-authentication-method=normal", "--skip-test-db"]
    subprocess.run(making, check=True, capture_output=True)
    door = folder / "socket"
    serving = ["mariadbd", "--no-defaults", f"--user={user}", f"--datadir={data}", *SPARING]
    serving += [f"--socket={door}", f"--default-time-zone={ZONE}"]
    with (folder / "log").open("w") as log, subprocess.Popen(serving, stderr=log) as process:
        server = MariaDB(door)
        try:
            until = time.monotonic() + START
            while not _answers(door):
                assert process.poll() is None, (folder / "log").read_text()
                assert time.monotonic() < until, (folder / "log").read_text()
                time.sleep(0.05)
            server.execute("create database shop", database=None)
            yield server
        finally:
            process.terminate()


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as knocking:
        return knocking.connect_ex(str(path)) == 0


def missing() -> str | None:
    """Why there can be none; None where there can."""
    if not all(map(shutil.which, ("mariadbd", "mariadb-install-db", "my_print_defaults"))):
        wanted = "mariadb-server-core mariadb-client-core"
        return f"there is no mariadbd; on Debian: apt-get install {wanted}"
    if find_spec("pymysql") is None:
        return "there is no pymysql; make installs it"
    return None


@pytest.fixture(scope="session")
def mariadb() -> Iterator[MariaDB]:
    """A MariaDB server that lives as long as the tests."""
    if reason := missing():
        pytest.skip(reason)
    folder = Path(tempfile.mkdtemp(prefix="mariadb"))  # a socket's path must be short
    try:
        with mariadb_server(folder) as server:
            yield server
    finally:
        shutil.rmtree(folder, ignore_errors=True)
