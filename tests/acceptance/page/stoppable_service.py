"""A whole service whose processes and servers a test stops and starts again."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncpg

from app.core.settings import Settings
from app.supervisor.ports import free_port
from tests.acceptance.page.service import until_it_answers
from tests.postgres.restartable_servers import (
    RestartableServer,
    restartable_postgres,
    restartable_valkey,
)
from tests.processes import Process, Processes

INTERVAL = 5
"""A price is stale after two of it."""


@dataclass
class StoppableService:
    """Its API, worker, beat and exchange run only while a test wants them."""

    url: str
    postgres: RestartableServer
    valkey: RestartableServer
    processes: Processes
    exchange_port: int
    api: Process | None = None
    exchange: Process | None = None
    worker: Process | None = None
    beat: Process | None = None

    async def start_api(self) -> None:
        self.api = self.processes.start("app", "api")
        await until_it_answers(self.url)

    async def stop_api(self) -> None:
        await _stop(self.api)
        self.api = None

    def start_exchange(self) -> None:
        port = str(self.exchange_port)
        self.exchange = self.processes.start("app", "exchange", "--any-index", "--port", port)

    async def stop_exchange(self) -> None:
        await _stop(self.exchange)
        self.exchange = None

    def start_worker(self) -> None:
        self.worker = self.processes.worker()

    async def stop_worker(self) -> None:
        await _stop(self.worker)
        self.worker = None

    async def forget_everything(self) -> None:
        """Make the service as new: nothing is stored, and nothing collects."""
        await self.stop_worker()
        sql = await asyncpg.connect(self.postgres.url.replace("+asyncpg", ""))
        await sql.execute("TRUNCATE prices, recordings")
        await sql.close()

    async def run_everything(self) -> None:
        """Start what does not run."""
        if self.api is None:
            await self.start_api()
        if self.exchange is None:
            self.start_exchange()
        if self.worker is None:
            self.start_worker()
        if self.beat is None:
            self.beat = self.processes.beat()


async def _stop(process: Process | None) -> None:
    if process is not None:
        await asyncio.to_thread(process.stop)


@asynccontextmanager
async def stoppable_service(directory: Path) -> AsyncIterator[StoppableService]:
    """Servers with a migrated, empty database, and an API; nothing collects yet."""
    async with (
        restartable_postgres(directory) as postgres,
        restartable_valkey(directory) as valkey,
    ):
        port, exchange_port = free_port(), free_port()
        settings = Settings(
            database_url=postgres.url,
            redis_url=valkey.url,
            deribit_base_url=f"http://127.0.0.1:{exchange_port}/api/v2",
            collect_interval_seconds=INTERVAL,
            api_port=port,
        )
        with Processes(settings, directory) as processes:
            migration = processes.start("alembic", "upgrade", "head")
            assert await asyncio.to_thread(migration.popen.wait, 60) == 0, migration.output
            service = StoppableService(
                f"http://127.0.0.1:{port}", postgres, valkey, processes, exchange_port
            )
            await service.start_api()
            yield service
