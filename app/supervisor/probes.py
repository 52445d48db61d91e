"""Probes: ways to see from outside whether a process is ready, or still alive."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

Probe = Callable[[], Awaitable[bool]]

PROBE_TIMEOUT_SECONDS = 2.0
POLL_SECONDS = 0.05
_FAILURES = (OSError, EOFError, ValueError)  # TimeoutError is an OSError


async def probe_succeeds(probe: Probe) -> bool:
    """Run a probe once; an error counts as a failure, and so does no answer in time."""
    try:
        async with asyncio.timeout(PROBE_TIMEOUT_SECONDS):
            return await probe()
    except _FAILURES:
        return False


async def wait_for_probe(probe: Probe) -> None:
    """Run a probe again and again until it succeeds."""
    while not await probe_succeeds(probe):  # noqa: ASYNC110  # another process can't set an event
        await asyncio.sleep(POLL_SECONDS)


class HeartbeatProbe:
    """Succeeds if a heartbeat file changed since the last call; its time does not matter."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._last_version = self._version()

    async def __call__(self) -> bool:
        """Return whether the file changed since the last call."""
        previous, self._last_version = self._last_version, self._version()
        return self._last_version is not None and self._last_version != previous

    def _version(self) -> tuple[int, int, int] | None:
        try:
            stat = self._file.stat()
        except FileNotFoundError:
            return None
        return stat.st_ino, stat.st_mtime_ns, stat.st_size


def http_probe(url: str) -> Probe:
    """Return a probe that GETs a URL and expects status 200."""
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or 80
    request = f"GET {parts.path or '/'} HTTP/1.0\r\nHost: {parts.netloc}\r\n\r\n".encode()

    async def probe() -> bool:
        async with _connection(host, port) as (reader, writer):
            writer.write(request)
            status_line = await reader.readline()
        return status_line.split()[1:2] == [b"200"]

    return probe


def redis_probe(port: int, host: str = "127.0.0.1") -> Probe:
    """Return a probe that sends PING to a Redis without a password."""

    async def probe() -> bool:
        async with _connection(host, port) as (reader, writer):
            writer.write(b"PING\r\n")
            return await reader.readline() == b"+PONG\r\n"

    return probe


@asynccontextmanager
async def _connection(
    host: str, port: int
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection(host, port)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()
