"""A process that asks what a tick asks, and does nothing else; it prints JSON.

It imports nothing of the application, whose objects would burden Python's collector of cycles.
"""

import asyncio
import json
import os
import time
from typing import Final

import aiohttp

ROUNDS: Final = 15


async def measure(urls: list[str], connections: int) -> list[float]:
    """Ask all at once, several times; give how long each time took."""
    connector = aiohttp.TCPConnector(limit=connections)
    async with aiohttp.ClientSession(connector=connector) as session:

        async def ask(url: str) -> bytes:
            async with session.get(url) as answer:
                return await answer.read()

        taken = []
        for _ in range(ROUNDS + 1):
            start = time.perf_counter()
            await asyncio.gather(*map(ask, urls))
            taken.append(time.perf_counter() - start)
        return taken[1:]  # the first one connects


if __name__ == "__main__":
    method = f"{os.environ['DERIBIT_BASE_URL']}/public/get_index_price?index_name="
    asked = [method + ticker for ticker in os.environ["TICKERS"].split(",")]
    connections = int(os.environ["EXCHANGE_CONNECTIONS"])
    print(json.dumps({"seconds": asyncio.run(measure(asked, connections))}))
