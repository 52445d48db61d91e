"""Two beats and three workers that are killed at random."""

import asyncio
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from random import Random, SystemRandom
from typing import NoReturn

import psutil  # type: ignore[import-untyped]  # it ships no types
import pytest

from tests.chaos.cluster import open_cluster
from tests.chaos.conftest import AddNote, StartScenario
from tests.processes import Process, Processes

SECONDS = 300
PAUSE_SECONDS = (2.0, 8.0)
BEATS = 2
WORKERS = 3
SEEDS = 1_000_000


def killable_processes(supervisors: Sequence[Process]) -> list[psutil.Process]:
    """Return the workers, the children of their pools and the beats, but not their supervisors."""
    families = (
        psutil.Process(supervisor.popen.pid).children(recursive=True) for supervisor in supervisors
    )
    return [process for family in families for process in family if _is_service(process)]


def _is_service(process: psutil.Process) -> bool:
    with suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
        return process.cmdline()[-1:] in (["worker"], ["beat"])
    return False


async def kill_at_random(
    supervisors: Sequence[Process], rng: Random, killed_pids: list[int]
) -> NoReturn:
    """Kill one process after the other until this is cancelled; add their pids to `killed`."""
    while True:
        await asyncio.sleep(rng.uniform(*PAUSE_SECONDS))
        process_to_kill = rng.choice(killable_processes(supervisors))
        with suppress(psutil.NoSuchProcess):
            process_to_kill.kill()
            killed_pids.append(process_to_kill.pid)


@pytest.mark.chaos("two beats, three workers, killed at random", seconds=360)
async def test_five_minutes_of_random_kills_cost_nothing_for_good(
    processes: Processes, data_dir: Path, start_scenario: StartScenario, add_note: AddNote
) -> None:
    seed = int(os.environ.get("CHAOS_SEED") or SystemRandom().randrange(SEEDS))
    killed_pids: list[int] = []
    async with open_cluster(processes, data_dir) as cluster:
        names = ["beat"] * BEATS + ["worker"] * WORKERS
        supervisors = [cluster.start("app", name, "--watched") for name in names]
        scenario = await start_scenario(cluster)
        async with scenario.fault():
            with suppress(TimeoutError):
                async with asyncio.timeout(SECONDS):
                    await kill_at_random(supervisors, Random(seed), killed_pids)  # noqa: S311  # no secret
        add_note(
            f"{len(killed_pids)} killed at random; CHAOS_SEED={seed} throws the same dice again"
        )
        await scenario.wait_for_recovery()
    assert len(killed_pids) > SECONDS / PAUSE_SECONDS[1] / 2
