"""Measure, and write docs/performance.md.

    python -m benchmarks [--only a,c] [--quick] [--rows 10000000]

The machine should do nothing else meanwhile. `--quick` only tries whether everything works: it
prints its tables and leaves the page alone.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks import about, batches, contest, growth, mirrors, pace, ratios, report, start
from benchmarks.world import ROOT, Scale, World, world

RESULTS = ROOT / ".bench" / "results.json"
Lines = list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Bench:
    """What is measured, and how it is shown."""

    title: str
    measure: Callable[[World], Lines]
    show: Callable[[Sequence[dict[str, Any]]], str]


BENCHES = {
    "a": Bench("unthrottled, end to end", contest.unthrottled, report.unthrottled),
    "b": Bench("answers after 100 ms", contest.slow_answers, report.slow_answers),
    "c": Bench("paced", pace.paced, report.paced),
    "d": Bench("large models", growth.models, report.models),
    "e": Bench("a full ledger", growth.ledgers, report.ledgers),
    "f": Bench("the command line", start.commands, report.commands),
    "g": Bench("in batches", batches.compared, report.batches),
    "h": Bench("mirrors", mirrors.mirrors, report.mirrors),
    "i": Bench("ratios", ratios.ratios, report.ratios),
}


def main() -> None:
    """Run the benches that are wanted, one after the other."""
    options = _options()
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    with world(Scale(options.quick, options.rows)) as here:
        for name in options.only:
            results[name] = _measured(name, here, options)
            _keep(results, name, quick=options.quick)


def _measured(name: str, here: World, options: argparse.Namespace) -> dict[str, Any]:
    bench, began = BENCHES[name], time.monotonic()
    print(f"({name}) {bench.title}", file=sys.stderr, flush=True)
    moment = about.moment(options.arguments)
    lines = bench.measure(here)
    print(f"    {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    return {"moment": moment, "lines": lines}


def _keep(results: dict[str, Any], name: str, quick: bool) -> None:
    """Show what was measured, and keep it unless it was only a try."""
    found = results[name]
    text = f"{BENCHES[name].show(found['lines'])}\n\n{report.origin(found['moment'])}"
    print(text, flush=True)
    if quick:
        return
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(results, indent=1))
    report.write(name, text)
    if name == "a":
        report.draw(found["lines"])
    report.write("machine", f"{about.machine()}.\n{about.versions()}.")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", default=",".join(BENCHES), help="such as a,c")
    parser.add_argument("--quick", action="store_true", help="little of everything, not kept")
    parser.add_argument("--rows", type=int, help="of the mirror of (h); 1,000,000 by default")
    options = parser.parse_args()
    options.only = options.only.split(",")
    if unknown := set(options.only) - set(BENCHES):
        parser.error(f"there is no bench {', '.join(sorted(unknown))}")
    options.arguments = "".join(f" {word}" for word in sys.argv[1:])
    return options


if __name__ == "__main__":
    main()
