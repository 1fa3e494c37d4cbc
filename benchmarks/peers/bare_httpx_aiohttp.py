"""httpx over aiohttp's connections."""

import asyncio

import httpx
from httpx_aiohttp import AiohttpTransport

from benchmarks.peers.bare import CONCURRENCY, HEADERS, prepared, send_all


async def main() -> None:
    """Send everything through one client."""
    bodies, url = prepared()
    limits = httpx.Limits(max_connections=CONCURRENCY, max_keepalive_connections=CONCURRENCY)
    transport = AiohttpTransport(limits=limits)
    async with httpx.AsyncClient(transport=transport, trust_env=False, headers=HEADERS) as client:

        async def send(body: bytes) -> int:
            return (await client.post(url, content=body)).status_code

        await send_all(bodies, send)


asyncio.run(main())
