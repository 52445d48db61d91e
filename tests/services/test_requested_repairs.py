"""Requested repairs: carried out in slices, so that collection never waits for one."""

import json
import time
from dataclasses import replace

import asyncpg
import pytest
from redis.asyncio import Redis

from app.domain.prices import TimeRange
from app.domain.repairs import QueuedRepair, RepairRequest, RepairResult
from app.postgres.database import Database
from app.redis.repair_queue import QUEUE_KEY
from app.runtime import Runtime, open_runtime
from app.simulator import Exchange
from tests.repositories.rows import add_recording
from tests.services.price_gaps import backfilled_slots, store_with_gaps
from tests.services.test_repair import CHART, FIVE_MINUTES, open_runtime_with, requested_ranges

SLICE_SECONDS = 1.5


async def fetch_results(runtime: Runtime) -> dict[str, RepairResult | None]:
    return {one.id: one.result for one in await runtime.repair_queue.all()}


async def run_until_ended(runtime: Runtime) -> int:
    """Serve until every requested repair has its result; count the slices."""
    for number in range(1, 60):
        assert await runtime.repair.run_queue_slice()
        if all((await fetch_results(runtime)).values()):
            return number
    raise AssertionError("it does not end")


async def test_requested_repair_ends_in_one_slice_where_the_exchange_answers(
    runtime: Runtime, exchange: Exchange, sql: asyncpg.Connection
) -> None:
    newest = await store_with_gaps(sql, exchange, FIVE_MINUTES)
    await store_with_gaps(sql, exchange, FIVE_MINUTES, ticker="eth_usd")
    span = TimeRange(newest - 60 * 12, newest - 60 * 11)
    await runtime.repair_queue.add(QueuedRepair("one", RepairRequest(ticker="btc_usd", span=span)))
    await runtime.repair_queue.add(QueuedRepair("all", RepairRequest()))
    assert await run_until_ended(runtime) == 1
    assert await fetch_results(runtime) == {
        "one": RepairResult(filled=2),
        "all": RepairResult(filled=8),
    }


async def test_slice_of_a_stalled_chart_ends_with_the_window_and_a_later_one_goes_on(
    runtime: Runtime, exchange: Exchange, sql: asyncpg.Connection
) -> None:
    settings = runtime.settings.model_copy(update={"collect_interval_seconds": 6})
    await store_with_gaps(sql, exchange, FIVE_MINUTES, interval=6)
    fault = exchange.add_fault("stall", method=CHART)
    async with open_runtime(settings) as quick:
        for name in "abc":
            await quick.repair_queue.add(QueuedRepair(name, RepairRequest()))
        began = time.monotonic()
        assert await quick.repair.run_queue_slice()
        assert time.monotonic() - began < 2 * SLICE_SECONDS
        assert not any((await fetch_results(quick)).values())
        exchange.faults.remove(fault.id)
        await run_until_ended(quick)
        found = [one for one in (await fetch_results(quick)).values() if one]
    assert sum(one.filled for one in found) == 5
    assert not any(one.failed or one.remaining for one in found)
    assert len(await backfilled_slots(sql)) == 5


async def test_ticker_whose_trouble_lasts_is_given_up_and_the_others_are_repaired(
    runtime: Runtime,
    exchange: Exchange,
    sql: asyncpg.Connection,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("app.services.repair.service.MAX_TROUBLE_SECONDS", 1.0)
    await store_with_gaps(sql, exchange, FIVE_MINUTES)
    await store_with_gaps(sql, exchange, FIVE_MINUTES, ticker="eth_usd")
    exchange.add_fault("html", index="btc_usd", method=CHART)
    settings = runtime.settings.model_copy(update={"collect_interval_seconds": 2})
    async with open_runtime(settings) as quick:
        await quick.repair_queue.add(QueuedRepair("one", RepairRequest()))
        assert await run_until_ended(quick) > 1
        assert await fetch_results(quick) == {
            "one": RepairResult(filled=5, remaining=5, failed={"btc_usd": "exchange_unavailable"})
        }


async def test_forced_repair_asks_every_ticker_once_however_many_slices_it_takes(
    runtime: Runtime, exchange: Exchange, sql: asyncpg.Connection
) -> None:
    await sql.execute(
        "INSERT INTO recordings (exchange, ticker, first_slot, last_slot, interval_seconds)"
        " VALUES ('deribit', 'btc_usd', 86400, 86520, 60), ('deribit', 'eth_usd', 86400, 86520, 60)"
    )
    fault = exchange.add_fault("stall", method=CHART, index="eth_usd")
    settings = runtime.settings.model_copy(update={"collect_interval_seconds": 4})
    await runtime.repair_queue.add(QueuedRepair("one", RepairRequest(force=True)))
    async with open_runtime(settings) as quick:
        await quick.repair.run_queue_slice()
        exchange.faults.remove(fault.id)
        assert await run_until_ended(quick) >= 1
        assert await fetch_results(quick) == {"one": RepairResult(unfillable=6)}
    assert requested_ranges(exchange) == ["all"]


async def test_repair_under_way_elsewhere_keeps_nobody_waiting(
    runtime: Runtime, exchange: Exchange, database: Database, sql: asyncpg.Connection
) -> None:
    await store_with_gaps(sql, exchange, FIVE_MINUTES)
    await runtime.repair_queue.add(QueuedRepair("one", RepairRequest(ticker="eth_usd")))
    async with database.try_lock("prices:repair") as held:
        assert held
        assert not await runtime.repair.run_queue_slice()
        assert await runtime.repair.run_scheduled() == RepairResult()
        assert not exchange.requests
    assert await runtime.repair.run_queue_slice()
    assert len(await backfilled_slots(sql)) == 5, "the schedule's repair is made up for"


async def test_repairs_share_the_time_whoever_came_first(
    runtime: Runtime, exchange: Exchange, sql: asyncpg.Connection
) -> None:
    async with open_runtime_with(runtime.settings, collect_interval_seconds=2) as quick:
        await store_with_gaps(sql, exchange, FIVE_MINUTES, interval=2)
        exchange.add_fault("stall", method=CHART)
        for name in ("first", "second"):
            await quick.repair_queue.add(QueuedRepair(name, RepairRequest()))
        for _ in range(4):
            await quick.repair.run_queue_slice()
        spent = [one.seconds for one in await quick.repair_queue.all()]
    assert min(spent) > max(spent) / 3


async def test_request_that_breaks_ends_alone_and_the_others_are_carried_out(
    runtime: Runtime, exchange: Exchange, sql: asyncpg.Connection
) -> None:
    await store_with_gaps(sql, exchange, FIVE_MINUTES)
    beyond_postgres = RepairRequest(span=TimeRange(2**70))
    for name, request in {
        "broken": beyond_postgres,
        "one": RepairRequest(),
        "two": RepairRequest(),
    }.items():
        await runtime.repair_queue.add(QueuedRepair(name, request))
    await run_until_ended(runtime)
    found = await fetch_results(runtime)
    assert found.pop("broken") == RepairResult(failed={"*": "internal_error"})
    assert sum(one.filled for one in found.values() if one) == 5
    assert not any(one.failed for one in found.values() if one)


async def test_trouble_of_a_slice_counts_for_the_request_that_was_worked_on_alone(
    runtime: Runtime, sql: asyncpg.Connection
) -> None:
    for name in ("first", "second"):
        await runtime.repair_queue.add(QueuedRepair(name, RepairRequest()))
    await add_recording(sql, 60)
    await sql.execute("ALTER TABLE recordings RENAME TO kept")
    await sql.execute(  # locks can be had, and whoever reads the recordings loses the connection
        "CREATE VIEW recordings AS SELECT * FROM kept WHERE pg_terminate_backend(pg_backend_pid())"
    )
    async with open_runtime_with(runtime.settings, collect_interval_seconds=2) as quick:
        assert await quick.repair.run_queue_slice()
        spent = {one.id: one.seconds > 0 for one in await quick.repair_queue.all()}
    assert spent == {"first": True, "second": False}


async def test_lost_database_costs_a_request_nothing(runtime: Runtime) -> None:
    away = {"database_url": "postgresql+asyncpg://nobody@127.0.0.1:1/none"}
    queued = QueuedRepair("one", RepairRequest(), number=1, seconds=119.9)
    await runtime.repair_queue.add(queued)
    before = await runtime.repair_queue.all()
    async with open_runtime_with(runtime.settings, collect_interval_seconds=2, **away) as cut_off:
        assert await cut_off.repair.run_queue_slice()
    assert await runtime.repair_queue.all() == before
    await run_until_ended(runtime)
    assert await fetch_results(runtime) == {"one": RepairResult()}


async def test_late_save_brings_back_no_request_and_changes_no_result(runtime: Runtime) -> None:
    for name in ("removed", "ended"):
        await runtime.repair_queue.add(QueuedRepair(name, RepairRequest()))
    read_before = await runtime.repair_queue.all()
    await runtime.repair_queue.remove(["removed"])
    (ended,) = await runtime.repair_queue.all()
    await runtime.repair_queue.save(replace(ended, result=RepairResult(filled=5)))
    for stale in read_before:
        await runtime.repair_queue.save(replace(stale, seconds=15))
    assert await fetch_results(runtime) == {"ended": RepairResult(filled=5)}


async def test_progress_is_kept_whole(runtime: Runtime) -> None:
    request = RepairRequest("deribit", "btc_usd", TimeRange(None, 60), force=True)
    await runtime.repair_queue.add(QueuedRepair("one", request))
    (queued,) = await runtime.repair_queue.all()
    after = replace(
        queued,
        since_us=1_768_579_200_000_001,
        seconds=0.1,
        filled=3,
        settled=frozenset({"deribit:btc_usd"}),
        trouble_seconds={"deribit:eth_usd": 1.5},
        failed={"deribit:eth_usd": "exchange_timeout"},
    )
    await runtime.repair_queue.save(after)
    assert await runtime.repair_queue.all() == [after]
    ended = replace(after, result=RepairResult(1, 2, 3, {"eth_usd": "exchange_timeout"}))
    await runtime.repair_queue.save(ended)
    assert await runtime.repair_queue.all() == [ended]


async def test_a_version_before_can_read_what_is_queued(runtime: Runtime, redis: Redis) -> None:
    await runtime.repair_queue.add(QueuedRepair("one", RepairRequest("deribit", force=True)))
    assert json.loads(await redis.hget(QUEUE_KEY, "one") or "") == {
        "id": "one",
        "wish": {"exchange": "deribit", "ticker": None, "span": [None, None], "force": True},
        "number": 1,
        "since_us": None,
        "seconds": 0.0,
        "filled": 0,
        "settled": [],
        "trouble_seconds": {},
        "failed": {},
        "result": None,
    }


WITHOUT_RESULT = (
    '{"wish": {"exchange": null, "ticker": null, "span": [null, null], "force": false}}'
)


@pytest.mark.parametrize("text", ["{", "[]", '{"id": "bad"}', '{"wish": 1}', WITHOUT_RESULT])
async def test_request_that_cannot_be_read_ends_and_hinders_no_other(
    runtime: Runtime, redis: Redis, text: str
) -> None:
    await runtime.repair_queue.add(QueuedRepair("good", RepairRequest()))
    await redis.hset(QUEUE_KEY, "bad", text)
    await run_until_ended(runtime)
    unreadable = RepairResult(failed={"*": "internal_error"})
    assert await fetch_results(runtime) == {"good": RepairResult(), "bad": unreadable}


async def test_request_with_more_fields_than_are_known_is_carried_out(
    runtime: Runtime, redis: Redis
) -> None:
    await runtime.repair_queue.add(QueuedRepair("one", RepairRequest(ticker="btc_usd")))
    written = json.loads(await redis.hget(QUEUE_KEY, "one") or "")
    written["wish"]["later"] = written["later"] = 1
    await redis.hset(QUEUE_KEY, "one", json.dumps(written))
    (queued,) = await runtime.repair_queue.all()
    assert (queued.request, queued.result) == (RepairRequest(ticker="btc_usd"), None)


async def test_repair_that_is_queued_twice_is_carried_out_once(runtime: Runtime) -> None:
    for request in (RepairRequest(force=True), RepairRequest()):
        await runtime.repair_queue.add(QueuedRepair("one", request))
    (queued,) = await runtime.repair_queue.all()
    assert queued.request == RepairRequest(force=True)


async def test_one_message_at_a_time_calls_a_worker(runtime: Runtime) -> None:
    assert [await runtime.repair_queue.mark_message_pending() for _ in range(3)] == [
        True,
        False,
        False,
    ]
    await runtime.repair_queue.clear_message_pending()
    assert await runtime.repair_queue.mark_message_pending()
