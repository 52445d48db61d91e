"""A crash of PostgreSQL, after which it may give the numbers of transactions a second time."""

import os
import signal
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import asyncpg
import pytest

from app.core.settings import Settings
from app.domain.changed_slots import EVERYTHING
from app.domain.price_stream import Reset, StreamPosition
from app.domain.prices import TickerKey
from app.postgres.database import Database, RawConnection
from app.repositories import cache_invalidation, new_rows
from app.repositories.cache_invalidation import Snapshot
from tests.postgres.restartable_servers import RestartableServer, migrate, restartable_postgres
from tests.repositories.rows import store
from tests.waiting import until

BTC = TickerKey("deribit", "btc_usd")


@pytest.fixture
async def server(directory: Path, settings: Settings) -> AsyncIterator[RestartableServer]:
    async with restartable_postgres(directory / "crash") as server:
        await migrate(server, settings, directory)
        yield server


async def test_readers_of_before_a_crash_take_everything_as_changed(
    server: RestartableServer,
) -> None:
    """Rolled-back transactions are not flushed: those after the crash get the same numbers."""
    database = Database(server.url, pool_size=2)
    writer = await _connect(server)
    await store(writer, [60])
    log_writer = await _pause_log_writer(writer)
    for _ in range(10):
        await writer.execute("BEGIN; SELECT pg_current_xact_id(); ROLLBACK")
    snapshot, position = await _read_now(database)
    await _crash(server, log_writer)
    writer = await _connect(server)
    await store(writer, [120])
    async with database.raw_connection() as connection:
        assert await _is_hidden(connection, snapshot), "the crash must reuse a number"
        changes = (await cache_invalidation.read_changes_since(connection, snapshot)).changes
        news = await new_rows.read_news(connection, position, [BTC], 100)
    assert changes == [EVERYTHING]
    assert isinstance(news, Reset)
    assert news.ranges == {BTC: (60, 120)}
    await writer.close()
    await database.close()


async def _connect(server: RestartableServer) -> asyncpg.Connection:
    """Connect for writes that outlast a crash, although the server is one for tests."""
    settings = {"synchronous_commit": "on"}
    return await asyncpg.connect(server.url.replace("+asyncpg", ""), server_settings=settings)


async def _read_now(database: Database) -> tuple[Snapshot, StreamPosition]:
    async with database.raw_connection() as connection:
        return (
            await cache_invalidation.read_snapshot(connection),
            await new_rows.read_current_position(connection),
        )


async def _pause_log_writer(connection: asyncpg.Connection) -> int:
    """Keep the ends of rolled-back transactions from the disk; return the paused process."""
    pid: int = await connection.fetchval(
        "SELECT pid FROM pg_stat_activity WHERE backend_type = 'walwriter'"
    )
    os.kill(pid, signal.SIGSTOP)
    return pid


async def _crash(server: RestartableServer, process: int) -> None:
    """Kill a process of the server, which then ends all others and recovers from its log."""
    witness = await _connect(server)
    os.kill(process, signal.SIGKILL)

    async def is_witness_closed() -> bool:
        return bool(witness.is_closed())

    await until(is_witness_closed)

    async def answers() -> bool:
        with suppress(asyncpg.PostgresError, OSError):
            await (await _connect(server)).close()
            return True
        return False

    await until(answers)


async def _is_hidden(connection: RawConnection, snapshot: Snapshot) -> bool:
    """Return whether a note of a new row seems to have been visible before the crash."""
    ((hidden,),) = await connection.fetch(
        "SELECT pg_visible_in_snapshot(transaction::text::xid8, $1::text::pg_snapshot) "
        "FROM price_changes WHERE first_slot = 120",
        snapshot.visible,
    )
    return bool(hidden)
