"""Tasks in a worker process: one event loop, failures that show, a backlog that costs little."""

import asyncio
import os
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis.asyncio import Redis

from app.core.errors import CollectionFailed
from app.core.settings import Settings
from app.runtime import Runtime
from app.services.collector import CollectionResult
from app.simulator import Exchange
from app.worker.event_loop import TaskLoop
from tests.processes import Processes
from tests.waiting import until

BOTH = ["btc_usd", "eth_usd"]


@pytest.fixture
def task_loop(settings: Settings) -> Iterator[TaskLoop]:
    """A worker process's loop of the test's own."""
    loop = TaskLoop(settings)
    yield loop
    loop.close()


async def test_tasks_of_a_worker_process_share_its_connections(task_loop: TaskLoop) -> None:
    """Elsewhere every second tick failed, for its pool belonged to a loop that was closed."""

    def three_ticks() -> list[CollectionResult]:
        return [task_loop.run(lambda runtime: runtime.collector.collect()) for _ in range(3)]

    results = await asyncio.to_thread(three_ticks)
    assert results == [
        CollectionResult(stored=BOTH),
        CollectionResult(already=BOTH),
        CollectionResult(already=BOTH),
    ]


def test_worker_that_is_ended_during_a_task_closes_without_a_trace(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    """Celery's children raise SystemExit in their handler of SIGTERM."""

    def exit_now(*_: object) -> None:
        raise SystemExit

    async def sleep_and_exit(_: Runtime) -> None:
        asyncio.get_running_loop().call_later(0.05, os.kill, os.getpid(), signal.SIGUSR1)
        await asyncio.sleep(30)

    task_loop, before = TaskLoop(settings), signal.signal(signal.SIGUSR1, exit_now)
    try:
        with pytest.raises(SystemExit):
            task_loop.run(sleep_and_exit)
        task_loop.close()
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert caplog.records == []


async def test_task_fails_if_one_of_its_tickers_did(
    task_loop: TaskLoop, exchange: Exchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Elsewhere errors were swallowed ticker by ticker, and the task was a SUCCESS."""
    from app.tasks import prices  # noqa: PLC0415  # Celery reads the environment

    monkeypatch.setattr(prices, "run_async", task_loop.run)
    exchange.add_fault("error", code=-32602, data={"param": "index_name"}, index="eth_usd")
    ended = await asyncio.to_thread(prices.collect.apply)
    assert ended.state == "FAILURE"
    assert isinstance(ended.result, CollectionFailed)
    assert ended.result.args[0]["failed"] == {"eth_usd": "exchange_unknown_index"}


async def test_backlog_of_an_outage_costs_one_question_a_ticker(
    settings: Settings, exchange: Exchange, redis: Redis, tmp_path: Path
) -> None:
    """Elsewhere every tick that had waited did its full work."""
    from app.tasks.prices import collect  # noqa: PLC0415  # Celery reads the environment

    for _ in range(8):
        await asyncio.to_thread(collect.apply_async, ignore_result=True)

    async def is_drained() -> bool:
        return not (await redis.llen("celery") or await redis.hlen("unacked"))

    with Processes(settings, tmp_path) as processes:
        processes.worker("--pool=solo")  # one after the other: none finds another at work
        await until(is_drained, 40)
    assert Counter(request.index for request in exchange.requests) == {"btc_usd": 1, "eth_usd": 1}
