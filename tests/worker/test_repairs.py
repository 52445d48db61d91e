"""Repairs as tasks: by schedule, at a worker's start, and when someone asks."""

import json
from dataclasses import asdict
from pathlib import Path
from types import ModuleType
from typing import Any

import asyncpg
import pytest
from redis.asyncio import Redis

from app.core.errors import DatabaseUnavailable, RepairFailed
from app.core.settings import Settings
from app.domain.prices import TimeRange
from app.domain.repairs import RepairRequest, RepairResult
from app.simulator import Exchange
from tests.processes import Processes
from tests.services.price_gaps import backfilled_slots, store_with_gaps, unfillable_reasons
from tests.waiting import until

# Celery's backend calls what redis-py deprecates
pytestmark = pytest.mark.filterwarnings("ignore:Call to deprecated setex:DeprecationWarning")

REQUEST = RepairRequest("deribit", "btc_usd", TimeRange(60, 120), force=True)
MISSING = range(10, 15)


@pytest.fixture
def repairs(settings: Settings) -> ModuleType:
    """The module, imported once Celery can know its servers."""
    from app.tasks import requested_tasks as module  # noqa: PLC0415  # Celery reads the environment

    assert settings.redis_url is not None
    return module


async def _fetch_status(settings: Settings, redis: Redis, task_id: str) -> tuple[str, object]:
    from app.tasks.requested_tasks import read_status  # noqa: PLC0415  # Celery reads the environment

    status = await read_status(settings, redis, task_id)
    return status.state, status.result


def _backend() -> Any:  # noqa: ANN401  # celery ships no types
    from app.celery_app import celery  # noqa: PLC0415  # Celery reads the environment

    return celery.backend


async def test_wish_travels_whole(repairs: ModuleType, redis: Redis) -> None:
    task_id = await repairs.start_repair(redis, REQUEST)
    (raw,) = await redis.lrange("celery", 0, -1)
    headers = json.loads(raw)["headers"]
    assert (headers["id"], headers["task"]) == (f"{task_id}.0", "app.tasks.repairs.backfill")
    assert (headers["eta"], headers["expires"]) == (None, None)
    assert eval(headers["kwargsrepr"]) == {  # noqa: S307  # ours
        "exchange": "deribit",
        "ticker": "btc_usd",
        "start": 60,
        "end": 120,
        "force": True,
    }
    assert 86_390 <= await redis.ttl(f"prices:task:{task_id}") <= 86_400


async def test_status_follows_the_repair(
    repairs: ModuleType, settings: Settings, redis: Redis
) -> None:
    task_id = await repairs.start_repair(redis, REQUEST)
    assert await _fetch_status(settings, redis, task_id) == ("PENDING", None)
    _backend().store_result(f"{task_id}.0", None, "STARTED")
    assert await _fetch_status(settings, redis, task_id) == ("STARTED", None)
    _backend().store_result(f"{task_id}.0", asdict(RepairResult(5, 4, 3)), "SUCCESS")
    assert await _fetch_status(settings, redis, task_id) == ("SUCCESS", RepairResult(5, 4, 3))


async def test_repair_that_failed_for_a_ticker_tells_of_all(
    repairs: ModuleType, settings: Settings, redis: Redis
) -> None:
    task_id = await repairs.start_repair(redis, REQUEST)
    repaired = RepairResult(filled=5, remaining=1, failed={"eth_usd": "exchange_timeout"})
    _backend().mark_as_failure(f"{task_id}.0", RepairFailed(asdict(repaired)))
    assert await _fetch_status(settings, redis, task_id) == ("FAILURE", repaired)


async def test_repair_that_broke_tells_its_code(
    repairs: ModuleType, settings: Settings, redis: Redis
) -> None:
    for error, code in (
        (DatabaseUnavailable("x"), "database_unavailable"),
        (KeyError("x"), "internal_error"),
    ):
        task_id = await repairs.start_repair(redis, REQUEST)
        _backend().mark_as_failure(f"{task_id}.0", error)
        assert await _fetch_status(settings, redis, task_id) == (
            "FAILURE",
            RepairResult(failed={"*": code}),
        )


@pytest.mark.parametrize(("interval", "pause"), [(1, 10), (60, 60), (3_600, 300)])
def test_beat_wakes_the_repair_about_once_an_interval(
    settings: Settings, interval: int, pause: int
) -> None:
    from app.worker.configuration import celery_configuration  # noqa: PLC0415  # Celery reads the environment

    conf: Any = celery_configuration(
        settings.model_copy(update={"collect_interval_seconds": interval})
    )
    entry = conf["beat_schedule"]["repair"]
    assert (entry["task"], entry["schedule"].seconds) == ("app.tasks.repairs.repair", pause)
    assert entry["options"] == {"ignore_result": True}


async def test_worker_repairs_at_its_start_without_a_beat(
    settings: Settings, exchange: Exchange, sql: asyncpg.Connection, tmp_path: Path
) -> None:
    newest = await store_with_gaps(sql, exchange, MISSING)
    with Processes(settings, tmp_path) as processes:
        worker = processes.worker("--pool=solo")
        await until(lambda: backfilled_slots(sql), 40)
        assert worker.stop() == 0
    assert await backfilled_slots(sql) == sorted(newest - 60 * distance for distance in MISSING)
    assert "Traceback" not in worker.output
    assert '"gap_filled"' in worker.output


async def test_minutes_that_were_missed_are_filled_by_beat_and_worker_alone(
    settings: Settings, exchange: Exchange, sql: asyncpg.Connection, tmp_path: Path
) -> None:
    """Elsewhere missed minutes stayed missing, and nothing told of them."""
    fast_settings = settings.model_copy(update={"collect_interval_seconds": 6})
    with Processes(fast_settings, tmp_path) as processes:
        processes.worker("--pool=solo")
        processes.beat()
        await until(lambda: sql.fetchval("SELECT count(*) >= 2 FROM prices"), 40)
        newest = await store_with_gaps_meanwhile(sql, exchange)
        await until(lambda: backfilled_slots(sql, "sol_usd"), 40)
    assert await backfilled_slots(sql, "sol_usd") == [newest - 6 * 30, newest - 6 * 29]
    assert await unfillable_reasons(sql, "sol_usd") == {}


@pytest.mark.accept
@pytest.mark.parametrize("pool", [("--pool=solo",), ("--concurrency=2",)], ids=["solo", "two"])
async def test_many_repairs_of_a_stalled_chart_cost_no_live_slot(  # noqa: PLR0913, PLR0917  # fixtures
    repairs: ModuleType,
    settings: Settings,
    redis: Redis,
    exchange: Exchange,
    sql: asyncpg.Connection,
    tmp_path: Path,
    pool: tuple[str, ...],
) -> None:
    fast_settings = settings.model_copy(update={"collect_interval_seconds": 6})
    exchange.set_clock(0)
    with Processes(fast_settings, tmp_path) as processes:
        processes.worker(*pool)
        processes.beat()
        await until(lambda: live_slots(sql, 2), 40)
        exchange.add_fault("stall", method="get_index_chart_data")
        await store_with_gaps_meanwhile(sql, exchange)
        exchange.set_clock(0)
        ids = [await repairs.start_repair(redis, RepairRequest()) for _ in range(10)]
        before = await sql.fetchval("SELECT max(timestamp) FROM prices WHERE ticker = 'btc_usd'")
        await until(lambda: live_slots(sql, 6, before), 60)
        for ticker in ("btc_usd", "eth_usd"):
            slots = await live_slots(sql, 6, before, ticker)
            assert slots == list(range(before + 6, before + 37, 6))
        assert [await _fetch_status(settings, redis, one) for one in ids] == [
            ("STARTED", None)
        ] * 10
        exchange.faults.clear()

        async def have_ended() -> bool:
            return all([(await _fetch_status(settings, redis, one))[1] for one in ids])

        await until(have_ended, 60)
    assert {(await _fetch_status(settings, redis, one))[0] for one in ids} == {"SUCCESS"}
    assert len(await backfilled_slots(sql, "sol_usd")) == 2
    assert not await redis.exists("prices:repairs")


async def live_slots(
    sql: asyncpg.Connection, count: int, after: int = 0, ticker: str = "btc_usd"
) -> list[int]:
    """Give so many live slots after one, ascending; none while there are fewer."""
    rows = await sql.fetch(
        "SELECT timestamp FROM prices WHERE source = 'live' AND ticker = $1 AND timestamp > $2"
        " ORDER BY 1 LIMIT $3",
        ticker,
        after,
        count,
    )
    return [row[0] for row in rows] if len(rows) == count else []


async def store_with_gaps_meanwhile(sql: asyncpg.Connection, exchange: Exchange) -> int:
    """Store prices of another ticker with a gap, while beat and worker run."""
    return await store_with_gaps(sql, exchange, [29, 30], ticker="sol_usd", interval=6, seconds=600)
