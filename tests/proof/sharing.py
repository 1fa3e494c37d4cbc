"""One rate for one key, whatever number of processes use it: real ones, stopped, killed and robbed
of their ledger, and every request counted where it arrives.

    python -m tests.proof.sharing sqlite|postgresql [--rate 50] [--seconds 60] [--freezes 25]

Prints one document: `busiest` is the most requests in any second, `shares` are parts of the rate
that were attained in each phase. Ends with 1 where a promise is broken. On SQLite a process may be
frozen while it has the whole ledger; then the others send nothing, and that phase tells nothing.

With `--freezes`, another story: one process after the other is frozen for some seconds, at any
statement. `quiet` are the longest times, in seconds, in which the others sent nothing meanwhile.
"""

import argparse
import asyncio
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from itertools import groupby, pairwise
from multiprocessing import get_context
from multiprocessing.connection import Connection as Pipe
from pathlib import Path
from typing import Any

from sqlalchemy import URL, make_url

from benchmarks.sink import Arrivals, Connection, busiest_second
from connector.ledger.postgresql import MOST_SILENT
from tests.postgresql import postgresql_server

PROCESSES = 4
PROJECT = """
version: 1
warehouse: {{url: "duckdb:///:memory:"}}
ledger: {{url: "{ledger}"}}
destinations:
{destinations}
activations:
{activations}
"""
DESTINATION = """
  d{n}: {{type: engage, url: "{url}", api_key: shared, requests_per_second: {rate}, concurrency: 8,
    user_agent: process-{n}}}
"""
ACTIVATION = """
  a{n}:
    destination: d{n}
    model: {{sql: "select 'r{n}-' || range as id, '{contact}' as contact from range({rows})"}}
    schema_id: productReview
    row_key: id
    start: all
    contact: {{column: contact, identifier: contactId}}
    payload: {{reviewId: id, productSku: id, rating: {{value: 5}}}}
    limits: {{rows: 1000000}}
"""
CONTACT = "3f2504e0-4f89-41d3-9a0c-000000000000"
SETTLED = 3.0
"""Seconds within which the others have what one had that is gone."""
FROZEN = 10.0
FROZEN_OFTEN = 5.0
MOST_QUIET = MOST_SILENT / 1000 + 1.0
"""Seconds: what the server waits for a silent transaction, and until what was held up is sent."""
ASKED_FIRST = 10
"""Requests of a process by which it sends rows: before it has put them on record it only asks."""


TICK, STALLED = 0.002, 0.01


class Seen:
    """Every request, whose it is, and when it came."""

    def __init__(self) -> None:
        self._seen: list[tuple[float, float, int]] = []
        self._ticked = time.monotonic()

    def tick(self) -> None:
        """Whatever is read before the next tick came after this one."""
        self._ticked = time.monotonic()
        asyncio.get_running_loop().call_later(TICK, self.tick)

    def came(self, number: int) -> None:
        now = time.monotonic()
        earliest = self._ticked if now - self._ticked > STALLED else now
        self._seen.append((earliest, now, number))

    def all(self) -> list[tuple[float, int]]:
        """In their order. What came while this process had no core is not taken for what came at
        once: it is spread over that time."""
        found: list[tuple[float, int]] = []
        for earliest, group in groupby(self._seen, lambda each: each[0]):
            together = list(group)
            step = (together[-1][1] - earliest) / len(together)
            found += [(earliest + step * n, each[2]) for n, each in enumerate(together, 1)]
        return found


class Counting(Connection):
    """Every request counts, and whose it is."""

    seen: Seen

    def data_received(self, data: bytes) -> None:
        for head in data.split(b" HTTP/1.1\r\n")[1:]:
            _, _, agent = head.partition(b"process-")
            self.seen.came(int(agent[:1] or b"9"))
        super().data_received(data)


def count(pipe: Pipe) -> None:
    """In a process of its own: say the port, then, asked for it, what came."""
    with suppress(OSError):
        os.nice(-10)  # what is late here would look like many at once

    async def serve() -> None:
        loop, seen = asyncio.get_running_loop(), Seen()
        kind = type("Counted", (Counting,), {"seen": seen})
        arrivals = Arrivals(0.0)
        server = await loop.create_server(lambda: kind(arrivals), "127.0.0.1", 0)
        pipe.send(server.sockets[0].getsockname()[1])
        seen.tick()
        while await asyncio.to_thread(pipe.recv) is not None:
            pipe.send(seen.all())

    asyncio.run(serve())


@contextmanager
def counter() -> Iterator[tuple[str, Pipe]]:
    """The address of a destination, and the pipe that is asked what came."""
    ours, theirs = get_context("spawn").Pipe()
    process = get_context("spawn").Process(target=count, args=(theirs,), daemon=True)
    process.start()
    try:
        yield f"http://127.0.0.1:{ours.recv()}", ours
    finally:
        process.terminate()


@dataclass(slots=True)
class World:
    """A project, and processes that send what it has."""

    directory: Path
    pipe: Pipe
    rate: float
    on_server: bool
    processes: dict[int, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def config(self) -> Path:
        return self.directory / "activations.yaml"

    def begins(self, number: int) -> None:
        """A process sends the rows of one activation."""
        command = [
            sys.executable,
            "-m",
            "connector",
            "sync",
            f"a{number}",
            "--config",
            str(self.config),
        ]
        with (self.directory / f"{number}.log").open("ab") as log:
            self.processes[number] = subprocess.Popen(command, stdout=log, stderr=log)

    def tell(self, number: int, signal: int) -> None:
        self.processes[number].send_signal(signal)

    def ends(self) -> None:
        for process in self.processes.values():
            process.kill()
            process.wait()
        self.processes.clear()

    def seen(self) -> list[tuple[float, int]]:
        self.pipe.send("all")
        found: list[tuple[float, int]] = self.pipe.recv()
        return found

    def after(self, moment: float, seconds: float = 0.0) -> int:
        """How many requests came after then, for so many seconds, or until now."""
        end = moment + (seconds or 1e9)
        return sum(moment <= at < end for at, _ in self.seen())

    def attained(self, begin: float, end: float) -> float:
        """Part of the rate."""
        return self.after(begin, end - begin) / (end - begin) / self.rate

    def waits_for(self, *numbers: int, seconds: float = 200.0) -> float:
        """Until each of these processes sends rows; since when the last of them does."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            seen = self.seen()
            times = [[at for at, n in seen if n == number] for number in numbers]
            if all(len(each) >= ASKED_FIRST for each in times):
                return max(each[ASKED_FIRST - 1] for each in times)
            time.sleep(0.1)
        logs = [(self.directory / f"{n}.log").read_text() for n in numbers]
        raise AssertionError(f"some have not begun: {logs}")


@contextmanager
def world(directory: Path, ledger: URL, rate: float, rows: int) -> Iterator[World]:
    """Nothing has begun yet."""
    with counter() as (url, pipe):
        text = ledger.render_as_string(hide_password=False)
        numbers = range(PROCESSES)
        here = World(directory, pipe, rate, ledger.get_backend_name() != "sqlite")
        here.config.write_text(
            PROJECT.format(
                ledger=text,
                destinations="".join(DESTINATION.format(n=n, url=url, rate=rate) for n in numbers),
                activations="".join(
                    ACTIVATION.format(n=n, rows=rows, contact=CONTACT) for n in numbers
                ),
            )
        )
        try:
            yield here
        finally:
            here.ends()


def told(here: World, seconds: float, rob: Any) -> dict[str, Any]:
    """The whole story: alone, all four, one frozen, one killed, and no ledger any more. `rob` takes
    it away."""
    shares = {}
    here.begins(0)
    begun = here.waits_for(0) + 1
    time.sleep(seconds / 6 + 1)
    shares["alone"] = here.attained(begun, time.monotonic())
    for number in range(1, PROCESSES):
        here.begins(number)
    begun = here.waits_for(*range(PROCESSES)) + SETTLED
    time.sleep(max(0.0, begun - time.monotonic()) + seconds / 3)
    shares["all"] = here.attained(begun, time.monotonic())
    here.tell(1, signal.SIGSTOP)
    begun = time.monotonic()
    time.sleep(FROZEN)
    here.tell(1, signal.SIGCONT)
    if here.on_server:
        shares["one frozen"] = here.attained(begun + SETTLED, begun + FROZEN)
    time.sleep(seconds / 6)
    here.tell(0, signal.SIGKILL)
    begun = time.monotonic()
    time.sleep(SETTLED + seconds / 6)
    shares["one killed"] = here.attained(begun + SETTLED, time.monotonic())
    rob()
    begun = time.monotonic()
    time.sleep(4)
    return {
        "rate": here.rate,
        "busiest": busiest_second([at for at, _ in here.seen()]),
        "shares": {name: round(share, 3) for name, share in shares.items()},
        "sent_without_ledger_after": round(here.seen()[-1][0] - begun, 2),
        "by_process": [sum(n == k for _, n in here.seen()) for k in range(PROCESSES)],
    }


def frozen_often(here: World, times: int) -> dict[str, Any]:
    """All send; each is frozen in its turn, again and again."""
    for number in range(PROCESSES):
        here.begins(number)
    begun = here.waits_for(*range(PROCESSES), seconds=180) + SETTLED
    time.sleep(max(0.0, begun - time.monotonic()))
    quiet, frozen = [], []
    for turn in range(times):
        number = turn % PROCESSES
        here.tell(number, signal.SIGSTOP)
        begun = time.monotonic()
        time.sleep(FROZEN_OFTEN)
        here.tell(number, signal.SIGCONT)
        end = time.monotonic()
        sent = [at for at, n in here.seen() if begun <= at < end and n != number]
        quiet.append(max(b - a for a, b in pairwise([begun, *sent, end])))
        frozen.append(len(sent) / (end - begun) / here.rate)
        time.sleep(1.0)
    ended = [n for n, process in here.processes.items() if process.poll() is not None]
    return {
        "rate": here.rate,
        "busiest": busiest_second([at for at, _ in here.seen()]),
        "quiet": [round(each, 2) for each in sorted(quiet, reverse=True)],
        "shares": {"others": round(sum(frozen) / len(frozen), 3)},
        "ended": [(n, (here.directory / f"{n}.log").read_text()[-500:]) for n in ended],
    }


def broken_by_freezes(report: dict[str, Any], on_server: bool) -> list[str]:
    """Which promises are broken."""
    found = []
    if report["busiest"] > report["rate"] + 4:
        found.append("more than the rate and 4 in a second")
    if on_server and report["quiet"][0] > MOST_QUIET:
        found.append("a frozen process silenced the others for too long")
    if report["ended"]:
        found.append("a process that was frozen did not go on")
    return found


def broken(report: dict[str, Any]) -> list[str]:
    """Which promises are broken."""
    found = []
    if report["busiest"] > report["rate"] + 4:
        found.append("more than the rate and 4 in a second")
    if report["sent_without_ledger_after"] > 2:
        found.append("sent without a ledger for more than 2 s")
    least = {"alone": 0.98, "all": 0.93, "one frozen": 0.93, "one killed": 0.93}
    found += [f"{name}: less" for name, part in report["shares"].items() if part < least[name]]
    return found


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("database", choices=("sqlite", "postgresql"))
    parser.add_argument("--rate", type=float, default=50)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--freezes", type=int, default=0)
    given = parser.parse_args(arguments)
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        ledger = make_url(f"sqlite:///{directory}/ledger.db")

        def rob() -> None:
            for file in directory.glob("ledger.db*"):
                file.rename(directory / f"gone.{file.name}")

        if given.database == "postgresql":
            server = stack.enter_context(postgresql_server())
            ledger = server.new()

            def rob() -> None:
                server.drop(ledger)

        seconds = given.freezes * (FROZEN_OFTEN + 1.5) if given.freezes else given.seconds
        rows = round(given.rate * (seconds + 60) / (2 if given.freezes else 1))
        here = stack.enter_context(world(directory, ledger, given.rate, rows))
        if given.freezes:
            report = frozen_often(here, given.freezes)
            report["broken"] = broken_by_freezes(report, here.on_server)
        else:
            report = told(here, given.seconds, rob)
            report["broken"] = broken(report)
    print(json.dumps(report))
    return bool(report["broken"])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
