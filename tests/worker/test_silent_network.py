"""A network that drops what is sent and says nothing: no connection ends, and no answer comes."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import pytest
from pydantic import SecretStr
from redis.asyncio import Redis

from app.core.settings import Settings
from app.simulator import Exchange
from tests.conftest import Servers, set_phase
from tests.processes import Processes
from tests.worker.test_worker_ends import INTERVAL, wait_for_new_price


class SilentProxy:
    """Passes connections on to Redis, until those that are open fall silent for good."""

    def __init__(self) -> None:
        self.url = ""
        self._open: set[asyncio.Event] = set()

    def silence(self) -> None:
        """Drop all that is sent from now on over the connections that are open."""
        for silenced in self._open:
            silenced.set()

    @asynccontextmanager
    async def running(self, target: str) -> AsyncIterator["SilentProxy"]:
        """Listen as long as the block runs."""
        port = int(target.rpartition(":")[2].partition("/")[0])
        tasks: set[asyncio.Task[None]] = set()
        writers: set[asyncio.StreamWriter] = set()

        async def copy(
            reader: asyncio.StreamReader, writer: asyncio.StreamWriter, silenced: asyncio.Event
        ) -> None:
            while chunk := await reader.read(65_536):
                if not silenced.is_set():
                    writer.write(chunk)
            if not silenced.is_set():
                writer.close()

        async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            answers, requests = await asyncio.open_connection("127.0.0.1", port)
            writers.update({writer, requests})
            silenced = asyncio.Event()
            self._open.add(silenced)
            tasks.add(asyncio.create_task(copy(reader, requests, silenced)))
            tasks.add(asyncio.create_task(copy(answers, writer, silenced)))

        server = await asyncio.start_server(forward, "127.0.0.1", 0)
        self.url = f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}/0"
        try:
            yield self
        finally:
            server.close()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for one in writers:
                one.transport.abort()
            await server.wait_closed()


@pytest.fixture
async def proxy(servers: Servers, redis: Redis) -> AsyncIterator[SilentProxy]:  # noqa: ARG001  # emptied
    async with SilentProxy().running(servers.redis_url) as proxy:
        yield proxy


@pytest.fixture
def processes(settings: Settings, proxy: SilentProxy, tmp_path: Path) -> Iterator[Processes]:
    changes = {"collect_interval_seconds": INTERVAL, "redis_url": SecretStr(proxy.url)}
    with Processes(settings.model_copy(update=changes), tmp_path) as started:
        yield started


@pytest.mark.accept
async def test_connections_that_fall_silent_end_no_collection(
    processes: Processes, proxy: SilentProxy, exchange: Exchange, sql: asyncpg.Connection
) -> None:
    """As behind a firewall that forgot them."""
    set_phase(exchange, 0.2, interval=INTERVAL)
    worker = processes.worker()
    processes.beat()
    await wait_for_new_price(worker, sql)
    proxy.silence()
    await wait_for_new_price(worker, sql)  # of a tick that had begun
    await wait_for_new_price(worker, sql)
    await wait_for_new_price(worker, sql)
