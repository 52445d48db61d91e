"""The quality of stored rows: their lateness and unusual price moves."""

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.coverage import Lateness, Outlier, Quality
from app.domain.prices import TickerKey, TimeRange
from app.domain.slots import Slot

MAX_DEVIATIONS = 30
"""A move further from the median than so many standard deviations is flagged.

In the recorded year 2017 that is one minute in five thousand.
"""
DEVIATION_OF_MEDIAN = 1.4826
"""The ratio of a normal distribution's standard deviation to its median deviation."""
MIN_BOUND = 0.005
"""Moves within half a percent are never flagged."""

_LATENESS = """
    SELECT percentile_disc(ARRAY[0.5, 0.99, 1]) WITHIN GROUP (
        ORDER BY observed_us - timestamp * 1000000
    ) AS late
    FROM prices
    WHERE exchange = :exchange AND ticker = :ticker AND source = 'live'
      AND timestamp BETWEEN :start AND :end
"""

# Only moves from one slot to the next: what happened across a gap took its time.
_OUTLIERS = """
    WITH moves AS MATERIALIZED (
        SELECT timestamp, price, before, price::float8 / before::float8 - 1 AS move
        FROM (
            SELECT timestamp, price, lag(price) OVER slots AS before,
                   timestamp - lag(timestamp) OVER slots AS elapsed
            FROM prices
            WHERE exchange = :exchange AND ticker = :ticker
              AND timestamp BETWEEN :start AND :end
            WINDOW slots AS (ORDER BY timestamp)
        ) AS neighbours
        WHERE elapsed = :step AND before > 0
    ), middle AS (
        SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY move) AS move FROM moves
    ), spread AS (
        SELECT middle.move AS middle,
               greatest(CAST(:least AS float8), CAST(:factor AS float8) * percentile_cont(0.5)
                        WITHIN GROUP (ORDER BY abs(moves.move - middle.move))) AS bound
        FROM moves, middle GROUP BY middle.move
    )
    SELECT bound, count(*) OVER () AS flagged, timestamp, price, before, move
    FROM spread LEFT JOIN moves ON abs(move - middle) > bound
    ORDER BY abs(move - middle) DESC, timestamp
    LIMIT :limit
"""


async def measure(
    session: AsyncSession,
    key: TickerKey,
    time_range: TimeRange,
    interval_seconds: int,
    max_outliers: int,
) -> Quality:
    """Measure the rows of a range; only moves between adjacent slots count.

    A move is rated by its deviation from the median move, in standard deviations that are
    estimated from the median deviation.
    """
    start, end = time_range.bounds()
    rows_of_span = {**key._asdict(), "start": start, "end": end}
    bounds = {
        "step": interval_seconds,
        "least": MIN_BOUND,
        "factor": MAX_DEVIATIONS * DEVIATION_OF_MEDIAN,
        "limit": max_outliers,
    }
    rows = (await session.execute(text(_OUTLIERS), {**rows_of_span, **bounds})).all()
    flagged = [row for row in rows if row.timestamp is not None]
    late = await session.scalar(text(_LATENESS), rows_of_span)
    return Quality(
        None if late is None else Lateness(*late),
        bound=rows[0].bound if rows else None,
        outlier_count=flagged[0].flagged if flagged else 0,
        outliers=[Outlier(Slot(row[2]), row[3], row[4], row[5]) for row in flagged],
    )
