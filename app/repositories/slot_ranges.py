"""Tables of slot ranges by ticker: reads and deletes in `unfillable` and `repair_retries`."""

from collections.abc import Collection, Sequence
from itertools import groupby
from typing import TypeVar

from sqlalchemy import ARRAY, BigInteger, ColumnElement, any_, delete, literal, select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.gaps import SlotRange
from app.domain.prices import TickerKey, TimeRange
from app.postgres.models import RetryRow, UnfillableRow

RowT = TypeVar("RowT", UnfillableRow, RetryRow)


async def read_overlapping(
    session: AsyncSession,
    table: type[RowT],
    keys: Collection[TickerKey],
    span: TimeRange,
    *criteria: ColumnElement[bool],
) -> dict[TickerKey, list[RowT]]:
    """Read the rows that overlap a span, ascending, by ticker; their ends may lie outside it."""
    start, end = span.bounds()
    query = (
        select(table)
        .where(tuple_(table.exchange, table.ticker).in_(keys))
        .where(table.last_slot >= start, table.first_slot <= end, *criteria)
        .order_by(table.exchange, table.ticker, table.first_slot)
    )
    rows = await session.scalars(query)
    by_key = groupby(rows, key=lambda row: TickerKey(row.exchange, row.ticker))
    return {key: list(of_key) for key, of_key in by_key}


async def delete_starting_at(
    session: AsyncSession, table: type[RowT], key: TickerKey, ranges: Sequence[SlotRange]
) -> None:
    """Delete a ticker's rows that start where these ranges do."""
    await session.execute(
        delete(table).where(
            table.exchange == key.exchange,
            table.ticker == key.ticker,
            table.first_slot == any_(literal([one.first for one in ranges], ARRAY(BigInteger))),
        )
    )


def columns(key: TickerKey, slots: SlotRange) -> dict[str, object]:
    """Return the columns that all these tables have in common."""
    return {
        "exchange": key.exchange,
        "ticker": key.ticker,
        "first_slot": slots.first,
        "last_slot": slots.last,
        "interval_seconds": slots.interval_seconds,
    }
