"""Beat and workers show that they live, and their silence is told."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import psutil  # type: ignore[import-untyped]  # it ships no types
import pytest
from redis.asyncio import Redis

from app.core.settings import Settings
from app.redis.process_reports import read_process_reports
from app.simulator import Exchange
from tests.api.client import ApiClient, running_api
from tests.conftest import set_phase
from tests.processes import Processes
from tests.waiting import until

INTERVAL = 6


@pytest.fixture
def settings(settings: Settings, exchange: Exchange) -> Settings:
    set_phase(exchange, 0.2, interval=INTERVAL)
    changes = {"collect_interval_seconds": INTERVAL, "tickers": ("btc_usd",)}
    return settings.model_copy(update=changes)


@pytest.fixture
async def processes(settings: Settings, tmp_path: Path) -> AsyncIterator[Processes]:
    with Processes(settings, tmp_path) as started:
        yield started


@pytest.fixture
async def api(settings: Settings) -> AsyncIterator[ApiClient]:
    async with running_api(settings) as client:
        yield client


async def fetch_checks(api: ApiClient) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = (await api.get("/health/collector")).json()["checks"]
    return found


async def is_healthy(api: ApiClient) -> bool:
    return (await api.get("/health/collector")).status == 200


@pytest.mark.accept
@pytest.mark.parametrize("number", [signal.SIGSTOP, signal.SIGTERM], ids=lambda s: s.name)
async def test_stopped_beat_is_told_within_two_intervals(
    processes: Processes, api: ApiClient, number: signal.Signals
) -> None:
    worker, beat = processes.worker(), processes.beat()

    async def are_healthy() -> bool:
        found = await fetch_checks(api)
        return "reported" in found["beat"]["detail"] and await is_healthy(api)

    await until(are_healthy, 60)
    os.kill(beat.popen.pid, number)

    async def is_reported() -> bool:
        return (await fetch_checks(api))["beat"]["detail"].startswith("beat has been silent for ")

    async def is_named_by_ticker() -> bool:
        return (
            ": beat has been silent for " in (await fetch_checks(api))["deribit:btc_usd"]["detail"]
        )

    await until(is_reported, 2 * INTERVAL)
    assert (await fetch_checks(api))["worker"]["status"] == "ok"
    await until(is_named_by_ticker, 40)
    os.kill(beat.popen.pid, signal.SIGCONT)
    if number is signal.SIGTERM:
        processes.beat()
    await until(lambda: is_healthy(api), 60)
    assert worker.popen.poll() is None


@pytest.mark.accept
async def test_solo_worker_gives_signs_while_it_waits_for_the_exchange(
    processes: Processes, exchange: Exchange, redis: Redis, api: ApiClient
) -> None:
    """Its main loop stands still meanwhile; the task's own turns."""
    exchange.add_fault("stall")
    worker, _ = (
        processes.worker("--pool=solo", env={"HTTP_TIMEOUT_SECONDS": "60"}),
        processes.beat(),
    )
    await until(lambda: asyncio.sleep(0, exchange.requests), 40)
    asked_at = (await redis.time())[0]

    async def has_waited_without_silence() -> bool:
        assert min((await read_process_reports(redis)).workers.values()) < 4
        return bool((await redis.time())[0] - asked_at > INTERVAL)

    await until(has_waited_without_silence)
    worker.kill()

    async def is_reported() -> bool:
        return (await fetch_checks(api))["worker"]["detail"].startswith(
            "no worker has reported for "
        )

    await until(is_reported)


@pytest.mark.accept
async def test_worker_whose_children_are_all_stopped_gives_no_sign(
    processes: Processes, redis: Redis, sql: asyncpg.Connection, tmp_path: Path
) -> None:
    file = tmp_path / "heartbeat"
    worker = processes.worker(env={"HEARTBEAT_FILE": str(file), "COLLECT_INTERVAL_SECONDS": "2"})
    processes.beat(env={"COLLECT_INTERVAL_SECONDS": "2"})
    await until(lambda: sql.fetchval("SELECT count(*) >= 2 FROM prices"), 40)
    children = psutil.Process(worker.popen.pid).children()
    assert len(children) == 2
    for child in children:
        child.suspend()

    def is_file_older_than(seconds: float) -> bool:
        return time.time() - file.stat().st_mtime > seconds

    async def are_silent() -> bool:
        return (
            is_file_older_than(3) and min((await read_process_reports(redis)).workers.values()) > 3
        )

    async def are_back() -> bool:
        return (
            not is_file_older_than(3)
            and min((await read_process_reports(redis)).workers.values()) < 3
        )

    await until(are_silent, 40)
    for child in children:
        child.resume()
    await until(are_back)
