"""Slots that the exchange could not supply, so that they need not be requested again."""

from collections.abc import Collection, Sequence

from sqlalchemy import func
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.gaps import Gap
from app.domain.prices import TickerKey, TimeRange
from app.domain.slots import MICROSECONDS
from app.postgres.models import UnfillableRow
from app.repositories import unfillable_and_retries


async def read_overlapping(
    session: AsyncSession,
    keys: Collection[TickerKey],
    time_range: TimeRange,
    since_us: int | None = None,
) -> dict[TickerKey, list[Gap]]:
    """Read the unfillable ranges that overlap a time range, ascending, by ticker.

    With `since_us`, only those that were requested since then, by the database's clock.
    """
    criteria = []
    if since_us is not None:
        since = func.to_timestamp(since_us / MICROSECONDS)
        criteria.append(UnfillableRow.asked_at >= since)
    return await unfillable_and_retries.read_overlapping(session, Gap, keys, time_range, *criteria)


async def upsert(session: AsyncSession, key: TickerKey, gaps: Sequence[Gap]) -> None:
    """Save ascending gaps with their reasons in place of what is stored of their slots."""
    await unfillable_and_retries.replace(session, Gap, key, gaps, gaps)


async def delete_slots(session: AsyncSession, key: TickerKey, gaps: Sequence[Gap]) -> None:
    """Delete the slots of ascending gaps; stored ranges that reach beyond them keep the rest."""
    await unfillable_and_retries.replace(session, Gap, key, gaps, [])
