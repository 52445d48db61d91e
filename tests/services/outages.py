"""Records with holes, as outages leave them."""

import time
from collections.abc import Collection

import asyncpg

from app.simulator import Exchange
from tests.repositories.rows import store


def this_slot(interval: int = 60) -> int:
    """Give the slot that this machine's clock is in."""
    return int(time.time()) // interval * interval


async def record(  # noqa: PLR0913  # each has a default
    sql: asyncpg.Connection,
    exchange: Exchange,
    missing: Collection[int],
    *,
    ticker: str = "btc_usd",
    interval: int = 60,
    seconds: int = 3_000,
) -> int:
    """Store a live record of the last seconds, but for the missing ones; give its newest slot.

    A slot is missing if its distance to the newest one, in intervals, is. The exchange's clock is
    set a sixth of an interval into the newest slot.
    """
    newest = this_slot(interval)
    exchange.set_clock(1000 * (newest + interval / 6 - time.time()))
    first = newest - seconds // interval * interval
    await sql.execute(
        "INSERT INTO recordings (exchange, ticker, first_slot, interval_seconds)"
        " VALUES ('deribit', $1, $2, $3)",
        ticker,
        first,
        interval,
    )
    lost = {newest - distance * interval for distance in missing}
    kept = [slot for slot in range(first, newest + 1, interval) if slot not in lost]
    await store(sql, kept, ticker=ticker)
    return newest


async def backfilled(sql: asyncpg.Connection, ticker: str = "btc_usd") -> list[int]:
    """Read the slots of the backfilled rows, ascending."""
    rows = await sql.fetch(
        "SELECT timestamp FROM prices WHERE source = 'backfill' AND ticker = $1 ORDER BY 1", ticker
    )
    return [row[0] for row in rows]


async def given_up(sql: asyncpg.Connection, ticker: str = "btc_usd") -> dict[int, str]:
    """Read what is remembered as unfillable: the reason of each slot."""
    rows = await sql.fetch(
        "SELECT generate_series(first_slot, last_slot, interval_seconds), reason"
        " FROM unfillable WHERE ticker = $1 ORDER BY 1",
        ticker,
    )
    return {row[0]: row[1] for row in rows}
