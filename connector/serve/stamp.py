"""What a service sees of its configuration being written."""

from pathlib import Path

from connector.project.settings import Settings
from connector.rules.written import watched


def stamp(config: Path, settings: Settings) -> tuple[object, ...]:
    """What changes when the configuration, what it includes, the .env beside it, or one of the
    files that were read for its `settings`, is written, or a file that it includes is new."""
    found: list[object] = []
    included = watched(config, settings.project.include)
    for file in (config, config.parent / ".env", *included, *settings.written.files):
        try:
            state = file.stat()
            found.append((state.st_mtime_ns, state.st_size, state.st_ino))
        except OSError:
            found.append(None)
    return tuple(found)
