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

from tests.chaos.conftest import Begin, Note
from tests.chaos.crew import open_crew
from tests.processes import Process, Processes

SECONDS = 300
PAUSE_SECONDS = (2.0, 8.0)
BEATS = 2
WORKERS = 3
SEEDS = 1_000_000


def victims(watchers: Sequence[Process]) -> list[psutil.Process]:
    """Give the workers, their pools' children and the beats, but not who watches them."""
    families = (psutil.Process(watcher.popen.pid).children(recursive=True) for watcher in watchers)
    return [process for family in families for process in family if _is_service(process)]


def _is_service(process: psutil.Process) -> bool:
    with suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
        return process.cmdline()[-1:] in (["worker"], ["beat"])
    return False


async def kill_at_random(watchers: Sequence[Process], dice: Random, killed: list[int]) -> NoReturn:
    """Kill one process after the other, for as long as nobody stops this; note their numbers."""
    while True:
        await asyncio.sleep(dice.uniform(*PAUSE_SECONDS))
        victim = dice.choice(victims(watchers))
        with suppress(psutil.NoSuchProcess):
            victim.kill()
            killed.append(victim.pid)


@pytest.mark.chaos("two beats, three workers, killed at random", seconds=360)
async def test_five_minutes_of_random_kills_cost_nothing_for_good(
    processes: Processes, home: Path, begin: Begin, note: Note
) -> None:
    seed = int(os.environ.get("CHAOS_SEED") or SystemRandom().randrange(SEEDS))
    killed: list[int] = []
    async with open_crew(processes, home) as crew:
        names = ["beat"] * BEATS + ["worker"] * WORKERS
        watchers = [crew.start("app", name, "--watched") for name in names]
        scenario = await begin(crew)
        async with scenario.fault():
            with suppress(TimeoutError):
                async with asyncio.timeout(SECONDS):
                    await kill_at_random(watchers, Random(seed), killed)  # noqa: S311  # dice
        note(f"{len(killed)} killed at random; CHAOS_SEED={seed} throws the same dice again")
        await scenario.whole()
    assert len(killed) > SECONDS / PAUSE_SECONDS[1] / 2
