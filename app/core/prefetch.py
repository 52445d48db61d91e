"""Prefetching: the next item is produced while the caller uses the current one."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")


async def prefetch(produce: Callable[[], Awaitable[T | None]]) -> AsyncGenerator[T, None]:
    """Yield what `produce` returns until it returns None, keeping one call ahead of the caller."""
    upcoming = asyncio.ensure_future(produce())
    try:
        while (item := await upcoming) is not None:
            upcoming = asyncio.ensure_future(produce())
            yield item
    finally:
        upcoming.cancel()
        await asyncio.gather(upcoming, return_exceptions=True)
