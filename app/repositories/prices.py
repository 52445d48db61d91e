"""Prices in the database: added once, found again."""

from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

from sqlalchemy import ARRAY, BigInteger, Numeric, Text, bindparam, func, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.prices import Price, Source, TickerKey
from app.domain.slots import LatestLivePrice, Slot, estimate_exchange_now_us
from app.postgres.models import HourRow, PriceRow

_ADD = text(
    """
    INSERT INTO prices (exchange, ticker, timestamp, price, observed_us, source)
    SELECT * FROM unnest(:exchanges, :tickers, :timestamps, :prices, :observed, :sources)
    ON CONFLICT DO NOTHING
    RETURNING exchange, ticker, timestamp
    """
).bindparams(
    bindparam("exchanges", type_=ARRAY(Text)),
    bindparam("tickers", type_=ARRAY(Text)),
    bindparam("timestamps", type_=ARRAY(BigInteger)),
    bindparam("prices", type_=ARRAY(Numeric)),
    bindparam("observed", type_=ARRAY(BigInteger)),
    bindparam("sources", type_=ARRAY(Text)),
)

_DEMOTE = text(
    """
    UPDATE prices SET source = 'backfill'
    FROM unnest(:exchanges, :tickers, :timestamps) AS late (exchange, ticker, slot)
    WHERE prices.exchange = late.exchange AND prices.ticker = late.ticker AND timestamp = slot
    """
).bindparams(
    bindparam("exchanges", type_=ARRAY(Text)),
    bindparam("tickers", type_=ARRAY(Text)),
    bindparam("timestamps", type_=ARRAY(BigInteger)),
)

# By the hours' summaries, for a ticker may have years of rows without a live one among them.
# Where the highest stamp is far from the clock that it was stored by, one of the two was wrong for
# a while, and a lower row may have been stored later. Transaction ids tell, which no clock moves:
# `age` is the smallest for the newest. Stamps are within an hour of the database's clock.
_EDGES = text(
    """
    SELECT asked.exchange, asked.ticker, newest.timestamp, newest.observed_us, newest.created_us
    FROM unnest(:exchanges, :tickers) AS asked (exchange, ticker)
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
).bindparams(bindparam("exchanges", type_=ARRAY(Text)), bindparam("tickers", type_=ARRAY(Text)))

_KEYS = text(
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
"""Leaps from ticker to ticker along the primary key, however many rows lie between."""

_CLOCK = text("SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint")
_HURRY = text(
    """
    SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint
    FROM set_config('idle_in_transaction_session_timeout', :milliseconds, true)
    """
)


class Extent(NamedTuple):
    """How far a ticker's rows reach: the first and the last slot, and how many there are."""

    first: int | None = None
    last: int | None = None
    rows: int = 0


class PriceId(NamedTuple):
    """What makes a row unique."""

    key: TickerKey
    slot: Slot


async def insert_new(session: AsyncSession, prices: Sequence[Price]) -> set[PriceId]:
    """Add prices whose slots are still free; give those that were.

    A row that exists stays as it is. Prices of one slot given twice count once, the first.
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
    rows = await session.execute(_ADD, columns)
    return {PriceId(TickerKey(row[0], row[1]), Slot(row[2])) for row in rows}


async def mark_as_backfill(session: AsyncSession, late: Collection[PriceId]) -> None:
    """Let live prices of this transaction count as backfilled: they come too late to be live."""
    columns = {
        "exchanges": [key.exchange for key, _ in late],
        "tickers": [key.ticker for key, _ in late],
        "timestamps": [slot for _, slot in late],
    }
    await session.execute(_DEMOTE, columns)


async def set_idle_timeout(session: AsyncSession, seconds: float) -> int:
    """Have the server roll back unless the next statement comes within so many seconds.

    Gives the database's clock in microseconds.
    """
    milliseconds = max(1, round(seconds * 1000))
    return int(await session.scalar(_HURRY, {"milliseconds": str(milliseconds)}) or 0)


async def newest(
    session: AsyncSession, key: TickerKey, *, at_or_before: int | None = None
) -> Price | None:
    """Read the newest price, or the newest at or before a moment in UNIX seconds."""
    query = (
        select(PriceRow.timestamp, PriceRow.price, PriceRow.observed_us, PriceRow.source)
        .where(PriceRow.exchange == key.exchange, PriceRow.ticker == key.ticker)
        .order_by(PriceRow.timestamp.desc())
        .limit(1)
    )
    if at_or_before is not None:
        query = query.where(PriceRow.timestamp <= at_or_before)
    row = (await session.execute(query)).one_or_none()
    if row is None:
        return None
    return Price(key, Slot(row[0]), row[1], row[2], Source(row[3]))


async def read_latest_live(
    session: AsyncSession, keys: Iterable[TickerKey]
) -> tuple[int, dict[TickerKey, LatestLivePrice]]:
    """Read the live row of each ticker that was stored last, and the database's clock in µs.

    It need not be the one with the highest stamp. Tickers without a live row are left out.
    """
    edges = await _edges(session, keys)
    return await database_now_us(session), edges


async def _edges(
    session: AsyncSession, keys: Iterable[TickerKey]
) -> dict[TickerKey, LatestLivePrice]:
    columns = list(keys)
    rows = await session.execute(
        _EDGES,
        {
            "exchanges": [key.exchange for key in columns],
            "tickers": [key.ticker for key in columns],
        },
    )
    return {
        TickerKey(row[0], row[1]): LatestLivePrice(Slot(row[2]), row[3], row[4]) for row in rows
    }


async def estimate_exchange_now(
    session: AsyncSession, keys: Iterable[TickerKey]
) -> dict[TickerKey, int]:
    """Estimate the exchange's present of each ticker, in microseconds.

    What is read next, even as of this moment, holds every live price of a slot that is due by it.
    """
    wanted = list(keys)
    database_us = await database_now_us(session)  # first: a lock may keep the rest waiting
    edges = await _edges(session, wanted)
    return {key: estimate_exchange_now_us(edges.get(key), database_us) for key in wanted}


async def database_now_us(session: AsyncSession) -> int:
    """Read the database's clock in microseconds since the epoch."""
    return int(await session.scalar(_CLOCK) or 0)


async def stored_tickers(session: AsyncSession) -> set[TickerKey]:
    """Name every ticker of which something is stored."""
    return {TickerKey(*row) for row in await session.execute(_KEYS)}


async def extents(session: AsyncSession) -> dict[TickerKey, Extent]:
    """Tell how far the rows of every ticker reach, by the summaries of hours."""
    key = (HourRow.exchange, HourRow.ticker)
    first, last = func.min(HourRow.first_slot), func.max(HourRow.last_slot)
    rows = await session.execute(
        select(*key, first, last, func.sum(HourRow.samples)).group_by(*key)
    )
    return {TickerKey(row[0], row[1]): Extent(row[2], row[3], int(row[4])) for row in rows}
