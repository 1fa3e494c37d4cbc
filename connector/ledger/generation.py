"""The files beside the ledger, which hold what it has counted last: see restored.py for why."""

import glob
import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import field, replace
from hashlib import blake2b
from pathlib import Path
from threading import get_native_id
from typing import Any

from connector.basis import dataclass
from connector.rules.errors import LedgerChanged, LedgerUnavailable

PATIENCE = 2.0
"""Seconds that others are waited for who change the file: it takes them milliseconds, unless they
are frozen."""


@dataclass(frozen=True, slots=True)
class Generation:
    """Which ledger this is, and how often it has counted. `accused`: what a run has seen that says
    that the ledger went back, as long as nothing was marked because of it."""

    ledger: str
    number: int
    accused: str | None = None
    beaten: Mapping[str, int] = field(default_factory=dict)
    """By activation the writes that a beat has put on the disk, see `beaten` below."""


class GenerationFile:
    """The files beside the ledger. Raises LedgerUnavailable when they cannot be read or written.

    No number in them ever goes back, whoever writes last; only `restart` begins anew.
    """

    def __init__(self, path: Path) -> None:
        """`path`: the generation's; the writes stand beside it, in a file for each holder of a
        lease, so that none ever waits for another one, which may be frozen. They are not synced,
        for they are written before every request: they outlive the process, not a power cut.
        What a beat has seen of them stands in the generation's file, too, and is synced."""
        self.path = path
        self._writes = f"{path.with_suffix('').name}.writes"

    @property
    def writes(self) -> list[Path]:
        """The files of those who hold, or have held, a lease."""
        return list(self.path.parent.glob(f"{glob.escape(self._writes)}.*"))

    def read(self) -> Generation | None:
        """What was written last; None when there is no file."""
        try:
            content = json.loads(self.path.read_text())
            beaten = {str(of): int(n) for of, n in content.get("beaten", {}).items()}
            of, number = str(content["ledger"]), int(content["number"])
            return Generation(of, number, content.get("accused"), beaten)
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError, AttributeError):
            return Generation("damaged", 0)  # no ledger's: the one that is here becomes suspect
        except OSError as error:
            raise LedgerUnavailable(f"cannot read {self.path}: {error.strerror}") from None

    def raise_to(self, ledger: str, number: int) -> None:
        """Write the number, if it is a higher one; it is on the disk when this returns."""
        self.beaten(ledger, number, {})

    def beaten(self, ledger: str, number: int, writes: Mapping[str, int]) -> None:
        """Write the number and, by activation, how often its holders have written, where these are
        higher ones. They are on the disk when this returns: what a run has sent outlives even a
        power cut from its next beat on."""
        with self._alone():
            last = self.read()
            if last and last.ledger != ledger:
                raise LedgerChanged(f"{self.path} is another ledger's now")
            known = last.beaten if last else {}
            most = {**known, **{of: max(n, known.get(of, 0)) for of, n in writes.items()}}
            number = max(number, last.number if last else 0)
            if last is None or (number, most) != (last.number, known):
                self._write(replace(last or Generation(ledger, 0), number=number, beaten=most))

    def accuse(self, ledger: str, reason: str) -> None:
        """Let whoever begins next take the ledger for one from a backup."""
        with self._alone():
            last = self.read() or Generation(ledger, 0)
            if last.accused is None:
                self._write(replace(last, accused=reason))

    def restart(self, ledger: str, number: int) -> None:
        """Begin anew, once the ledger is marked."""
        with self._alone():
            for file in self.writes:
                file.unlink(missing_ok=True)
            self._write(Generation(ledger, number))

    def written(self, ledger: str, activation: str, fence: int, number: int) -> bool:
        """Keep how often the activation's holders have written, as the one with this fence knows
        it; False when another one has come after it. Called by one thread at a time."""
        content = {"ledger": ledger, "activation": activation, "writes": number}
        mine, lost = self._mine(activation), None
        try:
            _replace(self.path.with_name(f"{mine}{fence}"), content, synced=False)
        except LedgerUnavailable as error:  # a later one may have removed what was half made
            lost = error
        try:
            files = [file for file in self.path.parent.iterdir() if file.name.startswith(mine)]
            others = [(int(file.name[len(mine) :].split(".")[0]), file) for file in files]
            for earlier in (file for other, file in others if other < fence):
                earlier.unlink(missing_ok=True)
        except OSError as error:
            where = self.path.with_name(mine)
            raise lost or LedgerUnavailable(f"cannot write {where}: {error.strerror}") from None
        is_last = max((other for other, _ in others), default=fence) <= fence
        if lost and is_last:
            raise lost
        return is_last

    def replaced(self, fences: Mapping[str, int]) -> set[str]:
        """Those activations that somebody with a higher fence than these has written."""
        of = {self._mine(activation): activation for activation in fences}
        found = set()
        for file in self.path.parent.glob(f"{glob.escape(self._writes)}.*.*"):
            mine = file.name[: len(self._writes) + 18]
            if (activation := of.get(mine)) is None:
                continue
            if int(file.name[len(mine) :].split(".")[0]) > fences[activation]:
                found.add(activation)
        return found

    def _mine(self, activation: str) -> str:
        """How the names of the files of its holders begin; their fences follow."""
        short = blake2b(activation.encode(), digest_size=8).hexdigest()
        return f"{self._writes}.{short}."

    def read_writes(self, ledger: str) -> dict[str, int]:
        """By activation, how often its holders have written. What is of another ledger, or torn by
        a power cut, is left out."""
        last = self.read()
        found = dict(last.beaten) if last and last.ledger == ledger else {}
        for file in self.writes:
            try:
                content = json.loads(file.read_text())
                if content["ledger"] == ledger:
                    name, number = str(content["activation"]), int(content["writes"])
                    found[name] = max(found.get(name, 0), number)
            except (FileNotFoundError, ValueError, KeyError, TypeError):
                continue
            except OSError as error:
                raise LedgerUnavailable(f"cannot read {file}: {error.strerror}") from None
        return found

    def _write(self, generation: Generation) -> None:
        content: dict[str, Any] = {"ledger": generation.ledger, "number": generation.number}
        if generation.accused:
            content["accused"] = generation.accused
        if generation.beaten:
            content["beaten"] = generation.beaten
        _replace(self.path, content, synced=True)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """No other process, and no other thread, changes the files meanwhile."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = _locked(self.path.parent)
        except OSError as error:
            raise LedgerUnavailable(f"cannot write {self.path}: {error.strerror}") from None
        try:
            yield
        finally:
            if descriptor is not None:
                os.close(descriptor)


def _replace(path: Path, content: Mapping[str, Any], synced: bool) -> None:
    # the process and the thread in the name: one that was frozen for long may be writing, too, and
    # so may another run of this process, where both did not wait for that any more
    new = path.with_name(f"{path.name}.{os.getpid()}-{get_native_id()}.new")
    try:
        # for its owner alone
        with open(new, "w", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
            file.write(json.dumps(content))
            if synced:
                file.flush()
                os.fsync(file.fileno())
        new.replace(path)
        if synced:
            sync_folder(path.parent)
    except OSError as error:
        raise LedgerUnavailable(f"cannot write {path}: {error.strerror}") from None


def _locked(folder: Path) -> int | None:
    """The descriptor of the folder under a lock, until it is closed; None where there is none."""
    try:
        import fcntl
    except ImportError:  # Windows
        return None
    descriptor, deadline = os.open(folder, os.O_RDONLY), time.monotonic() + PATIENCE
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                break
            time.sleep(0.002)
        except OSError:  # not every file system has locks
            break
        else:
            return descriptor
    os.close(descriptor)
    return None


def create_folder(path: Path) -> None:
    """A folder whose name survives a power cut: SQLite syncs the names of its files, and no more,
    so that a new ledger could be gone with its folder after it was sent from."""
    if path.is_dir():
        return
    create_folder(path.parent)
    path.mkdir(exist_ok=True)
    with suppress(OSError):  # not every system lets a folder be synced
        sync_folder(path.parent)


def sync_folder(path: Path) -> None:
    """See the names in the folder on the disk."""
    with suppress(PermissionError):  # Windows opens no directory
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
