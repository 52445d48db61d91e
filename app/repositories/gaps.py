"""Gaps in the database: what the recordings promise and the prices lack.

`tests/domain/specified_gaps.py` is the specification. Hours that lack nothing are taken from their
summaries, and so are counts; rows are read only where the summaries can't tell.
"""

from collections.abc import Mapping
from itertools import groupby

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.coverage import PeriodQuery, SlotCounts
from app.domain.gaps import Gap
from app.domain.prices import MAX_SECOND, TickerKey, TimeRange
from app.domain.slots import Slot

_PROMISED = """
    WITH promised AS MATERIALIZED (
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
    )
"""

_FIND = """
    , whole AS (
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

# The summary of an hour counts its stored slots if all of its rows lie in slots. Elsewhere, as at
# the ends of recordings and where the interval changed, the rows of the hour are counted.
_STORED = """
    , hours AS NOT MATERIALIZED (
        SELECT promised.*, hour, samples, backfilled, imported,
               first_slot >= first AND last_slot <= last AND grid_seconds % step = 0 AS all_in_slots
        FROM promised JOIN price_hours USING (exchange, ticker)
        WHERE hour > first - 3600 AND hour <= last
    ), stored AS (
        SELECT exchange, ticker, hour, samples - backfilled - imported AS live, backfilled, imported
        FROM hours WHERE all_in_slots
        UNION ALL
        SELECT exchange, ticker, hour, counted.*
        FROM hours CROSS JOIN LATERAL (
            SELECT count(*) FILTER (WHERE source = 'live') AS live,
                   count(*) FILTER (WHERE source = 'backfill') AS backfilled,
                   count(*) FILTER (WHERE source = 'import') AS imported
            FROM prices
            WHERE exchange = hours.exchange AND ticker = hours.ticker
              AND timestamp >= greatest(hour, first) AND timestamp <= least(hour + 3599, last)
              AND timestamp % step = 0
        ) AS counted
        WHERE NOT all_in_slots
    )
"""

_COUNT = """
    SELECT exchange, ticker, expected::bigint, coalesce(live, 0)::bigint,
           coalesce(backfilled, 0)::bigint, coalesce(imported, 0)::bigint, first, last, step
    FROM (
        SELECT exchange, ticker, sum((last - first) / step + 1) AS expected,
               min(first) AS first, max(last) AS last,
               (array_agg(step ORDER BY first DESC))[1] AS step
        FROM promised WHERE first <= last
        GROUP BY exchange, ticker
    ) AS expected_slots
    LEFT JOIN (
        SELECT exchange, ticker, sum(live) AS live, sum(backfilled) AS backfilled,
               sum(imported) AS imported
        FROM stored GROUP BY exchange, ticker
    ) AS stored_slots USING (exchange, ticker)
"""

_EXPECTED_BY_PERIOD = """
    SELECT period, sum(slots)::bigint
    FROM promised
    CROSS JOIN LATERAL generate_series(first - first % :width, last, :width) AS period
    CROSS JOIN LATERAL (
        SELECT least(last, period + :width - 1) / step
               - (greatest(first, period) + step - 1) / step + 1 AS slots
    ) AS counted
    WHERE first <= last AND slots > 0
    GROUP BY period ORDER BY period LIMIT :limit
"""

_STORED_BY_PERIOD = """
    SELECT hour - hour % :width AS period,
           sum(live)::bigint, sum(backfilled)::bigint, sum(imported)::bigint
    FROM stored GROUP BY period
"""

_FIND_STATEMENT = text(_PROMISED + _FIND)
_COUNT_STATEMENT = text(_PROMISED + _STORED + _COUNT)
_EXPECTED_BY_PERIOD_STATEMENT = text(_PROMISED + _EXPECTED_BY_PERIOD)
_STORED_BY_PERIOD_STATEMENT = text(_PROMISED + _STORED + _STORED_BY_PERIOD)


async def find(
    session: AsyncSession, exchange_now_us: Mapping[TickerKey, int], time_range: TimeRange
) -> dict[TickerKey, list[Gap]]:
    """Find the gaps of a time range as the longest ranges, ascending, by ticker.

    `exchange_now_us` is the exchange's clock by ticker: slots of an open recording that may still
    get their live price are no gaps. Tickers without gaps are left out.
    """
    rows = await session.execute(_FIND_STATEMENT, _parameters(exchange_now_us, time_range))
    return {
        key: [Gap(Slot(row[3]), Slot(row[4]), row[2]) for row in of_key]
        for key, of_key in groupby(rows, key=lambda row: TickerKey(row[0], row[1]))
    }


async def count(
    session: AsyncSession, exchange_now_us: Mapping[TickerKey, int], time_range: TimeRange
) -> dict[TickerKey, SlotCounts]:
    """Count promised and stored slots; tickers without recordings in the range are left out."""
    rows = await session.execute(_COUNT_STATEMENT, _parameters(exchange_now_us, time_range))
    return {TickerKey(row[0], row[1]): SlotCounts(*row[2:]) for row in rows}


async def count_by_period(
    session: AsyncSession, query: PeriodQuery, exchange_now_us: int
) -> dict[int, SlotCounts]:
    """Count the slots of the first days or hours that have promised slots, by their start.

    Those at the edges of the range are counted as far as it reaches.
    """
    width = query.period.seconds
    parameters = _parameters({query.key: exchange_now_us}, query.time_range) | {"width": width}
    rows = await session.execute(_EXPECTED_BY_PERIOD_STATEMENT, parameters | {"limit": query.limit})
    expected = {row[0]: row[1] for row in rows}
    if not expected:
        return {}
    parameters |= _clip(query.time_range, min(expected), max(expected) + width - 1)
    rows = await session.execute(_STORED_BY_PERIOD_STATEMENT, parameters)
    stored = {row[0]: row[1:] for row in rows}
    return {start: SlotCounts(slots, *stored.get(start, ())) for start, slots in expected.items()}


def _clip(time_range: TimeRange, first: int, last: int) -> dict[str, int]:
    start, end = time_range.bounds()
    return {"start": max(start, first), "end": min(end, last)}


def _parameters(
    exchange_now_us: Mapping[TickerKey, int], time_range: TimeRange
) -> dict[str, object]:
    start, end = time_range.bounds()
    return {
        "exchanges": [key.exchange for key in exchange_now_us],
        "tickers": [key.ticker for key in exchange_now_us],
        "exchange_now_us": list(exchange_now_us.values()),
        "start": max(0, start),
        "end": min(end, MAX_SECOND),
    }
