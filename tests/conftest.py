"""Real servers for every test: a PostgreSQL and a Valkey per pytest worker, a database per test."""

import gc
import os
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from redis.asyncio import Redis
from sqlalchemy import event

from app.core.gc_tuning import tune_gc
from app.core.metrics import drain
from app.core.settings import Settings
from app.embedded.servers import EmbeddedServers, embedded_servers
from app.postgres.database import Database
from app.runtime import Runtime, open_runtime
from app.simulator import Exchange, ExchangeOptions
from tests.database_pool import DatabasePool


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Collect no garbage while tests are imported; then tune the collector as the services do."""
    gc.disable()
    try:
        return (yield)
    finally:
        tune_gc()
        gc.enable()


@dataclass(frozen=True, slots=True)
class Servers:
    """Running servers, with a migrated database to copy."""

    embedded: EmbeddedServers

    @property
    def redis_url(self) -> str:
        return self.embedded.redis_url

    def database_url(self, name: str) -> str:
        return self.embedded.database_url.replace("/prices?", f"/{name}?")

    def plain_url(self, name: str = "prices") -> str:
        """Give a database's URL as asyncpg and psql take it."""
        return self.database_url(name).replace("+asyncpg", "")


@pytest.fixture(scope="session")
def directory() -> Iterator[Path]:
    """A short-lived directory that PostgreSQL's own user may enter."""
    path = Path(tempfile.mkdtemp(prefix="prices-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="session")
def servers(directory: Path) -> Iterator[Servers]:
    with embedded_servers(directory, fast=True, max_connections=200) as embedded:
        servers = Servers(embedded)
        # Celery's application is made at import, from the environment
        os.environ["REDIS_URL"] = servers.redis_url
        os.environ["DATABASE_URL"] = servers.database_url("prices")
        from app.postgres.schema_version import migrate  # noqa: PLC0415  # reads the environment

        migrate()
        yield servers


@pytest.fixture(scope="session")
def database_pool(servers: Servers) -> Iterator[DatabasePool]:
    with closing(DatabasePool(servers.plain_url())) as pool:
        yield pool


@pytest.fixture
def database_name(database_pool: DatabasePool) -> Iterator[str]:
    """A migrated, empty database of the test's own."""
    with database_pool.database() as name:
        yield name


@pytest.fixture
async def database(servers: Servers, database_name: str) -> AsyncIterator[Database]:
    opened = Database(servers.database_url(database_name), pool_size=5)
    yield opened
    await opened.close()


@pytest.fixture
def statements(database: Database) -> Iterator[list[str]]:
    """Every statement that is sent to the database under test from now on."""
    seen: list[str] = []

    def record_statement(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        seen.append(statement)

    def record_raw_statements(connection: Any, _: object) -> None:  # noqa: ANN401  # asyncpg's
        connection.driver_connection.add_query_logger(lambda logged: seen.append(logged.query))

    engine = database._engine.sync_engine
    event.listen(engine, "before_cursor_execute", record_statement)
    event.listen(engine, "connect", record_raw_statements)
    yield seen
    event.remove(engine, "before_cursor_execute", record_statement)
    event.remove(engine, "connect", record_raw_statements)


@pytest.fixture
async def sql(servers: Servers, database_name: str) -> AsyncIterator[asyncpg.Connection]:
    """A connection of the test's own, independent of the application's pool."""
    connection = await asyncpg.connect(servers.plain_url(database_name))
    yield connection
    await connection.close()


@pytest.fixture
async def redis(servers: Servers) -> AsyncIterator[Redis]:
    """An empty Redis; counters of this process that would be flushed to it are dropped first."""
    drain()
    client = Redis.from_url(servers.redis_url, decode_responses=True)
    await client.flushdb()
    yield client
    await client.aclose()


@pytest.fixture
async def exchange() -> AsyncIterator[Exchange]:
    """The simulated exchange, with its clock ten seconds into a minute."""
    async with Exchange(ExchangeOptions(any_index=True)) as running:
        set_phase(running, 10)
        yield running


def set_phase(exchange: Exchange, seconds: float, interval: int = 60) -> None:
    """Set the exchange's clock to so many seconds into a slot."""
    exchange.set_clock(1000 * (seconds - time.time() % interval))


@pytest.fixture
def settings(
    servers: Servers,
    database_name: str,
    redis: Redis,  # noqa: ARG001  # emptied
    exchange: Exchange,
) -> Settings:
    """Settings of a service that collects from the simulated exchange."""
    return Settings(
        database_url=servers.database_url(database_name),
        redis_url=servers.redis_url,
        deribit_base_url=exchange.api_url,
        collect_interval_seconds=60,
        api_keys="right-key",
    )


@pytest.fixture
async def runtime(settings: Settings) -> AsyncIterator[Runtime]:
    async with open_runtime(settings, pool_size=5) as opened:
        yield opened
