"""Rows that were added since a position of the stream.

Every statement that adds rows notes their slots in `price_changes`. A note that is visible now and
was not at a position is news, however late its transaction was committed.
"""

from collections.abc import Sequence
from typing import Any

from app.domain.price_stream import NewRow, NewRows, Reset, StreamPosition
from app.domain.prices import MIN_SECOND, TickerKey
from app.domain.slots import Slot
from app.postgres.database import RawConnection
from app.repositories.transaction_numbering import NUMBERING_KEPT_AT_RESTART

_POSITION = f"""
    {NUMBERING_KEPT_AT_RESTART},
    extract(epoch FROM statement_timestamp())::bigint,
    pg_current_snapshot()::text
"""
_CURRENT = f"SELECT {_POSITION}"
# A page ends with a note's last slot, so that only the notes of a page are unpacked and sorted.
# A slot of the batch that a later transaction added again is sent with that one's batch.
_NEWS = f"""
    WITH unseen AS MATERIALIZED (
        SELECT exchange, ticker, first_slot, last_slot, added_slots,
               pg_visible_in_snapshot(
                   transaction::text::xid8, coalesce($2::text::pg_snapshot, pg_current_snapshot())
               ) AS in_batch
        FROM price_changes
        WHERE transaction >= pg_snapshot_xmin($1::text::pg_snapshot)::text::bigint
          AND NOT pg_visible_in_snapshot(transaction::text::xid8, $1::text::pg_snapshot)
    ), later AS MATERIALIZED (
        SELECT * FROM unseen WHERE NOT in_batch AND added_slots IS NOT NULL
    ), notes AS (
        SELECT *, sum(cardinality(added_slots)) OVER (ORDER BY exchange, ticker, last_slot) AS rows,
               sum(cardinality(added_slots)) OVER () AS all_rows
        FROM unseen
        WHERE in_batch AND added_slots IS NOT NULL
          AND (exchange, ticker) IN (SELECT * FROM unnest($3::text[], $4::text[]))
          AND (exchange, ticker, last_slot) > ($5, $6, $7::bigint)
    ), page_end AS (
        SELECT exchange, ticker, last_slot FROM notes WHERE rows >= $8 AND rows < all_rows
        ORDER BY exchange, ticker, last_slot LIMIT 1
    ), page AS (
        SELECT DISTINCT notes.exchange, notes.ticker, slot
        FROM notes LEFT JOIN page_end ON true CROSS JOIN unnest(added_slots) AS slot
        WHERE (notes.exchange, notes.ticker, slot) > ($5, $6, $7::bigint)
          AND (page_end IS NULL OR (notes.exchange, notes.ticker, first_slot)
              <= (page_end.exchange, page_end.ticker, page_end.last_slot))
          AND (page_end IS NULL OR (notes.exchange, notes.ticker, slot)
              <= (page_end.exchange, page_end.ticker, page_end.last_slot))
    )
    SELECT {_POSITION},
           EXISTS (SELECT FROM unseen WHERE in_batch AND exchange IS NULL),
           page_end.exchange, page_end.ticker, page_end.last_slot,
           page.exchange, page.ticker, page.slot, price::text, source
    FROM (VALUES (1)) AS always
    LEFT JOIN page_end ON true
    LEFT JOIN page ON true
    LEFT JOIN prices ON prices.exchange = page.exchange AND prices.ticker = page.ticker
        AND timestamp = slot AND NOT EXISTS (
            SELECT FROM later
            WHERE later.exchange = page.exchange AND later.ticker = page.ticker
              AND slot BETWEEN first_slot AND last_slot AND slot = ANY (added_slots)
        )
    ORDER BY page.exchange, page.ticker, page.slot
"""  # noqa: S608  # put together from constants
_RANGES = f"""
    SELECT {_POSITION}, wanted.exchange, wanted.ticker, first, last
    FROM unnest($1::text[], $2::text[]) AS wanted (exchange, ticker)
    CROSS JOIN LATERAL (
        SELECT min(timestamp) AS first, max(timestamp) AS last FROM prices
        WHERE exchange = wanted.exchange AND ticker = wanted.ticker
    ) AS stored
"""  # noqa: S608  # same
_BEFORE_ALL = ("", "", MIN_SECOND)


async def read_current_position(connection: RawConnection) -> StreamPosition:
    """Return the position after all rows that are visible now."""
    (row,) = await connection.fetch(_CURRENT)
    return StreamPosition(*row)


async def read_news(
    connection: RawConnection,
    start: StreamPosition,
    keys: Sequence[TickerKey],
    limit: int,
    *,
    until: StreamPosition | None = None,
) -> NewRows | Reset:
    """Read the rows that were added after a position, until another position or until now.

    About `limit` rows of them: those of the last note are all read. A position within a batch is
    continued to the end of that batch only.
    """
    until = start.end_of_batch() or until
    part = start.part
    offset = (*part.key, part.slot) if part else _BEFORE_ALL
    rows = await connection.fetch(
        _NEWS, start.snapshot, until and until.snapshot, *_columns(keys), *offset, limit
    )
    current = StreamPosition(*rows[0][:3])
    was_emptied = rows[0][3]
    if was_emptied or not start.can_resume_at(current):
        return await _read_ranges(connection, keys)
    batch_end = until or current
    end = batch_end if rows[0][4] is None else start.after_row(batch_end, *_row_id(rows[0][4:7]))
    return NewRows(
        start, end, batch_end, [_new_row(row[7:]) for row in rows if row[10] is not None]
    )


async def _read_ranges(connection: RawConnection, keys: Sequence[TickerKey]) -> Reset:
    """Return what must be read again, and the position from which on all is sent."""
    rows = await connection.fetch(_RANGES, *_columns(keys))
    position = StreamPosition(*rows[0][:3])
    ranges = {
        TickerKey(exchange, ticker): (
            Slot(first or 0),
            Slot(position.taken_at if last is None else last),
        )
        for *_, exchange, ticker, first, last in rows
    }
    return Reset(ranges, position)


def _columns(keys: Sequence[TickerKey]) -> tuple[list[str], list[str]]:
    return [key.exchange for key in keys], [key.ticker for key in keys]


def _row_id(columns: Sequence[Any]) -> tuple[TickerKey, Slot]:
    exchange, ticker, slot = columns
    return TickerKey(exchange, ticker), Slot(slot)


def _new_row(columns: Sequence[Any]) -> NewRow:
    return NewRow(*_row_id(columns[:3]), price=columns[3], source=columns[4])
