"""docs/performance.md: each bench's table stands between markers of its own."""

import statistics
from collections.abc import Sequence
from typing import Any

from benchmarks.contest import SQLITE
from benchmarks.picture import bars
from benchmarks.world import ROOT

PAGE = ROOT / "docs" / "performance.md"
PICTURE = ROOT / "docs" / "performance.svg"
TITLE = "Rows a second: out of DuckDB, one POST a row, on one core"
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
    rates = {line["name"]: line["rates"] for line in lines}
    rows = [
        [
            line["name"],
            f"{line['rate']:,.0f}",
            f"{ratio(rates[SQLITE], line['rates']):.2f}",
            f"{line['sending_rate']:,.0f}",
            f"{line['cpu_per_row']:,.0f}",
            f"{line['peak']:.0f}",
            f"{min(line['rates']):,.0f} to {max(line['rates']):,.0f}",
        ]
        for line in lines
    ]
    head = [
        *("", "rows/s", "`sync` is so many times as fast", "rows/s while sending"),
        *("CPU µs/row", "peak MB", "rows/s of the rounds"),
    ]
    sink = max(line["sink_cpu_per_row"] for line in lines)
    return (
        f"{table(head, rows)}\n\nThe ratio is the median of those of the rounds. The server took"
        f" at most {sink:.0f} µs of its own core for a row."
    )


def ratio(mine: Sequence[float], theirs: Sequence[float]) -> float:
    """The middle one of the ratios of the rounds, in which the machine was about the same."""
    return statistics.median(a / b for a, b in zip(mine, theirs, strict=True))


def draw(lines: Sequence[Line]) -> None:
    """The picture of (a)."""
    values = [(line["name"], line["rate"], line["name"].startswith("connector")) for line in lines]
    PICTURE.write_text(bars(TITLE, sorted(values, key=lambda value: -value[1])))


def slow_answers(lines: Sequence[Line]) -> str:
    """(b)"""
    rows = [
        [
            line["name"],
            f"{line['rows']:,}",
            f"{line['sending_rate']:,.1f}",
            f"{line['possible']:,.0f}",
            f"{line['sending_rate'] / line['possible']:.1%}",
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


def batches(lines: Sequence[Line]) -> str:
    """(g)"""
    rows = [
        [
            line["name"],
            f"{line['requests']:,}",
            f"{statistics.median(line['sending_rates']):,.0f}",
            f"{ratio(line['sending_rates'], line['sending_rates_of_engage']):.1f}",
            f"{statistics.median(line['rates']):,.0f}",
            f"{ratio(line['rates'], line['rates_of_engage']):.1f}",
            f"{line['cpu_per_row']:,.0f}",
            f"{line['peak']:.0f}",
        ]
        for line in lines
    ]
    head = [
        *("", "requests", "rows/s while sending", "times Engage's"),
        *("rows/s, whole process", "times Engage's", "CPU µs/row", "peak MB"),
    ]
    return table(head, rows)


def mirrors(lines: Sequence[Line]) -> str:
    """(h)"""
    rows = [
        [
            line["name"],
            f"{line['rows']:,}",
            f"{line['wall']:.1f}",
            f"{line['cpu'] / line['rows'] * 1e6:,.1f}" if line["rows"] > 1 else "",
            f"{line['peak']:.0f}",
            f"{line['over_rest']:.0f}",
            f"{line['compared']:,}",
            f"{line['payloads']:,}",
            f"{line['payload_bytes'] / 1e6:,.1f}",
        ]
        for line in lines
    ]
    head = [
        *("", "rows of the model", "seconds", "CPU µs/row", "peak MB", "over one row alone"),
        *("keys and digests read", "whole rows read", "MB of these"),
    ]
    return table(head, rows)


def paced(lines: Sequence[Line]) -> str:
    """(c)"""
    rows = [
        [
            f"{line['rate']}/s",
            f"{line['posts']:,}",
            f"{line['attained']:.1%}",
            f"{line['busiest']}",
            f"{line['cpu_sending']:.1%}",
            f"{line['cpu_whole']:.1%}",
            f"{line['cpu_per_row']:,.0f}",
            f"{line['peak']:.0f}",
        ]
        for line in lines
    ]
    head = [
        *("rate", "rows", "attained", "busiest second", "share of a core while sending"),
        *("of the whole process", "CPU µs/row", "peak MB"),
    ]
    return table(head, rows)


def commands(lines: Sequence[Line]) -> str:
    """(f)"""
    rows = [
        [
            f"`{line['command']}`",
            f"{line['wall']:.2f}",
            f"{line['least']:.2f}",
            f"{line['cpu']:.2f}",
            f"{line['peak']:.0f}",
        ]
        for line in lines
    ]
    return table(["", "seconds", "quickest round", "CPU seconds", "peak MB"], rows)


def ratios(lines: Sequence[Line]) -> str:
    """(i)"""
    rows = [[line["what"], line["ours"], line["theirs"], line["ratio"]] for line in lines]
    return table(["", "the connector", "the other", "ratio"], rows)


def models(lines: Sequence[Line]) -> str:
    """(d)"""
    first = lines[0]
    rows = [
        [
            f"{line['size']:,}",
            f"{line['quiet']:.2f}",
            f"{line['quiet'] / first['quiet']:.2f}",
            f"{line['new']:.2f}",
            f"{line['new'] / first['new']:.2f}",
            f"{line['peak']:.0f}",
        ]
        for line in lines
    ]
    head = [
        *("rows of the model", "nothing new, seconds", "of the smallest"),
        *("1,000 new, seconds", "of the smallest", "peak MB"),
    ]
    return table(head, rows)


def ledgers(lines: Sequence[Line]) -> str:
    """(e)"""
    firsts = [line for line in lines if line["what"] == "first"]
    empty, full = (line for line in lines if line["what"] == "ledger")
    staged = [
        [
            f"{line['rows']:,}",
            f"{line['staged_per_second']:,.0f}",
            f"{line['staging_peak']:.0f}",
            f"{line['sent_per_second']:,.0f}",
            f"{line['sending_peak']:.0f}",
            f"{line['staged_bytes']:.0f}",
        ]
        for line in firsts
    ]
    held = [
        [
            f"{line['delivered']:,}",
            f"{line['rate']:,.0f}",
            f"{line['peak']:.0f}",
            f"{line['bytes']:.0f}",
        ]
        for line in (empty, full)
    ]
    return "\n".join(
        [
            table(
                [
                    *("first sync of", "staged rows/s", "peak MB"),
                    *(f"then sent, rows/s of {firsts[0]['sent']:,}", "peak MB"),
                    "ledger bytes per staged row",
                ],
                staged,
            ),
            "",
            table(
                [
                    *("delivered rows in the ledger", "`sync`, rows/s", "peak MB"),
                    "bytes of the ledger per delivered row, in the end",
                ],
                held,
            ),
            "",
            f"With the full ledger, a sync of {full['rows']:,} rows takes"
            f" {empty['rate'] / full['rate']:.2f} times as long.",
        ]
    )
