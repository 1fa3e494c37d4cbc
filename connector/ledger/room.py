"""Whether there is room for a ledger: who only reads one on a full disk does not notice it."""

from contextlib import suppress
from pathlib import Path
from shutil import disk_usage

from sqlalchemy import URL

LEAST = 256 * 1024
"""Bytes that must be free: a transaction of a run takes some pages, and its log as many."""


def nearest(folder: Path) -> Path:
    """The part of its path that is there."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return folder


def kept_by(file: Path, error: OSError) -> str:
    """What keeps `file` from being there: a part of its path that is no folder, or else what the
    system says."""
    with suppress(OSError):  # where it may not be looked
        if not (there := nearest(file.parent)).is_dir():
            return f"{there} is no folder"
    return str(error.strerror)


def full_disk(url: URL) -> str | None:
    """The folder of the ledger at `url` in which no run can record anything for want of room; None
    where there is some, where a server keeps it, and of what keeps no files at all, such as /proc:
    that is not full."""
    if url.get_backend_name() != "sqlite" or not url.database or url.database == ":memory:":
        return None
    folder = Path(url.database).parent
    try:
        disk = disk_usage(folder)
        return str(folder) if disk.total and disk.free < LEAST else None
    except OSError:  # it is not there yet, or may not be seen: others say so
        return None
