"""Deletion of rows, block by block, and of recordings without rows."""

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.deletion import RowCounts, Selection
from app.domain.prices import MAX_SECOND, MIN_SECOND, TickerKey

_SELECTED = """
    exchange = :exchange AND ticker = :ticker AND timestamp BETWEEN :start AND :end
    AND source = coalesce(:source, source)
"""
_COUNT = f"""
    SELECT source, count(*), min(timestamp), max(timestamp) FROM prices
    WHERE {_SELECTED} GROUP BY source ORDER BY source
"""  # noqa: S608  # put together from the constant above
_DELETE = f"""
    WITH block AS MATERIALIZED (
        SELECT timestamp AS slot FROM prices WHERE {_SELECTED} AND timestamp > :after
        ORDER BY timestamp LIMIT :limit
    ), gone AS (
        DELETE FROM prices USING block
        WHERE exchange = :exchange AND ticker = :ticker AND timestamp = slot
          AND source = coalesce(:source, source)
        RETURNING slot
    )
    SELECT
        (SELECT max(slot) FROM block),
        ARRAY(
            SELECT first_slot FROM recordings
            WHERE exchange = :exchange AND ticker = :ticker
              AND EXISTS (SELECT FROM gone WHERE slot BETWEEN first_slot AND last_slot)
        )
"""  # noqa: S608  # same
_DELETE_EMPTY_RECORDINGS = """
    DELETE FROM recordings AS known
    WHERE exchange = :exchange AND ticker = :ticker AND first_slot = ANY (:firsts)
      AND NOT EXISTS (
          SELECT FROM prices WHERE exchange = known.exchange AND ticker = known.ticker
            AND timestamp BETWEEN first_slot AND last_slot
      )
    RETURNING first_slot, last_slot
"""
_DELETE_RECORDINGS = "DELETE FROM recordings WHERE exchange = :exchange AND ticker = :ticker"
_DELETE_GAP_NOTES = """
    WITH deleted_retries AS (
        DELETE FROM repair_retries
        WHERE exchange = :exchange AND ticker = :ticker
          AND last_slot >= :first AND first_slot <= :last
    )
    DELETE FROM unfillable
    WHERE exchange = :exchange AND ticker = :ticker
      AND last_slot >= :first AND first_slot <= :last
"""
_ALWAYS = {"first": MIN_SECOND, "last": MAX_SECOND}


class DeletedBlock(NamedTuple):
    """A deleted block: its last slot, None if no row was left, and the closed recordings in it.

    Recordings are given by their first slots.
    """

    last: int | None
    closed_recordings: Sequence[int]


async def count_rows(session: AsyncSession, selection: Selection) -> RowCounts:
    """Count the rows of a selection."""
    rows = (await session.execute(text(_COUNT), _parameters(selection))).all()
    if not rows:
        return RowCounts()
    by_source = {row[0]: row[1] for row in rows}
    return RowCounts(by_source, min(row[2] for row in rows), max(row[3] for row in rows))


async def delete_block(
    session: AsyncSession, selection: Selection, after: int, limit: int
) -> DeletedBlock:
    """Delete the next rows of a selection."""
    parameters = {**_parameters(selection), "after": after, "limit": limit}
    last, firsts = (await session.execute(text(_DELETE), parameters)).one()
    return DeletedBlock(last, firsts)


async def delete_recordings(session: AsyncSession, key: TickerKey) -> None:
    """Delete a ticker's recordings, and its unfillable slots and retries."""
    await session.execute(text(_DELETE_RECORDINGS), key._asdict())
    await session.execute(text(_DELETE_GAP_NOTES), {**key._asdict(), **_ALWAYS})


async def delete_empty_recordings(
    session: AsyncSession, key: TickerKey, firsts: Sequence[int]
) -> None:
    """Delete those closed recordings, given by their first slots, that have no rows."""
    named = {**key._asdict(), "firsts": firsts}
    for first, last in (await session.execute(text(_DELETE_EMPTY_RECORDINGS), named)).all():
        await session.execute(
            text(_DELETE_GAP_NOTES), {**key._asdict(), "first": first, "last": last}
        )


def _parameters(selection: Selection) -> dict[str, object]:
    start, end = selection.time_range.bounds()
    return {**selection.key._asdict(), "start": start, "end": end, "source": selection.source}
