"""Repair on a real database, from the charts of a real exchange."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal

import asyncpg
import pytest

from app.core.errors import RepairRunning, TickerNotFound
from app.core.settings import Settings
from app.domain.prices import TickerKey, TimeRange
from app.domain.repairs import RepairProgress, RepairRequest, RepairResult
from app.postgres.database import Database
from app.runtime import Runtime, open_runtime
from app.simulator import Exchange, index_mean
from tests.repositories.rows import store
from tests.services.price_gaps import (
    backfilled_slots,
    current_slot,
    store_with_gaps,
    unfillable_reasons,
)
from tests.waiting import until

CHART = "get_index_chart_data"
FIVE_MINUTES = range(10, 15)
HOUR = 60
"""In slots of a minute."""


def requested_ranges(exchange: Exchange, ticker: str = "btc_usd") -> list[str]:
    """Name the chart ranges that were asked of a ticker, in their order."""
    chart_requests = [
        one for one in exchange.requests if one.method == CHART and one.index == ticker
    ]
    return [str(one.params["range"]) for one in chart_requests]


@asynccontextmanager
async def open_runtime_with(settings: Settings, **changes: object) -> AsyncIterator[Runtime]:
    """Run with other settings, as after a restart."""
    changed = Settings.model_validate({**settings.model_dump(), **changes})
    async with open_runtime(changed) as runtime:
        yield runtime


async def test_outage_of_five_minutes_is_filled_whole(
    runtime: Runtime, exchange: Exchange, sql: asyncpg.Connection
) -> None:
    newest = await store_with_gaps(sql, exchange, FIVE_MINUTES)
    assert await runtime.repair.run_scheduled() == RepairResult(filled=5)
    missing_slots = sorted(newest - 60 * distance for distance in FIVE_MINUTES)
    assert await backfilled_slots(sql) == missing_slots
    rows = await sql.fetch("SELECT * FROM prices WHERE source = 'backfill'")
    for row in rows:
        stamp, rest = divmod(row["observed_us"], 1_000_000)
        assert (rest, stamp // 60 * 60) == (0, row["timestamp"])
        assert stamp - row["timestamp"] < 6  # the earliest of ten points
        assert row["price"] == index_mean("btc_usd", stamp - 6, 6)


async def test_second_repair_adds_nothing_and_asks_nothing(
    runtime: Runtime, exchange: Exchange, sql: asyncpg.Connection
) -> None:
    await store_with_gaps(sql, exchange, FIVE_MINUTES)
    await runtime.repair.run_scheduled()
    exchange.request_log.clear()
    assert await runtime.repair.run_scheduled() == RepairResult()
    assert await runtime.repair.run_requested(RepairRequest()) == RepairResult()
    assert not exchange.requests


async def test_one_answer_fills_all_holes_of_a_range(
    runtime: Runtime, exchange: Exchange, sql: asyncpg.Connection
) -> None:
    await store_with_gaps(sql, exchange, [3, 10, 11, 30, 45])
    assert await runtime.repair.run_scheduled() == RepairResult(filled=5)
    assert requested_ranges(exchange) == ["1h"]


async def test_slots_finer_than_the_chart_are_unfillable_where_it_has_no_point(
    settings: Settings, exchange: Exchange, sql: asyncpg.Connection
) -> None:
    newest = await store_with_gaps(sql, exchange, range(20, 60), interval=2, seconds=300)
    missing_slots = [newest - 2 * distance for distance in range(20, 60)]
    in_chart = {slot for slot in missing_slots if slot % 6 == 0}
    async with open_runtime_with(settings, collect_interval_seconds=2) as runtime:
        repaired = await runtime.repair.run_scheduled()
        assert repaired == RepairResult(
            filled=len(in_chart), unfillable=len(missing_slots) - len(in_chart)
        )
        exchange.request_log.clear()
        again = await runtime.repair.run_scheduled()
    assert set(await backfilled_slots(sql)) == in_chart
    assert await unfillable_reasons(sql) == {
        slot: "chart_too_coarse" for slot in sorted(missing_slots) if slot not in in_chart
    }
    assert again == RepairResult(unfillable=len(missing_slots) - len(in_chart))
    assert not exchange.requests


async def test_forced_repair_asks_again_and_forgets_what_it_fills(
    runtime: Runtime, exchange: Exchange, sql: asyncpg.Connection
) -> None:
    old = range(26 * HOUR, 26 * HOUR + 20)
    newest = await store_with_gaps(sql, exchange, old, seconds=28 * 3_600)
    missing_slots = [newest - 60 * distance for distance in old]
    in_chart = {slot for slot in missing_slots if slot % 300 == 0}
    assert await runtime.repair.run_scheduled() == RepairResult(filled=4, unfillable=16)
    assert set(await backfilled_slots(sql)) == in_chart
    assert await unfillable_reasons(sql) == {
        slot: "chart_too_coarse" for slot in sorted(missing_slots) if slot not in in_chart
    }
    exchange.market.set_chart_steps({"2d": 120})
    assert await runtime.repair.run_requested(RepairRequest()) == RepairResult(unfillable=16)
    assert await runtime.repair.run_requested(RepairRequest(force=True)) == RepairResult(
        filled=8, unfillable=8
    )
    assert set(await unfillable_reasons(sql)) == set(missing_slots) - set(
        await backfilled_slots(sql)
    )
    assert requested_ranges(exchange) == ["2d", "2d"]


async def test_each_slot_is_asked_of_the_finest_chart_that_reaches_it(
    runtime: Runtime, exchange: Exchange, sql: asyncpg.Connection
) -> None:
    newest = await store_with_gaps(sql, exchange, range(10, 3 * HOUR), seconds=4 * 3_600)
    repaired = await runtime.repair.run_scheduled()
    assert requested_ranges(exchange) == ["1h", "1d"]
    assert repaired == RepairResult(filled=3 * HOUR - 10)
    stamps = await sql.fetch(
        "SELECT timestamp, observed_us / 1000000 FROM prices WHERE source = 'backfill'"
    )
    steps = {newest - slot < 3_000: (at - slot) % 6 for slot, at in stamps}
    assert steps == {True: 0, False: 0}


async def test_older_holes_are_asked_of_coarser_charts_only(
    runtime: Runtime, exchange: Exchange, sql: asyncpg.Connection
) -> None:
    days = 24 * HOUR
    newest = await store_with_gaps(sql, exchange, [], seconds=60)
    await sql.execute("UPDATE recordings SET first_slot = $1", newest - 60 * 800 * days)
    await store(sql, range(newest - 60 * 800 * days, newest - 60 * 400 * days, 60 * days))
    request = RepairRequest(span=TimeRange(newest - 3 * 86_400, newest - 2 * 86_400 - 3_600))
    repaired = await runtime.repair.run_requested(request)
    assert requested_ranges(exchange) == ["1m"]
    missing = len(range(newest - 3 * 86_400, newest - 2 * 86_400 - 3_600 + 1, 60))
    assert repaired.filled in {22, 23, 24}
    assert repaired == RepairResult(repaired.filled, missing - repaired.filled)


async def test_forty_eight_hours_back_is_as_far_as_the_schedule_looks(
    settings: Settings, sql: asyncpg.Connection, exchange: Exchange
) -> None:
    await store_with_gaps(sql, exchange, [10, 90, 150], seconds=4 * 3_600)
    async with open_runtime_with(settings, backfill_lookback_hours=2) as runtime:
        assert await runtime.repair.run_scheduled() == RepairResult(filled=2)
        assert await runtime.repair.run_requested(RepairRequest()) == RepairResult(filled=1)
    assert requested_ranges(exchange) == ["1h", "1d", "1d"]


async def test_ticker_that_is_no_longer_configured_is_repaired_too(
    settings: Settings, exchange: Exchange, sql: asyncpg.Connection
) -> None:
    await store_with_gaps(sql, exchange, FIVE_MINUTES, ticker="sol_usd")
    async with open_runtime_with(settings, tickers="btc_usd") as runtime:
        assert await runtime.repair.run_scheduled() == RepairResult(filled=5)
    assert len(await backfilled_slots(sql, "sol_usd")) == 5


async def test_ticker_of_an_exchange_that_is_not_configured_is_left_alone(
    runtime: Runtime, exchange: Exchange, sql: asyncpg.Connection
) -> None:
    await store_with_gaps(sql, exchange, FIVE_MINUTES)
    await sql.execute("UPDATE recordings SET exchange = 'elsewhere'")
    assert await runtime.repair.run_scheduled() == RepairResult()
    assert not exchange.requests


async def test_exchange_that_fails_for_one_ticker_leaves_the_others(
    runtime: Runtime, exchange: Exchange, sql: asyncpg.Connection
) -> None:
    await store_with_gaps(sql, exchange, FIVE_MINUTES)
    await store_with_gaps(sql, exchange, FIVE_MINUTES, ticker="eth_usd")
    fault = exchange.add_fault("html", index="eth_usd")
    assert await runtime.repair.run_scheduled() == RepairResult(
        filled=5, remaining=5, failed={"eth_usd": "exchange_unavailable"}
    )
    assert len(requested_ranges(exchange, "eth_usd")) == 1  # the next wake tries again
    exchange.faults.remove(fault.id)
    assert await runtime.repair.run_scheduled() == RepairResult(filled=5)


async def test_repair_that_was_asked_for_tries_again(
    runtime: Runtime, exchange: Exchange, sql: asyncpg.Connection
) -> None:
    await store_with_gaps(sql, exchange, FIVE_MINUTES)
    exchange.add_fault("html", times=2)
    assert await runtime.repair.run_requested(RepairRequest()) == RepairResult(filled=5)
    assert len(requested_ranges(exchange)) == 3


@pytest.mark.parametrize("fault", ["html", "stall"])
async def test_trouble_that_lasts_is_named_and_does_not_keep_others_waiting(
    runtime: Runtime, exchange: Exchange, sql: asyncpg.Connection, fault: str
) -> None:
    await store_with_gaps(sql, exchange, {3})
    exchange.add_fault(fault, method="get_index_chart_data")
    repaired = await runtime.repair.run_requested(
        RepairRequest(), seconds=14 if fault == "stall" else 1
    )
    code = {"html": "exchange_unavailable", "stall": "exchange_timeout"}[fault]
    assert (repaired.filled, repaired.remaining, repaired.failed) == (0, 1, {"btc_usd": code})


async def test_scheduled_repair_ends_with_its_budget_and_the_next_one_goes_on(
    settings: Settings, exchange: Exchange, sql: asyncpg.Connection
) -> None:
    await store_with_gaps(sql, exchange, FIVE_MINUTES, interval=2)
    fault = exchange.add_fault("stall")
    async with open_runtime_with(settings, collect_interval_seconds=2) as runtime:
        began = time.monotonic()
        repaired = await runtime.repair.run_scheduled()
        assert time.monotonic() - began < 2
        assert (repaired.filled, repaired.remaining, repaired.failed) == (0, 5, {})
        exchange.faults.remove(fault.id)
        assert (await runtime.repair.run_scheduled()).remaining == 0


async def test_live_row_is_never_changed_when_a_repair_races_it(
    runtime: Runtime, exchange: Exchange, sql: asyncpg.Connection
) -> None:
    newest = await store_with_gaps(sql, exchange, FIVE_MINUTES)
    exchange.set_delay(300)
    repair = asyncio.create_task(runtime.repair.run_scheduled())
    await until(lambda: asyncio.sleep(0, exchange.requests))
    await store(sql, [newest - 60 * 12], price="1.25")
    assert await repair == RepairResult(filled=4)
    row = await sql.fetchrow("SELECT * FROM prices WHERE timestamp = $1", newest - 60 * 12)
    assert (row["price"], row["source"]) == (Decimal("1.25"), "live")


async def test_slot_that_may_still_come_live_is_not_repaired(
    runtime: Runtime, exchange: Exchange, sql: asyncpg.Connection
) -> None:
    await store_with_gaps(sql, exchange, [])
    await sql.execute("DELETE FROM prices WHERE timestamp = $1", current_slot() - 60)
    assert await runtime.repair.run_scheduled() == RepairResult()
    assert not exchange.requests


async def test_chart_that_has_not_moved_past_a_slot_leaves_it_pending(
    runtime: Runtime, exchange: Exchange, sql: asyncpg.Connection
) -> None:
    exchange.market.set_chart_steps({"1h": 600})
    newest = await store_with_gaps(sql, exchange, range(2, 12))
    missing_slots = {newest - 60 * distance for distance in range(2, 12)}
    last_point = newest // 600 * 600
    in_chart = missing_slots & {last_point, last_point - 600}
    assert await runtime.repair.run_scheduled() == RepairResult(
        filled=len(in_chart), remaining=10 - len(in_chart)
    )
    assert await unfillable_reasons(sql) == {}


async def test_chart_stamped_over_an_hour_away_is_refused(
    runtime: Runtime, exchange: Exchange, sql: asyncpg.Connection
) -> None:
    await store_with_gaps(sql, exchange, FIVE_MINUTES)
    exchange.set_clock(2 * 3_600 * 1_000)
    repaired = await runtime.repair.run_scheduled()
    assert repaired.failed == {"btc_usd": "exchange_stamp_refused"}
    assert not await backfilled_slots(sql)
    assert not await unfillable_reasons(sql)


@pytest.mark.parametrize("off_seconds", [-1800, 1800])
async def test_chart_is_not_used_while_the_clocks_disagree(
    runtime: Runtime, exchange: Exchange, sql: asyncpg.Connection, off_seconds: int
) -> None:
    """The exchange's clock is half an hour off: ahead of the last price, or the database's is."""
    newest = await store_with_gaps(sql, exchange, FIVE_MINUTES)
    exchange.set_clock(1000 * (newest + 10 + off_seconds - time.time()))
    repaired = await runtime.repair.run_scheduled()
    assert (repaired.filled, repaired.unfillable, repaired.remaining) == (0, 0, 5)
    assert not await backfilled_slots(sql)


async def test_slot_that_the_collector_may_still_get_is_left_to_it(
    runtime: Runtime, exchange: Exchange, sql: asyncpg.Connection
) -> None:
    """The database's clock was set half an hour ahead: gaps seem to reach into the future."""
    newest = await store_with_gaps(sql, exchange, ())
    await sql.execute("UPDATE prices SET created_at = created_at - interval '30 min'")
    exchange.set_clock(1000 * (newest + 115 - time.time()))
    repaired = await runtime.repair.run_scheduled()
    assert (repaired.filled, repaired.unfillable) == (0, 0)
    assert repaired.remaining >= 27


async def test_one_repair_at_a_time_in_the_cluster(
    runtime: Runtime, exchange: Exchange, database: Database, sql: asyncpg.Connection
) -> None:
    await store_with_gaps(sql, exchange, FIVE_MINUTES)
    async with database.try_lock("prices:repair") as in_chart:
        assert in_chart
        assert await runtime.repair.run_scheduled() == RepairResult()
        with pytest.raises(RepairRunning):
            await runtime.repair.run_requested(RepairRequest(), seconds=0.3)
        assert not exchange.requests
        waiting = asyncio.create_task(runtime.repair.run_requested(RepairRequest()))
        await asyncio.sleep(0.1)
    assert await waiting == RepairResult(filled=5)


async def test_wish_narrows_ticker_and_span(
    runtime: Runtime, exchange: Exchange, sql: asyncpg.Connection
) -> None:
    newest = await store_with_gaps(sql, exchange, FIVE_MINUTES)
    await store_with_gaps(sql, exchange, FIVE_MINUTES, ticker="eth_usd")
    span = TimeRange(newest - 60 * 12, newest - 60 * 11)
    assert await runtime.repair.run_requested(
        RepairRequest("deribit", "eth_usd", span)
    ) == RepairResult(filled=2)
    assert await backfilled_slots(sql, "eth_usd") == [newest - 60 * 12, newest - 60 * 11]
    assert requested_ranges(exchange) == []


async def test_wish_for_a_ticker_that_nobody_knows_is_refused(
    runtime: Runtime, exchange: Exchange, sql: asyncpg.Connection
) -> None:
    await store_with_gaps(sql, exchange, [], ticker="sol_usd")
    for request in (
        RepairRequest(ticker="nope"),
        RepairRequest("elsewhere"),
        RepairRequest("elsewhere", "btc_usd"),
    ):
        with pytest.raises(TickerNotFound, match="deribit:btc_usd, deribit:eth_usd, deribit:sol"):
            await runtime.repair.run_requested(request)
    for request in (
        RepairRequest(),
        RepairRequest("deribit"),
        RepairRequest(ticker="eth_usd"),
        RepairRequest(ticker="sol_usd"),
    ):
        await runtime.repair.require_known_ticker(request)


async def test_every_chunk_is_reported(
    runtime: Runtime, exchange: Exchange, sql: asyncpg.Connection
) -> None:
    await store_with_gaps(sql, exchange, [10, 90], seconds=2 * 3_600)
    reports: list[RepairProgress] = []
    await runtime.repair.run_requested(RepairRequest(), on_progress=reports.append)
    assert [(one.total, one.done, one.chart, one.filled) for one in reports] == [
        (2, 0, "", 0),
        (2, 1, "1h", 1),
        (2, 2, "1d", 1),
    ]


async def test_cut_database_connections_do_not_cost_a_repair_that_was_asked_for(
    runtime: Runtime, exchange: Exchange, sql: asyncpg.Connection
) -> None:
    await store_with_gaps(sql, exchange, FIVE_MINUTES)
    exchange.set_delay(300)
    repair = asyncio.create_task(runtime.repair.run_requested(RepairRequest()))
    await until(lambda: asyncio.sleep(0, exchange.requests))
    await sql.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    assert await repair == RepairResult(filled=5)


async def test_huge_answer_is_stored_in_several_transactions(
    runtime: Runtime, exchange: Exchange, sql: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.services.repair.ticker_repair.MAX_ROWS_PER_TRANSACTION", 7)
    await store_with_gaps(sql, exchange, range(10, 40))
    assert await runtime.repair.run_scheduled() == RepairResult(filled=30)
    transactions = await sql.fetchval(
        "SELECT count(DISTINCT xmin::text) FROM prices WHERE source = 'backfill'"
    )
    assert transactions == 5


async def test_live_collection_goes_first_while_a_repair_waits(
    settings: Settings, exchange: Exchange, sql: asyncpg.Connection
) -> None:
    """Eight tickers to repair through two connections, and another worker's tick meanwhile."""
    many = [f"coin{number}_usd" for number in range(8)]
    newest = max(
        [await store_with_gaps(sql, exchange, FIVE_MINUTES, ticker=ticker) for ticker in many]
    )
    await sql.execute("UPDATE prices SET created_at = created_at - interval '60 s'")
    exchange.set_clock(1000 * (newest + 65 - time.time()))
    exchange.set_delay(100)
    changes = {
        "tickers": ",".join(many),
        "exchange_connections": 2,
        "exchange_requests_per_second": 100,
    }
    async with (
        open_runtime_with(settings, **changes) as one,
        open_runtime_with(settings, **changes) as other,
    ):
        repair = asyncio.create_task(one.repair.run_scheduled())
        await until(lambda: asyncio.sleep(0, exchange.requests))
        live = await other.collector.collect()
        repaired = await repair
    assert live.stored == many
    assert repaired == RepairResult(filled=40)
    methods = [chart_requests.method for chart_requests in exchange.requests]
    last_live = max(place for place, name in enumerate(methods) if name == "get_index_price")
    assert methods[: last_live + 1].count(CHART) <= 3


async def test_ticker_that_the_exchange_does_not_know_is_not_asked_once_it_is_taken_out(
    settings: Settings, exchange: Exchange, sql: asyncpg.Connection
) -> None:
    """Someone mistyped it, and mended the setting."""
    await store_with_gaps(sql, exchange, FIVE_MINUTES, ticker="btc_uds")
    async with open_runtime_with(settings, tickers="btc_usd") as runtime:
        assert await runtime.repair.run_scheduled() == RepairResult(unfillable=5)
        assert await runtime.repair.run_scheduled() == RepairResult(unfillable=5)
        (found,) = await runtime.coverage.measure(TimeRange(), [TickerKey("deribit", "btc_uds")])
    assert found.missing_by_reason() == {"unknown_ticker": 5}
    assert not requested_ranges(exchange, "btc_uds")
