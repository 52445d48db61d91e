"""Reads of encoded rows: PostgreSQL formats the text, so Python creates no object per row."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from operator import itemgetter
from typing import Any, NamedTuple, Self

from sqlalchemy import text
from sqlalchemy.dialects.postgresql import asyncpg

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
        ORDER BY timestamp {order} LIMIT :limit + 1
    ) AS lines
"""
# With an array of starts PostgreSQL assumes that it is short, and keeps one plan for all.
_CHUNKS = """
    SELECT start, convert_to(coalesce(text, ''), 'UTF8'), count, last, off_grid
    FROM unnest(CAST(:starts AS bigint[])) AS start CROSS JOIN LATERAL (
        SELECT string_agg(line, :separator) AS text, count(*) AS count, max(timestamp) AS last,
               max(timestamp % CAST(:grid AS bigint)) AS off_grid
        FROM (
            SELECT timestamp, {line} AS line
            FROM prices
            WHERE exchange = :exchange AND ticker = :ticker
              AND timestamp >= start AND timestamp < start + :length
            ORDER BY timestamp
        ) AS lines
    ) AS chunk
"""

# Without the row after the limit, so without row numbers, which cost as much as the lines.
_BATCH = """
    SELECT convert_to(string_agg(line, :separator), 'UTF8')
    FROM (
        SELECT {line} AS line
        FROM prices
        WHERE exchange = :exchange AND ticker = :ticker AND timestamp BETWEEN :start AND :end
        ORDER BY timestamp LIMIT :limit
    ) AS lines
"""


class EncodedBatch(NamedTuple):
    """Rows as text, and the last one's slot."""

    text: bytes
    last: Slot


async def read_batch(
    connection: RawConnection, key: TickerKey, span: TimeRange, limit: int, template: RowTemplate
) -> EncodedBatch | None:
    """Read the first prices of a span, at most `limit`; None if there are none."""
    query = _query(_BATCH, template)
    ((lines,),) = await query.rows(
        connection, **_parameters(key, template), **_bounds(span), limit=limit
    )
    if lines is None:
        return None
    last_line = lines.rpartition(template.separator_bytes)[2]
    return EncodedBatch(lines, Slot(int(last_line.partition(template.after_slot)[0])))


async def read_page(  # noqa: PLR0913  # the parameters of a list
    connection: RawConnection,
    key: TickerKey,
    span: TimeRange,
    order: Order,
    limit: int,
    *,
    template: RowTemplate,
) -> EncodedPage:
    """Read at most `limit` prices of a span, from its start or from its end."""
    query = _query(_PAGE, template, order)
    ((lines, count, last),) = await query.rows(
        connection, **_parameters(key, template), **_bounds(span), limit=limit
    )
    slot = None if last is None else Slot(last)
    return EncodedPage([lines] if count else [], min(count, limit), slot, count > limit)


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
    query = _query(_CHUNKS, template)
    rows = await query.rows(
        connection,
        **_parameters(key, template),
        starts=list(starts),
        length=length,
        grid=grid_seconds,
    )
    return [
        EncodedChunk(text, count, last, template, 1 if off_grid else grid_seconds)
        for _, text, count, last, off_grid in sorted(rows, key=itemgetter(0))
    ]


@dataclass(frozen=True)
class _Query:
    """A query as asyncpg takes it, and the names of its parameters in their order."""

    sql: str
    names: tuple[str, ...]

    @classmethod
    def of(cls, query: str) -> Self:
        """Compile a query with named parameters."""
        dialect = asyncpg.dialect()  # type: ignore[no-untyped-call]  # SQLAlchemy's has no types
        compiled = text(query).compile(dialect=dialect)
        return cls(str(compiled), tuple(compiled.positiontup or ()))

    async def rows(self, connection: RawConnection, **parameters: object) -> list[Any]:
        """Ask it."""
        return list(await connection.fetch(self.sql, *(parameters[name] for name in self.names)))


@cache
def _query(query: str, template: RowTemplate, order: Order = Order.ASC) -> _Query:
    last = "max" if order is Order.ASC else "min"
    return _Query.of(query.format(line=_row_expression(template), order=order.value, last=last))


def _row_expression(template: RowTemplate) -> str:
    """Return the SQL expression of a row; its fixed parts are parameters."""
    return " || ".join(
        f"CAST({part if isinstance(part, Column) else f':part_{number}'} AS text)"
        for number, part in enumerate(template.parts)
    )


def _parameters(key: TickerKey, template: RowTemplate) -> dict[str, object]:
    words = {
        f"part_{number}": part
        for number, part in enumerate(template.parts)
        if not isinstance(part, Column)
    }
    return {**key._asdict(), **words, "separator": template.separator}


def _bounds(span: TimeRange) -> dict[str, object]:
    start, end = span.bounds()
    return {"start": start, "end": end}
