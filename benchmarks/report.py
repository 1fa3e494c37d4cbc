"""docs/performance.md: each bench's table stands between markers of its own."""

from collections.abc import Sequence
from typing import Any

from benchmarks.contest import BARE, BARE_HTTPX, SQLITE
from benchmarks.world import ROOT

PAGE = ROOT / "docs" / "performance.md"
Line = dict[str, Any]


def write(name: str, content: str) -> None:
    """Put `content` between the markers of `name`."""
    PAGE.write_text(spliced(PAGE.read_text(), name, content))


def spliced(text: str, name: str, content: str) -> str:
    """`text` with `content` between the markers of `name`. Raises ValueError without them."""
    start, end = (f"<!-- {name}{mark} -->" for mark in ("", " ends"))
    before, found, rest = text.partition(start)
    _, closed, after = rest.partition(end)
    if not (found and closed):
        raise ValueError(f"{PAGE.name} has no markers {start} and {end}")
    return f"{before}{start}\n{content}\n{end}{after}"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table whose first column is text and whose others are numbers."""
    rule = ["---", *["---:"] * (len(head) - 1)]
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, rule, *rows))


def origin(moment: Line) -> str:
    """The line under a table."""
    changed = " with changes" if moment["changed"] else ""
    return (
        f"`{moment['command']}`, {moment['date']}, commit {moment['commit']}{changed}; load average"
        f" before it {moment['load']:.1f}."
    )


def unthrottled(lines: Sequence[Line]) -> str:
    """(a)"""
    rate = {line["name"]: line["rate"] for line in lines}
    rows = [
        [
            line["name"],
            f"{line['rate']:,.0f}",
            f"{line['cpu_per_row']:,.0f}",
            f"{line['peak']:.0f}",
            f"{line['rate'] / rate[SQLITE]:.2f}",
            f"{min(line['rates']):,.0f} to {max(line['rates']):,.0f}",
        ]
        for line in lines
    ]
    head = ["", "rows/s", "CPU µs/row", "peak MB", "of `sync`", "rounds"]
    sink = max(line["sink_cpu_per_row"] for line in lines)
    return "\n".join(
        [
            table(head, rows),
            "",
            f"`sync` is at {rate[SQLITE] / rate[BARE]:.2f} of the bare client with the same"
            f" transport, and {rate[SQLITE] / rate[BARE_HTTPX]:.1f} times plain httpx. The sink"
            f" took at most {sink:.0f} µs of its own core for a POST.",
        ]
    )


def slow_answers(lines: Sequence[Line]) -> str:
    """(b)"""
    rows = [
        [
            line["name"],
            f"{line['rows']:,}",
            f"{line['attained']:,.1f}",
            f"{line['possible']:,.0f}",
            f"{line['attained'] / line['possible']:.1%}",
            f"{line['rate']:,.1f}",
            f"{line['cpu_per_row']:,.0f}",
        ]
        for line in lines
    ]
    head = [
        *("", "rows", "rows/s while sending", "concurrency ÷ latency", "share"),
        *("rows/s, whole process", "CPU µs/row"),
    ]
    return table(head, rows)
