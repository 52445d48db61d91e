"""Reads of encoded rows: PostgreSQL formats the text, so Python creates no object per row."""

from array import array
from collections.abc import Sequence
from functools import cache
from operator import itemgetter
from typing import Any, NamedTuple

from sqlalchemy import text
from sqlalchemy.dialects.postgresql import asyncpg

from app.domain.as_of import limit_to_known, to_datetime
from app.domain.encoded_rows import Column, EncodedChunk, EncodedPage, RowTemplate
from app.domain.prices import Order, TickerKey, TimeRange
from app.domain.slots import Slot
from app.postgres.database import RawConnection

# string_agg keeps the order of the rows that it is given, here the order of the index.
_PAGE = """
    SELECT convert_to(coalesce(string_agg(line, :separator) FILTER (WHERE number <= :limit), ''),
                      'UTF8'),
           count(*), {last}(timestamp) FILTER (WHERE number <= :limit)
    FROM (
        SELECT timestamp, {line} AS line, row_number() OVER (ORDER BY timestamp {order}) AS number
        FROM prices
        WHERE exchange = :exchange AND ticker = :ticker AND timestamp BETWEEN :start AND :end
          {known}
        ORDER BY timestamp {order} LIMIT :limit + 1
    ) AS lines
"""
# With an array of starts PostgreSQL assumes that it is short, and keeps one plan for all.
_CHUNKS = """
    SELECT start, convert_to(coalesce(text, ''), 'UTF8'), count, last, off_grid, stored_us
    FROM unnest(CAST(:starts AS bigint[])) AS start CROSS JOIN LATERAL (
        SELECT string_agg(line, :separator) AS text, count(*) AS count, max(timestamp) AS last,
               max(timestamp % CAST(:grid AS bigint)) AS off_grid, array_agg(stored_us) AS stored_us
        FROM (
            SELECT timestamp, {line} AS line, {stored_us} AS stored_us
            FROM prices
            WHERE exchange = :exchange AND ticker = :ticker
              AND timestamp >= start AND timestamp < start + :length
            ORDER BY timestamp
        ) AS lines
    ) AS chunk
"""

_KNOWN = "AND created_at <= CAST(:as_of AS timestamptz)"
# Within Python's years, for a time that was set by hand may be infinite.
_STORED_US = """
    CAST(1000000 * extract(epoch FROM least(greatest(
        created_at, timestamptz '0001-01-01 UTC'), timestamptz '9999-12-31 UTC')) AS bigint)
"""

# Without the row after the limit, so without row numbers, which cost as much as the lines.
_BATCH = """
    SELECT convert_to(string_agg(line, :separator), 'UTF8')
    FROM (
        SELECT {line} AS line
        FROM prices
        WHERE exchange = :exchange AND ticker = :ticker AND timestamp BETWEEN :start AND :end
          {known}
        ORDER BY timestamp LIMIT :limit
    ) AS lines
"""


class EncodedBatch(NamedTuple):
    """Rows as text, and the last one's slot."""

    text: bytes
    last: Slot


async def read_batch(  # noqa: PLR0913  # the parameters of a list
    connection: RawConnection,
    key: TickerKey,
    time_range: TimeRange,
    limit: int,
    template: RowTemplate,
    *,
    as_of_us: int | None = None,
) -> EncodedBatch | None:
    """Read the first prices of a range, at most `limit`; None if there are none.

    With `as_of_us`, only those that were stored by that moment.
    """
    ((lines,),) = await _fetch(
        connection,
        _query(_BATCH, template, is_as_of=as_of_us is not None),
        key,
        template,
        **_bounds(time_range, as_of_us),
        limit=limit,
    )
    if lines is None:
        return None
    last_line = lines.rpartition(template.separator_bytes)[2]
    return EncodedBatch(lines, Slot(int(last_line.partition(template.after_slot)[0])))


async def read_page(  # noqa: PLR0913  # the parameters of a list
    connection: RawConnection,
    key: TickerKey,
    time_range: TimeRange,
    order: Order,
    limit: int,
    *,
    template: RowTemplate,
    as_of_us: int | None = None,
) -> EncodedPage:
    """Read at most `limit` prices of a range, from its start or from its end.

    With `as_of_us`, only those that were stored by that moment.
    """
    ((lines, count, last),) = await _fetch(
        connection,
        _query(_PAGE, template, order, is_as_of=as_of_us is not None),
        key,
        template,
        **_bounds(time_range, as_of_us),
        limit=limit,
    )
    return EncodedPage([lines] if count else [], min(count, limit), last, count > limit)


async def read_chunks(  # noqa: PLR0913  # the parameters of chunks
    connection: RawConnection,
    key: TickerKey,
    starts: Sequence[int],
    template: RowTemplate,
    *,
    length: int,
    grid_seconds: int = 1,
) -> list[EncodedChunk]:
    """Read all prices of chunks, given by ascending starts and a length in seconds.

    A chunk's `grid_seconds` is the given one if all its slots are multiples of it, else 1.
    """
    ranges = {"starts": list(starts), "length": length, "grid": grid_seconds}
    rows = await _fetch(connection, _query(_CHUNKS, template), key, template, **ranges)
    return [
        EncodedChunk(
            text, count, last, template, 1 if off_grid else grid_seconds, array("q", stored or ())
        )
        for _, text, count, last, off_grid, stored in sorted(rows, key=itemgetter(0))
    ]


class _Query(NamedTuple):
    """A query as asyncpg takes it, and the names of its parameters in their order."""

    sql: str
    names: Sequence[str]


@cache
def _query(
    query: str, template: RowTemplate, order: Order = Order.ASC, *, is_as_of: bool = False
) -> _Query:
    """Complete and compile a query; the fixed parts of a row are parameters."""
    line = " || ".join(
        f"CAST({part if isinstance(part, Column) else f':part_{number}'} AS text)"
        for number, part in enumerate(template.parts)
    )
    last = "max" if order is Order.ASC else "min"
    dialect = asyncpg.dialect()  # type: ignore[no-untyped-call]  # SQLAlchemy's has no types
    known = _KNOWN if is_as_of else ""
    sql = query.format(line=line, order=order.value, last=last, known=known, stored_us=_STORED_US)
    compiled = text(sql).compile(dialect=dialect)
    return _Query(str(compiled), compiled.positiontup or ())


async def _fetch(
    connection: RawConnection,
    query: _Query,
    key: TickerKey,
    template: RowTemplate,
    **parameters: object,
) -> Sequence[Sequence[Any]]:
    parts = {f"part_{number}": part for number, part in enumerate(template.parts)}
    values = {**key._asdict(), **parts, "separator": template.separator, **parameters}
    return await connection.fetch(query.sql, *(values[name] for name in query.names))


def _bounds(time_range: TimeRange, as_of_us: int | None) -> dict[str, object]:
    start, end = limit_to_known(time_range, as_of_us).bounds()
    as_of = {} if as_of_us is None else {"as_of": to_datetime(as_of_us)}
    return {"start": start, "end": end, **as_of}
