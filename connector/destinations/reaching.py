"""A socket that is connected to a host, whichever of its addresses takes it first (RFC 8305).

asyncio can do that itself, but whoever gives up while it does may leave a connection behind that
nobody closes: it drops the socket that has just been connected, until garbage is collected.
"""

import asyncio
import socket
from collections.abc import Iterable
from functools import partial
from itertools import chain, zip_longest
from typing import Any

NEXT_ADDRESS = 0.25
"""Seconds until the next address is tried beside one that does not answer."""
Address = tuple[Any, ...]
"""Family, type and protocol of a socket, a name, and what it connects to, as getaddrinfo has it."""


async def reached(host: str, port: int) -> socket.socket:
    """The socket. Raises OSError, of the first address, where no address takes it; whoever is
    cancelled leaves none behind."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    race = Race()
    try:
        for address in in_turns(found):
            race.begin(address)
            if winner := await race.first(NEXT_ADDRESS):
                return winner
        while race.under_way:
            if winner := await race.first():
                return winner
    finally:
        race.end()
    raise race.errors[0] if race.errors else OSError(f"{host} has no address")


class Race:
    """Sockets that are being connected side by side."""

    def __init__(self) -> None:
        self.under_way = dict[asyncio.Task[None], socket.socket]()
        self.errors = list[OSError]()

    def begin(self, address: Address) -> None:
        """Try this one, too."""
        family, kind, protocol, _, place = address
        try:
            sock = socket.socket(family, kind, protocol)
        except OSError as error:  # a machine without IPv6, say
            self.errors.append(error)
            return
        sock.setblocking(False)
        connecting = asyncio.get_running_loop().sock_connect(sock, place)
        self.under_way[asyncio.create_task(connecting)] = sock

    async def first(self, within: float | None = None) -> socket.socket | None:
        """One that is connected; None where none is within that many seconds, or all have failed
        that have ended."""
        if not self.under_way:
            return None
        first = asyncio.FIRST_COMPLETED
        ended, _ = await asyncio.wait(self.under_way, timeout=within, return_when=first)
        for task in ended:
            if (error := task.exception()) is None:
                return self.under_way.pop(task)
            if not isinstance(error, OSError):
                raise error
            self.errors.append(error)
            self.under_way.pop(task).close()
        return None

    def end(self) -> None:
        """Give up all that are still here. Waits for nothing: whoever is waited for can be
        cancelled, and would leave behind who has won."""
        for task, sock in self.under_way.items():
            task.cancel()
            task.add_done_callback(partial(_over, sock))


def _over(sock: socket.socket, task: asyncio.Task[None]) -> None:
    """Its task has ended, so that the loop has let go of the socket."""
    sock.close()
    if not task.cancelled():
        task.exception()  # it is of no use, and asyncio need not tell of it


def in_turns(found: Iterable[Address]) -> Iterable[Address]:
    """One address of each family, then the next of each (RFC 8305, section 4)."""
    families = dict[int, list[Address]]()
    for address in found:
        families.setdefault(address[0], []).append(address)
    return (each for each in chain(*zip_longest(*families.values())) if each is not None)
