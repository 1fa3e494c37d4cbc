"""Files of a project that others on the machine can read, though they hold keys or persons."""

import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

OTHERS = stat.S_IRGRP | stat.S_IROTH | stat.S_IWGRP | stat.S_IWOTH


def exposed(files: Iterable[Path]) -> Iterator[Path]:
    """Those of `files` that are there, and that somebody else than their owner may read or write.
    Systems without such rights have none."""
    if os.name != "posix":
        return
    for file in files:
        try:
            mode = file.stat().st_mode
        except OSError:
            continue
        if mode & OTHERS:
            yield file
