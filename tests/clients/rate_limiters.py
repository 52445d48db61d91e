"""Rate limiters as workers open them, and a relay to Valkey that can be cut."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, TypeAlias

from app.redis.client import open_redis
from app.redis.rate_limiter import DistributedRateLimiter
from tests.clients.socket_servers import copy_stream

TIMEOUT_SECONDS = 20
"""Only so that a defect fails instead of hanging."""
MakeLimiter: TypeAlias = Callable[..., DistributedRateLimiter]


@asynccontextmanager
async def open_limiters(redis_url: str) -> AsyncIterator[MakeLimiter]:
    """Opens limiters, each on its own connection; they admit everything unless limits are given."""
    async with AsyncExitStack() as stack:

        def open_limiter(url: str = redis_url, **limits: float) -> DistributedRateLimiter:
            client = open_redis(url)
            stack.push_async_callback(client.aclose)
            chosen_limits: dict[str, Any] = {
                "rate": 100_000,
                "permits": 1_000,
                "lease_seconds": 30,
                **limits,
            }
            limiter = DistributedRateLimiter(client, "test", **chosen_limits)
            stack.push_async_callback(limiter.close)
            return limiter

        yield open_limiter


async def wait_for_waiters(limiter: DistributedRateLimiter, number: int) -> None:
    while len(limiter._queue.waiting) < number:  # noqa: ASYNC110  # no event tells of it
        await asyncio.sleep(0)


async def acquire_and_release(limiter: DistributedRateLimiter) -> None:
    async with asyncio.timeout(TIMEOUT_SECONDS), limiter.acquire():
        await asyncio.sleep(0)


async def cancel_all(*tasks: "asyncio.Task[None]") -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


class TcpRelay:
    """A TCP relay to Valkey that can be closed and opened again."""

    def __init__(self, url: str) -> None:
        self._target = int(url.rpartition(":")[2].partition("/")[0])
        self._writers: list[asyncio.StreamWriter] = []
        self._server: asyncio.Server | None = None
        self.port = 0
        self.is_silent = False

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._forward, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def cut(self) -> None:
        if self._server is not None:
            self._server.close()
        for writer in self._writers:
            writer.close()
        self._writers.clear()
        await asyncio.sleep(0)

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server_reader, server_writer = await asyncio.open_connection("127.0.0.1", self._target)
        self._writers += [writer, server_writer]
        if self.is_silent:
            return
        await asyncio.gather(copy_stream(reader, server_writer), copy_stream(server_reader, writer))
