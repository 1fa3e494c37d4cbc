"""Rows that stand behind the place from which a model is read, where no run looks.

A cursor is thought to grow. Where it does not (a table loaded anew with smaller ids, an epoch in
milliseconds among seconds, numbers that are texts), new rows stand behind the watermark and would
never be read. This looks at the newest ones there, and says what is wrong.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from connector.basis import dataclass
from connector.rules.watermark import NUMBERS, Kind, Watermark, shape, to_text
from connector.rules.words import SUCH, naming, rows
from connector.sync.reading import BATCH, Plan

WINDOW = BATCH
"""How many of the rows behind are looked at."""
WINDOW_OF_TEXTS = 10 * BATCH
"""A new text may stand anywhere."""

TAKE_UP = (
    "`connector sync {name} --full` reads the model once as a whole, sends nothing again that is"
    " recorded, and goes on from its newest row"
)


@dataclass(frozen=True, slots=True)
class Behind:
    """What stands behind the place that is read from. `newest`: the cursor of its newest row;
    `unrecorded`: how many of the rows there that were looked at are not in the ledger, and one."""

    newest: Any = None
    unrecorded: int = 0
    example: str = ""


def _look_behind(reading: Plan) -> Behind:
    """Look at the newest rows there; nothing is written."""
    if reading.lower is None or reading.scan.cursor is None:
        return Behind()
    activation, reader = reading.activation, reading.source.reader
    number = WINDOW_OF_TEXTS if _is_plain_text(reading) else WINDOW
    found: Sequence[Sequence[Any]] = []
    if not reading.whole:
        found = reader.newest_behind(
            activation, reading.scan, reading.bottom, reading.lower, number
        )
    if not found and (reading.whole or reading.bottom is not None):
        # what there is stands even before the end of history
        return Behind(reader.highest(activation, reading.scan.cursor, before=reading.lower))
    unrecorded: list[str] = []
    for start in range(0, len(found), BATCH):
        some = found[start : start + BATCH]
        keys = {key for key in reading.mapper.keys(some) if key is not None}
        known = reading.known(keys)
        unrecorded += [key for key in keys if key not in known]
    newest = found[0][reading.scan.columns.index(reading.scan.cursor)] if found else None
    return Behind(newest, len(unrecorded), min(unrecorded, default=""))


def passed_over(reading: Plan, mark: Watermark, read_any: bool) -> tuple[Watermark, list[str]]:
    """`mark` after the model was read to its end by `reading`, and what a person should know of
    rows that are passed over. `read_any`: whether there was any row to be read by its cursor."""
    if reading.whole and (read_any or reading.mark.floor is None):
        return replace(mark, left=0), []
    behind = _look_behind(reading)
    left = None if reading.reaches_elsewhere else mark.left
    if not read_any and _is_far_behind(reading, behind, left or 0):
        return replace(mark, left=left), [_far_behind(reading, behind)]
    if left is None:  # what an edit has left behind is told by a preview, and no fault
        return replace(mark, left=behind.unrecorded), []
    if behind.unrecorded > left:
        return replace(mark, left=left), [_unrecorded(reading, behind, left)]
    return replace(mark, left=left), []


def is_to_be_looked_at(reading: Plan, found_new: bool) -> bool:
    """Whether a run has to look behind: not while its model grows at the end, as it should. Texts
    prove nothing by that."""
    if reading.whole or reading.reaches_elsewhere or reading.mark.left is None:
        return True
    return not found_new or _is_plain_text(reading)


def _is_far_behind(reading: Plan, behind: Behind, left: int) -> bool:
    """Whether the cursor has begun anew below the watermark: its newest rows are unknown, or its
    numbers have fallen to half of it or less. A newest row that was removed is no such thing."""
    newest, mark = behind.newest, reading.mark.value
    if newest is None or mark is None:
        return False
    fell = reading.mark.kind in NUMBERS and isinstance(newest, type(mark)) and 2 * newest <= mark
    return behind.unrecorded > left or fell


def _far_behind(reading: Plan, behind: Behind) -> str:
    name, column = reading.activation.name, reading.scan.cursor
    newest = to_text(behind.newest)
    begins = (
        f"the newest {column} of the model is {newest}, far behind the watermark"
        f" {reading.mark.text}: no row before {to_text(reading.lower)} is read, so new ones would"
        " be passed over"
    )
    if behind.unrecorded == 0 and reading.mark.floor is not None:
        return (
            f"{begins}. What stands before {to_text(reading.mark.floor)} is history, since the"
            f" activation began with start: now: if the {column} of the model begins anew, give"
            " the activation a new name to start afresh"
        )
    return f"{begins}. If the {column} of the model has begun anew, {TAKE_UP.format(name=name)}"


def _unrecorded(reading: Plan, behind: Behind, left: int) -> str:
    number, column = behind.unrecorded - left, reading.scan.cursor
    stand = "stands" if number == 1 else "stand"
    cause = (
        "texts are ordered as texts, so 10 comes before 9; cast the cursor in the model if it is a"
        " number"
        if _is_plain_text(reading)
        else "they came later than `overlap` allows for, or the watermark is a cursor that is too"
        " large and should be corrected in the model"
    )
    return naming(
        f"{rows(number)} of the model{SUCH} {stand} behind the place from"
        f" which it is read ({column} {to_text(reading.lower)}) and would be passed over: {cause}."
        f" {TAKE_UP.format(name=reading.activation.name)}",
        f" (such as {behind.example})",
    )


def _is_plain_text(reading: Plan) -> bool:
    mark = reading.mark
    return mark.kind is Kind.TEXT and mark.value is not None and shape(mark.value) is None
