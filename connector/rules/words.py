"""How numbers of rows, and durations, are put into words."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from math import ceil

SUCH = "{such}"
"""Where a sentence names row keys."""


class Note(str):
    """A sentence that names row keys, which may be addresses of customers. `nameless`: the same
    without them, for whoever is told of it elsewhere, such as by an alert."""

    __slots__ = ("nameless",)
    nameless: str

    def __new__(cls, sentence: str, nameless: str) -> "Note":
        note = super().__new__(cls, sentence)
        note.nameless = nameless
        return note


def naming(sentence: str, such: str) -> Note:
    """The sentence with `such` in the place of SUCH, which is left out where nobody is named."""
    return Note(sentence.replace(SUCH, such), sentence.replace(SUCH, ""))


def nameless(sentence: str) -> str:
    """The sentence without the row keys that it names."""
    return sentence.nameless if isinstance(sentence, Note) else sentence


def plural(number: int, noun: str) -> str:
    """The noun as it goes with a number."""
    return noun if number == 1 else f"{noun}s"


def counted(number: int, noun: str) -> str:
    """So many of them."""
    return f"{number:,} {plural(number, noun)}"


def rows(number: int) -> str:
    return counted(number, "row")


def are(number: int) -> str:
    """So many rows, and what they are."""
    return f"{rows(number)} {'is' if number == 1 else 'are'}"


def were(number: int) -> str:
    """So many rows, and what was done with them."""
    return f"{rows(number)} {'was' if number == 1 else 'were'}"


def wait_for(number: int) -> str:
    """So many rows that wait for something."""
    return f"{rows(number)} {'waits' if number == 1 else 'wait'} for"


def first_few(texts: Sequence[str], most: int, where: str = "") -> str:
    """The first of `texts`, in one line that can be read, and how many more there are; `where`: the
    end of that, which says where all of them are."""
    more = len(texts) - most
    return "; ".join([*texts[:most], *([f"and {more:,} more{where}"] if more > 0 else [])])


def rest_until(number: int, when: str) -> str:
    """So many rows that rest: they were tried, or said not to be there."""
    first = "it may be tried again" if number == 1 else "the first may be tried again"
    return f"{rows(number)} {'rests' if number == 1 else 'rest'}; {first} at {when}"


def settle_from(number: int, when: str) -> str:
    """So many rows in doubt that nothing but their age keeps from being settled."""
    which = "it" if number == 1 else "the first of them"
    return (
        f"{are(number)} in doubt, and too young to be settled yet; a run can settle {which} from"
        f" {when} on, without a person"
    )


def may_have_arrived(doubts: int, among: int) -> str:
    """What is to be known of rows in doubt that are given up; nothing where there are none."""
    if not doubts:
        return ""
    if doubts == among == 1:
        return " It was in doubt: it may have arrived at the destination all the same."
    which = "All of them were" if doubts == among else f"{doubts:,} of them were"
    return f" {which} in doubt: those may have arrived at the destination all the same."


def words(name: str) -> str:
    """A name of the ledger or of JSON, as people write it."""
    return name.replace("_", " ")


def by_state(counts: Mapping[str, int]) -> str:
    """How many rows are in each state."""
    return ", ".join(f"{number:,} {words(state)}" for state, number in counts.items())


def percent(share: float) -> str:
    """A part as it is written in activations.yaml."""
    return f"{share * 100:g}%"


def limit_text(share: float) -> str:
    """A share that somebody has written, in tenths of a percent, or in all that it has."""
    text = f"{share:.1%}"
    return text if abs(float(text[:-1]) - share * 100) < 1e-9 else percent(share)


def share_text(share: float) -> str:
    """A share that was counted, in tenths of a percent; none, or all, where it is just that."""
    text = f"{share:.1%}"
    if text == "0.0%" and share > 0:
        return "less than 0.1%"
    return "more than 99.9%" if text == "100.0%" and share < 1 else text


def one_line(text: str) -> str:
    """`text` in one line, without what no terminal and no database should get."""
    shown = ("".join(c for c in word if c.isprintable()) for word in text.split())
    return " ".join(word for word in shown if word)


def minute_text(moment: datetime) -> str:
    """A time to the minute, in UTC."""
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M}Z"


def span_text(span: timedelta) -> str:
    """A duration as it is written in activations.yaml."""
    seconds = ceil(span.total_seconds())
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds and seconds % size == 0:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"
