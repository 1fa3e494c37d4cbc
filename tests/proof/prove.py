"""The long proof of "never twice, never lost": everything that tries to break it, one after the
other, and a table of what came of it.

    make prove
    python -m tests.proof.prove --minutes 30 --seed 7 --markdown table.md

The truth is what the destination holds, never what the ledger says. Ends with 1 if anything was
stored twice, lost or told wrongly, or if a part could not be carried out.
"""

import argparse
import json
import os
import platform
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from connector import __version__
from tests.postgresql import postgresql_server

SIDE_BY_SIDE = 2
"""Parts at once: one for each core of a small machine."""
CRASHING, KILLING, ROLLING = 0.14, 0.08, 0.06
"""Of the time that there is: the share of each of the three, on each database."""
MIRRORING, A_ROUND = 0.06, 2.0
"""The share of mirrors on each database, and about how many seconds a round takes."""
CRASHING_OTHERS, KILLING_OTHERS = 0.04, 0.05
"""The shares of each other destination than Engage."""
CRASHING_TOO = ("mxo", "survey_dynamix", "turns", "held")
"""Other destinations, and an Engage beside a cap, and with runs that are held."""
LOOP = 40
"""Seconds of one kill loop, and about as much again until all its doubts are settled."""
Document = dict[str, Any]


@dataclass(slots=True)
class Line:
    """What came of one part: a line of the table."""

    part: str
    tried: int = 0
    """Stories, loops, worlds: whatever the part is made of."""
    rows: int = 0
    kills: int = 0
    freezes: int = 0
    cuts: int = 0
    faults: int = 0
    twice: int = 0
    lost: int = 0
    wrong: int = 0
    """Anything else that must not be: a ledger that says what is not so, a run that gives up."""
    seconds: float = 0.0
    notes: list[str] = field(default_factory=list)
    kinds: dict[str, int] = field(default_factory=dict)
    """Faults by kind."""

    @property
    def good(self) -> bool:
        """Whether the promise was kept."""
        return not (self.twice or self.lost or self.wrong)


COLUMNS = [f.name for f in fields(Line) if f.name not in ("part", "notes", "kinds")]


@dataclass(frozen=True, slots=True)
class Proof:
    """What is asked for, and where the PostgreSQL is."""

    minutes: float
    seed: int
    server: str

    @property
    def seconds(self) -> float:
        """What all parts have together."""
        return self.minutes * 60 * SIDE_BY_SIDE


def parts(proof: Proof) -> list[Callable[[], list[Line]]]:
    """Everything that tries to break the promise."""
    return [
        *(partial(crash, proof, database) for database in ("sqlite", "postgresql")),
        *(partial(crash, proof, "sqlite", name) for name in CRASHING_TOO),
        *(partial(kill, proof, database) for database in ("sqlite", "postgresql")),
        *(partial(kill, proof, "sqlite", name) for name in ("mxo", "survey_dynamix")),
        *(partial(mirror, proof, database) for database in ("sqlite", "postgresql")),
        *(partial(other, proof, name) for name in OTHERS),
    ]


# --- parts with processes that die --------------------------------------------------------------


def crash(proof: Proof, database: str, destination: str = "engage") -> list[Line]:
    """A crash and a pause at every point of a run, as far as the time goes."""
    seconds = proof.seconds * (CRASHING if destination == "engage" else CRASHING_OTHERS)
    arguments = [database, "--destination", destination, "--seconds", str(seconds), *_common(proof)]
    *reports, end = documents("tests.proof.crashing", arguments, seconds + 300)
    lines = [_crash_line(report) for report in reports]
    lines[0].kinds, lines[0].faults = end["faults"], sum(end["faults"].values())
    return lines


def _crash_line(report: Document) -> Line:
    to = "" if report["destination"] == "engage" else f" to {report['destination']}"
    part = f"{report['kind']}{to}, {report['database']}"
    line = Line(part, report["tried"], report["rows"])
    if report["kind"] == "pause":
        line.freezes = report["reached"]
    else:
        line.kills = report["reached"]
    for outcome in report["bad"]:
        _count(line, outcome["verdict"], outcome["error"], str(outcome["case"]))
    line.seconds = report["seconds"]
    line.notes.append(
        f"{line.part}: {report['tried']} stories in a run of {report['points']} points,"
        f" {report['places']} kinds of places"
    )
    return line


def kill(proof: Proof, database: str, destination: str = "engage") -> list[Line]:
    """Loops of random kills, freezes and cuts. At the other destinations they are short: each loop
    is another kind of destination."""
    is_engage = destination == "engage"
    longest = LOOP if is_engage else LOOP / 4
    share = proof.seconds * (KILLING if is_engage else KILLING_OTHERS)
    loops, seconds = max(1, round(share / (2 * longest))), min(longest, share / 2)
    arguments = [database, "--seconds", str(seconds), "--loops", str(loops), *_common(proof)]
    arguments += ["--destination", destination]
    reports = documents("tests.proof.killing", arguments, loops * (seconds + 250) + 120)
    to = "" if is_engage else f" to {destination}"
    line = Line(f"random kills{to}, {database}", len(reports))
    for report in reports:
        done: Counter[str] = Counter(report["done"])
        faults: Counter[str] = Counter(report["faults"])
        line.rows += report["rows"]
        line.kills += done["kills"]
        line.freezes += done["freezes"]
        line.cuts += sum(done[name] for name in CUTS)
        line.faults += faults.total()
        line.kinds = dict(Counter(line.kinds) + faults)
        line.seconds += report["seconds"]
        _count(line, report["verdict"], report["error"], f"seed {report['seed']}")
    done = sum((Counter(report["done"]) for report in reports), Counter[str]())
    line.notes.append(
        f"{line.part}: {done['processes']} processes, two at a time; destination down"
        f" {done['times down']} times, cut off {done['partitions']} times"
        f" ({done['delivered for nobody']} requests arrived after they were given up); clocks"
        f" stepped {done['clock steps']} times, {done['suspends']} suspends; {done['merges']}"
        " contacts merged"
    )
    if not is_engage:
        states = sum((Counter(report["states"]) for report in reports), Counter[str]())
        told = ", ".join(f"{state} {number}" for state, number in sorted(states.items()))
        line.notes.append(f"{line.part}: rows in the end: {told}")
    return [line]


def mirror(proof: Proof, database: str) -> list[Line]:
    """Rounds in the life of a mirror, with random kills, freezes, cuts and restores."""
    seconds = proof.seconds * MIRRORING
    rounds = max(10, round(seconds / A_ROUND))
    arguments = [database, "--mirror", "--rounds", str(rounds), *_common(proof)]
    (report,) = documents("tests.proof.killing", arguments, 4 * seconds + 300)
    done: Counter[str] = Counter(report["done"])
    line = Line(f"rounds of a mirror, {database}", report["rounds"], report["rows"])
    line.kills, line.freezes = done["kills"], done["freezes"]
    line.cuts = sum(done[name] for name in CUTS)
    line.kinds, line.faults = report["faults"], sum(report["faults"].values())
    line.seconds = report["seconds"]
    _count(line, report["verdict"], report["error"], f"seed {report['seed']}")
    line.notes.append(
        f"{line.part}: {report['deleted']} interactions taken back; compared with the model"
        f" {report['quiet']} times; {done['restores']} restores"
    )
    return [line]


CUTS = ("backends ended", "anywhere", "after a commit", "before a commit")


def _common(proof: Proof) -> list[str]:
    return ["--seed", str(proof.seed), "--server", proof.server]


def _count(line: Line, verdict: Document, error: str, where: str) -> None:
    line.twice += len(verdict["duplicates"])
    line.lost += len(verdict["losses"])
    line.wrong += len(verdict["lies"]) + bool(error)
    if any(verdict.values()) or error:
        line.notes.append(f"{line.part}, {where}: {verdict} {error}")


# --- parts of one process -----------------------------------------------------------------------


def other(proof: Proof, name: str) -> list[Line]:
    """A part that this module does itself, in a process of its own."""
    arguments = ["--part", name, "--minutes", str(proof.minutes), "--seed", str(proof.seed)]
    found = documents("tests.proof.prove", arguments, proof.seconds + 600)
    return [Line(**document) for document in found]


def check_model(minutes: float, seed: int) -> Line:
    """Every world that can come about in a model of the protocol, and in models lacking a part."""
    protocol: Any = import_module("tests.proof.protocol")
    line, worlds = Line("model of the protocol"), 0
    for case in protocol.cases(True):
        verdict = protocol.check(case)
        line.tried += 1
        worlds += verdict.states
        if verdict.found != case.expected:
            line.wrong += 1
            line.notes.append(f"{case.name}: {verdict.found} instead of {case.expected}")
    line.notes.append(f"{line.part}: {worlds:,} worlds")
    return line


def run_machine(minutes: float, seed: int) -> Line:
    """Stories that Hypothesis makes up."""
    machine: Any = import_module("tests.proof.machine")
    examples = max(5, round(10 * minutes))
    line = Line("stories made up at random", examples)
    try:
        happened = machine.run_machine(examples, 12, seed)
    except AssertionError as broken:
        line.wrong += 1
        line.notes.append(f"{line.part}: {broken}")
    else:
        most = ", ".join(f"{what} {n}" for what, n in Counter(happened).most_common(8))
        line.notes.append(f"{line.part}: {most}")
    return line


def cut_power(minutes: float, seed: int) -> Line:
    """A disk that forgets what was not synced."""
    power: Any = import_module("tests.proof.power")
    return _line_of("power cuts, sqlite", power.run_power(max(12, round(12 * minutes)), seed))


def fill_disk(minutes: float, seed: int) -> Line:
    """A disk that takes no more."""
    full: Any = import_module("tests.proof.power_full")
    return _line_of("full disks, sqlite", full.run_disk_full(max(12, round(9 * minutes)), seed))


def _line_of(part: str, result: Any) -> Line:
    """A line of a result that has some of our names; what is of another kind goes into a note."""
    found = asdict(result)
    tried = found.get("cuts", found.get("points", 0))
    line = Line(part, tried, found.get("rows", 0), cuts=found.get("cuts", 0))
    line.twice, line.lost = found.get("duplicates", 0), found.get("losses", 0)
    line.wrong = int(not result.holds and not (line.twice or line.lost))
    shown = {k: v for k, v in found.items() if k not in ("seconds", "rows", "cuts", "points")}
    line.notes.append(f"{part}: {', '.join(f'{name} {value}' for name, value in shown.items())}")
    return line


def roll_back(database: str, minutes: float, seed: int) -> Line:
    """A ledger that goes back to an older state beneath a run, or between two."""
    rolling: Any = import_module("tests.proof.rolling")
    report = rolling.run_trials(database, 10**6, seed, minutes * 60 * SIDE_BY_SIDE * ROLLING)
    line = Line(f"rolled back, {database}", report.trials, report.rows)
    line.kills = sum(n for way, n in report.ways.items() if "killed" in way)
    for plan, verdict in report.bad:
        _count(line, asdict(verdict), "", plan)
    line.wrong += len(report.errors)
    ways = ", ".join(f"{way} {number}" for way, number in report.ways.most_common())
    line.notes += [f"{line.part}: {ways}; {report.noticed} runs stopped by themselves"]
    line.notes += [f"{line.part}: {error}" for error in report.errors]
    return line


def fuzz_answers(minutes: float, seed: int) -> Line:
    """Answers that nobody would give, to every call."""
    fuzzing: Any = import_module("tests.destinations.fuzzing")
    examples = max(100, round(500 * minutes))
    line = Line("odd answers", examples)
    try:
        made = fuzzing.run_fuzz(examples, seed)
    except Exception as broken:
        line.wrong += 1
        line.notes.append(f"{line.part}: {type(broken).__name__} {broken}")
    else:
        sent = {what: n for what, n in made.items() if what.startswith("send: ")}
        line.notes.append(f"{line.part}: " + ", ".join(f"{w} {n}" for w, n in sorted(sent.items())))
    return line


OTHERS: dict[str, Callable[[float, int], Line]] = {
    "rolled back, sqlite": partial(roll_back, "sqlite"),
    "rolled back, postgresql": partial(roll_back, "postgresql"),
    "answers": fuzz_answers,
    "model": check_model,
    "machine": run_machine,
    "power": cut_power,
    "disk": fill_disk,
    "fleet": lambda minutes, seed: Line(**import_module("tests.proof.fleet").line(seed)),
}


def do_part(name: str, minutes: float, seed: int) -> int:
    """Do one of those parts here; its line as JSON."""
    began = time.monotonic()
    try:
        line = OTHERS[name](minutes, seed)
    except ImportError as missing:
        line = Line(name, notes=[f"{name}: left out, {missing}"])
    line.seconds = round(time.monotonic() - began, 1)
    print(json.dumps(asdict(line)), flush=True)
    return 0


# --- processes ----------------------------------------------------------------------------------


class PartFailedError(Exception):
    """A part of the proof could not be carried out."""


RUNNING: set[int] = set()
"""The processes of parts that are under way; each leads a group of its own."""


def end(leader: int) -> None:
    """End a process and all that it has started."""
    RUNNING.discard(leader)
    with suppress(ProcessLookupError):
        os.killpg(leader, signal.SIGKILL)


def documents(module: str, arguments: Sequence[str], seconds: float) -> list[Document]:
    """Run a module of the proof; the lines of JSON that it prints. Nothing of it is left behind.

    Raises PartFailedError when it takes longer than `seconds`, or ends without a line.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    RUNNING.add(process.pid)
    try:
        out, err = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        raise PartFailedError(f"{module} {' '.join(arguments)} did not end") from None
    finally:
        end(process.pid)
        process.communicate()
    if process.returncode not in (0, 1) or not out.strip():
        raise PartFailedError(f"{module} {' '.join(arguments)}: {err.strip()[-2000:]}")
    return [json.loads(line) for line in out.splitlines()]


# --- the table ----------------------------------------------------------------------------------


def table(lines: Iterable[Line]) -> Table:
    """For people at a terminal."""
    shown = Table(box=box.SIMPLE_HEAD, header_style="bold")
    shown.add_column("part")
    for column in COLUMNS:
        shown.add_column(column, justify="right")
    for line in lines:
        style = None if line.good else "bold red"
        shown.add_row(line.part, *(_figure(getattr(line, c)) for c in COLUMNS), style=style)
    return shown


def markdown(lines: Sequence[Line], proof: Proof) -> str:
    """For the documentation."""
    today = datetime.now(UTC).date().isoformat()
    versions = f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}"
    head = [
        f"connector {__version__}, {today}, {versions}, seed {proof.seed},"
        f" {proof.minutes:g} minutes.",
        "",
        "| part | " + " | ".join(COLUMNS) + " |",
        "|---" + "|--:" * len(COLUMNS) + "|",
    ]
    body = [
        f"| {line.part} | " + " | ".join(_figure(getattr(line, c)) for c in COLUMNS) + " |"
        for line in lines
    ]
    kinds = [f"| {kind} | {number:,} |" for kind, number in _kinds(lines).most_common()]
    faults = ["", "| fault | times |", "|---|--:|", *kinds]
    notes = ["", *(f"* {note}" for line in lines for note in line.notes)]
    return "\n".join([*head, *body, *faults, *notes]) + "\n"


def _kinds(lines: Iterable[Line]) -> Counter[str]:
    found: Counter[str] = Counter()
    for line in lines:
        found.update(line.kinds)
    return found


def _figure(number: float) -> str:
    return "" if number == 0 else f"{round(number):,}"


def show(console: Console, lines: Sequence[Line]) -> None:
    """The table, the faults by kind, and what else there is to say."""
    console.print(table(lines))
    kinds = Table(box=box.SIMPLE_HEAD, header_style="bold")
    kinds.add_column("fault")
    kinds.add_column("times", justify="right")
    for kind, number in _kinds(lines).most_common():
        kinds.add_row(kind, f"{number:,}")
    console.print(kinds)
    for line in lines:
        for note in line.notes:
            console.print(f"  {note}", markup=False, highlight=False)


# --- all of it ----------------------------------------------------------------------------------


def prove(proof: Proof, console: Console) -> list[Line]:
    """Every part, some side by side; says of each when it is done."""
    lines: list[Line] = []
    with ThreadPoolExecutor(SIDE_BY_SIDE) as threads, _ended_together(threads):
        for done in threads.map(_told, parts(proof)):
            for line in done:
                word = "kept" if line.good else "BROKEN"
                console.print(f"{line.part}: {word} ({line.seconds:.0f} s)", highlight=False)
            lines += done
    return lines


@contextmanager
def _ended_together(threads: ThreadPoolExecutor) -> Iterator[None]:
    """Ctrl-C ends the parts too, and begins no other."""
    try:
        yield
    except BaseException:
        threads.shutdown(wait=False, cancel_futures=True)
        for leader in list(RUNNING):
            end(leader)
        raise


def _told(part: Callable[[], list[Line]]) -> list[Line]:
    try:
        return part()
    except PartFailedError as failed:
        name = " ".join(str(a) for a in getattr(part, "args", ())[1:])
        return [Line(name, wrong=1, notes=[str(failed)])]


def main(arguments: Sequence[str]) -> int:
    """Prove it, or find out that it is not so."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10, help="about how long, by default 10")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument("--markdown", type=Path, help="write the table into this file too")
    parser.add_argument("--part", choices=OTHERS, help="only this, as JSON")
    given = parser.parse_args(arguments)
    if given.part:
        return do_part(given.part, given.minutes, given.seed)
    console = Console(width=None if sys.stdout.isatty() else 130)
    console.print(f"about {given.minutes:g} minutes, seed {given.seed}", highlight=False)
    with ExitStack() as stack:
        server = stack.enter_context(postgresql_server())
        address = server.address.render_as_string(hide_password=False)
        proof = Proof(given.minutes, given.seed, address)
        lines = prove(proof, console)
    show(console, lines)
    if given.markdown:
        given.markdown.write_text(markdown(lines, proof))
    good = all(line.good for line in lines)
    verdict = "nothing twice, nothing lost" if good else "the promise is broken"
    console.print(f"{verdict} (seed {given.seed})", highlight=False)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
