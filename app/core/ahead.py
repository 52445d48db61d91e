"""Working ahead: the next thing is made while the last one is used."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")


async def ahead(step: Callable[[], Awaitable[T | None]]) -> AsyncGenerator[T, None]:
    """Give what a step makes, again and again until it gives None; at most one step ahead."""
    upcoming = asyncio.ensure_future(step())
    try:
        while (made := await upcoming) is not None:
            upcoming = asyncio.ensure_future(step())
            yield made
    finally:
        upcoming.cancel()
        await asyncio.gather(upcoming, return_exceptions=True)
