"""The summaries of hours beside what the rows say, to compare and to write anew."""

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.prices import TickerKey, TimeRange

_COUNTED = """
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
    FROM ({_COUNTED}) AS counted
    FULL JOIN (
        SELECT * FROM price_hours
        WHERE exchange = :exchange AND ticker = :ticker AND hour BETWEEN :start AND :end
    ) AS kept USING (exchange, ticker, hour)
    WHERE counted.* IS DISTINCT FROM kept.*
"""  # noqa: S608  # put together from the constant above

_EXTENT = text(
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
_WRITE = text(f"INSERT INTO price_hours {_COUNTED}")
_NO_WRITERS = text("LOCK TABLE prices IN SHARE ROW EXCLUSIVE MODE")


async def stored_range(session: AsyncSession, key: TickerKey) -> TimeRange:
    """Tell from which full hour to which second there are rows or summaries; open if none."""
    return TimeRange(*(await session.execute(_EXTENT, key._asdict())).one())


async def count_wrong(session: AsyncSession, key: TickerKey, start: int, end: int) -> int:
    """Count the hours between two full hours, the last exclusive, that differ from their rows."""
    return int(await session.scalar(text(_WRONG), _parameters(key, start, end)) or 0)


async def rebuild(session: AsyncSession, key: TickerKey, start: int, end: int) -> None:
    """Write the summaries between two full hours, the last exclusive, from their rows.

    Writers wait until the transaction ends, so the stretch should be short.
    """
    await session.execute(_NO_WRITERS)
    await session.execute(_CLEAR, _parameters(key, start, end))
    await session.execute(_WRITE, _parameters(key, start, end))


def _parameters(key: TickerKey, start: int, end: int) -> dict[str, object]:
    return {**key._asdict(), "start": start, "end": end - 1}
