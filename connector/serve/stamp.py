"""What a service sees of its configuration being written."""

from collections.abc import Sequence
from pathlib import Path

from connector.rules.written import watched


def stamp(config: Path, files: Sequence[Path]) -> tuple[object, ...]:
    """What changes when the configuration, what it includes, the .env beside it, or one of the
    `files` that were read, is written."""
    found: list[object] = []
    for file in (config, config.parent / ".env", *watched(config), *files):
        try:
            state = file.stat()
            found.append((state.st_mtime_ns, state.st_size, state.st_ino))
        except OSError:
            found.append(None)
    return tuple(found)
