"""How things stand on a terminal, or in a pipe: whole, whatever its width.

A table is as wide as its cells. Where a terminal is narrower, prose is broken between words; where
that does not do, every record stands in lines of its own. No number, no id and no key is ever cut,
and what rows bring is nothing but text: neither markup nor commands to a terminal.
"""

import sys
from collections.abc import Callable, Sequence
from typing import Any

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from connector.basis import dataclass
from connector.show.terminal import plain

GAP = 2
NARROWEST = 24
"""Cells below which prose is not broken any further: then records stand in lines of their own."""
NO_WIDTH = 1_000_000


def out() -> Console:
    """Standard output. Where it is no terminal there are no colours, and no line is ever broken."""
    if sys.stdout is not None and sys.stdout.isatty():
        return Paper(highlight=False, emoji=False, soft_wrap=True)
    return Paper(
        highlight=False,
        emoji=False,
        soft_wrap=True,
        width=NO_WIDTH,
        color_system=None,
        force_terminal=False,
    )


HIDDEN = {ord("["): "\ue0f0", ord("\\"): "\ue0f1"}
SHOWN = {ord(hidden): chr(shown) for shown, hidden in HIDDEN.items()}
"""What markup is made of, and characters of nobody's that stand for it until it is rendered."""
HIDDEN_ALREADY = {ord(hidden): f"\\u{ord(hidden):04x}" for hidden in HIDDEN.values()}


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table. `number`: to the right; `prose`: may be broken between words."""

    title: str
    number: bool = False
    prose: bool = False


@dataclass(frozen=True, slots=True)
class Cell:
    """What stands in one place, and how it looks."""

    text: str
    style: str = ""


class Grid:
    """A table, told line by line."""

    def __init__(self, *columns: Column) -> None:
        self.columns = columns
        self.rows: list[list[Cell]] = []

    def add(self, *cells: str | Cell) -> None:
        """One more record."""
        assert len(cells) == len(self.columns)
        self.rows.append([_cell(cell) for cell in cells])

    def print(self, console: Console) -> None:
        """Print it as the console's width allows."""
        for line in self.lines(console.width):
            console.print(line)

    def lines(self, width: int) -> list[Text]:
        """Its lines, for a terminal that is `width` cells wide."""
        if not self.rows:
            return []
        widths = [self._widest(i, cell_len) for i in range(len(self.columns))]
        spare = width - sum(widths) - GAP * (len(widths) - 1)
        if spare < 0 and (narrowed := self._narrowed(widths, spare)):
            widths, spare = narrowed, 0
        return self._table(widths) if spare >= 0 else self._stacked()

    def _widest(self, column: int, measure: Callable[[str], int]) -> int:
        cells = [row[column].text for row in self.rows]
        return max(measure(text) for text in (self.columns[column].title, *cells))

    def _narrowed(self, widths: Sequence[int], spare: int) -> list[int] | None:
        """`widths` with the prose as much narrower as it must be; None where its longest word, or
        reading it, would suffer."""
        found = list(widths)
        for i, column in enumerate(self.columns):
            if column.prose and spare < 0:
                least = max(NARROWEST, self._widest(i, _longest_word))
                found[i] = max(min(least, widths[i]), widths[i] + spare)
                spare += widths[i] - found[i]
        return found if spare >= 0 else None

    def _table(self, widths: Sequence[int]) -> list[Text]:
        titles = [Cell(column.title, "bold") for column in self.columns]
        return [line for row in (titles, *self.rows) for line in self._record(row, widths)]

    def _record(self, row: Sequence[Cell], widths: Sequence[int]) -> list[Text]:
        """The lines of one record; more than one where prose is broken."""
        broken = [_broken(cell.text, width) for cell, width in zip(row, widths, strict=True)]
        found = []
        for number in range(max(map(len, broken))):
            line = Text()
            for column, cell, width, parts in zip(self.columns, row, widths, broken, strict=True):
                part = parts[number] if number < len(parts) else ""
                space = " " * max(0, width - cell_len(part))
                line.append(space if column.number else "")
                line.append(part, cell.style)
                line.append(("" if column.number else space) + " " * GAP)
            line.rstrip()
            found.append(line)
        return found

    def _stacked(self) -> list[Text]:
        """Every record in lines of its own, and an empty line between two."""
        most = max(cell_len(column.title) for column in self.columns)
        found: list[Text] = []
        for row in self.rows:
            found += [Text()] if found else []
            for column, cell in zip(self.columns, row, strict=True):
                label = column.title + " " * (most - cell_len(column.title) + GAP)
                found.append(Text.assemble((label, "bold"), (cell.text, cell.style)))
        return found


def verbatim(text: str) -> str:
    """`text` as a part of markup for `out()`: as it stands, and nothing but text.

    Escaping it does not do: the backslashes that stand in it already would be taken for escapes.
    """
    return plain(text.translate(HIDDEN_ALREADY)).translate(HIDDEN)


class Paper(Console):
    """A console that shows `verbatim` text as it was, and on which nothing steers the terminal."""

    def render_str(self, text: str, **options: Any) -> Text:
        """Markup, rendered; what was not `verbatim` comes by here, too."""
        rendered = super().render_str("\n".join(map(plain, text.split("\n"))), **options)
        rendered.plain = rendered.plain.translate(SHOWN)
        return rendered


def _cell(cell: str | Cell) -> Cell:
    return Cell(plain(cell)) if isinstance(cell, str) else Cell(plain(cell.text), cell.style)


def _longest_word(text: str) -> int:
    return max(map(cell_len, text.split(" ")), default=0)


def _broken(text: str, width: int) -> list[str]:
    """`text` in lines of at most `width` cells, broken at spaces alone."""
    if cell_len(text) <= width:
        return [text]
    lines = [""]
    for word in text.split(" "):
        longer = f"{lines[-1]} {word}" if lines[-1] else word
        if cell_len(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return [line for line in lines if line]
