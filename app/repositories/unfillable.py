"""Slots that the exchange could not supply, so that they need not be requested again."""

from collections.abc import Collection, Sequence

from sqlalchemy import func, insert
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.gaps import Gap, Reason, subtract
from app.domain.prices import TickerKey, TimeRange
from app.domain.slots import MICROSECONDS, Slot
from app.postgres.models import UnfillableRow
from app.repositories import slot_ranges


async def read_overlapping(
    session: AsyncSession, keys: Collection[TickerKey], span: TimeRange, since_us: int | None = None
) -> dict[TickerKey, list[Gap]]:
    """Read the unfillable ranges that overlap a span, ascending, by ticker.

    With `since_us`, only those that were requested since then, by the database's clock.
    """
    criteria = []
    if since_us is not None:
        since = func.to_timestamp(since_us / MICROSECONDS)
        criteria.append(UnfillableRow.asked_at >= since)
    rows = await slot_ranges.read_overlapping(session, UnfillableRow, keys, span, *criteria)
    return {key: [_gap(row) for row in of_key] for key, of_key in rows.items()}


async def upsert(session: AsyncSession, key: TickerKey, gaps: Sequence[Gap]) -> None:
    """Save gaps with their reasons in place of what is stored of their slots.

    Gaps ascend without overlaps.

    Raises:
        ValueError: a gap has no reason.
    """
    if not gaps:
        return
    await delete_slots(session, key, gaps)
    await session.execute(insert(UnfillableRow), [_columns(key, gap) for gap in gaps])


async def delete_slots(session: AsyncSession, key: TickerKey, gaps: Sequence[Gap]) -> None:
    """Delete these slots; stored ranges that reach beyond them keep the rest."""
    if not gaps:
        return
    span = TimeRange(gaps[0].first, gaps[-1].last)
    stored = (await read_overlapping(session, [key], span)).get(key, [])
    await slot_ranges.delete_starting_at(session, UnfillableRow, key, stored)
    if rest := subtract(stored, gaps):
        await session.execute(insert(UnfillableRow), [_columns(key, gap) for gap in rest])


def _gap(row: UnfillableRow) -> Gap:
    first, last = Slot(row.first_slot), Slot(row.last_slot)
    return Gap(first, last, row.interval_seconds, Reason(row.reason))


def _columns(key: TickerKey, gap: Gap) -> dict[str, object]:
    if gap.reason is None:
        raise ValueError("an unfillable gap needs a reason")
    return {**slot_ranges.columns(key, gap), "reason": gap.reason.value}
