"""Recordings in the database: opened and closed as the configuration changes."""

from collections.abc import Iterable, Mapping

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.prices import TickerKey
from app.domain.recordings import Recording
from app.domain.slots import Slot

_LOCK = text("SELECT pg_advisory_xact_lock(hashtextextended('prices:recordings', 0))")
_NEWEST = text(
    """
    SELECT DISTINCT ON (exchange, ticker) exchange, ticker, interval_seconds, first_slot, last_slot
    FROM recordings ORDER BY exchange, ticker, first_slot DESC
    """
)
_OF_TICKER = text(
    """
    SELECT interval_seconds, first_slot, last_slot FROM recordings
    WHERE exchange = :exchange AND ticker = :ticker ORDER BY first_slot
    """
)
_UPSERT = text(
    """
    INSERT INTO recordings (exchange, ticker, interval_seconds, first_slot, last_slot)
    VALUES (:exchange, :ticker, :interval_seconds, :first_slot, :last_slot)
    ON CONFLICT (exchange, ticker, first_slot)
    DO UPDATE SET interval_seconds = excluded.interval_seconds, last_slot = excluded.last_slot
    """
)
_DELETE = text(
    """
    DELETE FROM recordings
    WHERE exchange = :exchange AND ticker = :ticker AND first_slot = :first_slot
    """
)
_EXTEND_START = text(
    """
    UPDATE recordings SET first_slot = :slot
    WHERE exchange = :exchange AND ticker = :ticker AND last_slot IS NULL AND first_slot > :slot
      AND NOT EXISTS (
          SELECT FROM recordings
          WHERE exchange = :exchange AND ticker = :ticker AND last_slot >= :slot
      )
    """
)


async def lock_recordings(session: AsyncSession) -> None:
    """Wait until no other transaction changes recordings; held until this one ends."""
    await session.execute(_LOCK)


async def newest(session: AsyncSession) -> dict[TickerKey, Recording]:
    """Read the newest recording, open or closed, of every ticker that ever had one."""
    rows = await session.execute(_NEWEST)
    keys_and_rest = ((TickerKey(*row[:2]), row[2:]) for row in rows)
    return {key: Recording(key, *rest) for key, rest in keys_and_rest}


async def of_ticker(session: AsyncSession, key: TickerKey) -> list[Recording]:
    """Read every recording of a ticker, the oldest first."""
    return [Recording(key, *row) for row in await session.execute(_OF_TICKER, key._asdict())]


async def upsert(session: AsyncSession, recordings: Iterable[Recording]) -> None:
    """Insert or update recordings, identified by their first slot; delete empty ones."""
    for recording in recordings:
        columns = {
            **recording.key._asdict(),
            "interval_seconds": recording.interval_seconds,
            "first_slot": recording.first_slot,
            "last_slot": recording.last_slot,
        }
        await session.execute(_DELETE if recording.is_empty else _UPSERT, columns)


async def extend_open_start(session: AsyncSession, slots: Mapping[TickerKey, Slot]) -> None:
    """Move the start of open recordings back to these slots.

    A recording stays unchanged where an earlier one includes the slot, as they must not overlap.
    """
    for key, slot in slots.items():
        await session.execute(_EXTEND_START, {**key._asdict(), "slot": slot})
