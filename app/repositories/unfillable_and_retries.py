"""Ranges of slots by ticker: unfillable gaps and retries, each in a table of its own."""

from collections.abc import Collection, Mapping, Sequence
from itertools import groupby
from typing import Any, TypeVar

from sqlalchemy import (
    ARRAY,
    BigInteger,
    ColumnElement,
    any_,
    delete,
    insert,
    literal,
    select,
    tuple_,
)
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.gaps import Gap, Reason, Retry, SlotRange, subtract
from app.domain.prices import TickerKey, TimeRange
from app.postgres.models import RetryRow, UnfillableRow

RangeT = TypeVar("RangeT", Gap, Retry)

_TABLES: Mapping[type[SlotRange], type[UnfillableRow | RetryRow]] = {
    Gap: UnfillableRow,
    Retry: RetryRow,
}
_COLUMNS = {"first": "first_slot", "last": "last_slot"}
"""The columns of fields; the others have the name of their field."""


async def read_overlapping(
    session: AsyncSession,
    kind: type[RangeT],
    keys: Collection[TickerKey],
    time_range: TimeRange,
    *criteria: ColumnElement[bool],
) -> dict[TickerKey, list[RangeT]]:
    """Read the ranges that overlap a time range, ascending, by ticker; ends may lie outside it."""
    table = _TABLES[kind]
    start, end = time_range.bounds()
    columns = (getattr(table, _COLUMNS.get(field, field)) for field in kind._fields)
    query = (
        select(table.exchange, table.ticker, *columns)
        .where(tuple_(table.exchange, table.ticker).in_(keys))
        .where(table.last_slot >= start, table.first_slot <= end, *criteria)
        .order_by(table.exchange, table.ticker, table.first_slot)
    )
    by_key = groupby(await session.execute(query), key=lambda row: TickerKey(*row[:2]))
    return {key: [_range(kind, row[2:]) for row in of_key] for key, of_key in by_key}


async def replace(
    session: AsyncSession,
    kind: type[RangeT],
    key: TickerKey,
    gaps: Sequence[Gap],
    ranges: Sequence[RangeT],
) -> None:
    """Delete the slots of ascending gaps, and insert ranges.

    Stored ranges that reach beyond the gaps keep the rest.
    """
    table, inserted = _TABLES[kind], list(ranges)
    if gaps:
        time_range = TimeRange(gaps[0].first, gaps[-1].last)
        stored = (await read_overlapping(session, kind, [key], time_range)).get(key, [])
        starts = literal([one.first for one in stored], ARRAY(BigInteger))
        deletion = delete(table).filter_by(**key._asdict()).where(table.first_slot == any_(starts))
        await session.execute(deletion)
        inserted += (
            one._replace(first=piece.first, last=piece.last)
            for one in stored
            for piece in subtract([Gap(*one[:3])], gaps)
        )
    if inserted:
        await session.execute(insert(table), [_to_row(key, one) for one in inserted])


def _range(kind: type[RangeT], fields: Sequence[Any]) -> RangeT:
    one = kind(*fields)
    return one._replace(reason=one.reason and Reason(one.reason))


def _to_row(key: TickerKey, one: SlotRange) -> dict[str, object]:
    fields = {_COLUMNS.get(field, field): value for field, value in one._asdict().items()}
    return {**key._asdict(), **fields}
