"""Beat ends when it is told to, also while it waits for its broker."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import psutil  # type: ignore[import-untyped]  # it ships no types
import pytest
from pydantic import SecretStr
from redis.asyncio import Redis

from app.core.settings import Settings
from tests.clients.socket_servers import copy_stream
from tests.conftest import Servers
from tests.processes import Processes
from tests.waiting import until

TOO_LONG_SECONDS = 4
"""Less than a read from the broker may take, after which beat would look at the clock again."""


class HangingBroker:
    """A relay to Valkey that can drop tasks, so that the sender waits for an answer forever."""

    def __init__(self) -> None:
        self.url = ""
        self._drops_tasks = False
        self._has_dropped = asyncio.Event()

    async def drop_next_task(self) -> None:
        """Drop all tasks from now on, and wait for the first one."""
        self._drops_tasks = True
        await self._has_dropped.wait()

    @asynccontextmanager
    async def running(self, target: str) -> AsyncIterator["HangingBroker"]:
        port = int(target.rpartition(":")[2].partition("/")[0])

        async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            answers, requests = await asyncio.open_connection("127.0.0.1", port)
            answer_copier = asyncio.create_task(copy_stream(answers, writer))
            while chunk := await reader.read(65_536):
                if self._drops_tasks and b"LPUSH" in chunk:
                    self._has_dropped.set()
                else:
                    requests.write(chunk)
            requests.close()
            await answer_copier

        async with await asyncio.start_server(forward, "127.0.0.1", 0) as server:
            self.url = f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}/0"
            yield self


async def _is_sleeping(process: psutil.Process) -> bool:
    return bool(process.status() == psutil.STATUS_SLEEPING)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_beat_that_waits_for_its_broker_ends_when_told(
    settings: Settings, servers: Servers, redis: Redis, tmp_path: Path, number: signal.Signals
) -> None:
    """Celery's handler closes the connection and raises; redis-py's read then fails otherwise."""
    async with HangingBroker().running(servers.redis_url) as broker:
        changes = {
            "celery_broker_url": SecretStr(broker.url),
            "collect_interval_seconds": 2,
        }
        with Processes(settings.model_copy(update=changes), tmp_path) as processes:
            beat = processes.beat()
            await until(lambda: redis.exists("celery"), 40)
            await broker.drop_next_task()
            await until(partial(_is_sleeping, psutil.Process(beat.popen.pid)))
            beat.popen.send_signal(number)
            exit_code = await asyncio.to_thread(beat.popen.wait, TOO_LONG_SECONDS)
            assert exit_code == 0, beat.output
