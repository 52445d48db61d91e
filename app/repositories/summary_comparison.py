"""The hourly summaries compared with the rows that they summarize, and rebuilt from them."""

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.prices import TickerKey, TimeRange

_FROM_ROWS = """
    SELECT exchange, ticker, timestamp - timestamp % 3600 AS hour,
           (array_agg(price ORDER BY timestamp))[1] AS open, max(price) AS high, min(price) AS low,
           (array_agg(price ORDER BY timestamp DESC))[1] AS close,
           min(timestamp) AS first_slot, max(timestamp) AS last_slot, count(*) AS samples,
           count(*) FILTER (WHERE source = 'backfill') AS backfilled,
           count(*) FILTER (WHERE source = 'import') AS imported,
           price_grid(timestamp) AS grid_seconds
    FROM prices
    WHERE exchange = :exchange AND ticker = :ticker AND timestamp BETWEEN :start AND :end
    GROUP BY 1, 2, 3
"""

_WRONG = f"""
    SELECT count(*)
    FROM ({_FROM_ROWS}) AS counted
    FULL JOIN (
        SELECT * FROM price_hours
        WHERE exchange = :exchange AND ticker = :ticker AND hour BETWEEN :start AND :end
    ) AS kept USING (exchange, ticker, hour)
    WHERE counted.* IS DISTINCT FROM kept.*
"""  # noqa: S608  # put together from the constant above

_STORED_RANGE = text(
    """
    SELECT min(first) - min(first) % 3600, max(last) FROM (
        SELECT min(timestamp) AS first, max(timestamp) AS last
        FROM prices WHERE exchange = :exchange AND ticker = :ticker
        UNION ALL
        SELECT min(hour), max(hour)
        FROM price_hours WHERE exchange = :exchange AND ticker = :ticker
    ) AS extents
    """
)
_CLEAR = text(
    """
    DELETE FROM price_hours
    WHERE exchange = :exchange AND ticker = :ticker AND hour BETWEEN :start AND :end
    """
)
_WRITE = text(f"INSERT INTO price_hours {_FROM_ROWS}")
_LOCK_OUT_WRITERS = text("LOCK TABLE prices IN SHARE ROW EXCLUSIVE MODE")


async def stored_range(session: AsyncSession, key: TickerKey) -> TimeRange:
    """Return the hour of the first and the second of the last row or summary; open if none."""
    return TimeRange(*(await session.execute(_STORED_RANGE, key._asdict())).one())


async def count_wrong(session: AsyncSession, key: TickerKey, start: int, end: int) -> int:
    """Count the summaries from one full hour to another (exclusive) that differ from their rows."""
    return int(await session.scalar(text(_WRONG), _parameters(key, start, end)) or 0)


async def rebuild(session: AsyncSession, key: TickerKey, start: int, end: int) -> None:
    """Rebuild the summaries from one full hour to another (exclusive) from their rows.

    Writers wait until the transaction ends, so the range should be short.
    """
    await session.execute(_LOCK_OUT_WRITERS)
    await session.execute(_CLEAR, _parameters(key, start, end))
    await session.execute(_WRITE, _parameters(key, start, end))


def _parameters(key: TickerKey, start: int, end: int) -> dict[str, object]:
    return {**key._asdict(), "start": start, "end": end - 1}
