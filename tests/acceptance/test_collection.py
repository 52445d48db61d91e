"""Long runs of the whole collection: real Celery processes, wrong clocks, doubled tasks."""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from statistics import median

import aiohttp
import asyncpg
import pytest
from celery import Celery
from redis.asyncio import Redis

from app.core.settings import Settings
from app.redis.process_reports import read_process_reports
from app.runtime import open_runtime
from app.simulator import Exchange
from tests.conftest import Servers
from tests.processes import Processes, clock_off_by
from tests.waiting import until

pytestmark = pytest.mark.accept

INTERVAL = 2
EXACT_PRICE = "60123.456789"


@pytest.fixture
async def processes(
    settings: Settings, exchange: Exchange, tmp_path: Path
) -> AsyncIterator[Processes]:
    """Processes that collect every two seconds from an exchange whose clock is right."""
    exchange.set_clock()
    fast = settings.model_copy(update={"collect_interval_seconds": INTERVAL, "api_port": 0})
    with Processes(fast, tmp_path) as started:
        yield started


def has_slots(sql: asyncpg.Connection, slots: int) -> Callable[[], Awaitable[bool]]:
    """Return the condition that the rows span at least this many slots."""

    async def is_reached() -> bool:
        first, last = await sql.fetchrow("SELECT min(timestamp), max(timestamp) FROM prices")
        return first is not None and (last - first) // INTERVAL + 1 >= slots

    return is_reached


async def missing_slots(sql: asyncpg.Connection) -> dict[str, list[int]]:
    """Return the slots without a row between the first and the last one, by ticker."""
    rows = await sql.fetch("SELECT ticker, timestamp FROM prices ORDER BY 1, 2")
    slots_by_ticker: dict[str, list[int]] = {}
    for ticker, timestamp in rows:
        slots_by_ticker.setdefault(ticker, []).append(timestamp)
    return {
        ticker: [
            slot
            for before, after in pairwise(slots)
            for slot in range(before + INTERVAL, after, INTERVAL)
        ]
        for ticker, slots in slots_by_ticker.items()
    }


async def misplaced_rows(sql: asyncpg.Connection, exchange: Exchange) -> list[int]:
    """Return the rows whose timestamp the exchange did not send in that slot."""
    sent = {(request.index, request.us_out) for request in exchange.requests}
    rows = await sql.fetch("SELECT ticker, timestamp, observed_us FROM prices")
    return [
        timestamp
        for ticker, timestamp, stamp in rows
        if (ticker, stamp) not in sent or stamp // 1_000_000 // INTERVAL * INTERVAL != timestamp
    ]


@asynccontextmanager
async def max_connections_by_process(sql: asyncpg.Connection) -> AsyncIterator[dict[str, int]]:
    """Record the highest number of connections of each process of the service."""
    max_connections: dict[str, int] = {}

    async def poll() -> None:
        while True:
            rows = await sql.fetch(
                "SELECT application_name, count(*) FROM pg_stat_activity"
                " WHERE datname = current_database() AND application_name LIKE 'prices %'"
                " GROUP BY 1"
            )
            for name, number in rows:
                max_connections[name] = max(max_connections.get(name, 0), number)
            await asyncio.sleep(0.1)

    poller = asyncio.create_task(poll())
    try:
        yield max_connections
    finally:
        poller.cancel()
        with suppress(asyncio.CancelledError):
            await poller


@pytest.mark.parametrize("jitter_ms", [(0, 0), (-200, 50)], ids=["true-clock", "jumping-clock"])
async def test_200_ticks_in_a_row_miss_no_slot(  # noqa: PLR0913, PLR0917  # fixtures
    processes: Processes,
    exchange: Exchange,
    sql: asyncpg.Connection,
    servers: Servers,
    database_name: str,
    jitter_ms: tuple[float, float],
) -> None:
    exchange.market.pin("btc_usd", EXACT_PRICE)
    exchange.set_clock(jitter_ms=jitter_ms)
    worker = processes.worker("--max-tasks-per-child=25")
    processes.beat()
    observer = await asyncpg.connect(servers.plain_url(database_name))
    async with max_connections_by_process(observer) as max_connections:
        await until(has_slots(sql, 200), 200 * INTERVAL + 60)
    await observer.close()
    assert worker.stop() == 0
    assert await missing_slots(sql) == {"btc_usd": [], "eth_usd": []}
    assert await misplaced_rows(sql, exchange) == []
    assert not re.search("different loop|Traceback|collection_broke", worker.output)
    assert len(max_connections) > 4, "children were not recycled"
    assert max(max_connections.values()) <= 2
    prices = await sql.fetch("SELECT DISTINCT price FROM prices WHERE ticker = 'btc_usd'")
    assert [row[0] for row in prices] == [Decimal(EXACT_PRICE)]


async def test_three_beats_with_every_task_delivered_twice_store_each_slot_once(
    processes: Processes,
    exchange: Exchange,
    sql: asyncpg.Connection,
    servers: Servers,
    redis: Redis,
) -> None:
    other_redis_url = servers.redis_url.removesuffix("/0") + "/1"
    other_redis = Redis.from_url(other_redis_url)
    await other_redis.flushdb()

    async def deliver_twice() -> None:
        while True:
            if received := await other_redis.brpop(["celery"], timeout=1):
                await redis.lpush("celery", received[1], received[1])

    duplicator = asyncio.create_task(deliver_twice())
    for number in range(2):
        processes.worker(f"--hostname=worker{number}")
    for _ in range(3):
        processes.beat(env={"REDIS_URL": other_redis_url})
    await until(has_slots(sql, 61), 61 * INTERVAL + 60)
    duplicator.cancel()
    await other_redis.aclose()
    first = await sql.fetchval("SELECT min(timestamp) FROM prices")
    count = "SELECT count(*) FROM prices WHERE timestamp < $1"
    assert await sql.fetchval(count, first + 60 * INTERVAL) == 120
    assert await missing_slots(sql) == {"btc_usd": [], "eth_usd": []}
    rows = await sql.fetchval("SELECT count(*) FROM prices")
    assert len(exchange.requests) / rows < 1.2


@pytest.mark.parametrize("seconds", [-90, 90])
@pytest.mark.parametrize("process_name", ["worker", "beat"])
async def test_clock_off_by_90_seconds_loses_and_misplaces_nothing(
    processes: Processes,
    exchange: Exchange,
    sql: asyncpg.Connection,
    process_name: str,
    seconds: int,
) -> None:
    wrong_clock = clock_off_by(seconds)
    worker = processes.worker(env=wrong_clock if process_name == "worker" else None)
    processes.beat(env=wrong_clock if process_name == "beat" else None)
    await until(has_slots(sql, 20), 20 * INTERVAL + 60)
    assert await missing_slots(sql) == {"btc_usd": [], "eth_usd": []}
    assert await misplaced_rows(sql, exchange) == []
    assert "revoked" not in worker.output.lower()


async def test_worker_that_was_away_for_10_slots_catches_up_with_a_handful_of_requests(
    processes: Processes, exchange: Exchange, sql: asyncpg.Connection, redis: Redis
) -> None:
    worker = processes.worker()
    processes.beat()
    await until(has_slots(sql, 2), 60)
    worker.stop()
    await until(lambda: _is_at_least(redis.llen("celery"), 10), 60)
    exchange.request_log.clear()
    rows = await sql.fetchval("SELECT count(*) FROM prices")
    processes.worker()

    async def is_drained() -> bool:
        stored = await sql.fetchval("SELECT count(*) FROM prices") - rows
        return stored >= 2 and not await redis.llen("celery")

    await until(is_drained, 40)
    caught_up = await sql.fetchval("SELECT count(*) FROM prices") - rows
    assert len(exchange.requests) <= caught_up + 4


async def _is_at_least(number: Awaitable[int], least: int) -> bool:
    return await number >= least


async def test_tick_of_20_tickers_takes_less_than_three_answers_time(
    settings: Settings, exchange: Exchange, sql: asyncpg.Connection
) -> None:
    exchange.set_delay(200)
    changes = {
        "tickers": ",".join(f"coin{number}_usd" for number in range(20)),
        "exchange_connections": 20,
        "exchange_requests_per_second": 100,
    }
    async with open_runtime(Settings(**{**settings.model_dump(), **changes})) as runtime:
        durations = []
        for _ in range(5):  # the quickest of a few, for others use this machine too
            started = asyncio.get_running_loop().time()
            result = await runtime.collector.collect()
            durations.append(asyncio.get_running_loop().time() - started)
            assert len(result.stored) == 20
            await sql.execute("TRUNCATE prices")
    assert min(durations) < 3 * 0.2


@pytest.mark.parametrize("delay_ms", [50, 1500], ids=["rate-binds", "connections-bind"])
async def test_two_workers_together_stay_within_the_default_limits(  # noqa: PLR0913, PLR0917  # fixtures
    processes: Processes,
    exchange: Exchange,
    sql: asyncpg.Connection,
    servers: Servers,
    redis: Redis,
    delay_ms: int,
) -> None:
    exchange.set_delay(delay_ms)
    tickers = ",".join(f"coin{number}_usd" for number in range(100))
    slow_env = {"TICKERS": tickers, "COLLECT_INTERVAL_SECONDS": "3600"}
    shares = {"first": 0, "second": 1}  # each by a worker of its own, whichever starts first
    for queue in shares:
        processes.worker("--concurrency=1", f"--queues={queue}", env=slow_env)

    async def are_both_alive() -> bool:
        return len((await read_process_reports(redis)).workers) == len(shares)

    await until(are_both_alive, 60)
    sender = Celery(broker=servers.redis_url)
    for queue, share in shares.items():
        kwargs = {"share": share, "shares": len(shares)}
        sender.send_task("app.tasks.prices.collect", kwargs=kwargs, queue=queue, ignore_result=True)
    await until(lambda: sql.fetchval("SELECT count(*) >= 100 FROM prices"), 90)
    assert exchange.request_log.summary()["max_in_flight"] <= 8
    price_requests = [
        request for request in exchange.requests if request.method == "get_index_price"
    ]
    arrivals = sorted(request.received_us for request in price_requests)
    owners = {f"coin{number}_usd": number % len(shares) for number in range(100)}
    requests_by_shard = [
        [r for r in price_requests if owners[str(r.index)] == share] for share in shares.values()
    ]
    both_started_us = max(
        min(request.received_us for request in share) for share in requests_by_shard
    )
    first_halfway_us = min(
        median(request.received_us for request in share) for share in requests_by_shard
    )
    assert both_started_us < first_halfway_us, "one went after the other"
    tolerance_seconds = 0.3  # what was admitted apart may arrive together on a busy machine
    for first_index, first in enumerate(arrivals):
        for last_index in range(first_index, len(arrivals)):
            seconds = (arrivals[last_index] - first) / 1_000_000
            assert last_index - first_index + 1 <= 10 + 10 * (seconds + tolerance_seconds)


async def test_price_leaves_in_json_with_the_digits_that_came(
    processes: Processes, exchange: Exchange, sql: asyncpg.Connection, unused_tcp_port: int
) -> None:
    exchange.market.pin("btc_usd", EXACT_PRICE)
    processes.worker()
    processes.beat()
    processes.start("app", "api", env={"API_PORT": str(unused_tcp_port)})
    url = f"http://127.0.0.1:{unused_tcp_port}/api/v1/prices/latest?ticker=btc_usd"
    await until(has_slots(sql, 1), 40)
    async with aiohttp.ClientSession() as session:

        async def answer() -> str:
            with suppress(aiohttp.ClientConnectionError):
                async with session.get(url) as response:
                    return await response.text()
            return ""

        await until(answer, 40)
        assert f'"price":{EXACT_PRICE},' in await answer()
