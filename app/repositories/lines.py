"""Prices as lines: PostgreSQL writes the text, and no Python object is made of a row."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from operator import itemgetter
from typing import Any, NamedTuple, Self

from sqlalchemy import text
from sqlalchemy.dialects.postgresql import asyncpg

from app.domain.lines import Column, LineFormat, LinePage, Lines
from app.domain.prices import Order, Span, TickerKey
from app.domain.slots import Slot
from app.postgres.database import Driver

_FIRST_SECOND = -(2**62)
_LAST_SECOND = 2**62

# string_agg keeps the order of the rows that it is given, here the order of the index.
_PAGE = """
    SELECT convert_to(coalesce(string_agg(line, :between) FILTER (WHERE number <= :limit), ''),
                      'UTF8'),
           count(*), {last}(timestamp) FILTER (WHERE number <= :limit)
    FROM (
        SELECT timestamp, {line} AS line, row_number() OVER (ORDER BY timestamp {order}) AS number
        FROM prices
        WHERE exchange = :exchange AND ticker = :ticker AND timestamp BETWEEN :start AND :end
        ORDER BY timestamp {order} LIMIT :limit + 1
    ) AS lines
"""
# An array of starts, for PostgreSQL supposes that it is short, and keeps one plan for all.
_STRETCHES = """
    SELECT start, convert_to(coalesce(text, ''), 'UTF8'), count, last, off_grid
    FROM unnest(CAST(:starts AS bigint[])) AS start CROSS JOIN LATERAL (
        SELECT string_agg(line, :between) AS text, count(*) AS count, max(timestamp) AS last,
               max(timestamp % CAST(:grid AS bigint)) AS off_grid
        FROM (
            SELECT timestamp, {line} AS line
            FROM prices
            WHERE exchange = :exchange AND ticker = :ticker
              AND timestamp >= start AND timestamp < start + :length
            ORDER BY timestamp
        ) AS lines
    ) AS stretch
"""

# Without the row beyond the limit, so without numbers, which cost as much as the lines.
_BLOCK = """
    SELECT convert_to(string_agg(line, :between), 'UTF8'), max(timestamp)
    FROM (
        SELECT timestamp, {line} AS line
        FROM prices
        WHERE exchange = :exchange AND ticker = :ticker AND timestamp BETWEEN :start AND :end
        ORDER BY timestamp LIMIT :limit
    ) AS lines
"""


class Block(NamedTuple):
    """Lines, and the slot of the last one."""

    text: bytes
    last: Slot


async def block(
    driver: Driver, key: TickerKey, span: Span, limit: int, form: LineFormat
) -> Block | None:
    """Write the first prices of a span, at most `limit`; None if there are none."""
    query = _query(_BLOCK, form)
    ((lines, last),) = await query.rows(driver, **_of(key, form), **_within(span), limit=limit)
    return None if last is None else Block(lines, Slot(last))


async def page(  # noqa: PLR0913  # what a list is asked by
    driver: Driver, key: TickerKey, span: Span, order: Order, limit: int, *, form: LineFormat
) -> LinePage:
    """Write at most `limit` prices of a span, from its start or from its end."""
    query = _query(_PAGE, form, order)
    ((lines, count, last),) = await query.rows(
        driver, **_of(key, form), **_within(span), limit=limit
    )
    slot = None if last is None else Slot(last)
    return LinePage([lines] if count else [], min(count, limit), slot, count > limit)


async def stretches(  # noqa: PLR0913  # what stretches are asked by
    driver: Driver,
    key: TickerKey,
    starts: Sequence[int],
    form: LineFormat,
    *,
    length: int,
    grid_seconds: int = 1,
) -> list[Lines]:
    """Write all prices of stretches so many seconds long, which are given by ascending starts.

    Tell of each whether all its slots are multiples of the given seconds.
    """
    query = _query(_STRETCHES, form)
    rows = await query.rows(
        driver, **_of(key, form), starts=list(starts), length=length, grid=grid_seconds
    )
    return [
        Lines(text, count, last, form, 1 if off_grid else grid_seconds)
        for _, text, count, last, off_grid in sorted(rows, key=itemgetter(0))
    ]


@dataclass(frozen=True)
class _Query:
    """A query as the driver takes it, and the names of its parameters in their order."""

    sql: str
    names: tuple[str, ...]

    @classmethod
    def of(cls, query: str) -> Self:
        """Read a query with named parameters."""
        dialect = asyncpg.dialect()  # type: ignore[no-untyped-call]  # SQLAlchemy's has no types
        compiled = text(query).compile(dialect=dialect)
        return cls(str(compiled), tuple(compiled.positiontup or ()))

    async def rows(self, driver: Driver, **parameters: object) -> list[Any]:
        """Ask it."""
        return list(await driver.fetch(self.sql, *(parameters[name] for name in self.names)))


@cache
def _query(query: str, form: LineFormat, order: Order = Order.ASC) -> _Query:
    last = "max" if order is Order.ASC else "min"
    return _Query.of(query.format(line=_line(form), order=order.value, last=last))


def _line(form: LineFormat) -> str:
    """Put a line together; its fixed words are parameters."""
    return " || ".join(
        f"CAST({part if isinstance(part, Column) else f':part_{number}'} AS text)"
        for number, part in enumerate(form.parts)
    )


def _of(key: TickerKey, form: LineFormat) -> dict[str, object]:
    words = {
        f"part_{number}": part
        for number, part in enumerate(form.parts)
        if not isinstance(part, Column)
    }
    return {**key._asdict(), **words, "between": form.between}


def _within(span: Span) -> dict[str, object]:
    return {
        "start": _FIRST_SECOND if span.start is None else span.start,
        "end": _LAST_SECOND if span.end is None else span.end,
    }
