"""Rows written by plain SQL, beside the application."""

from collections.abc import Iterable
from decimal import Decimal

import asyncpg

_INSERT = """
INSERT INTO prices (exchange, ticker, timestamp, price, observed_us, source)
VALUES ($1, $2, $3::bigint, $4, $3::bigint * 1000000, $5)
"""


async def store(  # noqa: PLR0913  # each has a default
    sql: asyncpg.Connection,
    slots: Iterable[int],
    *,
    ticker: str = "btc_usd",
    exchange: str = "deribit",
    price: str = "60123.5",
    source: str = "live",
) -> None:
    """Store one price in every slot."""
    rows = [(exchange, ticker, slot, Decimal(price), source) for slot in slots]
    await sql.executemany(_INSERT, rows)


async def add_recording(
    sql: asyncpg.Connection,
    first: int,
    last: int | None = None,
    interval: int = 60,
    *,
    ticker: str = "btc_usd",
) -> None:
    """Add a recording of a ticker from one slot to another, or without an end."""
    await sql.execute(
        "INSERT INTO recordings (exchange, ticker, first_slot, last_slot, interval_seconds)"
        " VALUES ('deribit', $1, $2, $3, $4)",
        ticker,
        first,
        last,
        interval,
    )
