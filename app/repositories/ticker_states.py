"""The state of a ticker: its newest price, oldest slot and recordings, in one query."""

from collections.abc import Sequence
from typing import Any

from app.domain.prices import Price, Source, TickerKey
from app.domain.recordings import Recording
from app.domain.slots import Slot
from app.domain.ticker_state import TickerState
from app.postgres.database import RawConnection

COLUMNS = "newest.timestamp, price, observed_us, source, oldest.timestamp, promised"
"""The columns that `read_row` expects after the ticker's key."""
JOINS = """
    LEFT JOIN LATERAL (
        SELECT timestamp, price, observed_us, source FROM prices
        WHERE exchange = wanted.exchange AND ticker = wanted.ticker
        ORDER BY timestamp DESC LIMIT 1
    ) AS newest ON true
    LEFT JOIN LATERAL (
        SELECT timestamp FROM prices
        WHERE exchange = wanted.exchange AND ticker = wanted.ticker
        ORDER BY timestamp LIMIT 1
    ) AS oldest ON true
    LEFT JOIN LATERAL (
        SELECT array_agg(ARRAY[interval_seconds, first_slot, last_slot] ORDER BY first_slot)
               AS promised
        FROM recordings WHERE exchange = wanted.exchange AND ticker = wanted.ticker
    ) AS promises ON true
"""
"""Joins that add the states to the tickers of `wanted`."""
SOURCES = frozenset(Source)
_READ = f"""
    SELECT exchange, ticker, {COLUMNS}
    FROM (VALUES ($1::text, $2::text)) AS wanted (exchange, ticker) {JOINS}
"""  # noqa: S608  # put together from constants


async def read(connection: RawConnection, key: TickerKey) -> TickerState:
    """Read the state of a ticker; it is empty if the ticker is unknown."""
    (row,) = await connection.fetch(_READ, *key)
    return read_row(row)[1]


def read_row(row: Sequence[Any]) -> tuple[TickerKey, TickerState]:
    """Convert a row of the key and `COLUMNS` to a ticker and its state."""
    exchange, ticker, slot, price, observed_us, source, oldest, promised = row
    key = TickerKey(exchange, ticker)
    recordings = tuple(Recording(key, *promise) for promise in promised or ())
    if slot is None or source not in SOURCES:
        return key, TickerState(recordings=recordings)  # an invalid old row affects its ticker only
    newest = Price(key, Slot(slot), price, observed_us, Source(source))
    return key, TickerState(newest, Slot(oldest), recordings)
