"""Redis is restarted again and again, at random moments of a tick."""

import asyncio
import os
from pathlib import Path
from random import Random, SystemRandom

import pytest

from tests.chaos.cluster import open_cluster
from tests.chaos.conftest import AddNote, StartScenario
from tests.chaos.simulator import Simulator
from tests.processes import Process, Processes
from tests.waiting import until

RESTARTS = 40
TICK_SECONDS = 1.0
AWAY_SECONDS = (0.0, 1.5)
RECONNECT_SECONDS = 15
"""Tries follow one another every second; six scenarios share the machine."""
SEEDS = 1_000_000
CELERY = ("celery", "-A", "app.celery_app", "worker", "--loglevel=info")
WORKERS = {
    "plain": CELERY,
    "plain, solo": (*CELERY, "--pool=solo"),
    "watched": ("app", "worker", "--watched"),
}


def _connections(worker: Process) -> int:
    return worker.output.count("Connected to redis")


@pytest.mark.chaos("Redis restarted 40 times, worker", seconds=240)
@pytest.mark.parametrize("command", WORKERS.values(), ids=WORKERS.keys())
async def test_forty_restarts_of_redis_end_no_worker(  # noqa: PLR0913, PLR0917  # fixtures
    processes: Processes,
    exchange: Simulator,
    data_dir: Path,
    start_scenario: StartScenario,
    add_note: AddNote,
    command: tuple[str, ...],
) -> None:
    seed = int(os.environ.get("CHAOS_SEED") or SystemRandom().randrange(SEEDS))
    rng = Random(seed)  # noqa: S311  # no secret
    async with open_cluster(processes, data_dir) as cluster:
        worker, _ = cluster.start(*command), cluster.start("app", "beat")
        scenario = await start_scenario(cluster)
        await exchange.set_delay(TICK_SECONDS)
        async with scenario.fault():
            for _ in range(RESTARTS):
                await until(exchange.has_requests_in_flight, 60)
                await asyncio.sleep(rng.uniform(0, TICK_SECONDS))
                connections = _connections(worker)
                await cluster.redis.kill()
                await asyncio.sleep(rng.uniform(*AWAY_SECONDS))
                await cluster.redis.start()

                async def is_connected(connections: int = connections) -> bool:
                    assert worker.popen.poll() is None, "the worker ended"
                    return _connections(worker) > connections

                await until(is_connected, RECONNECT_SECONDS)
        await exchange.set_delay(0)
        add_note(f"Redis killed {RESTARTS} times; CHAOS_SEED={seed} throws the same dice again")
        await scenario.wait_for_recovery()
        assert "service_lost" not in worker.output
        assert "Unrecoverable" not in worker.output
