"""Ways to see from outside whether a process is ready, or still alive."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

Probe = Callable[[], Awaitable[bool]]

PROBE_SECONDS = 2.0
_FAILURES = (OSError, EOFError, ValueError)  # TimeoutError is an OSError


async def answers(probe: Probe, within_seconds: float = PROBE_SECONDS) -> bool:
    """Ask a probe; an error or no answer in time is a no."""
    try:
        async with asyncio.timeout(within_seconds):
            return await probe()
    except _FAILURES:
        return False


async def until(probe: Probe, every_seconds: float = 0.05) -> None:
    """Ask a probe again and again until it says yes."""
    while not await answers(probe):  # noqa: ASYNC110  nobody over there can set an event here
        await asyncio.sleep(every_seconds)


class Heartbeat:
    """A file that a living process keeps touching; only its change counts, never its time."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._seen = self._look()

    async def __call__(self) -> bool:
        """Say whether the file changed since the last call."""
        seen, self._seen = self._seen, self._look()
        return self._seen is not None and self._seen != seen

    def _look(self) -> tuple[int, int, int] | None:
        try:
            stat = self._file.stat()
        except FileNotFoundError:
            return None
        return stat.st_ino, stat.st_mtime_ns, stat.st_size


def http_ok(url: str) -> Probe:
    """Return a probe that asks a URL and expects status 200."""
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or 80
    request = f"GET {parts.path or '/'} HTTP/1.0\r\nHost: {parts.netloc}\r\n\r\n".encode()

    async def probe() -> bool:
        async with _connection(host, port) as (reader, writer):
            writer.write(request)
            status_line = await reader.readline()
        return status_line.split()[1:2] == [b"200"]

    return probe


def redis_pong(port: int, host: str = "127.0.0.1") -> Probe:
    """Return a probe that sends PING to a Redis without a password."""

    async def probe() -> bool:
        async with _connection(host, port) as (reader, writer):
            writer.write(b"PING\r\n")
            return await reader.readline() == b"+PONG\r\n"

    return probe


@asynccontextmanager
async def _connection(
    host: str, port: int
) -> "AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]":
    reader, writer = await asyncio.open_connection(host, port)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()
