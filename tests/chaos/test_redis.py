"""Redis goes away, comes back, and forgets everything."""

from pathlib import Path

import pytest
from redis.asyncio import Redis

from tests.chaos.conftest import Begin
from tests.chaos.servers import own_server
from tests.chaos.stack import Stack, running_stack
from tests.chaos.standin import StandIn
from tests.processes import Processes
from tests.waiting import until

TICK_SECONDS = 1.0


@pytest.mark.chaos("Redis restarted", seconds=65)
async def test_a_killed_redis_costs_nothing_for_good(stack: Stack, begin: Begin) -> None:
    scenario = await begin(stack)
    async with scenario.fault():
        stack.child("valkey-server").kill()
    await scenario.whole()


@pytest.mark.chaos("Redis gone for 20 s", seconds=75)
async def test_slots_lost_while_redis_is_away_come_back(
    processes: Processes, home: Path, begin: Begin
) -> None:
    async with (
        own_server(home, "REDIS_URL") as redis,
        running_stack(processes, REDIS_URL=redis.url) as stack,
    ):
        scenario = await begin(stack)
        async with scenario.fault(says="the broker is away"):
            await redis.be_away()
        assert (await scenario.whole()).lost


@pytest.mark.chaos("Redis flushed", seconds=65)
async def test_flushing_redis_in_mid_task_costs_nothing_for_good(
    stack: Stack, exchange: StandIn, begin: Begin
) -> None:
    scenario = await begin(stack)
    await exchange.hesitate(TICK_SECONDS)
    async with scenario.fault(), Redis.from_url(stack.redis_url) as redis:
        await until(exchange.is_asked)
        await redis.flushall()
    await exchange.hesitate(0)
    await scenario.whole()
