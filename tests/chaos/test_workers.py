"""Worker and beat die, or hang, and their supervisor starts them again."""

import asyncio
from contextlib import suppress

import pytest

from tests.chaos.conftest import Begin
from tests.chaos.stack import Stack
from tests.chaos.standin import StandIn
from tests.waiting import until

KILLS = 4
"""A worker that comes back at once would lose nothing: it dies over the first tasks it gets."""
BEAT_AWAY_SECONDS = 15
TICK_SECONDS = 1.0


@pytest.mark.chaos("worker killed in mid-task", seconds=75)
async def test_slots_lost_while_the_worker_dies_over_its_tasks_come_back(
    stack: Stack, exchange: StandIn, begin: Begin
) -> None:
    scenario = await begin(stack)
    await exchange.hesitate(TICK_SECONDS)
    async with scenario.fault(says="no worker has reported|nothing reported a failure"):
        for _ in range(KILLS):
            await until(exchange.is_idle)
            await until(exchange.is_asked)
            stack.child("worker").kill()
    await exchange.hesitate(0)
    assert (await scenario.whole()).lost


@pytest.mark.chaos("beat stopped", seconds=75)
async def test_slots_lost_while_beat_hangs_come_back(stack: Stack, begin: Begin) -> None:
    scenario = await begin(stack)
    async with scenario.fault(says="beat has been silent|nothing reported a failure"):
        stack.child("beat").suspend()
        await asyncio.sleep(BEAT_AWAY_SECONDS)  # its supervisor waits for ten
    assert (await scenario.whole()).lost


@pytest.mark.chaos("beat killed", seconds=75)
async def test_slots_lost_while_beat_dies_at_every_start_come_back(
    stack: Stack, begin: Begin
) -> None:
    scenario = await begin(stack)
    async with scenario.fault(says="beat has been silent|nothing reported a failure"):
        with suppress(TimeoutError):
            async with asyncio.timeout(BEAT_AWAY_SECONDS):
                await stack.kill_at_every_start("beat")
    assert (await scenario.whole()).lost
