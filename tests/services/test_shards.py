"""Shards of a tick, which several workers collect at the same time."""

import asyncio

from app.runtime import Runtime
from app.simulator import Exchange


async def test_shares_of_a_tick_are_collected_side_by_side(
    runtime: Runtime, exchange: Exchange
) -> None:
    exchange.set_delay(300)
    shares = await asyncio.gather(*(runtime.collector.collect(share, 2) for share in range(2)))
    assert [result.stored for result in shares] == [["btc_usd"], ["eth_usd"]]
