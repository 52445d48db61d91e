"""One tick, on a real database and against a real exchange."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from decimal import Decimal
from functools import partial

import asyncpg
import pytest
from redis.asyncio import Redis

from app.core.batch_writer import BatchWriter
from app.core.busy_members import BusyMembers
from app.core.clocks import ExtrapolatedClock
from app.core.retry import Retrier
from app.core.settings import Settings
from app.domain.prices import TickerKey
from app.domain.timestamp_checks import ExchangeClock
from app.postgres.database import Database
from app.redis.process_reports import FAILURES_KEY, TickReports
from app.repositories.late_prices import ObservedPrice
from app.runtime import Runtime, open_runtime
from app.services.collector import CollectionResult
from app.services.collector.blocked_writes import BlockedWriteReporter
from app.services.collector.ticker_tick import TickContext, TickerTick
from app.simulator import Exchange
from tests.conftest import set_phase
from tests.waiting import until

BTC = ("deribit", "btc_usd")
BOTH = ["btc_usd", "eth_usd"]


def requests_by_ticker(exchange: Exchange) -> Counter[str | None]:
    return Counter(request.index for request in exchange.requests)


def has_in_flight(exchange: Exchange, requests: int) -> Callable[[], Awaitable[bool]]:
    async def is_reached() -> bool:
        return bool(exchange.request_log.summary()["max_in_flight"] >= requests)

    return is_reached


@asynccontextmanager
async def open_runtime_with(settings: Settings, **changes: object) -> AsyncIterator[Runtime]:
    """Run with other settings, as after a restart."""
    changed = Settings.model_validate({**settings.model_dump(), **changes})
    async with open_runtime(changed) as runtime:
        yield runtime


async def test_committed_tick_is_seen_by_another_connection(
    runtime: Runtime, sql: asyncpg.Connection
) -> None:
    assert await runtime.collector.collect() == CollectionResult(stored=BOTH)
    rows = await sql.fetch("SELECT exchange, ticker, source FROM prices ORDER BY ticker")
    assert [tuple(row) for row in rows] == [("deribit", ticker, "live") for ticker in BOTH]


async def test_price_is_stored_digit_by_digit_in_the_slot_of_the_exchanges_stamp(
    runtime: Runtime, exchange: Exchange, sql: asyncpg.Connection
) -> None:
    exchange.market.pin("btc_usd", "60123.456789")
    await runtime.collector.collect()
    row = await sql.fetchrow("SELECT * FROM prices WHERE ticker = 'btc_usd'")
    request = next(item for item in exchange.requests if item.index == "btc_usd")
    assert request.us_out is not None
    assert row["price"] == Decimal("60123.456789")
    assert row["observed_us"] == request.us_out
    assert row["timestamp"] == request.us_out // 60_000_000 * 60


async def test_question_after_the_last_moment_still_has_a_grace(
    runtime: Runtime, exchange: Exchange
) -> None:
    """As of a tick that waited for the end of its slot, which is the tick's end, too."""
    exchange.set_delay(100)
    collector = runtime.collector
    retrier = Retrier(0, first_wait_seconds=0.1, max_wait_seconds=0.1)
    database_clock = ExtrapolatedClock(round(runtime.now() * 1_000_000))
    reports = TickReports(runtime.redis, 60)
    reporter = BlockedWriteReporter(runtime.database, reports, [TickerKey(*BTC)], 60)
    batch_writer = BatchWriter[ObservedPrice](
        partial(collector._store, retrier, {}, database_clock, reporter), 1
    )
    clocks = {"deribit": ExchangeClock()}
    context = TickContext(60, retrier, 5, batch_writer, clocks, database_clock, BusyMembers(1))
    tick = TickerTick(TickerKey(*BTC), runtime.exchanges["deribit"], context)
    async with asyncio.TaskGroup() as group:
        group.create_task(batch_writer.run())
        group.create_task(tick.run(None))
    assert (tick.stored, tick.failure) == (1, None)


async def test_collect_twice_stores_one_row_and_asks_once(
    runtime: Runtime, exchange: Exchange, sql: asyncpg.Connection
) -> None:
    await runtime.collector.collect()
    assert await runtime.collector.collect() == CollectionResult(already=BOTH)
    assert requests_by_ticker(exchange) == {"btc_usd": 1, "eth_usd": 1}
    assert await sql.fetchval("SELECT count(*) FROM prices") == 2


async def test_tick_that_finds_another_at_work_ends_without_a_request(
    runtime: Runtime, settings: Settings, database: Database, exchange: Exchange
) -> None:
    async with database.try_lock("prices:tick:0/1") as held, open_runtime_with(settings) as other:
        assert held
        assert await other.collector.collect() == CollectionResult()
    assert not exchange.requests
    assert await runtime.collector.collect() == CollectionResult(stored=BOTH)


async def test_collection_that_waits_counts_what_the_other_stored_as_already_there(
    runtime: Runtime, settings: Settings, exchange: Exchange
) -> None:
    exchange.set_delay(300)
    async with open_runtime_with(settings) as other:
        first = asyncio.create_task(runtime.collector.collect())
        await until(has_in_flight(exchange, 2))
        assert await other.collector.collect(wait=True) == CollectionResult(already=BOTH)
        assert await first == CollectionResult(stored=BOTH)
    assert requests_by_ticker(exchange) == {"btc_usd": 1, "eth_usd": 1}


async def test_only_what_failed_is_asked_again_and_the_rest_is_stored_at_once(
    runtime: Runtime, exchange: Exchange, sql: asyncpg.Connection
) -> None:
    fault = exchange.add_fault("error", code=10028, index="eth_usd")
    tick = asyncio.create_task(runtime.collector.collect())
    await until(lambda: sql.fetchval("SELECT 1 FROM prices WHERE ticker = 'btc_usd'"))
    assert not await sql.fetchval("SELECT 1 FROM prices WHERE ticker = 'eth_usd'")
    assert not tick.done()
    exchange.faults.remove(fault.id)
    assert await tick == CollectionResult(stored=BOTH)
    assert requests_by_ticker(exchange)["btc_usd"] == 1
    assert requests_by_ticker(exchange)["eth_usd"] >= 2


async def test_what_fails_until_the_next_tick_is_reported_with_its_code(
    settings: Settings, exchange: Exchange
) -> None:
    exchange.add_fault("html", index="eth_usd")
    set_phase(exchange, 0.1, interval=2)
    async with open_runtime_with(settings, collect_interval_seconds=2) as runtime:
        result = await runtime.collector.collect()
    assert result.failed == {"eth_usd": "exchange_unavailable"}
    assert result.stored == ["btc_usd"]
    assert requests_by_ticker(exchange)["eth_usd"] > 2


async def test_error_that_will_not_pass_is_asked_once(runtime: Runtime, exchange: Exchange) -> None:
    exchange.add_fault(
        "error", code=-32602, data={"param": "index_name", "reason": "x"}, index="eth_usd"
    )
    result = await runtime.collector.collect()
    assert result == CollectionResult(
        stored=["btc_usd"], failed={"eth_usd": "exchange_unknown_index"}
    )
    assert requests_by_ticker(exchange)["eth_usd"] == 1


async def test_tick_near_an_edge_serves_both_slots(
    settings: Settings, exchange: Exchange, sql: asyncpg.Connection
) -> None:
    set_phase(exchange, 3.4, interval=4)
    async with open_runtime_with(settings, collect_interval_seconds=4) as runtime:
        assert await runtime.collector.collect() == CollectionResult(stored=BOTH)
    rows = await sql.fetch("SELECT timestamp FROM prices WHERE ticker = 'btc_usd' ORDER BY 1")
    first, second = (row[0] for row in rows)
    assert second - first == 4
    assert requests_by_ticker(exchange) == {"btc_usd": 2, "eth_usd": 2}


async def test_answer_stamped_before_the_edge_that_was_waited_for_is_asked_again(
    settings: Settings, exchange: Exchange, sql: asyncpg.Connection
) -> None:
    set_phase(exchange, 3.4, interval=4)
    async with open_runtime_with(
        settings, collect_interval_seconds=4, tickers="btc_usd"
    ) as runtime:
        tick = asyncio.create_task(runtime.collector.collect())
        await until(lambda: sql.fetchval("SELECT 1 FROM prices"))
        exchange.add_fault("stamp", off_seconds=-0.3, times=1)
        assert (await tick).stored == ["btc_usd"]
    assert await sql.fetchval("SELECT count(*) FROM prices") == 2
    assert len(exchange.requests) == 3


async def test_stamp_over_an_hour_away_is_refused(settings: Settings, exchange: Exchange) -> None:
    exchange.set_clock(2 * 3600 * 1000)
    async with open_runtime_with(settings, collect_interval_seconds=2) as runtime:
        result = await runtime.collector.collect()
    assert result.failed == dict.fromkeys(BOTH, "exchange_stamp_refused")


async def test_single_wrong_stamp_is_asked_again_and_poisons_nothing(
    settings: Settings, exchange: Exchange, sql: asyncpg.Connection
) -> None:
    set_phase(exchange, 3.4, interval=4)
    async with open_runtime_with(
        settings, collect_interval_seconds=4, tickers="btc_usd"
    ) as runtime:
        tick = asyncio.create_task(runtime.collector.collect())
        await until(lambda: sql.fetchval("SELECT 1 FROM prices"))
        exchange.add_fault("stamp", off_seconds=3000, times=1)
        assert await tick == CollectionResult(stored=["btc_usd"])
    timestamps = [row[0] for row in await sql.fetch("SELECT timestamp FROM prices ORDER BY 1")]
    assert timestamps == [timestamps[0], timestamps[0] + 4]
    assert len(exchange.requests) == 3


async def test_first_answer_of_all_is_doubted_when_it_is_far_from_the_databases_clock(
    runtime: Runtime, exchange: Exchange, sql: asyncpg.Connection
) -> None:
    exchange.add_fault("stamp", off_seconds=3000, times=1, index="btc_usd")
    assert await runtime.collector.collect() == CollectionResult(stored=BOTH)
    assert requests_by_ticker(exchange) == {"btc_usd": 2, "eth_usd": 1}
    assert await sql.fetchval("SELECT count(DISTINCT timestamp) FROM prices") == 1


async def test_stamps_that_do_not_agree_are_refused_and_asked_again(
    runtime: Runtime, exchange: Exchange, sql: asyncpg.Connection
) -> None:
    for off_seconds in (3000, 1000):
        exchange.add_fault("stamp", off_seconds=off_seconds, times=1, index="btc_usd")
    assert await runtime.collector.collect() == CollectionResult(stored=BOTH)
    assert requests_by_ticker(exchange)["btc_usd"] == 3
    assert await sql.fetchval("SELECT count(DISTINCT timestamp) FROM prices") == 1


@pytest.mark.parametrize("off_seconds", [-1800, 1800])
async def test_exchange_that_no_clock_of_ours_agrees_with_is_believed_after_a_minute(
    settings: Settings, exchange: Exchange, sql: asyncpg.Connection, off_seconds: int
) -> None:
    exchange.set_clock(1000 * off_seconds)
    async with open_runtime_with(settings, collect_interval_seconds=2) as runtime:
        assert await _is_refused(runtime)
        await sql.execute(
            "UPDATE exchange_clocks SET doubted_since_us = doubted_since_us - 60 * 1000000"
        )
        assert await runtime.collector.collect() == CollectionResult(stored=BOTH)
    assert await sql.fetchval("SELECT count(DISTINCT ticker) FROM prices") == 2


async def test_row_created_in_the_clocks_future_tells_nothing_and_the_exchange_is_asked(
    runtime: Runtime, exchange: Exchange, sql: asyncpg.Connection
) -> None:
    await runtime.collector.collect()
    await sql.execute("UPDATE prices SET created_at = now() + interval '90 s'")
    assert await runtime.collector.collect() == CollectionResult(already=BOTH)
    assert requests_by_ticker(exchange) == {"btc_usd": 2, "eth_usd": 2}


async def test_backfilled_slot_is_left_as_it_is(
    runtime: Runtime, exchange: Exchange, sql: asyncpg.Connection
) -> None:
    await runtime.collector.collect()
    await sql.execute("UPDATE prices SET source = 'backfill', price = 1")
    assert await runtime.collector.collect() == CollectionResult(already=BOTH)
    assert await sql.fetchval("SELECT sum(price) FROM prices") == 2
    assert requests_by_ticker(exchange) == {"btc_usd": 2, "eth_usd": 2}


async def test_cut_database_connections_do_not_cost_the_slot(
    runtime: Runtime, exchange: Exchange, sql: asyncpg.Connection
) -> None:
    exchange.set_delay(400)
    tick = asyncio.create_task(runtime.collector.collect())
    await until(has_in_flight(exchange, 2))
    await sql.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    await tick
    assert await sql.fetchval("SELECT count(*) FROM prices") == 2


async def test_all_tickers_of_a_tick_are_asked_at_the_same_time(
    settings: Settings, exchange: Exchange
) -> None:
    exchange.set_delay(100)
    many_tickers = ",".join(f"coin{number}_usd" for number in range(20))
    limits = {"exchange_connections": 20, "exchange_requests_per_second": 100}
    async with open_runtime_with(settings, tickers=many_tickers, **limits) as runtime:
        result = await runtime.collector.collect()
    assert len(result.stored) == 20
    assert exchange.request_log.summary()["max_in_flight"] == 20


async def test_shares_split_the_tickers_without_overlap(
    settings: Settings, exchange: Exchange
) -> None:
    many_tickers = [f"coin{number}_usd" for number in range(7)]
    async with open_runtime_with(settings, tickers=",".join(many_tickers)) as runtime:
        results = [await runtime.collector.collect(shard, 3) for shard in range(3)]
    assert sorted(ticker for result in results for ticker in result.stored) == many_tickers
    assert set(requests_by_ticker(exchange).values()) == {1}


async def test_recordings_follow_the_configuration(
    settings: Settings, sql: asyncpg.Connection
) -> None:
    async def recordings() -> list[tuple[str, int, bool]]:
        rows = await sql.fetch(
            "SELECT ticker, interval_seconds, last_slot IS NULL FROM recordings"
            " ORDER BY ticker, first_slot, interval_seconds DESC"
        )
        return [tuple(row) for row in rows]

    async with open_runtime_with(settings) as runtime:
        await runtime.collector.collect()
    assert await recordings() == [("btc_usd", 60, True), ("eth_usd", 60, True)]
    async with open_runtime_with(settings, tickers="btc_usd") as runtime:
        await runtime.collector.collect()
    assert await recordings() == [("btc_usd", 60, True), ("eth_usd", 60, False)]
    async with open_runtime_with(settings) as runtime:
        await runtime.collector.collect()
    assert await recordings() == [("btc_usd", 60, True), ("eth_usd", 60, True)]


async def test_recording_begins_no_later_than_its_first_live_row(
    runtime: Runtime, exchange: Exchange, sql: asyncpg.Connection
) -> None:
    set_phase(exchange, 10 - 120)
    assert await runtime.collector.collect() == CollectionResult(stored=BOTH)
    rows = await sql.fetch(
        "SELECT first_slot, timestamp FROM recordings JOIN prices USING (exchange, ticker)"
    )
    assert [first for first, _ in rows] == [timestamp for _, timestamp in rows]


async def test_ticker_that_the_exchange_does_not_list_is_named_and_collected_all_the_same(
    settings: Settings,
) -> None:
    async with open_runtime_with(settings, tickers="btc_usd,nonsense_usd") as runtime:
        assert await runtime.collector.unknown_tickers() == [TickerKey("deribit", "nonsense_usd")]
        assert (await runtime.collector.collect()).stored == ["btc_usd", "nonsense_usd"]


async def test_defect_in_one_ticker_leaves_the_others_alone(
    runtime: Runtime, exchange: Exchange, sql: asyncpg.Connection
) -> None:
    await sql.execute("ALTER TABLE prices ADD CHECK (ticker <> 'eth_usd') NOT VALID")
    exchange.add_fault("error", code=10040, index="eth_usd", times=1)
    result = await runtime.collector.collect()
    assert result == CollectionResult(stored=["btc_usd"], failed={"eth_usd": "internal_error"})


@pytest.mark.accept
async def test_exchange_down_for_20_seconds_within_a_minute_leaves_the_minute_filled(
    runtime: Runtime, exchange: Exchange, sql: asyncpg.Connection
) -> None:
    set_phase(exchange, 5)
    exchange.add_fault("down", seconds=20)
    assert await runtime.collector.collect() == CollectionResult(stored=BOTH)
    rows = await sql.fetch("SELECT timestamp, observed_us FROM prices")
    assert {row["timestamp"] for row in rows} == {rows[0]["observed_us"] // 60_000_000 * 60}
    assert all(row["observed_us"] / 1e6 - row["timestamp"] < 45 for row in rows)


async def test_tickers_whose_turn_comes_too_late_fail_before_the_next_tick(
    settings: Settings, exchange: Exchange
) -> None:
    many_tickers = ",".join(f"coin{number}_usd" for number in range(30))
    set_phase(exchange, 0.1, interval=2)
    changes = {"collect_interval_seconds": 2, "exchange_requests_per_second": 10}
    async with open_runtime_with(settings, tickers=many_tickers, **changes) as runtime:
        result = await runtime.collector.collect()
    assert 20 <= len(result.stored) < 30
    assert set(result.failed.values()) == {"exchange_timeout"}


@pytest.mark.parametrize("off_seconds", [-1800, 1800])
async def test_jump_of_the_exchanges_clock_is_not_believed_and_ends_when_it_does(
    settings: Settings, exchange: Exchange, sql: asyncpg.Connection, off_seconds: int
) -> None:
    exchange.set_clock()
    async with open_runtime_with(settings, collect_interval_seconds=2) as runtime:
        assert await runtime.collector.collect() == CollectionResult(stored=BOTH)
        exchange.set_clock(1000 * off_seconds)
        await until(lambda: _is_refused(runtime))
    async with open_runtime_with(settings, collect_interval_seconds=2) as restarted:
        assert await _is_refused(restarted)
        exchange.set_clock()
        await until(lambda: _collects(restarted))
    timestamps = [row[0] for row in await sql.fetch("SELECT timestamp FROM prices ORDER BY 1")]
    assert timestamps[-1] - timestamps[0] < 600


async def test_exchange_that_kept_its_pace_is_believed_though_the_databases_clock_was_set(
    settings: Settings, exchange: Exchange, sql: asyncpg.Connection
) -> None:
    """Rows created half an hour ago by a clock that was set ahead since; another process asks."""
    set_phase(exchange, 0.1, interval=2)
    async with open_runtime_with(settings, collect_interval_seconds=2) as runtime:
        await runtime.collector.collect()
    await sql.execute("UPDATE prices SET created_at = created_at - interval '30 min'")
    before = await sql.fetchval("SELECT count(*) FROM prices")
    async with open_runtime_with(settings, collect_interval_seconds=2) as runtime:
        await until(lambda: _collects(runtime))
    assert await sql.fetchval("SELECT count(*) FROM prices") >= before + 2


async def _is_refused(runtime: Runtime) -> bool:
    result = await runtime.collector.collect()
    return result.failed == dict.fromkeys(BOTH, "exchange_stamp_refused")


async def _collects(runtime: Runtime) -> bool:
    return bool((await runtime.collector.collect()).stored)


async def test_ticker_whose_slot_ends_a_little_later_is_served_by_the_same_tick(
    settings: Settings, exchange: Exchange, sql: asyncpg.Connection
) -> None:
    """One is within the window of 2 s, and its tick keeps the lock; the other is not yet."""
    set_phase(exchange, 6.1, interval=8)
    slot = int(time.time()) // 8 * 8
    for ticker, left in (("btc_usd", 1.9), ("eth_usd", 3.6)):
        await sql.execute(
            "INSERT INTO prices"
            " VALUES ('deribit', $1, $2::bigint, 1, ($2 + 8 - $3::float) * 1e6, 'live')",
            ticker,
            slot,
            left,
        )
    async with open_runtime_with(settings, collect_interval_seconds=8) as runtime:
        assert await runtime.collector.collect() == CollectionResult(stored=BOTH)


async def test_wait_that_the_exchange_asks_for_is_kept_between_ticks_and_by_other_workers(
    settings: Settings, exchange: Exchange
) -> None:
    exchange.add_fault("error", code=10028, data={"wait": 600}, times=1)
    async with open_runtime_with(settings, tickers="btc_usd") as one:
        first = await one.collector.collect()
    assert first.failed == {"btc_usd": "exchange_rate_limited"}
    async with open_runtime_with(settings, tickers="btc_usd") as other:
        assert (await other.collector.collect()).failed == first.failed
    assert len(exchange.requests) == 1


async def test_exchange_clock_that_cannot_be_saved_changes_no_outcome(
    runtime: Runtime, exchange: Exchange, sql: asyncpg.Connection, redis: Redis
) -> None:
    await sql.execute("""
        CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN RAISE 'no' USING ERRCODE = 'disk_full'; END $$;
        CREATE TRIGGER refused BEFORE INSERT ON exchange_clocks EXECUTE FUNCTION refuse()
    """)
    try:
        exchange.add_fault("error", code=-32602, data={"param": "index_name"}, index="eth_usd")
        result = await runtime.collector.collect()
    finally:
        await sql.execute("DROP FUNCTION refuse CASCADE")
    assert result.stored == ["btc_usd"]
    assert list(result.failed) == ["eth_usd"]
    assert list(await redis.hgetall(FAILURES_KEY)) == ["deribit:eth_usd"]
    assert requests_by_ticker(exchange)["btc_usd"] <= 2
