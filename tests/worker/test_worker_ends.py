"""A worker outlives its broker's restarts and refusals, and says so when it ends all the same."""

import asyncio
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest
from pydantic import SecretStr
from redis.asyncio import Redis

from app.core.settings import Settings
from app.simulator import Exchange
from tests.conftest import set_phase
from tests.postgres.restartable_servers import RestartableServer, restartable_valkey
from tests.processes import Process, Processes
from tests.waiting import until
from tests.worker.ending_worker import ENDINGS

INTERVAL = 2
POOLS = ["prefork", "solo"]
REFUSALS = {
    "a replica": ("REPLICAOF 127.0.0.1 1", "REPLICAOF NO ONE"),
    "full": ("CONFIG SET maxmemory 1", "CONFIG SET maxmemory 0"),
    "without replicas": (
        "CONFIG SET min-replicas-to-write 1",
        "CONFIG SET min-replicas-to-write 0",
    ),
}


@pytest.fixture
async def valkey(tmp_path: Path) -> AsyncIterator[RestartableServer]:
    async with restartable_valkey(tmp_path) as server:
        yield server


@pytest.fixture
async def processes(
    settings: Settings, exchange: Exchange, valkey: RestartableServer, tmp_path: Path
) -> AsyncIterator[Processes]:
    set_phase(exchange, 0.2, interval=INTERVAL)
    changes = {
        "collect_interval_seconds": INTERVAL,
        "redis_url": SecretStr(valkey.url),
    }
    with Processes(settings.model_copy(update=changes), tmp_path) as started:
        yield started


async def wait_for_new_price(worker: Process, sql: asyncpg.Connection) -> None:
    """Wait until the worker stores a price that is newer than all before."""
    newest = "SELECT max(timestamp) FROM prices WHERE source = 'live'"
    before = await sql.fetchval(newest) or 0

    async def is_stored() -> bool:
        assert worker.popen.poll() is None, worker.output
        return (await sql.fetchval(newest) or 0) > before

    await until(is_stored, 60)


@pytest.mark.parametrize("pool", POOLS)
async def test_a_redis_that_restarts_in_mid_tick_ends_no_worker(
    processes: Processes,
    valkey: RestartableServer,
    exchange: Exchange,
    sql: asyncpg.Connection,
    pool: str,
) -> None:
    worker = processes.worker(f"--pool={pool}")
    processes.beat()
    await wait_for_new_price(worker, sql)
    exchange.add_fault("stall", times=2)
    request_count = len(exchange.requests)
    await until(lambda: asyncio.sleep(0, len(exchange.requests) > request_count))
    await valkey.kill()  # at once, so that the tick's message is not acknowledged yet
    await until(lambda: asyncio.sleep(0, "Cannot connect to" in worker.output))
    await valkey.start()
    await wait_for_new_price(worker, sql)
    assert "Unrecoverable" not in worker.output


@pytest.mark.accept
@pytest.mark.parametrize("pool", POOLS)
@pytest.mark.parametrize("refusal", REFUSALS.values(), ids=REFUSALS.keys())
async def test_a_redis_that_refuses_writes_ends_no_worker(
    processes: Processes,
    valkey: RestartableServer,
    sql: asyncpg.Connection,
    pool: str,
    refusal: tuple[str, str],
) -> None:
    refuse, accept = refusal
    worker = processes.worker(f"--pool={pool}")
    beat = processes.beat()
    await wait_for_new_price(worker, sql)
    async with Redis.from_url(valkey.url) as redis:
        await redis.execute_command(*refuse.split())  # type: ignore[no-untyped-call]  # redis's
        await until(lambda: asyncio.sleep(0, "task_not_sent" in beat.output), 60)
        await redis.execute_command(*accept.split())  # type: ignore[no-untyped-call]  # same
    await wait_for_new_price(worker, sql)


@pytest.mark.parametrize("ending", ENDINGS)
async def test_an_end_that_nobody_asked_for_is_an_exit_code_other_than_0(
    processes: Processes, ending: str
) -> None:
    worker = processes.start("tests.worker.ending_worker", ending)
    assert await asyncio.to_thread(worker.popen.wait, 60) == 1, worker.output


async def test_an_end_that_was_asked_for_is_exit_code_0(processes: Processes) -> None:
    worker = processes.start("app", "worker", env={"LOG_LEVEL": "info"})
    await until(lambda: asyncio.sleep(0, " ready." in worker.output), 60)
    assert await asyncio.to_thread(worker.stop) == 0


@pytest.mark.parametrize(
    "command", [("app", "worker"), ("celery", "-A", "app.celery_app", "worker")], ids=" ".join
)
async def test_a_worker_restarts_itself_at_sighup(
    processes: Processes, command: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PRELOAD_PYTHON", raising=False)  # it puts sys.argv back too early
    worker = processes.start(*command, env={"LOG_LEVEL": "info"})

    async def has_started(times: int) -> bool:
        assert worker.popen.poll() is None, worker.output
        return worker.output.count(" ready.") == times

    await until(lambda: has_started(1), 60)
    worker.popen.send_signal(signal.SIGHUP)
    await until(lambda: has_started(2), 60)
