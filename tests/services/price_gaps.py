"""Stored prices with gaps, as outages leave them."""

import time
from collections.abc import Collection

import asyncpg

from app.simulator import Exchange
from tests.repositories.rows import store


def current_slot(interval: int = 60) -> int:
    """Return the current slot of this machine's clock."""
    return int(time.time()) // interval * interval


async def store_with_gaps(  # noqa: PLR0913  # each has a default
    sql: asyncpg.Connection,
    exchange: Exchange,
    missing: Collection[int],
    *,
    ticker: str = "btc_usd",
    interval: int = 60,
    seconds: int = 3_000,
) -> int:
    """Store live prices of the last `seconds` except the missing ones; return the newest slot.

    A slot is missing if its distance to the newest one, in intervals, is. The exchange's clock is
    set a sixth of an interval into the newest slot.
    """
    newest = current_slot(interval)
    exchange.set_clock(1000 * (newest + interval / 6 - time.time()))
    first = newest - seconds // interval * interval
    await sql.execute(
        "INSERT INTO recordings (exchange, ticker, first_slot, interval_seconds)"
        " VALUES ('deribit', $1, $2, $3)",
        ticker,
        first,
        interval,
    )
    missing_slots = {newest - distance * interval for distance in missing}
    stored_slots = [
        slot for slot in range(first, newest + 1, interval) if slot not in missing_slots
    ]
    await store(sql, stored_slots, ticker=ticker)
    return newest


async def backfilled_slots(sql: asyncpg.Connection, ticker: str = "btc_usd") -> list[int]:
    """Read the slots of the backfilled rows, ascending."""
    rows = await sql.fetch(
        "SELECT timestamp FROM prices WHERE source = 'backfill' AND ticker = $1 ORDER BY 1", ticker
    )
    return [row[0] for row in rows]


async def unfillable_reasons(sql: asyncpg.Connection, ticker: str = "btc_usd") -> dict[int, str]:
    """Read the slots that are stored as unfillable, with their reasons."""
    rows = await sql.fetch(
        "SELECT generate_series(first_slot, last_slot, interval_seconds), reason"
        " FROM unfillable WHERE ticker = $1 ORDER BY 1",
        ticker,
    )
    return {row[0]: row[1] for row in rows}
