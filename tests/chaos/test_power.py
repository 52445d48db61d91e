"""Everything dies at once, and is started again later."""

import asyncio

import pytest

from tests.chaos.conftest import StartScenario
from tests.chaos.simulator import TICKERS, Simulator
from tests.chaos.stack import Stack, running_stack
from tests.processes import Processes

PAUSE_SECONDS = 20
LONG_PAUSE_SECONDS = 1_800
LONG_PAUSE_SLOTS = 300
CHART_STEP = 6


@pytest.mark.chaos("everything killed", seconds=85)
async def test_slots_lost_between_a_power_cut_and_the_next_start_come_back(
    stack: Stack, start_scenario: StartScenario
) -> None:
    scenario = await start_scenario(stack)
    async with scenario.fault():
        await stack.kill()
        await asyncio.sleep(PAUSE_SECONDS)
    await stack.start()
    assert (await scenario.wait_for_recovery()).lost


@pytest.mark.chaos("everything killed, slots of 2 s", seconds=85, interval=2)
async def test_what_is_finer_than_the_chart_stays_lost_and_nothing_else_does(
    stack: Stack, start_scenario: StartScenario
) -> None:
    scenario = await start_scenario(stack)
    async with scenario.fault():
        await stack.kill()
        await asyncio.sleep(PAUSE_SECONDS)
    await stack.start()
    result = await scenario.wait_for_recovery()
    assert result.repaired
    assert result.absent == {key for key in result.lost if key.slot % CHART_STEP}


@pytest.mark.chaos("everything killed for half an hour", seconds=95)
async def test_half_an_hour_comes_back_within_two_minutes_and_is_asked_for_once(
    processes: Processes, exchange: Simulator, start_scenario: StartScenario
) -> None:
    await exchange.set_clock_offset(-LONG_PAUSE_SECONDS)
    async with running_stack(processes) as stack:
        scenario = await start_scenario(stack)
        async with scenario.fault():
            await stack.kill()
            await exchange.set_clock_offset(0)  # rather than wait for so long
        await stack.start()
        repaired = (await scenario.wait_for_recovery()).repaired
        assert len(repaired) >= len(TICKERS) * LONG_PAUSE_SLOTS
        requests_before = await exchange.count_chart_requests()
        await stack.command("backfill")
        assert await exchange.count_chart_requests() == requests_before
        assert (await scenario.audit()).repaired == repaired
