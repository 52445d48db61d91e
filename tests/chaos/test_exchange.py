"""The exchange fails, in every way it has, for longer than any retry."""

import asyncio
from typing import Any

import aiohttp
import pytest

from tests.chaos.conftest import Begin
from tests.chaos.stack import Stack
from tests.chaos.standin import CHART, StandIn
from tests.processes import Processes
from tests.waiting import until

LASTS_SECONDS = 20
"""A tick retries for one interval of 6 s."""
STALLED_SLOTS = 5
SPARE_SECONDS = 2
ASKED_AT_ONCE = 1
"""A question for the other ticker may have been under way."""
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
"""What the stand-in is told to do, and the code that health gives as the reason."""


@pytest.mark.chaos("exchange", seconds=75)
@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())
async def test_slots_lost_while_the_exchange_fails_come_back(
    stack: Stack, exchange: StandIn, begin: Begin, fault: tuple[dict[str, Any], str]
) -> None:
    orders, code = fault
    scenario = await begin(stack)
    async with scenario.fault(says=code):
        await exchange.misbehave(**orders)
        await asyncio.sleep(LASTS_SECONDS)
        await until(exchange.is_well)
    findings = await scenario.whole()
    assert {ticker for ticker, _ in findings.lost} == {"btc_usd", "eth_usd"}


@pytest.mark.chaos("exchange asks to wait", seconds=75)
async def test_exchange_that_asks_to_wait_is_left_alone_meanwhile(
    stack: Stack, exchange: StandIn, begin: Begin
) -> None:
    scenario = await begin(stack)
    async with scenario.fault(says="exchange_rate_limited"):
        wait = {"code": 10028, "data": {"wait": LASTS_SECONDS}}
        await exchange.misbehave("error", **wait, times=1)
        await until(exchange.is_well)  # the fault hit, and is over: nothing keeps us but the wait
        before = await exchange.requests_seen()
        await asyncio.sleep(LASTS_SECONDS - SPARE_SECONDS)
        assert await exchange.requests_seen() - before <= ASKED_AT_ONCE
    findings = await scenario.whole()
    assert {ticker for ticker, _ in findings.lost} == {"btc_usd", "eth_usd"}


@pytest.mark.chaos("exchange prices one ticker wrongly", seconds=75)
async def test_wrong_prices_of_one_ticker_are_never_stored_and_cost_no_other_ticker(
    stack: Stack, exchange: StandIn, begin: Begin
) -> None:
    scenario = await begin(stack)
    async with scenario.fault(says="exchange_(price_refused|answer_malformed)"):
        for price in WRONG_PRICES:
            lasts = LASTS_SECONDS / len(WRONG_PRICES)
            await exchange.misbehave("price", price=price, index="btc_usd", seconds=lasts)
            await asyncio.sleep(lasts)
        await until(exchange.is_well)
    findings = await scenario.whole()
    assert {ticker for ticker, _ in findings.lost} == {"btc_usd"}


@pytest.mark.chaos("ten repairs asked for while the chart stalls", seconds=110)
async def test_repairs_that_hang_on_a_stalled_chart_cost_no_live_slot(
    stack: Stack, processes: Processes, exchange: StandIn, begin: Begin
) -> None:
    scenario = await begin(stack)
    async with scenario.fault(says="exchange_unavailable"):
        await exchange.misbehave("stall", method=CHART, seconds=3 * LASTS_SECONDS)
        await exchange.misbehave("html", method="get_index_price", seconds=LASTS_SECONDS)
        await asyncio.sleep(LASTS_SECONDS)
        await scenario.go_on(1)
        before = await scenario.findings()
        await _ask_for_repairs(processes, 10)
        await scenario.go_on(STALLED_SLOTS)
        await until(exchange.is_well, 3 * LASTS_SECONDS)
    findings = await scenario.whole()
    assert before.lost
    assert findings.lost == before.lost


async def _ask_for_repairs(processes: Processes, count: int) -> None:
    settings = processes.settings
    url = f"http://127.0.0.1:{settings.api_port}/api/v1/tasks/backfill"
    async with aiohttp.ClientSession(headers={"X-API-Key": "chaos-key"}) as session:
        for _ in range(count):
            async with session.post(url) as response:
                assert response.status == 202
