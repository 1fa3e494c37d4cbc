"""What may reach a terminal: every character can be written there, and none of a row steers it."""

import codecs
import errno
import json
import os
import re
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any
from unicodedata import category

PLAINER = {"─": "-", "…": "...", "–": "-", "—": "-", "’": "'", "•": "*", "→": "->", "·": "-"}
"""How our own typography is written where the terminal lacks it."""
COMMANDS = ("Cc", "Cs", "Zl", "Zp")
"""Kinds of characters that move a cursor or cannot be written at all."""
TURNING = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""Characters that turn the direction of what follows, and with it what seems to stand there."""
NOT_ESCAPED_BY_JSON = re.compile(r"[\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
ERRORS = "connector.plainer"
LOST = (errno.ENOSPC, errno.EPIPE, errno.EIO, errno.EBADF, errno.EDQUOT, errno.EFBIG)
"""What may be wrong with what is written to."""


def plain(text: str) -> str:
    """`text` in one line, with what a terminal would take for a command made visible."""
    return text if text.isprintable() else "".join(map(_visible, text))


def as_json_text(document: Any) -> str:
    """The JSON of `document`, for standard output in whatever encoding it has."""
    unicode = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
    text = json.dumps(document, indent=2, ensure_ascii=not unicode)
    return NOT_ESCAPED_BY_JSON.sub(lambda m: f"\\u{ord(m[0]):04x}", text)


class Printed:
    """What this process has printed: its command's one document, or not yet."""

    document = False


def print_json(document: Any) -> None:
    """Print the one JSON document of a command."""
    text = as_json_text(document)
    Printed.document = True
    print(text)


def lost_output(failure: OSError | None) -> OSError | None:
    """Why standard output cannot be written, where it cannot; what is left of it is dropped then,
    so that nothing stumbles over it at the end. `failure`: what may have come of writing to it."""
    try:
        sys.stdout.flush()
        if failure and failure.errno in LOST:  # what could not be written is not kept
            os.write(sys.stdout.fileno(), b"\n")
    except OSError as error:
        with Path(os.devnull).open("w") as nowhere, suppress(OSError, ValueError):
            os.dup2(nowhere.fileno(), sys.stdout.fileno())
        return error
    return None


def prepare_streams() -> None:
    """Let no character that a terminal lacks end a command: what was done must be told."""
    codecs.register_error(ERRORS, _plainer)
    if sys.stdout is None:  # it was closed: nobody wants to read
        sys.stdout = Path(os.devnull).open("w")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors=ERRORS)


def _plainer(error: UnicodeError) -> tuple[str | bytes, int]:
    assert isinstance(error, UnicodeEncodeError)
    found = error.object[error.start : error.end]
    if all(character in PLAINER for character in found):
        return "".join(PLAINER[character] for character in found), error.end
    return codecs.backslashreplace_errors(error)


def _visible(character: str) -> str:
    unseen = category(character) in COMMANDS or character in TURNING
    return character.encode("unicode_escape").decode("ascii") if unseen else character
