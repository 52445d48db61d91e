"""Prices in the database, and the clocks that their rows imply."""

from collections.abc import Collection, Iterable, Sequence
from typing import Any, NamedTuple

from sqlalchemy import func, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.as_of import limit_to_known, to_datetime
from app.domain.prices import MAX_SECOND, Price, Source, TickerKey, TimeRange
from app.domain.slots import LatestLivePrice, Slot, estimate_exchange_now_us
from app.domain.symbols import Precision
from app.postgres.models import HourRow

PRECISION_HOURS = 7 * 24
"""A week of recorded hours, not a calendar week."""
_INSERT = text(
    """
    INSERT INTO prices (exchange, ticker, timestamp, price, observed_us, source, created_at)
    SELECT *, (SELECT clock_timestamp()) FROM unnest(
        CAST(:exchanges AS text[]), CAST(:tickers AS text[]), CAST(:timestamps AS bigint[]),
        CAST(:prices AS numeric[]), CAST(:observed AS bigint[]), CAST(:sources AS text[])
    )
    ON CONFLICT DO NOTHING
    RETURNING exchange, ticker, timestamp
    """
)

_MARK_AS_BACKFILL = text(
    """
    UPDATE prices SET source = 'backfill'
    FROM unnest(
        CAST(:exchanges AS text[]), CAST(:tickers AS text[]), CAST(:timestamps AS bigint[])
    ) AS late (exchange, ticker, slot)
    WHERE prices.exchange = late.exchange AND prices.ticker = late.ticker AND timestamp = slot
    """
)
_NEWEST = text(
    """
    SELECT timestamp, price, observed_us, source FROM prices
    WHERE exchange = :exchange AND ticker = :ticker AND timestamp <= :at_or_before
    ORDER BY timestamp DESC LIMIT 1
    """
)
_NEWEST_KNOWN = text(
    """
    SELECT timestamp, price, observed_us, source FROM prices
    WHERE exchange = :exchange AND ticker = :ticker AND timestamp BETWEEN :start AND :end
      AND created_at <= CAST(:as_of AS timestamptz)
    ORDER BY timestamp DESC LIMIT 1
    """
)

# The hourly summaries find the last hour with a live row, as years of others may follow it.
# Where the highest timestamp is far from the database's clock at that time, one of the two clocks
# was wrong, and a lower row may have been stored later. Transaction ids tell, which no clock
# affects: `age` is the smallest for the newest. Timestamps are within an hour of the database's
# clock.
_LATEST_LIVE = text(
    """
    SELECT asked.exchange, asked.ticker, newest.timestamp, newest.observed_us, newest.created_us
    FROM unnest(CAST(:exchanges AS text[]), CAST(:tickers AS text[])) AS asked (exchange, ticker)
    CROSS JOIN LATERAL (
        SELECT hour FROM price_hours
        WHERE exchange = asked.exchange AND ticker = asked.ticker
          AND samples > backfilled + imported
        ORDER BY hour DESC LIMIT 1
    ) AS lively
    CROSS JOIN LATERAL (
        SELECT timestamp, observed_us,
               (extract(epoch FROM created_at) * 1000000)::bigint AS created_us
        FROM prices
        WHERE exchange = asked.exchange AND ticker = asked.ticker AND source = 'live'
          AND timestamp >= hour AND timestamp < hour + 3600
        ORDER BY timestamp DESC LIMIT 1
    ) AS highest
    CROSS JOIN LATERAL (
        SELECT highest.* WHERE abs(highest.observed_us - highest.created_us) <= 10000000
        UNION ALL
        SELECT -last[2], last[3], last[4]
        FROM (
            SELECT min(ARRAY[age(xmin), -timestamp, observed_us,
                             (extract(epoch FROM created_at) * 1000000)::bigint]) AS last
            FROM prices
            WHERE abs(highest.observed_us - highest.created_us) > 10000000
              AND exchange = asked.exchange AND ticker = asked.ticker AND source = 'live'
              AND timestamp > highest.timestamp - 7200 AND timestamp <= highest.timestamp
        ) AS stored
        WHERE last IS NOT NULL
    ) AS newest
    """
)

_STORED_TICKERS = text(
    """
    WITH RECURSIVE found AS (
        (SELECT exchange, ticker FROM prices ORDER BY exchange, ticker LIMIT 1)
        UNION ALL
        SELECT following.* FROM found CROSS JOIN LATERAL (
            SELECT exchange, ticker FROM prices
            WHERE (exchange, ticker) > (found.exchange, found.ticker)
            ORDER BY exchange, ticker LIMIT 1
        ) AS following
    )
    SELECT exchange, ticker FROM found
    """
)
"""A skip scan from ticker to ticker along the primary key."""

# Hours hold four prices each, and their newest ones lie side by side in the index.
_PRECISION = text(
    """
    SELECT max(length(trunc(price)::text)), max(min_scale(price))
    FROM (
        SELECT open, high, low, close FROM price_hours
        WHERE exchange = :exchange AND ticker = :ticker
        ORDER BY hour DESC LIMIT :hours
    ) AS recent
    CROSS JOIN LATERAL (VALUES (open), (high), (low), (close)) AS kept (price)
    """
)
_CLOCK = text("SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint")
_SET_IDLE_TIMEOUT = text(
    """
    SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint
    FROM set_config('idle_in_transaction_session_timeout', :milliseconds, true)
    """
)


class Extent(NamedTuple):
    """The first and the last slot of a ticker's rows, and their number."""

    first: int | None = None
    last: int | None = None
    rows: int = 0


class PriceId(NamedTuple):
    """The identity of a row."""

    key: TickerKey
    slot: Slot


async def insert_new(session: AsyncSession, prices: Sequence[Price]) -> set[PriceId]:
    """Insert prices whose slots are still free, and return the ids of the new rows.

    Existing rows stay unchanged. Of several prices of one slot the first one is inserted.
    """
    # in one order everywhere, or two writers with rows in common could wait for one another
    rows_in_order = sorted(prices, key=lambda price: (price.key, price.slot))
    columns = {
        "exchanges": [price.key.exchange for price in rows_in_order],
        "tickers": [price.key.ticker for price in rows_in_order],
        "timestamps": [price.slot for price in rows_in_order],
        "prices": [price.price for price in rows_in_order],
        "observed": [price.observed_us for price in rows_in_order],
        "sources": [price.source.value for price in rows_in_order],
    }
    rows = await session.execute(_INSERT, columns)
    return {PriceId(TickerKey(row[0], row[1]), Slot(row[2])) for row in rows}


async def mark_as_backfill(session: AsyncSession, late: Collection[PriceId]) -> None:
    """Change the source of live prices of this transaction to backfill."""
    columns = {
        "exchanges": [key.exchange for key, _ in late],
        "tickers": [key.ticker for key, _ in late],
        "timestamps": [slot for _, slot in late],
    }
    await session.execute(_MARK_AS_BACKFILL, columns)


async def set_idle_timeout(session: AsyncSession, seconds: float) -> int:
    """Have the server roll back unless the next statement comes within so many seconds.

    Returns the database's clock in microseconds.
    """
    milliseconds = max(1, round(seconds * 1000))
    return int(await session.scalar(_SET_IDLE_TIMEOUT, {"milliseconds": str(milliseconds)}) or 0)


async def newest(
    session: AsyncSession, key: TickerKey, *, at_or_before: int = MAX_SECOND
) -> Price | None:
    """Read the newest price, or the newest one at or before a time in UNIX seconds."""
    parameters = {**key._asdict(), "at_or_before": at_or_before}
    row = (await session.execute(_NEWEST, parameters)).one_or_none()
    return None if row is None else _price(key, row)


async def newest_known(
    session: AsyncSession, key: TickerKey, time_range: TimeRange, as_of_us: int
) -> Price | None:
    """Read the newest price of a range that was stored by a moment."""
    start, end = limit_to_known(time_range, as_of_us).bounds()
    as_of = {"start": start, "end": end, "as_of": to_datetime(as_of_us)}
    row = (await session.execute(_NEWEST_KNOWN, {**key._asdict(), **as_of})).one_or_none()
    return None if row is None else _price(key, row)


def _price(key: TickerKey, row: Sequence[Any]) -> Price:
    return Price(key, Slot(row[0]), row[1], row[2], Source(row[3]))


async def read_latest_live(
    session: AsyncSession, keys: Iterable[TickerKey]
) -> tuple[int, dict[TickerKey, LatestLivePrice]]:
    """Return the database's clock in microseconds, and each ticker's live row that was stored last.

    It need not be the one with the highest timestamp. Tickers without a live row are left out.
    """
    latest = await _read_latest_live(session, keys)
    return await database_now_us(session), latest


async def _read_latest_live(
    session: AsyncSession, keys: Iterable[TickerKey]
) -> dict[TickerKey, LatestLivePrice]:
    wanted = list(keys)
    columns = {
        "exchanges": [key.exchange for key in wanted],
        "tickers": [key.ticker for key in wanted],
    }
    rows = await session.execute(_LATEST_LIVE, columns)
    return {
        TickerKey(row[0], row[1]): LatestLivePrice(Slot(row[2]), row[3], row[4]) for row in rows
    }


async def estimate_exchange_now(
    session: AsyncSession, keys: Iterable[TickerKey]
) -> dict[TickerKey, int]:
    """Estimate the exchange's clock of each ticker, in microseconds.

    Later reads of this session see every live price of the slots that are due by this clock.
    """
    wanted = list(keys)
    database_us = await database_now_us(session)  # first: a lock may keep the rest waiting
    latest = await _read_latest_live(session, wanted)
    return {key: estimate_exchange_now_us(latest.get(key), database_us) for key in wanted}


async def database_now_us(session: AsyncSession) -> int:
    """Return the database's clock in microseconds since the epoch."""
    return int(await session.scalar(_CLOCK) or 0)


async def stored_tickers(session: AsyncSession) -> set[TickerKey]:
    """Return every ticker with a stored price."""
    return {TickerKey(*row) for row in await session.execute(_STORED_TICKERS)}


async def read_precision(session: AsyncSession, key: TickerKey) -> Precision | None:
    """Read the precision of a week of prices, the hours recorded last; None without a price."""
    parameters = {**key._asdict(), "hours": PRECISION_HOURS}
    row = (await session.execute(_PRECISION, parameters)).one()
    return None if row[0] is None else Precision(*row)


async def extents(session: AsyncSession) -> dict[TickerKey, Extent]:
    """Read the extent of every ticker's rows from the hourly summaries."""
    key = (HourRow.exchange, HourRow.ticker)
    first, last = func.min(HourRow.first_slot), func.max(HourRow.last_slot)
    rows = await session.execute(
        select(*key, first, last, func.sum(HourRow.samples)).group_by(*key)
    )
    return {TickerKey(row[0], row[1]): Extent(row[2], row[3], int(row[4])) for row in rows}
