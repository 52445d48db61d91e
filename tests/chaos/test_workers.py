"""Worker and beat die, or hang, and their supervisor starts them again."""

import asyncio
from contextlib import suppress

import pytest

from tests.chaos.conftest import StartScenario
from tests.chaos.simulator import Simulator
from tests.chaos.stack import Stack
from tests.waiting import until

KILLS = 4
"""A worker that comes back at once would lose nothing: it dies over the first tasks it gets."""
BEAT_AWAY_SECONDS = 15
TICK_SECONDS = 1.0


@pytest.mark.chaos("worker killed in mid-task", seconds=75)
async def test_slots_lost_while_the_worker_dies_over_its_tasks_come_back(
    stack: Stack, exchange: Simulator, start_scenario: StartScenario
) -> None:
    scenario = await start_scenario(stack)
    await exchange.set_delay(TICK_SECONDS)
    async with scenario.fault(reason="no worker has reported|nothing reported a failure"):
        for _ in range(KILLS):
            await until(exchange.is_idle)
            await until(exchange.has_requests_in_flight)
            stack.child("worker").kill()
    await exchange.set_delay(0)
    assert (await scenario.wait_for_recovery()).lost


@pytest.mark.chaos("beat stopped", seconds=75)
async def test_slots_lost_while_beat_hangs_come_back(
    stack: Stack, start_scenario: StartScenario
) -> None:
    scenario = await start_scenario(stack)
    async with scenario.fault(reason="beat has been silent|nothing reported a failure"):
        stack.child("beat").suspend()
        await asyncio.sleep(BEAT_AWAY_SECONDS)  # its supervisor waits for ten
    assert (await scenario.wait_for_recovery()).lost


@pytest.mark.chaos("beat killed", seconds=75)
async def test_slots_lost_while_beat_dies_at_every_start_come_back(
    stack: Stack, start_scenario: StartScenario
) -> None:
    scenario = await start_scenario(stack)
    async with scenario.fault(reason="beat has been silent|nothing reported a failure"):
        with suppress(TimeoutError):
            async with asyncio.timeout(BEAT_AWAY_SECONDS):
                await stack.kill_at_every_start("beat")
    assert (await scenario.wait_for_recovery()).lost
