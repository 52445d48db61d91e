"""The exchange's timestamp decides the slot of a price, whenever it is stored."""

import asyncio

import asyncpg

from app.runtime import Runtime
from app.services.collector import CollectionResult
from app.simulator import Exchange
from tests.conftest import set_phase
from tests.waiting import until

BOTH = ["btc_usd", "eth_usd"]
AWAY_TWICE = """
CREATE SEQUENCE attempts;
CREATE FUNCTION fail_twice() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF nextval('attempts') <= 2 THEN
        RAISE EXCEPTION 'shutting down' USING ERRCODE = '57P01';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER away BEFORE INSERT ON prices EXECUTE FUNCTION fail_twice();
"""
"""A sequence counts attempts that are rolled back, too."""


async def test_write_that_is_tried_again_keeps_the_exchanges_stamp(
    runtime: Runtime, exchange: Exchange, sql: asyncpg.Connection
) -> None:
    """Elsewhere a retry stamped the price with its own time."""
    await sql.execute(AWAY_TWICE)
    assert await runtime.collector.collect() == CollectionResult(stored=BOTH)
    assert await sql.fetchval("SELECT last_value FROM attempts") >= 3
    rows = await sql.fetch("SELECT ticker, observed_us FROM prices")
    assert {tuple(row) for row in rows} == {
        (request.index, request.us_out) for request in exchange.requests
    }


async def test_first_quote_of_all_is_refused_while_the_database_contradicts(
    runtime: Runtime, exchange: Exchange, sql: asyncpg.Connection
) -> None:
    """A glitch of half an hour at the first start left rows in the future."""
    exchange.set_clock(1_800_000)
    refused = asyncio.create_task(runtime.collector.collect())
    await until(lambda: _asked_twice(exchange))
    set_phase(exchange, 10)
    assert await refused == CollectionResult(stored=BOTH)
    assert not await sql.fetchval(
        "SELECT count(*) FROM prices WHERE timestamp > extract(epoch FROM now()) + 60"
    )


async def _asked_twice(exchange: Exchange) -> bool:
    return len(exchange.requests) >= 2 * len(BOTH)


async def test_quote_lies_in_the_slot_of_its_stamp_however_far_the_clocks_are_apart(
    runtime: Runtime, exchange: Exchange, sql: asyncpg.Connection
) -> None:
    exchange.set_clock(-290_000)
    await runtime.collector.collect()
    rows = await sql.fetch("SELECT ticker, timestamp FROM prices")
    assert {tuple(row) for row in rows} == {
        (request.index, (request.us_out or 0) // 60_000_000 * 60) for request in exchange.requests
    }
