"""What may reach a terminal: every character can be written there, and none of a row steers it."""

import codecs
import json
import re
import sys
from typing import Any

PLAINER = {"─": "-", "…": "...", "–": "-", "—": "-", "’": "'", "•": "*", "→": "->", "·": "-"}
"""How our own typography is written where the terminal lacks it."""
STEERING = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
"""Control characters, but for the line break; and those that turn the direction of a line, so that
it shows something else than it holds."""
NOT_ESCAPED_BY_JSON = re.compile(r"[\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
ERRORS = "connector.plainer"


def visible(text: str) -> str:
    r"""`text`, with what would steer a terminal written out, such as \x1b."""
    return STEERING.sub(lambda m: m[0] if m[0] == "\t" else _written_out(m[0]), text)


def as_json_text(document: Any) -> str:
    """The JSON of `document`, for standard output in whatever encoding it has."""
    unicode = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
    text = json.dumps(document, indent=2, ensure_ascii=not unicode)
    return NOT_ESCAPED_BY_JSON.sub(lambda m: f"\\u{ord(m[0]):04x}", text)


def prepare_streams() -> None:
    """Let no character that a terminal lacks end a command: what was done must be told."""
    codecs.register_error(ERRORS, _plainer)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors=ERRORS)


def _plainer(error: UnicodeError) -> tuple[str | bytes, int]:
    assert isinstance(error, UnicodeEncodeError)
    found = error.object[error.start : error.end]
    if all(character in PLAINER for character in found):
        return "".join(PLAINER[character] for character in found), error.end
    return codecs.backslashreplace_errors(error)


def _written_out(character: str) -> str:
    return (
        character.encode("ascii", "backslashreplace").decode()
        if character > "\x7f"
        else (f"\\x{ord(character):02x}")
    )
