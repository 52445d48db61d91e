"""Closing connections while PostgreSQL hangs, and while it does not."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from tempfile import mkdtemp

import asyncpg
import pytest
from sqlalchemy import text

from app.postgres.closing import CLOSE_GRACE_SECONDS
from app.postgres.database import Database
from app.postgres.notifications import listen_forever
from tests.conftest import Servers
from tests.postgres.restartable_servers import RestartableServer, restartable_postgres
from tests.waiting import until

POOL_SIZE = 4
MAX_SECONDS = 2 * CLOSE_GRACE_SECONDS
"""Less than it would take to wait for one connection after the other."""


@pytest.fixture
def folder(directory: Path) -> Path:
    made = Path(mkdtemp(dir=directory))
    made.chmod(0o755)
    return made


@pytest.fixture
async def server(folder: Path) -> AsyncIterator[RestartableServer]:
    async with restartable_postgres(folder) as running:
        yield running


async def require_end_in_time(task: "asyncio.Task[None]") -> None:
    ended, _ = await asyncio.wait([task], timeout=MAX_SECONDS)
    assert ended == {task}
    if not task.cancelled():
        task.exception()


async def read(database: Database, query: str) -> None:
    async with database.raw_connection() as connection:
        await connection.fetch(query)


async def fill_pool(database: Database) -> None:
    """Open every connection of the pool, so that each of them is idle."""
    await asyncio.gather(*(read(database, "SELECT pg_sleep(0.2)") for _ in range(POOL_SIZE)))


async def test_idle_connections_are_closed_in_time_while_postgresql_hangs(
    server: RestartableServer,
) -> None:
    database = Database(server.url, pool_size=POOL_SIZE)
    await fill_pool(database)
    with server.hanging():
        await require_end_in_time(asyncio.create_task(database.close()))


async def test_transaction_is_given_up_in_time_while_postgresql_hangs(
    server: RestartableServer,
) -> None:
    database = Database(server.url, pool_size=POOL_SIZE)
    is_open = asyncio.Event()

    async def stay_in_transaction() -> None:
        async with database.transaction() as session:
            await session.execute(text("SELECT 1"))
            is_open.set()
            await asyncio.Event().wait()

    work = asyncio.create_task(stay_in_transaction())
    await is_open.wait()
    with server.hanging():
        database.begin_closing()
        work.cancel()
        await require_end_in_time(work)
    await database.close()


async def test_listener_ends_in_time_while_postgresql_hangs(server: RestartableServer) -> None:
    listens = asyncio.Event()
    listener = asyncio.create_task(listen_forever(server.url, "news", listens.set))
    await listens.wait()
    with server.hanging():
        listener.cancel()
        await require_end_in_time(listener)


async def test_query_that_takes_long_is_not_cut_while_nothing_closes(
    servers: Servers, database_name: str, sql: asyncpg.Connection
) -> None:
    closed = Database(servers.database_url(database_name), pool_size=1)
    other = Database(servers.database_url(database_name), pool_size=1)
    await read(closed, "SELECT 1")
    await closed.close()
    await read(other, f"SELECT pg_sleep({CLOSE_GRACE_SECONDS + 0.5})")
    await other.close()

    async def is_gone() -> bool:
        ours = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'prices'"
        count: int = await sql.fetchval(ours + " AND datname = current_database()")
        return count == 0

    await until(is_gone)
