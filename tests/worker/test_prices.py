"""Collection through real Celery processes."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path

import asyncpg
import pytest
from redis.asyncio import Redis

from app.core.settings import Settings
from app.redis.summary_checks import SUMMARY_CHECKS_KEY
from app.simulator import Exchange
from tests.conftest import set_phase
from tests.processes import Processes
from tests.repositories.rows import store
from tests.waiting import until

COLLECT = "app.tasks.prices.collect"
OCCASIONAL_TASKS = {
    "app.tasks.prices.check_summaries",
    "app.tasks.prices.check_tickers",
    "app.tasks.prices.tidy",
    "app.tasks.repairs.repair",
}
WAKE_SECONDS = 0.5
"""A quarter of the interval."""


@pytest.fixture
def fast_settings(settings: Settings, exchange: Exchange) -> Settings:
    """Settings of a collection every two seconds."""
    set_phase(exchange, 0.2, interval=2)
    return settings.model_copy(update={"collect_interval_seconds": 2})


@pytest.fixture
async def processes(fast_settings: Settings, tmp_path: Path) -> AsyncIterator[Processes]:
    with Processes(fast_settings, tmp_path) as started:
        yield started


async def test_beat_and_worker_fill_slot_after_slot(
    processes: Processes, exchange: Exchange, sql: asyncpg.Connection
) -> None:
    exchange.market.pin("btc_usd", "60123.456789")
    worker = processes.worker("--max-tasks-per-child=2")
    processes.beat()
    await until(lambda: sql.fetchval("SELECT count(*) >= 8 FROM prices"), 40)
    stamps = [row[0] for row in await sql.fetch("SELECT DISTINCT timestamp FROM prices ORDER BY 1")]
    assert stamps == list(range(stamps[0], stamps[-1] + 1, 2))
    assert await sql.fetchval("SELECT DISTINCT price FROM prices WHERE ticker = 'btc_usd'") == (
        Decimal("60123.456789")
    )
    assert worker.stop() == 0
    assert "attached to a different loop" not in worker.output
    assert "Traceback" not in worker.output


async def test_changes_that_every_reader_has_seen_are_thrown_away(
    processes: Processes, sql: asyncpg.Connection
) -> None:
    for _ in range(3):
        await sql.execute(
            "INSERT INTO price_changes (noted_at) VALUES (now() - interval '2 hours')"
        )
    processes.worker()
    processes.beat()
    old = "SELECT count(*) = 1 FROM price_changes WHERE noted_at < now() - interval '1 hour'"
    await until(lambda: sql.fetchval(old), 40)


async def test_beat_has_summaries_checked(
    processes: Processes, redis: Redis, sql: asyncpg.Connection
) -> None:
    await store(sql, [0], ticker="sol_usd")
    await sql.execute("UPDATE price_hours SET samples = 2")
    worker = processes.worker()
    processes.beat()
    await until(lambda: redis.hget(SUMMARY_CHECKS_KEY, "deribit:sol_usd"), 40)
    assert '"summaries_wrong"' in worker.output


@pytest.mark.accept
async def test_solo_pool_collects_and_closes_what_it_opened(
    processes: Processes, sql: asyncpg.Connection
) -> None:
    worker = processes.worker("--pool=solo")
    processes.beat()
    await until(lambda: sql.fetchval("SELECT count(*) >= 4 FROM prices"), 40)
    assert worker.stop() == 0
    assert "Traceback" not in worker.output
    assert "Unclosed" not in worker.output


@pytest.mark.accept
async def test_tick_that_a_killed_worker_held_is_taken_up_by_the_next(
    processes: Processes, exchange: Exchange, sql: asyncpg.Connection, redis: Redis
) -> None:
    exchange.add_fault("stall", times=2)
    first = processes.worker()
    beat = processes.beat()
    await until(lambda: asyncio.sleep(0, len(exchange.requests) >= 2), 40)
    first.kill()
    processes.worker()
    await until(lambda: sql.fetchval("SELECT count(*) >= 4 FROM prices"), 40)
    assert beat.popen.poll() is None
    assert await redis.ping()


async def test_beat_wakes_at_once_and_then_on_the_grid(processes: Processes, redis: Redis) -> None:
    """Each task is sent once for every cell of its grid in which beat ran, however slowly it did.

    The test used to bound the number of messages, which grew with every half second between
    beat's start and the look.
    """
    started = await _redis_time(redis)
    beat = processes.beat()
    await until(lambda: _has_sent(redis, COLLECT, 4), 40)
    beat.stop()
    sent = await _sent_tasks(redis)
    periods = int(await _redis_time(redis) / WAKE_SECONDS) - int(started / WAKE_SECONDS) + 1
    assert 4 <= sent.pop(COLLECT) <= periods
    assert sent.keys() == OCCASIONAL_TASKS
    assert all(count <= 2 for count in sent.values()), "once, or twice where a cell began meanwhile"


async def _has_sent(redis: Redis, task: str, count: int) -> bool:
    return (await _sent_tasks(redis))[task] >= count


async def _sent_tasks(redis: Redis) -> Counter[str]:
    """Count the messages in the queue by their task."""
    messages = await redis.lrange("celery", 0, -1)
    return Counter(json.loads(message)["headers"]["task"] for message in messages)


async def _redis_time(redis: Redis) -> float:
    seconds, microseconds = await redis.time()
    return float(seconds) + microseconds / 1_000_000


async def test_worker_refuses_a_database_without_schema_with_one_line(
    processes: Processes, sql: asyncpg.Connection
) -> None:
    await sql.execute("DROP TABLE alembic_version")
    worker = processes.worker()
    assert worker.popen.wait(30) == 1
    assert worker.output.count("\n") == 1
    assert "schema_outdated" in worker.output
    assert "alembic upgrade head" in worker.output


async def test_worker_without_an_answering_database_ends_with_one_line(
    processes: Processes,
) -> None:
    worker = processes.worker(
        env={"DATABASE_URL": "postgresql+asyncpg://nobody:secret-word@127.0.0.1:9/none"}
    )
    assert worker.popen.wait(30) == 1
    assert worker.output.count("\n") == 1
    assert "make run" in worker.output
    assert "DATABASE_URL" in worker.output
    assert "secret-word" not in worker.output
