"""A write that waited too long: the slot was declared due, and its price comes as backfill."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass

import asyncpg
import pytest
from structlog.testing import capture_logs

from app.core.metrics import drain
from app.core.settings import Settings
from app.domain.health import Failure
from app.domain.prices import TickerKey, TimeRange
from app.postgres.database import Database
from app.redis.process_reports import read_process_reports
from app.runtime import Runtime, open_runtime
from app.services.collector import CollectionResult
from app.services.coverage import CoverageService
from app.simulator import Exchange
from tests.conftest import Servers, set_phase
from tests.services.test_collector import open_runtime_with
from tests.waiting import until

INTERVAL = 4
BTC = TickerKey("deribit", "btc_usd")
LOCKS = {
    "all of the prices": "LOCK TABLE prices IN ACCESS EXCLUSIVE MODE",
    "writes of prices": "LOCK TABLE prices IN SHARE MODE",
    "summaries": "LOCK TABLE price_hours IN SHARE MODE",
    "notes of changes": "LOCK TABLE price_changes IN SHARE MODE",
}
_WAITING_WRITE = """
SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%INSERT INTO prices%'
AND datname = current_database()
"""
_ROWS = "SELECT source, timestamp, observed_us, price FROM prices ORDER BY timestamp"


@dataclass
class BlockedTick:
    """A tick whose write waits for a lock."""

    runtime: Runtime
    tick: asyncio.Task[CollectionResult]


@pytest.fixture
async def lock_connection(
    servers: Servers, database_name: str
) -> AsyncIterator[asyncpg.Connection]:
    """A connection that holds locks, apart from the one that observes the waiting sessions."""
    connection = await asyncpg.connect(servers.plain_url(database_name))
    yield connection
    await connection.close()


def write_is_waiting(sql: asyncpg.Connection) -> Callable[[], Awaitable[object]]:
    return lambda: sql.fetchval(_WAITING_WRITE)


@pytest.fixture
async def blocked_tick(
    settings: Settings,
    exchange: Exchange,
    sql: asyncpg.Connection,
    lock_connection: asyncpg.Connection,
) -> AsyncIterator[BlockedTick]:
    """A tick that recorded one slot, and whose write of the next one waits for a lock.

    The lock must be taken within 0.8 s, so its connection is opened before the tick begins.
    """
    await lock_connection.fetchval("SELECT 1")
    async with open_runtime_with(
        settings, collect_interval_seconds=INTERVAL, tickers="btc_usd"
    ) as runtime:
        drain()
        set_phase(exchange, 0.8 * INTERVAL, INTERVAL)
        tick = asyncio.create_task(runtime.collector.collect())
        await until(lambda: sql.fetchval("SELECT 1 FROM prices"))
        yield BlockedTick(runtime, tick)


async def wait_until_due(exchange: Exchange) -> None:
    """Wait until the slot of the exchange's newest answer is due, by its own clock."""
    answer_us = max(request.us_out or 0 for request in exchange.requests)
    began = time.monotonic()
    due = (answer_us // 1_000_000 // INTERVAL + 1.5) * INTERVAL
    await until(lambda: asyncio.sleep(0, answer_us / 1e6 + time.monotonic() - began > due))


@pytest.mark.parametrize("lock", LOCKS.values(), ids=LOCKS.keys())
async def test_price_that_is_written_after_its_slot_was_declared_due_is_stored_as_backfill(
    blocked_tick: BlockedTick,
    exchange: Exchange,
    sql: asyncpg.Connection,
    lock_connection: asyncpg.Connection,
    lock: str,
) -> None:
    async with lock_connection.transaction():
        await lock_connection.execute(lock)
        await until(write_is_waiting(sql))
        await wait_until_due(exchange)
    assert (await blocked_tick.tick).stored == ["btc_usd"]
    rows = await sql.fetch(_ROWS)
    assert [row["source"] for row in rows][:2] == ["live", "backfill"]
    assert rows[1]["observed_us"] in [request.us_out for request in exchange.requests]
    assert rows[1]["observed_us"] // 1_000_000 // INTERVAL * INTERVAL == rows[1]["timestamp"]
    counted = {(name, *values): number for (name, values), number in drain().items()}
    assert counted["prices_late",] == counted["prices_rows_stored", "backfill"] == 1
    assert counted["prices_rows_stored", "live"] == len(rows) - 1


async def test_gap_that_was_counted_and_a_candle_that_was_closed_get_no_live_price(
    blocked_tick: BlockedTick,
    exchange: Exchange,
    sql: asyncpg.Connection,
    lock_connection: asyncpg.Connection,
    database: Database,
) -> None:
    """What waits here has been written, and is not committed yet."""
    service = CoverageService(database)
    async with lock_connection.transaction():
        await lock_connection.execute(LOCKS["summaries"])
        await until(write_is_waiting(sql))
        await wait_until_due(exchange)
        (coverage,) = await service.measure(TimeRange(), [BTC])
        assert coverage.gaps
    await blocked_tick.tick
    (later,) = await service.measure(
        TimeRange(coverage.gaps[0].first, coverage.gaps[-1].last), [BTC]
    )
    assert (later.slot_counts.live, later.slot_counts.backfilled) == (0, 1)


async def test_price_that_waited_for_a_moment_only_is_live(
    blocked_tick: BlockedTick, sql: asyncpg.Connection, lock_connection: asyncpg.Connection
) -> None:
    async with lock_connection.transaction():
        await lock_connection.execute(LOCKS["summaries"])
        await until(write_is_waiting(sql))
    assert (await blocked_tick.tick).stored == ["btc_usd"]
    assert {row["source"] for row in await sql.fetch(_ROWS)} == {"live"}


async def test_health_gives_the_reason_while_only_writes_are_blocked(
    blocked_tick: BlockedTick, lock_connection: asyncpg.Connection, sql: asyncpg.Connection
) -> None:
    runtime = blocked_tick.runtime

    async def recorded_failures() -> Mapping[str, Failure]:
        return (await read_process_reports(runtime.redis)).failures

    with capture_logs() as events:
        async with lock_connection.transaction():
            await lock_connection.execute("LOCK TABLE prices IN SHARE ROW EXCLUSIVE MODE")
            await until(write_is_waiting(sql))
            await until(recorded_failures)
            failure = (await recorded_failures())[str(BTC)]
            holder = lock_connection.get_server_pid()
        await blocked_tick.tick
    assert failure.code == "database_blocked"
    assert "waits for another session's lock" in failure.detail
    blocked = [event for event in events if event["event"] == "write_blocked"]
    assert f"pid {holder}," in blocked[0]["blocked_by"][0]
    assert not await recorded_failures(), "what was stored is no failure"


async def test_write_that_ends_while_it_is_blocked_fails_for_that_reason(
    settings: Settings, exchange: Exchange, lock_connection: asyncpg.Connection
) -> None:
    """PostgreSQL is there: it must not be said to be away."""
    set_phase(exchange, 0.1, INTERVAL)
    changes = {"collect_interval_seconds": INTERVAL, "tickers": ("btc_usd",)}
    async with lock_connection.transaction():
        await lock_connection.execute("LOCK TABLE prices IN SHARE ROW EXCLUSIVE MODE")
        async with open_runtime(
            settings.model_copy(update=changes), lock_wait_seconds=INTERVAL / 2
        ) as runtime:
            result = await runtime.collector.collect()
    assert result.failed == {"btc_usd": "database_blocked"}
