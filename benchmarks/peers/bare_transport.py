"""The connector's own connections, bare: what a sync could reach at most with them."""

import asyncio

from benchmarks.peers.bare import HEADERS, prepared, send_all
from connector.destinations.answers import Request
from connector.destinations.connections import Connections


async def main() -> None:
    """Send everything through the connections that the connector uses."""
    bodies, url = prepared()
    connections, headers = Connections(url, 10, 60), tuple(HEADERS.items())

    async def send(body: bytes) -> int:
        request = Request("POST", "", headers, body)
        return (await connections.exchange(request, lambda: None)).status_code

    await send_all(bodies, send)
    await connections.aclose()


asyncio.run(main())
