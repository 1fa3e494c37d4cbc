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

PLAINER = {"─": "-", "…": "...", "–": "-", "—": "-", "’": "'", "•": "*", "→": "->", "·": "-"}
"""How our own typography is written where the terminal lacks it."""
COMMANDS = r"\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff"
"""Characters that move a cursor or cannot be written at all."""
TURNING = r"\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"
"""Those that turn the direction of what follows, and with it what seems to stand there."""
UNSEEN = (
    r"\u00ad\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200d\u2060-\u2065\u206a-\u206f\u3164"
    r"\ufeff\uffa0\ufff0-\ufffb\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
"""Those that nobody sees: with one of them, what looks the same is another key."""
VARIANTS = r"(?<![^\x00-\x7f])[\ufe00-\ufe0f]"
"""How an emoji is to look; after a plain letter nobody sees that either."""
DECEIVING = re.compile(f"[{COMMANDS}{TURNING}{UNSEEN}]|{VARIANTS}")
ON_PAGES = re.compile(f"(?![\\t\\n\\r])(?:{DECEIVING.pattern})")
"""The same without what stands between words and lines, of which a page makes a space."""
NOT_ESCAPED_BY_JSON = re.compile(f"[\\x7f-\\x9f{TURNING}{UNSEEN}]|{VARIANTS}")
ERRORS = "connector.plainer"
LOST = (errno.ENOSPC, errno.EPIPE, errno.EIO, errno.EBADF, errno.EDQUOT, errno.EFBIG)
"""What may be wrong with what is written to."""


def plain(text: str) -> str:
    """`text` in one line, with what a terminal would take for a command, and what nobody would see,
    made visible."""
    ours = text.isascii() and text.isprintable()
    return text if ours else DECEIVING.sub(_visible, text)


def plain_on_page(text: str) -> str:
    """`text` with what nobody would see, or would see elsewhere, made visible."""
    return ON_PAGES.sub(_visible, text)


def as_json_text(document: Any) -> str:
    """The JSON of `document`, for standard output in whatever encoding it has."""
    unicode = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
    text = json.dumps(document, indent=2, ensure_ascii=not unicode)
    return NOT_ESCAPED_BY_JSON.sub(lambda found: json.dumps(found[0])[1:-1], text)


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
    """Let no character that a terminal lacks end a command, and no stream that was closed before it
    began: what was done must be told."""
    codecs.register_error(ERRORS, _plainer)
    for name in ("stdin", "stdout", "stderr"):  # in this order each takes its own number
        if getattr(sys, name) is None:  # it was closed: nobody wants to write, or to read
            nowhere = Path(os.devnull).open("r" if name == "stdin" else "w")  # noqa: SIM115
            setattr(sys, name, nowhere)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors=ERRORS)


def _plainer(error: UnicodeError) -> tuple[str, int]:
    """As JSON writes it, since most of what is shown is in bodies: they stay what they are."""
    assert isinstance(error, UnicodeEncodeError)
    found = error.object[error.start : error.end]
    return "".join(PLAINER.get(each) or json.dumps(each)[1:-1] for each in found), error.end


def _visible(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode("ascii")
