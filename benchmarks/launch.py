"""CORE REPORT COMMAND…: run the command on that core, and write what it took to REPORT, in JSON.

Imports as little as it can, so that it is smaller than anything that it starts.
"""

import json
import os
import sys
import time


def main() -> None:
    """Start the command, wait for it, report."""
    core, report, *command = sys.argv[1:]
    began = time.monotonic()
    child = os.fork()
    if child == 0:
        os.sched_setaffinity(0, {int(core)})
        os.execvp(command[0], command)
    _, status, used = os.wait4(child, 0)
    taken = {
        "wall": time.monotonic() - began,
        "cpu": used.ru_utime + used.ru_stime,
        "peak": used.ru_maxrss / 1024,
        "code": os.waitstatus_to_exitcode(status),
    }
    with open(report, "w") as file:  # noqa: PTH123 -- pathlib is a third of a small process
        json.dump(taken, file)


main()
