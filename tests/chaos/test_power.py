"""Everything dies at once, and is started again later."""

import asyncio

import pytest

from tests.chaos.conftest import Begin
from tests.chaos.stack import Stack, running_stack
from tests.chaos.standin import TICKERS, StandIn
from tests.processes import Processes

PAUSE_SECONDS = 20
LONG_PAUSE_SECONDS = 1_800
LONG_PAUSE_SLOTS = 300
CHART_STEP = 6


@pytest.mark.chaos("everything killed", seconds=85)
async def test_slots_lost_between_a_power_cut_and_the_next_start_come_back(
    stack: Stack, begin: Begin
) -> None:
    scenario = await begin(stack)
    async with scenario.fault():
        await stack.kill()
        await asyncio.sleep(PAUSE_SECONDS)
    await stack.start()
    assert (await scenario.whole()).lost


@pytest.mark.chaos("everything killed, slots of 2 s", seconds=85, interval=2)
async def test_what_is_finer_than_the_chart_stays_lost_and_nothing_else_does(
    stack: Stack, begin: Begin
) -> None:
    scenario = await begin(stack)
    async with scenario.fault():
        await stack.kill()
        await asyncio.sleep(PAUSE_SECONDS)
    await stack.start()
    findings = await scenario.whole()
    assert findings.repaired
    assert findings.absent == {place for place in findings.lost if place.slot % CHART_STEP}


@pytest.mark.chaos("everything killed for half an hour", seconds=95)
async def test_half_an_hour_comes_back_within_two_minutes_and_is_asked_for_once(
    processes: Processes, exchange: StandIn, begin: Begin
) -> None:
    await exchange.move_clock(-LONG_PAUSE_SECONDS)
    async with running_stack(processes) as stack:
        scenario = await begin(stack)
        async with scenario.fault():
            await stack.kill()
            await exchange.move_clock(0)  # rather than wait for so long
        await stack.start()
        repaired = (await scenario.whole()).repaired
        assert len(repaired) >= len(TICKERS) * LONG_PAUSE_SLOTS
        asked = await exchange.charts_asked()
        await stack.command("backfill")
        assert await exchange.charts_asked() == asked
        assert (await scenario.findings()).repaired == repaired
