"""A write that waited too long: the slot was declared due, and its price comes as backfill."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import TypeAlias

import asyncpg
import pytest
from structlog.testing import capture_logs

from app.core.metrics import drain
from app.core.settings import Settings
from app.domain.gaps import Gap
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

INTERVAL = 6
MAINTENANCE = 11051
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
_ROWS = "SELECT source, timestamp, observed_us, price, created_at FROM prices ORDER BY timestamp"


@dataclass
class BlockedTick:
    """A tick whose write waits for a lock of the session `lock_holder_pid`."""

    runtime: Runtime
    tick: asyncio.Task[CollectionResult]
    lock_holder_pid: int


BlockTick: TypeAlias = Callable[[str], AbstractAsyncContextManager[BlockedTick]]


@pytest.fixture
async def block_tick(
    settings: Settings,
    exchange: Exchange,
    sql: asyncpg.Connection,
    servers: Servers,
    database_name: str,
) -> AsyncIterator[BlockTick]:
    """Hold a lock while a block runs; a tick's write, that of the second slot, waits for it."""
    lock_connection = await asyncpg.connect(servers.plain_url(database_name))

    @asynccontextmanager
    async def block(lock: str) -> AsyncIterator[BlockedTick]:
        set_phase(exchange, 0.1, INTERVAL)
        assert (await runtime.collector.collect()).stored == ["btc_usd"]
        await _wait_until_slots_passed(exchange, 1)
        exchange.add_fault("error", code=MAINTENANCE)  # so that the tick reads, and waits
        requests = len(exchange.requests)
        tick = asyncio.create_task(runtime.collector.collect())
        await until(lambda: asyncio.sleep(0, len(exchange.requests) > requests))
        async with lock_connection.transaction():
            await lock_connection.execute(lock)
            exchange.faults.clear()
            await until(lambda: sql.fetchval(_WAITING_WRITE))
            yield BlockedTick(runtime, tick, lock_connection.get_server_pid())
        await tick

    async with open_runtime_with(
        settings, collect_interval_seconds=INTERVAL, tickers="btc_usd"
    ) as runtime:
        drain()
        yield block
    await lock_connection.close()


async def wait_until_due(exchange: Exchange) -> None:
    """Wait until the slot of the exchange's newest answer is due, by its own clock."""
    await _wait_until_slots_passed(exchange, 1.5)


async def _wait_until_slots_passed(exchange: Exchange, slots: float) -> None:
    """Wait until so many intervals after the start of the newest answer's slot."""
    answer_us = max(request.us_out or 0 for request in exchange.requests)
    began = time.monotonic()
    end = (answer_us // 1_000_000 // INTERVAL + slots) * INTERVAL
    await until(lambda: asyncio.sleep(0, answer_us / 1e6 + time.monotonic() - began > end))


@pytest.mark.parametrize("lock", LOCKS.values(), ids=LOCKS.keys())
async def test_price_that_is_written_after_its_slot_was_declared_due_is_stored_as_backfill(
    block_tick: BlockTick, exchange: Exchange, sql: asyncpg.Connection, lock: str
) -> None:
    async with block_tick(lock) as blocked:
        await wait_until_due(exchange)
        waiting = await sql.fetchval("SELECT clock_timestamp()")
    assert (await blocked.tick).stored == ["btc_usd"]
    rows = await sql.fetch(_ROWS)
    assert rows[1]["created_at"] > waiting, "nobody could see it while it waited"
    assert [row["source"] for row in rows][:2] == ["live", "backfill"]
    assert rows[1]["observed_us"] in [request.us_out for request in exchange.requests]
    assert rows[1]["observed_us"] // 1_000_000 // INTERVAL * INTERVAL == rows[1]["timestamp"]
    counted = {(name, *values): number for (name, values), number in drain().items()}
    assert counted["prices_late",] == counted["prices_rows_stored", "backfill"] == 1
    assert counted["prices_rows_stored", "live"] == len(rows) - 1
    observed = {key: n for key, n in counted.items() if key[0] == "prices_lateness_seconds"}
    assert sum(n for key, n in observed.items() if key[-1] != "sum") == len(rows) - 1


async def test_gap_that_was_counted_and_a_candle_that_was_closed_get_no_live_price(
    block_tick: BlockTick, database: Database
) -> None:
    """What waits here has been written, and is not committed yet."""
    service = CoverageService(database)

    async def counted_gaps() -> Sequence[Gap]:
        (coverage,) = await service.measure(TimeRange(), [BTC])
        return coverage.gaps

    async with block_tick(LOCKS["summaries"]):
        await until(counted_gaps)
        gaps = await counted_gaps()
    (later,) = await service.measure(TimeRange(gaps[0].first, gaps[-1].last), [BTC])
    assert (later.slot_counts.live, later.slot_counts.backfilled) == (0, 1)


async def test_price_that_waited_for_a_moment_only_is_live(
    block_tick: BlockTick, sql: asyncpg.Connection
) -> None:
    async with block_tick(LOCKS["summaries"]) as blocked:
        pass
    assert (await blocked.tick).stored == ["btc_usd"]
    assert {row["source"] for row in await sql.fetch(_ROWS)} == {"live"}


async def test_health_gives_the_reason_while_only_writes_are_blocked(block_tick: BlockTick) -> None:
    with capture_logs() as events:
        async with block_tick("LOCK TABLE prices IN SHARE ROW EXCLUSIVE MODE") as blocked:
            redis = blocked.runtime.redis

            async def blocked_failure() -> Failure | None:
                failure = (await read_process_reports(redis)).failures.get(str(BTC))
                return failure if failure and failure.code == "database_blocked" else None

            await until(blocked_failure)
            failure = await blocked_failure()
    assert failure is not None
    assert "waits for another session's lock" in failure.detail
    names = [event["blocked_by"] for event in events if event["event"] == "write_blocked"]
    assert names[0][0].startswith(f"pid {blocked.lock_holder_pid}, role ")
    assert not (await read_process_reports(redis)).failures, "what was stored is no failure"


async def test_write_that_ends_while_it_is_blocked_fails_for_that_reason(
    settings: Settings, exchange: Exchange, sql: asyncpg.Connection
) -> None:
    """PostgreSQL is there: it must not be said to be away."""
    set_phase(exchange, 0.1, INTERVAL)
    changes = {"collect_interval_seconds": INTERVAL, "tickers": ("btc_usd",)}
    async with sql.transaction():
        await sql.execute("LOCK TABLE prices IN SHARE ROW EXCLUSIVE MODE")
        async with open_runtime(
            settings.model_copy(update=changes), lock_wait_seconds=INTERVAL / 2
        ) as runtime:
            result = await runtime.collector.collect()
    assert result.failed == {"btc_usd": "database_blocked"}
