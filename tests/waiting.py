"""Waiting for conditions, never for time."""

import asyncio
from collections.abc import Awaitable, Callable


async def until(condition: Callable[[], Awaitable[object]], seconds: float = 20) -> None:
    """Poll a condition until it holds; raise TimeoutError after `seconds`."""
    async with asyncio.timeout(seconds):  # nothing tells when another process is done
        while not await condition():  # noqa: ASYNC110  # same
            await asyncio.sleep(0.02)
