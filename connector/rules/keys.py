"""What the columns of a row key hold, and whether a change of that would make old rows look new.

A row is known by the text of its key. Each kind of value writes texts of one form, so a change of
the kind leaves the texts as they are where those of before could be written by the kind of today,
and those of today by the kind of before.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from connector.rules.activation import Activation
from connector.rules.errors import Problem, of_activation
from connector.rules.mapping import key_parts
from connector.rules.values import Kind, Unreadable, kind_of

K = Kind
Kinds = tuple[Kind | None, ...]
"""Of each column of the row key; None where no value has been seen."""

DAY = r"\d{4}-\d\d-\d\d"
HOURS = r"\d\d:\d\d:\d\d(\.\d{6})?"
FORMS = {
    K.TEXT: r"[\s\S]*",
    K.BOOLEAN: r"true|false",
    K.INTEGER: r"0|-?[1-9]\d*",
    K.NUMBER: r"(?!-0$)-?(0|[1-9]\d*)(\.\d*[1-9])?",
    K.LOCAL_TIME: f"{DAY}T{HOURS}",
    K.INSTANT: f"{DAY}T{HOURS}\\+00:00",
    K.DATE: DAY,
    K.TIME_OF_DAY: f"{HOURS}([+-]\\d\\d:\\d\\d)?",
    K.UUID: r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}",
    K.INTERVAL: r"(-?\d+ days?, )?\d+:\d\d:\d\d(\.\d{6})?",
}
"""How a row key writes the values of a kind. Bytes stand in hexadecimal digits, for which a text of
their own may be taken; so nothing that was or becomes bytes counts as unchanged."""


def kinds_of(rows: Iterable[Sequence[Any]]) -> Kinds:
    """What the columns of these keys hold, as far as their values tell."""
    found: list[Kind | None] = []
    for row in rows:
        found = found or [None] * len(row)
        for i, value in enumerate(row):
            if found[i] is None and value is not None and not isinstance(value, Unreadable):
                found[i] = kind_of(value)
        if None not in found:
            break
    return tuple(found)


def merged(was: Kinds | None, now: Kinds) -> Kinds:
    """What is known of the columns: today's kind where a value was seen, else that of before."""
    if was is None or len(was) != len(now):
        return now
    return tuple(n or w for w, n in zip(was, now, strict=True))


def changed(was: Kinds | None, now: Kinds) -> list[int]:
    """The columns that hold another kind of value than they did."""
    pairs = zip(was or (), now, strict=False)
    return [i for i, (w, n) in enumerate(pairs) if w and n and w is not n]


def kind_problems(
    activation: Activation,
    was: Kinds,
    now: Kinds,
    keys: Iterable[Sequence[Any]],
    recorded: Iterator[str],
) -> list[Problem]:
    """Why the change from `was` to `now` would make old rows look new; empty when it does not.

    `keys`: values of today's row keys; `recorded`: the texts of those of before, asked for only
    where it hangs on them.
    """
    parts = [found for values in keys if (found := key_parts(values))]
    columns = changed(was, now)
    for i in columns:
        before, after = FORMS.get(was[i] or K.OTHER), FORMS.get(now[i] or K.OTHER)
        strange = next((p[i] for p in parts if not before or not re.fullmatch(before, p[i])), None)
        if strange is not None or not before or not after:
            return [_problem(activation, i, was[i], now[i], strange)]
    narrowed = {i: re.compile(FORMS[n]) for i in columns if (n := _narrowed(was[i], now[i]))}
    for text in recorded if narrowed else ():
        old = split(text, len(now))
        for i, form in narrowed.items():
            if len(old) == len(now) and not form.fullmatch(old[i]):
                return [_problem(activation, i, was[i], now[i], old[i])]
    return []


def _narrowed(was: Kind | None, now: Kind | None) -> Kind | None:
    """The kind of today, where it does not write all that the kind of before could."""
    return None if now is K.TEXT or (was, now) == (K.INTEGER, K.NUMBER) else now


def split(text: str, columns: int) -> list[str]:
    if columns == 1:
        return [text]
    parts = re.findall(r"((?:[^\\|]|\\.)*)(?:\||$)", text, re.DOTALL)[:columns]
    return [re.sub(r"\\(.)", r"\1", part, flags=re.DOTALL) for part in parts]


def begin_anew(activation: Activation) -> str:
    """How one whose rows have other keys is written beside `activation`. A mirror cannot leave what
    is there to another one, and would have it there twice."""
    if activation.mirrors:
        return (
            "let it take back all that it has sent, as it was and with a model without rows (which"
            " `connector approve` lets go); then keep it with paused: true, and write a new one"
        )
    return "keep this activation as it was with paused: true, and write a new one with start: now"


def _problem(
    activation: Activation, column: int, was: Kind | None, now: Kind | None, example: str | None
) -> Problem:
    such = "" if example is None else f', such as "{example}"'
    text = (
        f"the column {activation.row_key[column]} of its row_key"
        f" held {was} when its rows were recorded and holds {now} now, which a row key writes in"
        f" another way{such}; every row would count as new and be sent again. Cast it in the model"
        f" back to what it was; or {begin_anew(activation)}"
    )
    return of_activation(activation.name, "row_key", text=text)
