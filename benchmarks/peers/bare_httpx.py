"""httpx with its own pool, tuned: kept connections, as many as requests, no proxy settings."""

import asyncio

import httpx

from benchmarks.peers.bare import CONCURRENCY, HEADERS, prepared, send_all


async def main() -> None:
    """Send everything through one client."""
    bodies, url = prepared()
    limits = httpx.Limits(max_connections=CONCURRENCY, max_keepalive_connections=CONCURRENCY)
    async with httpx.AsyncClient(limits=limits, trust_env=False, headers=HEADERS) as client:

        async def send(body: bytes) -> int:
            return (await client.post(url, content=body)).status_code

        await send_all(bodies, send)


asyncio.run(main())
