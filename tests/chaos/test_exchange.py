"""The exchange fails, in every way it has, for longer than any retry."""

import asyncio
from typing import Any

import aiohttp
import pytest

from tests.chaos.conftest import StartScenario
from tests.chaos.simulator import CHART, Simulator
from tests.chaos.stack import Stack
from tests.processes import Processes
from tests.waiting import until

LASTS_SECONDS = 20
"""A tick retries for one interval of 6 s."""
STALLED_SLOTS = 5
SPARE_SECONDS = 2
MAX_REQUESTS_UNDER_WAY = 1
"""A request for the other ticker may have been under way."""
WRONG_PRICES = ("-5", "NaN", '"text"')

FAULTS: dict[str, tuple[dict[str, Any], str]] = {
    "refuses": ({"kind": "down", "seconds": LASTS_SECONDS}, "exchange_unreachable"),
    "stalls": ({"kind": "stall", "seconds": LASTS_SECONDS}, "exchange_timeout"),
    "answers 429": (
        {"kind": "error", "code": 10028, "seconds": LASTS_SECONDS},
        "exchange_rate_limited",
    ),
    "answers 503": (
        {"kind": "html", "status": 503, "seconds": LASTS_SECONDS},
        "exchange_unavailable",
    ),
}
"""The fault to activate, and the code that health gives as the reason."""


@pytest.mark.chaos("exchange", seconds=75)
@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())
async def test_slots_lost_while_the_exchange_fails_come_back(
    stack: Stack,
    exchange: Simulator,
    start_scenario: StartScenario,
    fault: tuple[dict[str, Any], str],
) -> None:
    details, code = fault
    scenario = await start_scenario(stack)
    async with scenario.fault(reason=code):
        await exchange.add_fault(**details)
        await asyncio.sleep(LASTS_SECONDS)
        await until(exchange.has_no_fault)
    result = await scenario.wait_for_recovery()
    assert {ticker for ticker, _ in result.lost} == {"btc_usd", "eth_usd"}


@pytest.mark.chaos("exchange asks to wait", seconds=75)
async def test_exchange_that_asks_to_wait_is_left_alone_meanwhile(
    stack: Stack, exchange: Simulator, start_scenario: StartScenario
) -> None:
    scenario = await start_scenario(stack)
    async with scenario.fault(reason="exchange_rate_limited"):
        wait = {"code": 10028, "data": {"wait": LASTS_SECONDS}}
        await exchange.add_fault("error", **wait, times=1)
        await until(exchange.has_no_fault)  # it hit once: only the requested wait is left
        before = await exchange.count_requests()
        await asyncio.sleep(LASTS_SECONDS - SPARE_SECONDS)
        assert await exchange.count_requests() - before <= MAX_REQUESTS_UNDER_WAY
    result = await scenario.wait_for_recovery()
    assert {ticker for ticker, _ in result.lost} == {"btc_usd", "eth_usd"}


@pytest.mark.chaos("exchange prices one ticker wrongly", seconds=75)
async def test_wrong_prices_of_one_ticker_are_never_stored_and_cost_no_other_ticker(
    stack: Stack, exchange: Simulator, start_scenario: StartScenario
) -> None:
    scenario = await start_scenario(stack)
    async with scenario.fault(reason="exchange_(price_refused|answer_malformed)"):
        for price in WRONG_PRICES:
            seconds = LASTS_SECONDS / len(WRONG_PRICES)
            await exchange.add_fault("price", price=price, index="btc_usd", seconds=seconds)
            await asyncio.sleep(seconds)
        await until(exchange.has_no_fault)
    result = await scenario.wait_for_recovery()
    assert {ticker for ticker, _ in result.lost} == {"btc_usd"}


@pytest.mark.chaos("ten repairs asked for while the chart stalls", seconds=110)
async def test_repairs_that_hang_on_a_stalled_chart_cost_no_live_slot(
    stack: Stack, processes: Processes, exchange: Simulator, start_scenario: StartScenario
) -> None:
    scenario = await start_scenario(stack)
    async with scenario.fault(reason="exchange_unavailable"):
        await exchange.add_fault("stall", method=CHART, seconds=3 * LASTS_SECONDS)
        await exchange.add_fault("html", method="get_index_price", seconds=LASTS_SECONDS)
        await asyncio.sleep(LASTS_SECONDS)
        await scenario.wait_for_live_slots(1)
        before = await scenario.audit()
        await _request_repairs(processes, 10)
        await scenario.wait_for_live_slots(STALLED_SLOTS)
        await until(exchange.has_no_fault, 3 * LASTS_SECONDS)
    result = await scenario.wait_for_recovery()
    assert before.lost
    assert result.lost == before.lost


async def _request_repairs(processes: Processes, count: int) -> None:
    settings = processes.settings
    url = f"http://127.0.0.1:{settings.api_port}/api/v1/tasks/backfill"
    async with aiohttp.ClientSession(headers={"X-API-Key": "chaos-key"}) as session:
        for _ in range(count):
            async with session.post(url) as response:
                assert response.status == 202
