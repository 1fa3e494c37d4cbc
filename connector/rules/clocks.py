"""The clocks of this machine, none of which is believed alone: each may stand still or step.

CLOCK_MONOTONIC does not count the time in which the machine is suspended. CLOCK_BOOTTIME does, but
may stand still with it while a virtual machine is paused; then the wall clock is set right some
time after. The wall clock steps whenever somebody sets it.

Where too much time must not have passed, the largest figure counts; where enough must have, the
smallest. This is the one module below the shells that asks for them.
"""

import hashlib
import secrets
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from connector.basis import dataclass

BOOTTIME: int | None = getattr(time, "CLOCK_BOOTTIME", None)
JUMP = 1.0
"""Seconds by which clocks may disagree on a few seconds before one of them is said to have jumped:
far more than they are slowed down or sped up by to be set right gently."""

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
TIME_NAMESPACE = Path("/proc/self/ns/time")
UPTIME = Path("/proc/uptime")
THIS_PROCESS = secrets.randbits(62)


class Moment(NamedTuple):  # several are taken of each row that is sent
    """One moment by every clock, in seconds."""

    monotonic: float
    boot: float
    wall: float

    def longest_until(self, later: "Moment") -> float:
        """Seconds until then, by the clock that counts most."""
        return max(self.spans_until(later))

    def shortest_until(self, later: "Moment") -> float:
        """Seconds until then, by the slower of those clocks that nobody sets; never below 0."""
        monotonic, boot, _ = self.spans_until(later)
        return max(0.0, min(monotonic, boot))

    def jumped(self, later: "Moment") -> bool:
        """Whether the clocks disagree on the time until then: one of them has stood still, or was
        set."""
        spans = self.spans_until(later)
        return max(spans) - min(spans) > JUMP

    def spans_until(self, later: "Moment") -> tuple[float, float, float]:
        """Seconds until then, by each clock."""
        return (
            later.monotonic - self.monotonic,
            later.boot - self.boot,
            later.wall - self.wall,
        )


def now() -> Moment:
    """This moment. The wall clock last, since only it counts a pause of the whole machine, which
    may come between any two of these lines."""
    monotonic = time.monotonic()
    boot = monotonic if BOOTTIME is None else time.clock_gettime(BOOTTIME)
    # as Moment(…), without the call that would only do this
    return tuple.__new__(Moment, (monotonic, boot, time.time()))


def wall() -> datetime:
    """What the wall clock of the system shows, in UTC."""
    return datetime.fromtimestamp(now().wall, UTC)


@dataclass(frozen=True, slots=True)
class Deadline:
    """What has to happen within `seconds` of `since`, by whichever clock that is over first."""

    since: Moment
    seconds: float

    def passed(self) -> str | None:
        """Why it must not happen any more; None while it may.

        A clock that jumped may hide how much time has passed, so that whoever relies on it has to
        prove anew that he may go on.
        """
        spans = self.since.spans_until(now())
        if (longest := max(spans)) > self.seconds:
            return f"more than {self.seconds:g} s after it was put on record"
        if longest - min(spans) > JUMP:
            return "the clocks of this machine jumped after it was put on record"
        return None


def uptime() -> int:
    """Milliseconds for which the machine is up, by the kernel's own account where it gives one: the
    same for all its processes, whatever clock somebody has put before one of them."""
    with suppress(OSError, ValueError, IndexError):
        return round(float(UPTIME.read_text().split()[0]) * 1000)
    return round(now().boot * 1000)


def boot() -> int:
    """Which boot of which machine this is: two processes for which it is the same read the same
    CLOCK_BOOTTIME. Where the system does not tell, every process is a machine of its own.

    So it is, too, where the kernel's own account (/proc/uptime) is another one than the clock's:
    somebody has put another clock before the process, or other figures into /proc.
    """
    with suppress(OSError, ValueError, IndexError):
        uptime = float(UPTIME.read_text().split()[0])
        if BOOTTIME is not None and abs(uptime - time.clock_gettime(BOOTTIME)) <= JUMP:
            names = f"{BOOT_ID.read_text().strip()} {_time_namespace()}"
            return int.from_bytes(hashlib.blake2b(names.encode(), digest_size=8).digest()) >> 2
    return THIS_PROCESS


def _time_namespace() -> str:
    """Containers may see a boot time of their own."""
    with suppress(OSError):
        return str(TIME_NAMESPACE.readlink())
    return ""
