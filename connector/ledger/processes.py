"""The process that has a lease, and whether it still lives.

The lease saves work; safety does not rest on it but on the attempt number of every row.
"""

import json
import os
import secrets
import socket
import sys
from dataclasses import asdict, fields
from datetime import UTC, datetime
from pathlib import Path

from connector.basis import dataclass
from connector.ledger.migrations import HEAD

ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"


@dataclass(frozen=True, slots=True)
class Process:
    """A process: its host, its number there, and when it was born (so that a reused number does
    not pass for it; empty where the system does not tell).

    A number means something in one PID namespace of one boot alone, and containers may have equal
    host names; empty where the system does not tell, or an earlier version did not write it.
    """

    host: str
    pid: int
    born: str
    boot: str = ""
    space: str = ""
    tables: str = ""
    """The newest step of the ledger's tables that it knows; empty: it is older than such words."""

    @property
    def text(self) -> str:
        return json.dumps(asdict(self))

    def is_visible(self) -> bool:
        """Whether it can be seen from here if it runs: not so processes of other hosts, or of other
        PID namespaces of this one."""
        if self.host != socket.gethostname():
            return False
        boot, space = _boot(), _space()
        if sys.platform == "linux" and not (self.boot and self.space and boot and space):
            return False
        return (self.boot, self.space) == (boot, space)

    def is_dead(self) -> bool:
        """Whether it certainly runs no more. False for what cannot be seen from here."""
        if not self.is_visible():
            return False
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return True
        except PermissionError:
            pass
        return _birth(self.pid) != self.born


def this_process() -> Process:
    pid = os.getpid()
    return Process(socket.gethostname(), pid, _birth(pid), _boot(), _space(), HEAD)


def process_of(text: str | None) -> Process | None:
    """The holder that `Process.text` wrote, in this version or in another one."""
    if not text:
        return None
    content = json.loads(text)
    return Process(**{f.name: content[f.name] for f in fields(Process) if f.name in content})


def new_run_id(milliseconds: int) -> str:
    """A short id that sorts by time: seconds since 1970 and 28 random bits, in base 32.

    So many, since a schedule starts the runs of many activations in one second, again and again.
    """
    number = (milliseconds // 1000 << 28) | secrets.randbits(28)
    return "".join(ALPHABET[number >> shift & 31] for shift in range(55, -1, -5))


def began_at(run_id: str) -> datetime | None:
    """When the run with that id began, to the second; None where it is none of `new_run_id`."""
    places = [ALPHABET.find(letter) for letter in run_id[-12:]]
    if len(places) < 12 or min(places) < 0:
        return None
    number = sum(place << 5 * (11 - i) for i, place in enumerate(places))
    return datetime.fromtimestamp(number >> 28, UTC)


def _boot() -> str:
    """Which start of the system this is. Another one says nothing about a process: two hosts may
    have one name."""
    return _content("/proc/sys/kernel/random/boot_id").strip()


def _space() -> str:
    """The PID namespace, in which alone a number stands for a process."""
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return ""


def _birth(pid: int) -> str:
    stat = _content(f"/proc/{pid}/stat")
    if not stat:
        return ""
    fields = stat.rpartition(")")[2].split()  # from field 3 of proc(5) on, behind the name
    # a zombie has ended; nobody has asked how yet, and in a container nobody may ever do
    return "" if fields[0] in "ZX" else fields[19]


def _content(path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError:
        return ""
