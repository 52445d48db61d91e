"""Gaps in the database: what the recordings promise and the prices lack.

`tests/domain/specified_gaps.py` is the specification. Hours that lack nothing are taken from their
summaries; rows are read only in the ranges between them.
"""

from collections.abc import Mapping
from itertools import groupby

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.coverage import SlotCounts
from app.domain.gaps import Gap
from app.domain.prices import MAX_SECOND, TickerKey, TimeRange
from app.domain.slots import Slot

_RANGES = """
    WITH promised AS (
        SELECT exchange, ticker, interval_seconds AS step,
               greatest(first_slot, (CAST(:start AS bigint) + interval_seconds - 1)
                        / interval_seconds * interval_seconds) AS first,
               least(CAST(:end AS bigint) / interval_seconds * interval_seconds, coalesce(
                   last_slot, (exchange_now_us - interval_seconds * 500000::bigint)
                   / (interval_seconds * 1000000::bigint) * interval_seconds - interval_seconds
               )) AS last
        FROM unnest(
            CAST(:exchanges AS text[]), CAST(:tickers AS text[]), CAST(:exchange_now_us AS bigint[])
        ) AS requested (exchange, ticker, exchange_now_us)
        JOIN recordings USING (exchange, ticker)
    ), whole AS (
        SELECT promised.*, hour, samples, backfilled, imported
        FROM promised JOIN price_hours AS hours USING (exchange, ticker)
        WHERE hour >= first AND hour + 3600 <= last + step
          AND step <= 3600 AND grid_seconds % step = 0
          AND samples = (hour + 3599 + step) / step - (hour + step - 1) / step
    ), ranges AS (
        SELECT exchange, ticker, step, first,
               coalesce(lag(hour) OVER (
                   PARTITION BY exchange, ticker, first ORDER BY hour
               ) + 3600, first) AS start, hour AS stop
        FROM whole
        UNION ALL
        SELECT exchange, ticker, step, first,
               coalesce(max(hour) + 3600, first), last + step
        FROM promised LEFT JOIN whole USING (exchange, ticker, step, first, last)
        WHERE first <= last
        GROUP BY exchange, ticker, step, first, last
    )
"""

_FIND = """
    SELECT exchange, ticker, step, slot + step AS first, following - step AS last
    FROM ranges CROSS JOIN LATERAL (
        SELECT slot, lead(slot) OVER (ORDER BY slot) AS following
        FROM (
            SELECT (start + step - 1) / step * step - step AS slot
            UNION ALL
            SELECT timestamp FROM prices
            WHERE exchange = ranges.exchange AND ticker = ranges.ticker
              AND timestamp >= start AND timestamp < stop AND timestamp % step = 0
            UNION ALL
            SELECT (stop + step - 1) / step * step
        ) AS slots
    ) AS neighbours
    WHERE start < stop AND following - slot > step
    ORDER BY 1, 2, 4
"""

_COUNT = """
    SELECT exchange, ticker,
           sum(expected)::bigint, sum(live)::bigint, sum(backfilled)::bigint, sum(imported)::bigint,
           min(first), max(last), (array_agg(step ORDER BY first DESC NULLS LAST))[1]
    FROM (
        SELECT exchange, ticker, first, last, step, (last - first) / step + 1 AS expected,
               0 AS live, 0 AS backfilled, 0 AS imported
        FROM promised WHERE first <= last
        UNION ALL
        SELECT exchange, ticker, NULL, NULL, NULL, 0,
               samples - backfilled - imported, backfilled, imported
        FROM whole
        UNION ALL
        SELECT exchange, ticker, NULL, NULL, NULL, 0, live, backfilled, imported
        FROM ranges CROSS JOIN LATERAL (
            SELECT count(*) FILTER (WHERE source = 'live') AS live,
                   count(*) FILTER (WHERE source = 'backfill') AS backfilled,
                   count(*) FILTER (WHERE source = 'import') AS imported
            FROM prices
            WHERE exchange = ranges.exchange AND ticker = ranges.ticker
              AND timestamp >= start AND timestamp < stop AND timestamp % step = 0
        ) AS rows
        WHERE start < stop
    ) AS parts
    GROUP BY exchange, ticker HAVING sum(expected) > 0
"""


async def find(
    session: AsyncSession, exchange_now_us: Mapping[TickerKey, int], span: TimeRange
) -> dict[TickerKey, list[Gap]]:
    """Find the gaps of a span as the longest ranges, ascending, by ticker.

    `exchange_now_us` is the exchange's clock by ticker: slots of an open recording that may still
    get their live price are no gaps. Tickers without gaps are left out.
    """
    rows = await session.execute(text(_RANGES + _FIND), _parameters(exchange_now_us, span))
    return {
        key: [Gap(Slot(row[3]), Slot(row[4]), row[2]) for row in of_key]
        for key, of_key in groupby(rows, key=lambda row: TickerKey(row[0], row[1]))
    }


async def count(
    session: AsyncSession, exchange_now_us: Mapping[TickerKey, int], span: TimeRange
) -> dict[TickerKey, SlotCounts]:
    """Count promised and stored slots; tickers without recordings in the span are left out."""
    rows = await session.execute(text(_RANGES + _COUNT), _parameters(exchange_now_us, span))
    return {TickerKey(row[0], row[1]): SlotCounts(*row[2:]) for row in rows}


def _parameters(exchange_now_us: Mapping[TickerKey, int], span: TimeRange) -> dict[str, object]:
    start, end = span.bounds()
    return {
        "exchanges": [key.exchange for key in exchange_now_us],
        "tickers": [key.ticker for key in exchange_now_us],
        "exchange_now_us": list(exchange_now_us.values()),
        "start": max(0, start),
        "end": min(end, MAX_SECOND),
    }
