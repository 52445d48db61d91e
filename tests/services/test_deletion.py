"""Deletion on a real database: which rows, recordings and gaps are left."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress

import asyncpg
import pytest

from app.core.errors import RepairRunning
from app.domain.deletion import RowCounts, Selection
from app.domain.prices import Source, TickerKey, TimeRange
from app.domain.repairs import RepairResult
from app.postgres.database import Database
from app.repositories import recordings
from app.runtime import Runtime
from app.simulator import Exchange
from tests.repositories.rows import add_recording, store
from tests.services.price_gaps import backfilled_slots, store_with_gaps
from tests.waiting import until

BTC = TickerKey("deribit", "btc_usd")
HOUR = 3_600
TABLES = ("prices", "recordings", "unfillable", "repair_retries", "price_hours")


async def count_rows(sql: asyncpg.Connection, ticker: str) -> dict[str, int]:
    return {
        table: await sql.fetchval(f"SELECT count(*) FROM {table} WHERE ticker = $1", ticker)  # noqa: S608  # ours
        for table in TABLES
    }


async def store_reasons(sql: asyncpg.Connection, first: int, last: int, ticker: str) -> None:
    """Store a reason and a retry for a gap."""
    values = "VALUES ('deribit', $1, $2, $3, 60, "
    await sql.execute(
        f"INSERT INTO unfillable {values} 'before_chart')", ticker, first, last
    )  # ours
    await sql.execute(f"INSERT INTO repair_retries {values} 1, 0)", ticker, first, last)  # same


async def first_slots(sql: asyncpg.Connection) -> list[int]:
    """Read the first slot of every recording."""
    rows = await sql.fetch("SELECT first_slot FROM recordings ORDER BY 1")
    return [row[0] for row in rows]


async def cancel_when(
    work: Coroutine[object, object, object], condition: Callable[[], Awaitable[object]]
) -> None:
    """Start some work, and cancel it as soon as a condition holds."""
    task = asyncio.create_task(work)
    await until(condition)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def test_whole_ticker_vanishes_and_the_others_stay(
    runtime: Runtime, exchange: Exchange, sql: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.services.deletion.MAX_ROWS_PER_TRANSACTION", 7)
    newest = await store_with_gaps(sql, exchange, [10], ticker="btc_uds")
    await store_with_gaps(sql, exchange, [10], ticker="btc_usd")
    for ticker in ("btc_uds", "btc_usd"):
        await store_reasons(sql, newest - 600, newest - 600, ticker)
    counts_before = await count_rows(sql, "btc_usd")
    selection = Selection(TickerKey("deribit", "btc_uds"))
    counted = await runtime.deletion.count(selection)
    assert counted == RowCounts({"live": 50}, newest - 3_000, newest)
    assert await runtime.deletion.delete(selection) == counted
    assert await count_rows(sql, "btc_uds") == dict.fromkeys(TABLES, 0)
    assert await count_rows(sql, "btc_usd") == counts_before
    names = {summary.key.ticker for summary in await runtime.reader.list_tickers()}
    assert names == {"btc_usd", "eth_usd"}
    assert {one.key.ticker for one in await runtime.coverage.measure(TimeRange())} == {"btc_usd"}


async def test_imported_rows_go_and_the_repair_fills_what_they_kept_from_being_live(
    runtime: Runtime, exchange: Exchange, sql: asyncpg.Connection
) -> None:
    newest = await store_with_gaps(sql, exchange, range(10, 15))
    await store(sql, range(newest - 60 * 14, newest - 60 * 9, 60), source="import", price="1")
    assert await runtime.repair.run_scheduled() == RepairResult()
    deleted = await runtime.deletion.delete(Selection(BTC, source=Source.IMPORT))
    assert deleted == RowCounts({"import": 5}, newest - 60 * 14, newest - 60 * 10)
    (found,) = await runtime.coverage.measure(TimeRange(), [BTC])
    assert found.missing_by_reason() == {"pending": 5}
    assert await runtime.repair.run_scheduled() == RepairResult(filled=5)
    assert len(await backfilled_slots(sql)) == 5


async def test_promise_that_only_an_import_kept_goes_with_it(
    runtime: Runtime, exchange: Exchange, sql: asyncpg.Connection
) -> None:
    await store_with_gaps(sql, exchange, [])
    await sql.execute(
        "INSERT INTO recordings (exchange, ticker, first_slot, last_slot, interval_seconds)"
        " VALUES ('deribit', 'btc_usd', 0, 540, 60), ('deribit', 'btc_usd', 7200, 7260, 60)"
    )
    await store(sql, range(0, 540, 60), source="import")
    await store(sql, [7200])
    await store_reasons(sql, 540, 540, "btc_usd")
    await runtime.deletion.delete(Selection(BTC, source=Source.IMPORT))
    first_slots = await sql.fetch("SELECT first_slot FROM recordings ORDER BY 1")
    assert (len(first_slots), first_slots[0][0]) == (2, 7_200)
    assert not await sql.fetchval("SELECT count(*) FROM unfillable")


async def test_period_is_inclusive_and_its_slots_become_gaps(
    runtime: Runtime, exchange: Exchange, sql: asyncpg.Connection
) -> None:
    newest = await store_with_gaps(sql, exchange, [])
    span = TimeRange(newest - 600, newest - 480)
    assert (await runtime.deletion.delete(Selection(BTC, span))).rows == 3
    (found,) = await runtime.coverage.measure(TimeRange(), [BTC])
    assert [(gap.first, gap.last, gap.reason_code) for gap in found.gaps] == [
        (newest - 600, newest - 480, "pending")
    ]
    assert (await runtime.deletion.delete(Selection(BTC, span))).rows == 0


async def test_closed_recording_that_never_had_a_row_stays_with_its_reasons(
    runtime: Runtime, sql: asyncpg.Connection
) -> None:
    await add_recording(sql, 0, 540)
    await add_recording(sql, 600, 1_140)  # an outage from end to end
    await add_recording(sql, 1_200, 1_740)
    await store_reasons(sql, 600, 1_140, "btc_usd")
    for first in (0, 1_200):
        await store(sql, range(first, first + 600, 60), source="import")
    await runtime.deletion.delete(Selection(BTC, source=Source.IMPORT))
    assert await first_slots(sql) == [600]
    expected_counts = {
        "prices": 0,
        "recordings": 1,
        "unfillable": 1,
        "repair_retries": 1,
        "price_hours": 0,
    }
    assert await count_rows(sql, "btc_usd") == expected_counts


async def test_forgetting_that_was_killed_halfway_is_done_again_without_harm(
    runtime: Runtime, sql: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.services.deletion.MAX_ROWS_PER_TRANSACTION", 10)
    for first in (0, 1_200):
        await add_recording(sql, first, first + 540)
        await store(sql, range(first, first + 600, 60), source="import")
    selection = Selection(BTC, source=Source.IMPORT)
    async with sql.transaction():
        await sql.execute("SELECT FROM prices WHERE timestamp = 1200 FOR UPDATE")

        async def first_block_is_gone() -> bool:
            return (await runtime.deletion.count(selection)).first == 1_200

        await cancel_when(runtime.deletion.delete(selection), first_block_is_gone)
    assert (await runtime.deletion.delete(selection)).rows == 10
    assert await count_rows(sql, "btc_usd") == dict.fromkeys(TABLES, 0)


async def test_forgetting_that_was_killed_while_recordings_changed_is_done_again_without_harm(
    runtime: Runtime, database: Database, sql: asyncpg.Connection
) -> None:
    await add_recording(sql, 0, 540)
    await store(sql, range(0, 600, 60), source="import")
    selection = Selection(BTC, source=Source.IMPORT)

    async def is_waiting_for_the_lock() -> bool:
        waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        return bool(await sql.fetchval(waiting))

    async with database.transaction() as session:
        await recordings.lock_recordings(session)
        await cancel_when(runtime.deletion.delete(selection), is_waiting_for_the_lock)
    await runtime.deletion.delete(selection)
    assert await count_rows(sql, "btc_usd") == dict.fromkeys(TABLES, 0)


async def test_every_reader_learns_of_it(
    runtime: Runtime, exchange: Exchange, sql: asyncpg.Connection
) -> None:
    await store_with_gaps(sql, exchange, [])
    await sql.execute("TRUNCATE price_changes")
    await runtime.deletion.delete(Selection(BTC))
    assert await sql.fetchval("SELECT count(*) FROM price_changes WHERE ticker = 'btc_usd'")


async def test_repair_under_way_is_awaited_for_it_could_put_rows_back(
    runtime: Runtime, database: Database, sql: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.services.deletion.MAX_LOCK_WAIT_SECONDS", 0.3)
    await store(sql, [60])
    async with database.try_lock("prices:repair"):
        with pytest.raises(RepairRunning):
            await runtime.deletion.delete(Selection(BTC))
    assert (await runtime.deletion.delete(Selection(BTC))).rows == 1
