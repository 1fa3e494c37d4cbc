"""A fleet: hundreds of activations on a hundred API keys, served by two processes on one PostgreSQL
ledger, while one of them is killed and started again and the other one is frozen.

    python -m tests.proof.fleet [--activations 300] [--keys 100] [--seed 7]

Each key has as many rows to send as any other, in activations of 20 to 100 rows. What counts is
what the destination holds in the end, and when each row came there. `fairness` is what the slowest
key was served, as a part of what the keys were served in the mean, at the moment when the first of
them was done: until then all of them wanted to send. Prints a line of JSON, and ends with 1 where a
promise is broken.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing import get_context
from multiprocessing.connection import Connection as Pipe
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import psycopg
from sqlalchemy import URL

from connector.sandbox.engage import gate, running
from connector.sandbox.exchange import Answer, Request
from tests.postgresql import PostgreSQL, postgresql_server
from tests.whole.shop import an_engage, behaving, contact_id

MOST_TO_THE_LEDGER, MOST_TO_THE_WAREHOUSE = 40, 20
FAIR = 0.8
FROZEN = 10.0
LEAST_ROWS, MOST_ROWS = 20, 100
HEAD = """
version: 1
warehouse: {{url: "{warehouse}"}}
ledger: {{url: "{ledger}", lease: 2s}}
serve: {{runs: {runs}, retry: 1s{more}}}
destinations:
"""
DESTINATION = """
  k{number}: {{type: engage, url: {url}, api_key: {key}, requests_per_second: {rate}, timeout: 2s,
               settle_after: 1s}}
"""
ACTIVATION = """
  a{number}:
    schedule: {{every: {every}}}
    destination: k{key}
    model: {{sql: "select 'a{number}-' || g as id, '{contact}' as contact
                   from generate_series(1, {rows}) g"}}
    schema_id: visit
    row_key: id
    start: all
    contact: {{column: contact, identifier: contactId}}
    payload: {{visitId: id}}
"""


@contextmanager
def counting(server: PostgreSQL, databases: list[URL]) -> Iterator[Counter[str]]:
    """The most connections to each of `databases` at any moment that was looked at."""
    most, over = Counter[str](), threading.Event()
    names = [url.database for url in databases]

    def look() -> None:
        address = server.address.render_as_string(hide_password=False)
        query = "select datname, count(*) from pg_stat_activity where datname = any(%s) group by 1"
        with psycopg.connect(address, autocommit=True) as connection:
            while not over.wait(0.05):
                for name, number in connection.execute(query, [names]):
                    most[name] = max(most[name], number)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield most
    finally:
        over.set()
        thread.join()


# --- the destination of all keys -----------------------------------------------------------------


class AnyKey(gate.Gate):
    """Lets every API key in: one destination is enough for a hundred of them."""

    def refusal(self, request: Request, now: float) -> Answer | None:
        self._key = request.headers.get(b"apikey", b"")
        return super().refusal(request, now)


def hold(pipe: Pipe, delay: float) -> None:
    """In a process of its own: say the address; then, asked for it, how many rows have come, or
    when each of them came."""
    vars(gate)["Gate"] = AnyKey
    engage = an_engage()
    with running.running(engage=engage) as sandbox:
        sandbox.behaviour = behaving(answer_delay=delay)
        pipe.send(sandbox.url)
        while word := pipe.recv():
            stored = engage.interactions()
            came = [(i.stored_at, str(i.payload["visitId"])) for i in stored]
            pipe.send(len(came) if word == "number" else came)


@contextmanager
def destination(delay: float) -> Iterator[tuple[str, Pipe]]:
    """Its address, and the pipe that is asked what came."""
    context = get_context("spawn")
    pipe, theirs = context.Pipe()
    process = context.Process(target=hold, args=(theirs, delay), daemon=True)
    process.start()
    try:
        yield pipe.recv(), pipe
    finally:
        process.kill()
        process.join()


# --- the fleet -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Size:
    """How much there is to do. `activations`: as many for each key; `rows`: of an activation, in
    the mean; `every`: seconds between the runs of one."""

    activations: int = 300
    keys: int = 100
    rows: int = 60
    runs: int = 8
    rate: float = 40.0
    every: int = 60
    more: str = ""
    """Of `serve`, in the configuration."""

    @property
    def total(self) -> int:
        return self.activations * self.rows


def sizes(size: Size, chances: random.Random) -> list[int]:
    """The rows of each activation; of all activations of one key together they are as many as of
    those of any other key. The activation `number` has the key `number % keys`."""
    each, found = size.activations // size.keys, [0] * size.activations
    low, high = size.rows * LEAST_ROWS // 60, size.rows * MOST_ROWS // 60
    for key in range(size.keys):
        rows = [size.rows] * each
        for one in range(each - 1):
            other = chances.randrange(one + 1, each)
            least = max(low - rows[one], rows[other] - high)
            most = min(high - rows[one], rows[other] - low)
            moved = chances.randint(least, most)
            rows[one], rows[other] = rows[one] + moved, rows[other] - moved
        chances.shuffle(rows)
        for number, amount in enumerate(rows):
            found[key + number * size.keys] = amount
    return found


def project(size: Size, rows: Sequence[int], url: str, warehouse: URL, ledger: URL) -> str:
    """The configuration that all processes have."""
    text = HEAD.format(
        warehouse=warehouse.render_as_string(hide_password=False),
        ledger=ledger.render_as_string(hide_password=False),
        runs=size.runs,
        more=size.more,
    )
    for number in range(size.keys):
        text += DESTINATION.format(number=number, url=url, key=f"key-{number}", rate=size.rate)
    text += "activations:\n"
    for number, amount in enumerate(rows):
        places = {"key": number % size.keys, "contact": contact_id(number % 10)}
        text += ACTIVATION.format(number=number, rows=amount, every=f"{size.every}s", **places)
    return text


@dataclass(slots=True)
class Fleet:
    """The processes, and the destination that is asked what came of them."""

    config: Path
    pipe: Pipe
    deadline: float
    processes: list["subprocess.Popen[str]"] = field(default_factory=list)
    urls: dict[int, str] = field(default_factory=dict)

    def begins(self) -> "subprocess.Popen[str]":
        """One more of them serves."""
        command = [sys.executable, "-m", "connector", "--config", str(self.config)]
        number = len(self.processes)
        with Path(self.config.parent, f"said-{number}.txt").open("w") as said:
            process = subprocess.Popen(
                [*command, "serve", "--port", "0"], stdout=subprocess.PIPE, stderr=said, text=True
            )
        self.processes.append(process)
        assert process.stdout is not None
        line = process.stdout.readline()
        assert " on http" in line, Path(said.name).read_text()[-2000:]
        self.urls[process.pid] = line.split(" on ")[1].strip()
        return process

    def waits_for(self, rows: int) -> None:
        """Until so many have come to the destination."""
        while self._asked("number") < rows:
            assert time.monotonic() < self.deadline, f"{rows} rows have not come"
            time.sleep(0.1)

    def came(self) -> list[tuple[float, str]]:
        found: list[tuple[float, str]] = self._asked("all")
        return sorted(found)

    def _asked(self, word: str) -> Any:
        self.pipe.send(word)
        return self.pipe.recv()

    def status(self, process: "subprocess.Popen[str]") -> list[dict[str, Any]]:
        """Where the activations stand, by one process."""
        try:
            with urlopen(f"{self.urls[process.pid]}/api/status", timeout=30) as answer:
                found: list[dict[str, Any]] = json.load(answer)["activations"]
        except (URLError, TimeoutError):
            return []
        return found

    def not_well(self, process: "subprocess.Popen[str]") -> list[str]:
        """Activations whose newest run has not succeeded, when the time is over."""
        while True:
            status = self.status(process)
            bad = [a["name"] for a in status if _ended(a) != "succeeded"]
            if (status and not bad) or time.monotonic() > self.deadline:
                return bad if status else ["no status"]
            time.sleep(1)

    def ends(self) -> list[int | None]:
        """Told to; how each of them ended."""
        for process in self.processes:
            process.send_signal(signal.SIGTERM)
        for process in self.processes:
            with suppress(subprocess.TimeoutExpired):
                process.wait(30)
        return [process.returncode for process in self.processes]

    def killed(self) -> None:
        """Whatever is left."""
        for process in self.processes:
            process.kill()
            process.communicate()


def _ended(activation: dict[str, Any]) -> str | None:
    return activation["last_run"] and str(activation["last_run"]["status"])


def story(fleet: Fleet, total: int, chances: random.Random, is_quiet: bool) -> list[str]:
    """Two processes; one is killed and begun again, the other one is frozen. Gives back which
    activations were not well in the end."""
    one, two = fleet.begins(), fleet.begins()
    if not is_quiet:
        fleet.waits_for(round(chances.uniform(0.1, 0.25) * total))
        one.kill()
        one.wait()
        fleet.waits_for(round(0.3 * total))
        fleet.begins()
        fleet.waits_for(round(chances.uniform(0.4, 0.6) * total))
        two.send_signal(signal.SIGSTOP)
        time.sleep(FROZEN)
        two.send_signal(signal.SIGCONT)
    fleet.waits_for(total)
    return fleet.not_well(two)


def fairness(came: Sequence[tuple[float, str]], size: Size, rows: int) -> float:
    """What the slowest key was served of the mean, when so many `rows` had come."""
    served = Counter(int(name[1:].partition("-")[0]) % size.keys for _, name in came[:rows])
    return round(min(served[key] for key in range(size.keys)) * size.keys / max(1, rows), 3)


def until_first_done(came: Sequence[tuple[float, str]], size: Size) -> int:
    """How many rows had come when the first key had none left."""
    served, whole = Counter[int](), size.total // size.keys
    for number, (_, name) in enumerate(came, 1):
        key = int(name[1:].partition("-")[0]) % size.keys
        served[key] += 1
        if served[key] >= whole:
            return number
    return len(came)


def prove(size: Size, seed: int, server: PostgreSQL, quiet: bool = False) -> dict[str, Any]:
    """All of it, on databases of its own."""
    began, chances = time.monotonic(), random.Random(seed)
    amounts = sizes(size, chances)
    warehouse, ledger = server.new(), server.new()
    with ExitStack() as stack:
        path = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        stack.callback(server.drop, ledger)
        stack.callback(server.drop, warehouse)
        url, pipe = stack.enter_context(destination(0.05))
        config = path / "activations.yaml"
        config.write_text(project(size, amounts, url, warehouse, ledger))
        fleet = Fleet(config, pipe, began + 240 + size.total / 20)
        stack.callback(fleet.killed)
        most = stack.enter_context(counting(server, [warehouse, ledger]))
        wrong, bad = list[str](), list[str]()
        try:
            bad = story(fleet, size.total, chances, quiet)
        except AssertionError as late:
            wrong.append(str(late))
        came = fleet.came()
        seconds = came[-1][0] - came[0][0] if came else 0.0
        codes = fleet.ends()
    stored = Counter(name for _, name in came)
    expected = {f"a{n}-{row}" for n, rows in enumerate(amounts) for row in range(1, rows + 1)}
    first = until_first_done(came, size)
    return {
        "seed": seed,
        "activations": size.activations,
        "keys": size.keys,
        "rows": size.total,
        "twice": sorted(name for name, number in stored.items() if number > 1)[:20],
        "lost": sorted(expected - stored.keys())[:20],
        "not_well": bad[:20],
        "to_the_ledger": most[str(ledger.database)],
        "to_the_warehouse": most[str(warehouse.database)],
        "fairness": fairness(came, size, first),
        "fairness_halfway": fairness(came, size, size.total // 2),
        "first_done_at": round(first / size.total, 2),
        "rows_came_within": round(seconds, 1),
        "ended": codes,
        "wrong": wrong,
        "seconds": round(time.monotonic() - began, 1),
    }


def broken(report: dict[str, Any]) -> list[str]:
    """Which promises are broken."""
    found = [name for name in ("twice", "lost", "not_well", "wrong") if report[name]]
    if report["to_the_ledger"] > MOST_TO_THE_LEDGER:
        found.append(f"more than {MOST_TO_THE_LEDGER} connections to the ledger")
    if report["to_the_warehouse"] > MOST_TO_THE_WAREHOUSE:
        found.append(f"more than {MOST_TO_THE_WAREHOUSE} connections to the warehouse")
    if report["fairness"] < FAIR:
        found.append(f"the slowest key had less than {FAIR:.0%} of the mean")
    if any(code for code in report["ended"] if code != -signal.SIGKILL):
        found.append("a process did not end in order")
    return found


def line(seed: int) -> dict[str, Any]:
    """What a smaller one has brought, for the table of all proofs."""
    size = Size(60, 20, more=", slice: 1s")
    with postgresql_server() as server:
        report = prove(size, seed, server)
    faults, part = broken(report), "fleet, postgresql"
    note = (
        f"{part}: {size.keys} keys, the slowest had {report['fairness']:.0%} of the mean;"
        f" {report['to_the_ledger']} connections to the ledger, {report['to_the_warehouse']} to"
        f" the warehouse; {', '.join(faults) or 'kept'}"
    )
    counts = {name: len(report[name]) for name in ("twice", "lost")}
    wrong = len(set(faults) - set(counts))
    happened = {"kills": 1, "freezes": 1, "seconds": report["seconds"], "notes": [note]}
    sizes = {"tried": size.activations, "rows": size.total}
    return {"part": part, "wrong": wrong, **counts, **sizes, **happened}


def main(arguments: Sequence[str]) -> int:
    """Prove it, and print what came of it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    size = Size()
    parser.add_argument("--activations", type=int, default=size.activations)
    parser.add_argument("--keys", type=int, default=size.keys)
    parser.add_argument("--rows", type=int, default=size.rows, help="of one, in the mean")
    parser.add_argument("--runs", type=int, default=size.runs, help="at once in a process")
    parser.add_argument("--rate", type=float, default=size.rate, help="requests a second of a key")
    parser.add_argument("--every", type=int, default=size.every, help="seconds between runs")
    parser.add_argument("--more", default="", help="more of `serve`, such as 'slice: 2s'")
    parser.add_argument("--quiet", action="store_true", help="kill and freeze nothing")
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(3)))
    asked = parser.parse_args(arguments)
    if asked.activations % asked.keys:
        parser.error("each key has as many activations as any other")
    more = f", {asked.more}" if asked.more else ""
    numbers = (asked.activations, asked.keys, asked.rows, asked.runs, asked.rate, asked.every)
    with postgresql_server() as server:
        report = prove(Size(*numbers, more), asked.seed, server, asked.quiet)
    report["broken"] = broken(report)
    print(json.dumps(report), flush=True)
    return int(bool(report["broken"]))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
