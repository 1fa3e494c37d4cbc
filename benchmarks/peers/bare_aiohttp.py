"""aiohttp alone."""

import asyncio

import aiohttp

from benchmarks.peers.bare import CONCURRENCY, HEADERS, prepared, send_all


async def main() -> None:
    """Send everything through one session."""
    bodies, url = prepared()
    connector = aiohttp.TCPConnector(limit=CONCURRENCY)
    async with aiohttp.ClientSession(connector=connector, headers=HEADERS) as session:

        async def send(body: bytes) -> int:
            async with session.post(url, data=body) as response:
                await response.read()
                return response.status

        await send_all(bodies, send)


asyncio.run(main())
