"""Recordings in the database: opened and closed as the configuration changes."""

from collections.abc import Iterable, Mapping
from itertools import starmap

from sqlalchemy import ColumnElement, delete, exists, select, text, update
from sqlalchemy.dialects.postgresql import distinct_on, insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from app.domain.prices import TickerKey
from app.domain.recordings import Recording
from app.domain.slots import Slot
from app.postgres.models import RecordingRow

_COLUMNS = (
    RecordingRow.exchange,
    RecordingRow.ticker,
    RecordingRow.interval_seconds,
    RecordingRow.first_slot,
    RecordingRow.last_slot,
)
_LOCK = text("SELECT pg_advisory_xact_lock(hashtextextended('prices:recordings', 0))")


async def lock_recordings(session: AsyncSession) -> None:
    """Wait until no other transaction changes recordings; held until this one ends."""
    await session.execute(_LOCK)


async def newest(session: AsyncSession) -> dict[TickerKey, Recording]:
    """Read the newest recording, open or closed, of every ticker that ever had one."""
    query = (
        select(*_COLUMNS)
        .ext(distinct_on(RecordingRow.exchange, RecordingRow.ticker))
        .order_by(RecordingRow.exchange, RecordingRow.ticker, RecordingRow.first_slot.desc())
    )
    rows = await session.execute(query)
    return {recording.key: recording for recording in starmap(_recording, rows)}


async def of_ticker(session: AsyncSession, key: TickerKey) -> list[Recording]:
    """Read every recording of a ticker, the oldest first."""
    query = (
        select(*_COLUMNS)
        .where(RecordingRow.exchange == key.exchange, RecordingRow.ticker == key.ticker)
        .order_by(RecordingRow.first_slot)
    )
    return list(starmap(_recording, await session.execute(query)))


async def upsert(session: AsyncSession, recordings: Iterable[Recording]) -> None:
    """Insert or update recordings, identified by their first slot; delete empty ones."""
    for recording in recordings:
        if recording.is_empty:
            await session.execute(delete(RecordingRow).where(*_matches(recording)))
        else:
            await session.execute(_upsert, _columns(recording))


async def extend_start(session: AsyncSession, slots: Mapping[TickerKey, Slot]) -> None:
    """Move the start of open recordings back to these slots.

    A recording stays unchanged where an earlier one includes the slot, as they must not overlap.
    """
    for key, slot in slots.items():
        earlier = aliased(RecordingRow)
        is_promised = exists().where(
            earlier.exchange == key.exchange,
            earlier.ticker == key.ticker,
            earlier.last_slot >= slot,
        )
        await session.execute(
            update(RecordingRow)
            .where(
                RecordingRow.exchange == key.exchange,
                RecordingRow.ticker == key.ticker,
                RecordingRow.last_slot.is_(None),
                RecordingRow.first_slot > slot,
                ~is_promised,
            )
            .values(first_slot=slot)
        )


_insert = insert(RecordingRow)
_upsert = _insert.on_conflict_do_update(
    index_elements=["exchange", "ticker", "first_slot"],
    set_={
        "last_slot": _insert.excluded.last_slot,
        "interval_seconds": _insert.excluded.interval_seconds,
    },
)


def _matches(recording: Recording) -> tuple[ColumnElement[bool], ...]:
    return (
        RecordingRow.exchange == recording.key.exchange,
        RecordingRow.ticker == recording.key.ticker,
        RecordingRow.first_slot == recording.first_slot,
    )


def _columns(recording: Recording) -> dict[str, object]:
    return {
        "exchange": recording.key.exchange,
        "ticker": recording.key.ticker,
        "first_slot": recording.first_slot,
        "last_slot": recording.last_slot,
        "interval_seconds": recording.interval_seconds,
    }


def _recording(
    exchange: str, ticker: str, interval_seconds: int, first: int, last: int | None
) -> Recording:
    last_slot = None if last is None else Slot(last)
    return Recording(TickerKey(exchange, ticker), interval_seconds, Slot(first), last_slot)
