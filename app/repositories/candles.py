"""Candles in the database: aggregated and encoded as JSON by PostgreSQL, no object per candle.

Candles of an hour and longer are built from the hourly summaries, which may outlive the rows.
"""

from functools import cache

from sqlalchemy import TextClause, text
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.as_of import last_second_known, to_datetime
from app.domain.candle_queries import CandleColumns, CandleInterval, CandleQuery, Fill
from app.domain.encoded_rows import EncodedPage
from app.domain.prices import MAX_SECOND
from app.domain.slots import SECONDS_PER_HOUR, Slot

_ROWS = """
    WITH source AS NOT MATERIALIZED (
        SELECT timestamp AS moment, timestamp - (timestamp - :origin) % :width AS bucket,
               price AS open, price AS high, price AS low, price AS close, 1 AS samples
        FROM prices WHERE exchange = :exchange AND ticker = :ticker
    )
"""
# Summaries don't tell when their rows were stored.
_KNOWN_ROWS = """
    WITH source AS NOT MATERIALIZED (
        SELECT timestamp AS moment, timestamp - (timestamp - :origin) % :width AS bucket,
               price AS open, price AS high, price AS low, price AS close, 1 AS samples
        FROM prices WHERE exchange = :exchange AND ticker = :ticker
          AND timestamp <= :last_known AND created_at <= CAST(:as_of AS timestamptz)
    )
"""
_HOURS = """
    WITH source AS NOT MATERIALIZED (
        SELECT hour AS moment, hour - (hour - :origin) % :width AS bucket,
               open, high, low, close, samples
        FROM price_hours WHERE exchange = :exchange AND ticker = :ticker
    )
"""

# Where the page ends is found by a walk along the primary key that stops there, however far the
# period reaches and however sparse the rows are.
_SPARSE_PAGE = """
    , ending AS MATERIALIZED (
        SELECT bucket
        FROM (
            SELECT moment, bucket, lag(bucket) OVER (ORDER BY moment) AS before
            FROM source WHERE moment >= :first AND moment < :stop
        ) AS marked
        WHERE bucket IS DISTINCT FROM before
        ORDER BY moment OFFSET :limit LIMIT 1
    ), page AS (
        SELECT :first AS first, coalesce((SELECT bucket FROM ending), :stop) AS stop,
               EXISTS (SELECT FROM ending) AS has_more
    )
"""
# Filled candles have no gaps but long ones, so the page ends by arithmetic. It neither begins nor
# ends in a gap that is not filled.
_FILLED_PAGE = """
    , outermost AS (
        SELECT greatest(:first, (SELECT bucket FROM source ORDER BY moment LIMIT 1)) AS first,
               least(:stop, coalesce(
                   (SELECT bucket + :width FROM source ORDER BY moment DESC LIMIT 1), :first
               )) AS last
    ), neighbours AS (
        SELECT first, last,
               (SELECT bucket FROM source WHERE moment < first ORDER BY moment DESC LIMIT 1)
                   AS before_first,
               (SELECT bucket FROM source WHERE moment >= first ORDER BY moment LIMIT 1)
                   AS after_first,
               (SELECT bucket FROM source WHERE moment < last ORDER BY moment DESC LIMIT 1)
                   AS before_last,
               (SELECT bucket FROM source WHERE moment >= last ORDER BY moment LIMIT 1)
                   AS after_last
        FROM outermost
    ), filled AS (
        SELECT CASE WHEN after_first - before_first - :width > :max_gap
                    THEN after_first ELSE first END AS first,
               CASE WHEN after_last - before_last - :width > :max_gap
                    THEN before_last + :width ELSE last END AS last
        FROM neighbours
    ), page AS (
        SELECT first, least(last, first + :limit * :width) AS stop,
               last > first + :limit * :width AS has_more
        FROM filled
    )
"""
# The last candles of a range are found by the same walk, backwards.
_LAST_PAGE = """
    , beginning AS MATERIALIZED (
        SELECT bucket
        FROM (
            SELECT moment, bucket, lag(bucket) OVER (ORDER BY moment DESC) AS after
            FROM source WHERE moment >= :first AND moment < :stop
        ) AS marked
        WHERE bucket IS DISTINCT FROM after
        ORDER BY moment DESC OFFSET :limit - 1 LIMIT 1
    ), page AS (
        SELECT coalesce((SELECT bucket FROM beginning), :first) AS first, :stop AS stop
    )
"""
_AGGREGATED = """
    , aggregated AS (
        SELECT bucket,
               (array_agg(open ORDER BY moment))[1] AS open, max(high) AS high, min(low) AS low,
               (array_agg(close ORDER BY moment DESC))[1] AS close, sum(samples) AS samples
        FROM source
        WHERE moment >= (SELECT first FROM page) AND moment < (SELECT stop FROM page)
        GROUP BY 1
    )
"""
_SAME_AS_HOURS = """
    , aggregated AS (
        SELECT bucket, open, high, low, close, samples
        FROM source
        WHERE moment >= (SELECT first FROM page) AND moment < (SELECT stop FROM page)
    )
"""
_SPARSE = """
    , candles AS (SELECT bucket AS start, open, high, low, close, samples FROM aggregated)
"""
# Each real candle is followed by filled ones up to the next; so is the last close before the page.
# How long a gap is does not depend on where the page begins or ends.
_FILLED = """
    , known AS (
        SELECT * FROM aggregated
        UNION ALL
        (SELECT bucket, NULL, NULL, NULL, close, 0
         FROM source WHERE moment < (SELECT first FROM page)
         ORDER BY moment DESC LIMIT 1)
    ), candles AS (
        SELECT start,
               CASE WHEN start = bucket THEN open WHEN :previous THEN close END AS open,
               CASE WHEN start = bucket THEN high WHEN :previous THEN close END AS high,
               CASE WHEN start = bucket THEN low WHEN :previous THEN close END AS low,
               CASE WHEN start = bucket OR :previous THEN close END AS close,
               CASE WHEN start = bucket THEN samples ELSE 0 END AS samples
        FROM (
            SELECT *, lead(bucket, 1, coalesce(
                (SELECT bucket FROM source WHERE moment >= (SELECT stop FROM page)
                 ORDER BY moment LIMIT 1),
                (SELECT stop FROM page)
            )) OVER (ORDER BY bucket) AS following
            FROM known
        ) AS followed
        CROSS JOIN LATERAL generate_series(
            greatest(bucket, (SELECT first FROM page)),
            CASE WHEN following - bucket - :width > :max_gap THEN bucket
                 ELSE least(following, (SELECT stop FROM page)) - :width END,
            :width
        ) AS start
    )
"""
_ENCODED = """
    SELECT convert_to(coalesce(string_agg(
               '{"timestamp":' || start || ',"open":' || coalesce(open::text, 'null')
               || ',"high":' || coalesce(high::text, 'null')
               || ',"low":' || coalesce(low::text, 'null')
               || ',"close":' || coalesce(close::text, 'null') || ',"samples":' || samples
               || ',"closed":' || (start + :width <= :open_from) || '}',
               ',' ORDER BY start
           ), ''), 'UTF8'),
           count(*), max(start), (SELECT has_more FROM page)
    FROM candles
"""

_ENCODED_COLUMNS = """
    SELECT coalesce(string_agg(bucket::text, ','), ''), coalesce(string_agg(open::text, ','), ''),
           coalesce(string_agg(high::text, ','), ''), coalesce(string_agg(low::text, ','), ''),
           coalesce(string_agg(close::text, ','), ''), count(*),
           CASE WHEN count(*) = 0 THEN
               (SELECT bucket FROM source WHERE moment < :first ORDER BY moment DESC LIMIT 1)
           END
    FROM (SELECT * FROM aggregated ORDER BY bucket) AS candles
"""


async def read_page(session: AsyncSession, query: CandleQuery, open_from: Slot) -> EncodedPage:
    """Read a page of candles; those that end by `open_from` are closed."""
    is_filled, is_as_of = query.fill is not Fill.NONE, query.as_of_us is not None
    statement = _statement(query.interval, is_filled=is_filled, is_as_of=is_as_of)
    parameters = {
        **_parameters(query),
        **_known_parameters(query.as_of_us),
        "max_gap": MAX_SECOND if query.max_gap_seconds is None else query.max_gap_seconds,
        "open_from": open_from,
        "previous": query.fill is Fill.PREVIOUS,
    }
    row = (await session.execute(statement, parameters)).one()
    return EncodedPage([row[0]], count=row[1], last=row[2], has_more=row[3])


async def read_last(session: AsyncSession, query: CandleQuery) -> CandleColumns:
    """Read the last candles of a range rather than the first; gaps cost nothing, none is filled."""
    parameters = _parameters(query)
    row = (await session.execute(_last_statement(query.interval), parameters)).one()
    return CandleColumns(*row)


@cache
def _statement(interval: CandleInterval, *, is_filled: bool, is_as_of: bool) -> TextClause:
    parts = (
        _KNOWN_ROWS if is_as_of else _source(interval),
        _FILLED_PAGE if is_filled else _SPARSE_PAGE,
        _AGGREGATED if is_as_of else _aggregated(interval),
        _FILLED if is_filled else _SPARSE,
        _ENCODED,
    )
    return text("".join(parts))


@cache
def _last_statement(interval: CandleInterval) -> TextClause:
    return text("".join((_source(interval), _LAST_PAGE, _aggregated(interval), _ENCODED_COLUMNS)))


def _source(interval: CandleInterval) -> str:
    return _HOURS if interval.seconds >= SECONDS_PER_HOUR else _ROWS


def _aggregated(interval: CandleInterval) -> str:
    return _SAME_AS_HOURS if interval.seconds == SECONDS_PER_HOUR else _AGGREGATED


def _known_parameters(as_of_us: int | None) -> dict[str, object]:
    if as_of_us is None:
        return {}
    return {"as_of": to_datetime(as_of_us), "last_known": last_second_known(as_of_us)}


def _parameters(query: CandleQuery) -> dict[str, object]:
    return {
        **query.key._asdict(),
        "first": query.first_start,
        "stop": query.first_start_after_range,
        "width": query.interval.seconds,
        "origin": query.interval.origin,
        "limit": query.limit,
    }
