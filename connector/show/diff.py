"""What an edit of an activation means for rows: for a terminal, and as a comment in Markdown."""

import json
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from rich.text import Text

from connector.rules.deed import Document
from connector.rules.properties import mask
from connector.rules.words import by_state, counted, plural
from connector.show.blocks import MARKS, figures
from connector.show.layout import out, verbatim
from connector.show.outlook import MIRRORED, outlook_text
from connector.show.terminal import plain

Change = Document
BACKTICKS = re.compile("`+")
MARKER = "<!-- connector diff -->"
"""By which a comment is found again, to be written anew."""
MASKED = "Values are hidden, since they are customers' data; `connector diff` shows them."


def show_diff(document: Document) -> None:
    """The edit for a terminal."""
    console = out()
    console.print(Text(_headline(document)))
    for note in _notes(document):
        console.print(Text(f"  {note}"))
    for change in document["activations"]:
        console.print()
        _show_change(change)
    if any(change["rows"] for change in document["activations"]):
        console.print("\nNothing was sent, nothing was written.")


def _show_change(change: Change) -> None:
    console = out()
    console.print(f"[bold]{verbatim(change['activation'])}[/]  {verbatim(_what(change))}")
    for problem in change["problems"]:
        console.print(f"{MARKS['configuration']} {verbatim(problem)}")
    for message in change["mapping"]:
        console.print(f"{MARKS['data']} {verbatim(message)}")
    if change["rows"]:
        figures(*((number, text, True) for number, text in _figures(change)))
    for sentence in _sentences(change):
        console.print(Text(f"  {sentence}"))
    for example in change["examples"]:
        console.print(f"  [bold]{verbatim(example['row_key'])}[/]  {example['why']}")
        for line in _lines(example):
            console.print(Text(f"    {plain(line)}"))


def _headline(document: Document) -> str:
    number = len(document["activations"])
    of = number + document["unchanged"]
    against = f"{document['against']} ({document['commit'][:10]})"
    if not number:
        return f"Against {against}: no edit means anything for rows of {_activations(of)}."
    were = "was" if number == 1 else "were"
    return f"Against {against}: {number:,} of {_activations(of)} {were} edited."


def _activations(number: int) -> str:
    return counted(number, "activation")


def _notes(document: Document) -> Iterator[str]:
    yield from document["notes"]
    if document["edited"]:
        names = ", ".join(document["edited"])
        yield f"Edited beside activations, and taken as they are now for both versions: {names}."


def _what(change: Change) -> str:
    parts = f": {', '.join(change['parts'])}" if change["parts"] else ""
    was = f" from {change['was']}" if change["was"] else ""
    return f"{change['change']}{was}{parts}"


AGAIN = "sent again"


def _figures(change: Change) -> Iterator[tuple[int, str]]:
    """What becomes of rows, each number with what it counts."""
    rows, following = change["rows"], change["next_run"]
    before = f", {rows['before']:,} before" if change["change"] != "added" else ""
    yield rows["after"], f"{plural(rows['after'], 'row')} can be sent in all{before}"
    yield rows["newly_eligible"], "newly eligible"
    yield rows["sent_again"], AGAIN
    if rows["no_longer_eligible"]:
        yield rows["no_longer_eligible"], "not sent yet, and no longer eligible"
    mirrored = following is not None and "removed" in following
    if mirrored:
        for name, words in MIRRORED.items():
            if following[name]:
                yield following[name], words
    if rows["changed"]:
        sent = rows["changed"] - rows["changed_waiting"]
        but = f"; {sent:,} of them are sent, and stay as they are" if sent and not mirrored else ""
        yield rows["changed"], f"would read otherwise{but}"


def _sentences(change: Change) -> Iterator[str]:
    """What else is to be known."""
    following = change["next_run"]
    if following and following["behind"]:
        yield (
            f"{following['behind']:,} of them stand behind the watermark: only `connector sync"
            f" {change['activation']} --full` takes them up."
        )
    for other in (change["rows"] or {}).get("sent_by_others", ()):
        if other["rows"] is None:
            missing = ", ".join(other["missing"])
            yield (
                f"{other['activation']} sends to the same place; whether these are its rows cannot"
                f" be told, since this model has no column {missing}."
            )
        else:
            yield (
                f"{counted(other['rows'], 'row')} {other['activation']} has sent already, under the"
                " same row key: with start: now none that is there is sent."
            )
    for reason in (following or {}).get("reasons", ()):
        yield f"{counted(reason['count'], 'row')} that cannot be sent: {reason['reason']}."
    if following and (told := outlook_text(following["outlook"])):
        yield told
    if change["recorded"]:
        yield f"On record: {by_state(change['recorded'])}. What was delivered stays there."
    yield from (f"{note[:1].upper()}{note[1:]}." for note in change["notes"])


def _lines(example: Document) -> Iterator[str]:
    """What of a body is another (where values are hidden, perhaps no more than that it is), or the
    whole of one that stands alone."""
    before, after = example["before"], example["after"]
    if before is None or after is None:
        sign, body = ("+", after) if before is None else ("-", before)
        yield from (f"{sign} {line}" for line in _text(body).splitlines())
        return
    for path in example["differences"]:
        was, now = _value(before, path), _value(after, path)
        yield from [f"! {path}"] if was == now else [f"- {path}: {was}", f"+ {path}: {now}"]


def _text(body: Any) -> str:
    return body if isinstance(body, str) else json.dumps(body, indent=2, ensure_ascii=False)


def _value(body: Any, path: str) -> str:
    """What stands at `path`; a name may hold a dot."""
    while path and isinstance(body, dict):
        name = next((n for n in body if path == n or path.startswith(f"{n}.")), None)
        if name is None:
            return "(nothing)"
        body, path = body[name], path[len(name) + 1 :]
    return json.dumps(body, ensure_ascii=False)


# --- a comment ------------------------------------------------------------------------------------


def show_comment(document: Document, show_values: bool) -> None:
    """The edit as a comment of a pull request."""
    print("\n".join(_comment(document, (lambda body: body) if show_values else mask)))


def _comment(document: Document, told: Callable[[Any], Any]) -> Iterator[str]:
    yield MARKER
    yield "### What this means for rows"
    yield f"\n{_escaped(_headline(document))}"
    yield from (f"\n{_escaped(note)}" for note in _notes(document))
    for change in document["activations"]:
        yield f"\n#### `{change['activation']}` {_escaped(_what(change))}\n"
        yield from (f"- :x: {_escaped(problem)}" for problem in change["problems"])
        yield from (f"- :warning: {_escaped(message)}" for message in change["mapping"])
        if change["rows"]:
            yield from _table(list(_figures(change)))
        yield from (f"- {_escaped(sentence)}" for sentence in _sentences(change))
        if change["examples"]:
            yield from _bodies(change["examples"], told)
    if any(change["examples"] for change in document["activations"]) and told is mask:
        yield f"\n{MASKED}"


def _table(rows: Sequence[tuple[int, str]]) -> Iterator[str]:
    yield "| rows | |\n|---:|---|"
    for number, text in rows:
        strong = "**" if text == AGAIN else ""
        yield f"| {strong}{number:,}{strong} | {strong}{_escaped(text)}{strong} |"
    yield ""


def _bodies(examples: Sequence[Document], told: Callable[[Any], Any]) -> Iterator[str]:
    yield f"\n<details><summary>Bodies of {counted(len(examples), 'row')}</summary>\n"
    for number, example in enumerate(examples, 1):
        key = f"`{example['row_key']}`" if told is not mask else f"row {number}"
        yield f"\n{key}: {example['why']}\n"
        hidden = {side: told(example[side]) for side in ("before", "after")}
        lines = "\n".join(_lines({**example, **hidden}))
        fence = "`" * max(3, 1 + max(map(len, BACKTICKS.findall(lines)), default=0))
        yield f"{fence}diff\n{lines}\n{fence}"
    yield "\n</details>"


def _escaped(text: str) -> str:
    """`text` as Markdown shows it and does not read it."""
    return "".join(f"\\{c}" if c in "\\*_|<>[]#@" else c for c in text)
