"""The nodes of a YAML 1.2 text, composed in C where the text is of the everyday kind.

ruamel.yaml reads YAML 1.2 and says well what is wrong, and takes a second for 300 activations.
libyaml, which PyYAML brings along, takes a tenth of that, and reads some rare forms otherwise: so
it gets texts in which none of those can stand, and its plain values are told apart as YAML 1.2
does. Every other text, and each that it refuses, is ruamel's; of the texts that both take, both
give the same nodes.
"""

import re
from functools import cache
from typing import Any, Protocol

BEYOND_ASCII = r"\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff"
"""Letters and the like, in a class of an expression."""
NULL = frozenset(("", "~", "null", "Null", "NULL"))
BOOL = frozenset(("true", "True", "TRUE", "false", "False", "FALSE"))
NUMBERS = (
    ("float", r"[-+]?[0-9][0-9_]*(?:\.[0-9_]*(?:[eE][-+]?[0-9]+)?|[eE][-+]?[0-9]+)"),
    ("float", r"[-+]?\.[0-9_]+(?:[eE][-+][0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)"),
    ("int", r"[-+]?(?:0b[01_]+|0o?[0-7_]+|[0-9_]+|0x[0-9a-fA-F_]+)"),
)
KINDS = [(kind, re.compile(pattern)) for kind, pattern in NUMBERS]
IN_A_NUMBER = frozenset("-+.0123456789")
"""How one begins."""
TAG = "tag:yaml.org,2002:"


class Mark(Protocol):
    """A place in the text, from 0 on."""

    line: int
    column: int


class Node(Protocol):
    """A node of either library. `id`: scalar, sequence or mapping; `value`: its text, its nodes, or
    its pairs of nodes."""

    id: str
    tag: Any
    value: Any
    start_mark: Mark
    flow_style: Any


def kind_of(text: str) -> str:
    """What a plain value is in YAML 1.2; times are texts."""
    if text[:1] in IN_A_NUMBER and text:
        return next((kind for kind, pattern in KINDS if pattern.fullmatch(text)), "str")
    if text in NULL:
        return "null"
    if text in BOOL:
        return "bool"
    return {"<<": "merge", "=": "value"}.get(text, "str")


@cache
def otherwise(letters: str) -> re.Pattern[str]:
    """What makes a text one for ruamel. First: tabs, returns, and whatever else is no letter: none
    of ASCII, and none of those `letters`."""
    return re.compile(
        rf"[^\n -~{letters}]"
        r"|^(?:%|---|\.\.\.)"  # directives, and more documents than one
        r"|(?:^|[\[\]{},:-]) *[!&*?]",  # tags, anchors, aliases, and keys that are no text
        re.MULTILINE,
    )


def composed_in_c(text: str) -> Node | None:
    """The node of the one document in `text`; None: it is none of the everyday kind, or empty, or
    no YAML, or there is no libyaml here."""
    if otherwise("" if text.isascii() else BEYOND_ASCII).search(text):
        return None
    try:
        from yaml import YAMLError
        from yaml.cyaml import CParser
    except ImportError:
        return None

    class Composer(CParser):  # type: ignore[misc, no-any-unimported, unused-ignore]
        """Its plain values are of YAML 1.2."""

        def resolve(self, node: type, value: str | None, implicit: Any) -> str:
            if value is None:
                return f"{TAG}{'map' if node.__name__ == 'MappingNode' else 'seq'}"
            return f"{TAG}{kind_of(value) if implicit[0] else 'str'}"

        def descend_resolver(self, *_: object) -> None: ...
        def ascend_resolver(self) -> None: ...

    try:
        node: Node | None = Composer(text).get_single_node()
    except (YAMLError, RecursionError, UnicodeError):
        return None
    return node
