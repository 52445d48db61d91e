"""The exchange fails, in every way it has, for longer than any retry."""

import asyncio
from typing import Any

import pytest

from tests.chaos.conftest import Begin
from tests.chaos.stack import Stack
from tests.chaos.standin import StandIn
from tests.waiting import until

LASTS_SECONDS = 20
"""A tick retries for one interval of 6 s."""
WRONG_PRICES = ("-5", "NaN", '"text"')

FAULTS: dict[str, dict[str, Any]] = {
    "refuses": {"kind": "down", "seconds": LASTS_SECONDS},
    "stalls": {"kind": "stall", "seconds": LASTS_SECONDS},
    "answers 429": {"kind": "error", "code": 10028, "seconds": LASTS_SECONDS},
    "answers 503": {"kind": "html", "status": 503, "seconds": LASTS_SECONDS},
}


@pytest.mark.chaos("exchange", seconds=75)
@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())
async def test_slots_lost_while_the_exchange_fails_come_back(
    stack: Stack, exchange: StandIn, begin: Begin, fault: dict[str, Any]
) -> None:
    scenario = await begin(stack)
    async with scenario.fault():
        await exchange.misbehave(**fault)
        await asyncio.sleep(LASTS_SECONDS)
        await until(exchange.is_well)
    findings = await scenario.whole()
    assert {ticker for ticker, _ in findings.lost} == {"btc_usd", "eth_usd"}


@pytest.mark.chaos("exchange prices one ticker wrongly", seconds=75)
async def test_wrong_prices_of_one_ticker_are_never_stored_and_cost_no_other_ticker(
    stack: Stack, exchange: StandIn, begin: Begin
) -> None:
    scenario = await begin(stack)
    async with scenario.fault():
        for price in WRONG_PRICES:
            lasts = LASTS_SECONDS / len(WRONG_PRICES)
            await exchange.misbehave("price", price=price, index="btc_usd", seconds=lasts)
            await asyncio.sleep(lasts)
        await until(exchange.is_well)
    findings = await scenario.whole()
    assert {ticker for ticker, _ in findings.lost} == {"btc_usd"}
