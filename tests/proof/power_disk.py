"""A disk that can lose its power: what was not synced is lost, or survives in part.

It stands below SQLite as a VFS of apsw. Real files hold what the operating system has; beside them
it keeps what is on the platter, and what has been written since. When the power is cut, each write
since a file's last sync is drawn to survive or not, in pieces of a sector and regardless of the
order; so is each creation and deletion since the folder's last sync. That is what SQLite itself
assumes of a disk (sqlite.org/atomiccommit.html, "Hardware Assumptions"), with the bytes around a
torn write intact ("powersafe overwrite", sqlite.org/psow.html).
"""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from threading import RLock
from typing import Protocol

import apsw

SECTOR = 512
SYNCED_WITH_THEIR_FOLDER = apsw.SQLITE_OPEN_MAIN_JOURNAL | apsw.SQLITE_OPEN_WAL
NUMBERS = count(1)


@dataclass(frozen=True, slots=True)
class Write:
    """Bytes that the operating system has, and the platter maybe."""

    offset: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Truncation:
    """A new, smaller size that the operating system has, and the platter maybe."""

    size: int


@dataclass(frozen=True, slots=True)
class Entry:
    """A name that was given to a file, or (without one) taken away."""

    name: str
    file: "File | None"


@dataclass(slots=True)
class File:
    """What of a file is on the platter, and what came since."""

    platter: bytearray = field(default_factory=bytearray)
    since: list[Write | Truncation] = field(default_factory=list)
    named: bool = True
    """Whether its name needs no sync of its own."""

    def sync(self) -> None:
        """Bring everything to the platter."""
        for change in self.since:
            _apply(self.platter, change)
        self.since.clear()


@dataclass(slots=True)
class Luck:
    """What is drawn at a cut: the `share` of what was not synced that survives nevertheless, and
    what stands where a file grew although what was written there is lost."""

    dice: random.Random
    share: float
    garbage: bool

    @classmethod
    def drawn(cls, dice: random.Random) -> "Luck":
        """Any luck; often none at all, which shows soonest what was not synced."""
        return cls(dice, dice.choice([0.0, 0.0, 0.1, 0.5, 0.9, 1.0]), dice.random() < 0.5)

    def survives(self) -> bool:
        """Whether one thing that was not synced is there."""
        return self.dice.random() < self.share

    def filling(self, size: int) -> bytes:
        """What stands in `size` bytes that nobody wrote."""
        return self.dice.randbytes(size) if self.garbage else bytes(size)


class Below(Protocol):
    """What the VFS `vfs` asks before it does something. Raises apsw.Error when that fails."""

    vfs: str

    def check(self) -> None:
        """Something is being read."""

    def opened(self, name: str, flags: int, there: bool, /) -> None:
        """A file is being opened, and made unless it is `there`."""

    def deleted(self, name: str, with_folder: bool, /) -> None:
        """A file is being deleted; `with_folder` says that it must stay so without power."""

    def changed(self, name: str, change: Write | Truncation, /) -> None:
        """A file is being changed."""

    def synced(self, name: str, /) -> None:
        """A file is being synced."""


class Disk:
    """The folder `path`, with the power cut at the call number `cut_at` that changes something.

    For SQLite it is the VFS with the name `vfs`. `calls` counts them. Files that are there already
    are on the platter.
    """

    def __init__(self, path: Path, cut_at: int | None, dice: random.Random) -> None:
        self.path, self.cut_at, self.calls = path, cut_at, 0
        self.vfs = f"power{next(NUMBERS)}"
        self.dead = False
        self._luck = Luck.drawn(dice)
        self._lock = RLock()
        files = path.glob("*") if path.exists() else []
        self._platter = {p.name: File(bytearray(p.read_bytes())) for p in files}
        self._names = dict(self._platter)
        self._seen: set[str] = set()
        self._since: list[Entry] = []
        self._survivors: dict[str, bytes] = {}

    def cut(self) -> None:
        """Cut the power now."""
        with self._lock:
            if not self.dead:
                self.dead = True
                self._survivors = self._drawn() | self._others()

    def reboot(self) -> None:
        """Leave on the real disk what survived. Everything that used this one must be closed."""
        self.cut()
        for path in self.path.glob("*"):
            path.unlink()
        for name, content in self._survivors.items():
            (self.path / name).write_bytes(content)

    # --- what SQLite asks for -------------------------------------------------------------------

    def check(self) -> None:
        """Raises apsw.IOError when the power is gone."""
        if self.dead:
            raise apsw.IOError("the power is gone")

    def opened(self, name: str, flags: int, there: bool) -> None:
        """A file of `name` is being opened, and made unless it is `there`."""
        with self._lock:
            self.check()
            self._seen.add(name)
            if name in self._names:
                return
            journal = bool(flags & SYNCED_WITH_THEIR_FOLDER) and not there
            file = self._names[name] = File(named=not journal)
            self._since.append(Entry(name, file))
            self._call()

    def deleted(self, name: str, with_folder: bool) -> None:
        """The file of `name` is being deleted."""
        with self._lock:
            self.check()
            self._seen.add(name)
            self._names.pop(name, None)
            self._since.append(Entry(name, None))
            self._call()
            if with_folder:
                self._sync_folder()

    def changed(self, name: str, change: Write | Truncation) -> None:
        """The file of `name` is being changed."""
        with self._lock:
            self.check()
            self._names[name].since.append(change)
            self._call()

    def synced(self, name: str) -> None:
        """The file of `name` is being synced; a new journal's folder with it, as on Unix."""
        with self._lock:
            self.check()
            self._call()
            file = self._names[name]
            file.sync()
            if not file.named:
                self._sync_folder()
                file.named = True

    def _call(self) -> None:
        self.calls += 1
        if self.calls == self.cut_at:
            self.cut()
            self.check()

    def _sync_folder(self) -> None:
        for entry in self._since:
            _enter(self._platter, entry)
        self._since.clear()

    # --- what survives --------------------------------------------------------------------------

    def _others(self) -> dict[str, bytes]:
        """What SQLite has not touched is as it is; whoever else writes here syncs it at once."""
        others = {path for path in self.path.glob("*") if not path.name.endswith("-shm")}
        return {p.name: p.read_bytes() for p in others if p.name not in self._seen}

    def _drawn(self) -> dict[str, bytes]:
        names = dict(self._platter)
        for entry in self._since:
            if self._luck.survives():
                _enter(names, entry)
        return {
            name: self._drawn_content(file) for name, file in names.items() if name in self._seen
        }

    def _drawn_content(self, file: File) -> bytes:
        content = bytearray(file.platter)
        for change in file.since:
            match change:
                case Truncation():
                    if self._luck.survives():
                        _apply(content, change)
                case Write():
                    for piece in self._pieces(change):
                        if len(content) < piece.offset:
                            content += self._luck.filling(piece.offset - len(content))
                        _apply(content, piece)
        return bytes(content)

    def _pieces(self, write: Write) -> Iterator[Write]:
        """The sectors of `write` that survive, some of them torn."""
        start, end = write.offset, write.offset + len(write.data)
        while start < end:
            stop = min(end, (start // SECTOR + 1) * SECTOR)
            if self._luck.survives():
                torn = self._luck.share < 1 and self._luck.dice.random() < 0.05
                until = self._luck.dice.randrange(start, stop) if torn else stop
                yield Write(start, write.data[start - write.offset : until - write.offset])
            start = stop


def _apply(content: bytearray, change: Write | Truncation) -> None:
    match change:
        case Write(offset, data):
            content.extend(bytes(max(0, offset - len(content))))
            content[offset : offset + len(data)] = data
        case Truncation(size):
            del content[size:]


def _enter(names: dict[str, File], entry: Entry) -> None:
    if entry.file is None:
        names.pop(entry.name, None)
    else:
        names[entry.name] = entry.file


# --- the disk as a VFS ----------------------------------------------------------------------------


@contextmanager
def mounted(disk: Below) -> Iterator[None]:
    """Let apsw find `disk` under its name."""
    vfs = _Vfs(disk)
    try:
        yield
    finally:
        vfs.unregister()


class _Vfs(apsw.VFS):
    def __init__(self, disk: Below) -> None:
        self._disk = disk
        super().__init__(disk.vfs, base="")

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:  # noqa: N802 -- apsw's name
        if name is None:  # a temporary file: gone with the process anyway
            return apsw.VFSFile("", name, flags)
        path = Path(name.filename() if isinstance(name, apsw.URIFilename) else name)
        self._disk.opened(path.name, flags[0], path.exists())
        return _VfsFile(self._disk, path.name, name, flags)

    def xDelete(self, filename: str, syncdir: bool) -> None:  # noqa: N802
        self._disk.deleted(Path(filename).name, syncdir)
        super().xDelete(filename, syncdir)

    def xAccess(self, pathname: str, flags: int) -> bool:  # noqa: N802
        self._disk.check()
        return super().xAccess(pathname, flags)


class _VfsFile(apsw.VFSFile):
    def __init__(
        self, disk: Below, file: str, name: str | apsw.URIFilename, flags: list[int]
    ) -> None:
        self._disk, self._file = disk, file
        super().__init__("", name, flags)

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802
        self._disk.changed(self._file, Write(offset, bytes(data)))
        super().xWrite(data, offset)

    def xTruncate(self, newsize: int) -> None:  # noqa: N802
        self._disk.changed(self._file, Truncation(newsize))
        super().xTruncate(newsize)

    def xSync(self, flags: int) -> None:  # noqa: N802
        self._disk.synced(self._file)  # really syncing would only cost time: nobody cuts the power

    def xRead(self, amount: int, offset: int) -> bytes:  # noqa: N802
        self._disk.check()
        return super().xRead(amount, offset)

    def xLock(self, level: int) -> None:  # noqa: N802
        self._disk.check()
        super().xLock(level)
