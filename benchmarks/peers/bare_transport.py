"""The bare client with the connector's own transport: what a sync could reach at most with it."""

import asyncio

import httpx

from benchmarks.peers.bare import HEADERS, prepared, send_all
from connector.destinations.connections import Connections


async def main() -> None:
    """Send everything through the transport that the connector uses, inside httpx."""
    bodies, url = prepared()
    transport = Connections(secure=False)
    async with httpx.AsyncClient(transport=transport, trust_env=False, headers=HEADERS) as client:

        async def send(body: bytes) -> int:
            return (await client.post(url, content=body)).status_code

        await send_all(bodies, send)


asyncio.run(main())
