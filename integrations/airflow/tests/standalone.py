"""A whole Airflow on PostgreSQL runs four syncs, while parts of it are killed and frozen.

Of the four tasks one loses its supervisor by kill -9, one its sync by kill -9, and one is frozen
with its supervisor and its sync, longer than its heartbeats may be missing. All rows must arrive
once, no second may have more requests than the key's rate, and no process may be left.

`make test-airflow-standalone` runs this, for some minutes; it prints what it has measured.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg2

ROOT = Path(__file__).parents[3]
sys.path.insert(0, str(ROOT / "integrations"))

from trial import KEY, PYTHON, Trial  # noqa: E402

NAMES = ("first", "second", "third", "fourth")
ROWS, RATE = 900, 60
FROZEN, MISSED = 40, 15
"""Seconds that one is frozen, and after which a task without heartbeats counts as dead."""
PORT = 18321
DAG = "connector_engage_by_hand"
DAG_FILE = """
from datetime import timedelta
from engage_connector_airflow import connector_dags

globals().update(connector_dags(
    {config!r},
    python={python!r},
    conn_ids={{"ENGAGE_API_KEY": "engage_acme"}},
    retries=9,
    retry_delay=timedelta(seconds=5),
    retry_exponential_backoff=False,
    grace=20,
))
"""
SERVER = """
import sys
from tests.postgresql import postgresql_server
with postgresql_server() as server:
    for _ in range(2):
        print(server.new().render_as_string(hide_password=False), flush=True)
    sys.stdin.read()
"""


@contextmanager
def databases() -> Iterator[tuple[str, str]]:
    """Two empty databases of a PostgreSQL."""
    ends = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    server = subprocess.Popen([PYTHON, "-c", SERVER], cwd=ROOT, text=True, **ends)
    assert server.stdout is not None
    try:
        yield server.stdout.readline().strip(), server.stdout.readline().strip()
    finally:
        server.communicate("")


@contextmanager
def standalone(home: Path, url: str) -> Iterator[None]:
    """The whole of Airflow, in a session of its own that is ended with this."""
    os.environ.update(
        PATH=f"{Path(sys.executable).parent}:{os.environ['PATH']}",  # it starts `airflow` itself
        AIRFLOW_HOME=str(home),
        AIRFLOW_CONN_ENGAGE_ACME=json.dumps({"conn_type": "http", "password": KEY}),
        AIRFLOW__API__PORT=str(PORT),
        AIRFLOW__API__WORKERS="1",
        AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION="false",
        AIRFLOW__CORE__DAGS_FOLDER=str(home / "dags"),
        AIRFLOW__CORE__EXECUTION_API_SERVER_URL=f"http://127.0.0.1:{PORT}/execution/",
        AIRFLOW__CORE__EXECUTOR="LocalExecutor",
        AIRFLOW__CORE__LOAD_EXAMPLES="false",
        AIRFLOW__CORE__PARALLELISM="4",
        AIRFLOW__DATABASE__SQL_ALCHEMY_CONN=url.replace("postgresql:", "postgresql+psycopg2:"),
        AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_ASYNC=url.replace("postgresql:", "postgresql+asyncpg:"),
        AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_SEC="3",
        AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT=str(MISSED),
        AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL="3",
    )
    with (home / "airflow.log").open("w") as log:
        whole = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", "airflow", "standalone"],
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            yield
        finally:
            for number in (signal.SIGTERM, signal.SIGKILL):
                with suppress(ProcessLookupError):
                    os.killpg(whole.pid, number)
                with suppress(subprocess.TimeoutExpired):
                    whole.wait(30)


def airflow(*arguments: str) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-W", "ignore", "-m", "airflow", *arguments]
    return subprocess.run(line, capture_output=True, text=True)


def until(true: Callable[[], Any], seconds: float, what: str) -> Any:
    end = time.monotonic() + seconds
    while not (found := true()):
        if time.monotonic() > end:
            raise SystemExit(f"after {seconds:.0f} s there is no {what}")
        time.sleep(0.2)
    return found


def processes(config: str) -> dict[str, list[int]]:
    """Of each sync that runs: its own process and its parents, the guard, the task and its
    supervisor."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            line = (folder / "cmdline").read_bytes().decode().split("\0")
        except OSError:
            continue
        if config in line and "sync" in line and not any("guard.py" in each for each in line):
            pids = [int(folder.name)]
            with suppress(OSError):
                while len(pids) < 4:
                    stat = Path(f"/proc/{pids[-1]}/stat").read_text()
                    pids.append(int(stat.rpartition(")")[2].split()[1]))
            found[line[line.index("sync") + 1]] = pids
    return found


def query(url: str, statement: str) -> list[tuple[Any, ...]]:
    connection = psycopg2.connect(url)
    try:
        with connection.cursor() as cursor:
            cursor.execute(statement)
            return list(cursor.fetchall())
    finally:
        connection.close()


def main() -> None:
    """Run it all, and say what was seen."""
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="airflow-")))
        of_airflow, of_ledger = stack.enter_context(databases())
        ledger = of_ledger.replace("postgresql:", "postgresql+psycopg:")
        trial = Trial(home / "project", rate=RATE, ledger=ledger)
        stack.callback(trial.close)
        trial.configure(*(trial.activation(name) for name in NAMES))
        trial.add(**dict.fromkeys(NAMES, ROWS))
        (home / "dags").mkdir()
        (home / "dags/connector.py").write_text(DAG_FILE.format(config=trial.config, python=PYTHON))
        began = time.monotonic()
        stack.enter_context(standalone(home, of_airflow))
        try:
            told = story(home, trial, of_airflow, began)
        except BaseException:
            print((home / "airflow.log").read_text()[-8000:], file=sys.stderr)
            raise
    print(json.dumps(told, indent=2))


def story(home: Path, trial: Trial, database: str, began: float) -> dict[str, Any]:
    """Begin the DAG, kill, freeze, wait for the end, and look."""
    line = [sys.executable, "-m", "engage_connector_airflow", trial.config, "--python", PYTHON]
    pools = subprocess.run([*line, "--slots", "4"], capture_output=True, text=True, check=True)
    (home / "pools.json").write_text(pools.stdout)
    until(lambda: airflow("pools", "import", str(home / "pools.json")).returncode == 0, 240, "pool")
    until(lambda: airflow("dags", "trigger", DAG).returncode == 0, 240, "DAG")
    told: dict[str, Any] = {"up_after": round(time.monotonic() - began)}
    going = until(
        lambda: len(running := processes(trial.config)) == 4 and running, 240, "four syncs"
    )
    until(lambda: len(trial.stored()) > 4 * ROWS * 0.15, 120, "rows")
    began = time.monotonic()
    print(going, flush=True)

    sync, _, _, supervisor = going["first"]
    os.kill(supervisor, signal.SIGKILL)
    until(lambda: not Path(f"/proc/{sync}").exists(), 60, "end of the sync without a supervisor")
    told["orphan_ended_after"] = round(time.monotonic() - began, 1)
    os.kill(going["second"][0], signal.SIGKILL)
    for pid in reversed(going["third"]):
        os.kill(pid, signal.SIGSTOP)
    time.sleep(FROZEN)
    for pid in going["third"]:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)

    ended = "select state from dag_run where state in ('success', 'failed')"
    ((state,),) = until(lambda: query(database, ended), 420, "end of the DAG's run")
    told |= {"state": state, "seconds": round(time.monotonic() - began)}
    tries = "select task_id, state, try_number from task_instance order by task_id"
    told["tasks"] = {task: [state, number] for task, state, number in query(database, tries)}
    until(lambda: not processes(trial.config), 60, "end of all syncs")
    trial.connector("sync", "--wait")  # what a kill has left in doubt at the very end
    stored = trial.stored()
    told |= {"rows": len(stored), "twice": sum(number > 1 for number in stored.values())}
    told["busiest_second"] = trial.ask("/sandbox/requests")["peak_per_second"]
    told["runs"] = {}
    for run in trial.connector("runs", "--limit", "100")["runs"]:
        told["runs"].setdefault(run["activation"], []).append([run["kind"], run["delivered"]])
    print(json.dumps(told), flush=True)
    assert state == "success", told
    assert told["busiest_second"] <= RATE * 1.02, told
    assert (told["rows"], told["twice"]) == (len(NAMES) * ROWS, 0), told
    return told


if __name__ == "__main__":
    main()
