"""Redis goes away, comes back, and forgets everything."""

from pathlib import Path

import pytest
from redis.asyncio import Redis

from tests.chaos.conftest import StartScenario
from tests.chaos.servers import running_server
from tests.chaos.simulator import Simulator
from tests.chaos.stack import Stack, running_stack
from tests.processes import Processes
from tests.waiting import until

TICK_SECONDS = 1.0


@pytest.mark.chaos("Redis restarted", seconds=65)
async def test_a_killed_redis_costs_nothing_for_good(
    stack: Stack, start_scenario: StartScenario
) -> None:
    scenario = await start_scenario(stack)
    async with scenario.fault():
        stack.child("valkey-server").kill()
    await scenario.wait_for_recovery()


@pytest.mark.chaos("Redis gone for 20 s", seconds=75)
async def test_slots_lost_while_redis_is_away_come_back(
    processes: Processes, data_dir: Path, start_scenario: StartScenario
) -> None:
    async with (
        running_server(data_dir, "REDIS_URL") as redis,
        running_stack(processes, REDIS_URL=redis.url) as stack,
    ):
        scenario = await start_scenario(stack)
        async with scenario.fault(reason="the broker is away"):
            await redis.restart_after_outage()
        assert (await scenario.wait_for_recovery()).lost


@pytest.mark.chaos("Redis flushed", seconds=65)
async def test_flushing_redis_in_mid_task_costs_nothing_for_good(
    stack: Stack, exchange: Simulator, start_scenario: StartScenario
) -> None:
    scenario = await start_scenario(stack)
    await exchange.set_delay(TICK_SECONDS)
    async with scenario.fault(), Redis.from_url(stack.redis_url) as redis:
        await until(exchange.has_requests_in_flight)
        await redis.flushall()
    await exchange.set_delay(0)
    await scenario.wait_for_recovery()
