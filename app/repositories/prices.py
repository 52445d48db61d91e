"""Prices in the database: added once, read as columns."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from sqlalchemy import ARRAY, BigInteger, Numeric, Text, bindparam, func, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from app.db.models import PriceRow
from app.domain.prices import Order, Price, PriceSeries, Source, Span, TickerKey
from app.domain.slots import LiveEdge, Slot

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

_EDGES = text(
    """
    SELECT asked.exchange, asked.ticker, newest.timestamp, newest.observed_us,
           (extract(epoch FROM newest.created_at) * 1000000)::bigint AS created_us
    FROM unnest(:exchanges, :tickers) AS asked (exchange, ticker)
    CROSS JOIN LATERAL (
        SELECT timestamp, observed_us, created_at FROM prices
        WHERE exchange = asked.exchange AND ticker = asked.ticker AND source = 'live'
        ORDER BY timestamp DESC LIMIT 1
    ) AS newest
    """
).bindparams(bindparam("exchanges", type_=ARRAY(Text)), bindparam("tickers", type_=ARRAY(Text)))

_CLOCK = text("SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint")


class PriceId(NamedTuple):
    """What makes a row unique."""

    key: TickerKey
    slot: Slot


async def add(session: AsyncSession, prices: Sequence[Price]) -> set[PriceId]:
    """Add prices whose slots are still free; give those that were.

    A row that exists stays as it is. Prices of one slot given twice count once, the first.
    """
    columns = {
        "exchanges": [price.key.exchange for price in prices],
        "tickers": [price.key.ticker for price in prices],
        "timestamps": [price.slot for price in prices],
        "prices": [price.price for price in prices],
        "observed": [price.observed_us for price in prices],
        "sources": [price.source.value for price in prices],
    }
    rows = await session.execute(_ADD, columns)
    return {PriceId(TickerKey(row[0], row[1]), Slot(row[2])) for row in rows}


async def between(
    session: AsyncSession, key: TickerKey, span: Span, order: Order, limit: int
) -> PriceSeries:
    """Read at most `limit` prices of a span, from its start or from its end."""
    stamp = PriceRow.timestamp
    query = select(stamp, PriceRow.price, PriceRow.source).where(
        PriceRow.exchange == key.exchange, PriceRow.ticker == key.ticker
    )
    if span.start is not None:
        query = query.where(stamp >= span.start)
    if span.end is not None:
        query = query.where(stamp <= span.end)
    query = query.order_by(stamp.desc() if order is Order.DESC else stamp).limit(limit)
    rows = (await session.execute(query)).all()
    timestamps, prices, sources = zip(*rows, strict=True) if rows else ((), (), ())
    return PriceSeries(key, timestamps, prices, sources)


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


async def live_edges(
    session: AsyncSession, keys: Iterable[TickerKey]
) -> tuple[int, dict[TickerKey, LiveEdge]]:
    """Read the newest live row of each ticker, and the database's clock in microseconds.

    Tickers without a live row are left out.
    """
    columns = list(keys)
    rows = await session.execute(
        _EDGES,
        {
            "exchanges": [key.exchange for key in columns],
            "tickers": [key.ticker for key in columns],
        },
    )
    edges = {TickerKey(row[0], row[1]): LiveEdge(Slot(row[2]), row[3], row[4]) for row in rows}
    return await clock_us(session), edges


async def clock_us(session: AsyncSession) -> int:
    """Read the database's clock in microseconds since the epoch."""
    return int(await session.scalar(_CLOCK) or 0)


async def extent(session: AsyncSession, key: TickerKey) -> tuple[int | None, int | None, int]:
    """Tell the first and the last slot stored of a ticker, and how many."""
    stamp = PriceRow.timestamp
    query = select(func.min(stamp), func.max(stamp), func.count()).where(
        PriceRow.exchange == key.exchange, PriceRow.ticker == key.ticker
    )
    first, last, rows = (await session.execute(query)).one()
    return first, last, rows
