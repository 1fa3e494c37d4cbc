"""Which of some names somebody meant who has written another."""

from collections.abc import Sequence
from difflib import get_close_matches


def perhaps(word: str, known: Sequence[str]) -> str:
    """'; did you mean "x"?' when one of `known` is near to `word`, else nothing."""
    near = get_close_matches(word.lower(), [k.lower() for k in known], n=1)
    for candidate in known:
        if near and candidate.lower() == near[0]:
            return f'; did you mean "{candidate}"?'
    return ""
