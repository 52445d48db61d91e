"""Slots that a chart lacked and may still supply, with the time of the next request."""

from collections.abc import Collection, Sequence

from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.gaps import Gap, Reason, Retry, subtract
from app.domain.prices import TickerKey, TimeRange
from app.domain.slots import Slot
from app.postgres.models import RetryRow
from app.repositories import slot_ranges


async def read_overlapping(
    session: AsyncSession, keys: Collection[TickerKey], span: TimeRange
) -> dict[TickerKey, list[Retry]]:
    """Read the retries that overlap a span, ascending, by ticker."""
    rows = await slot_ranges.read_overlapping(session, RetryRow, keys, span)
    return {key: [_retry(row) for row in of_key] for key, of_key in rows.items()}


async def replace(
    session: AsyncSession, key: TickerKey, gaps: Sequence[Gap], retries: Sequence[Retry]
) -> None:
    """Delete the retries of ascending gaps, and insert others."""
    if gaps:
        span = TimeRange(gaps[0].first, gaps[-1].last)
        stored = (await read_overlapping(session, [key], span)).get(key, [])
        await slot_ranges.delete_starting_at(session, RetryRow, key, stored)
        rest = [
            retry._replace(first=piece.first, last=piece.last)
            for retry in stored
            for piece in subtract([Gap(retry.first, retry.last, retry.interval_seconds)], gaps)
        ]
        retries = [*rest, *retries]
    if retries:
        await session.execute(insert(RetryRow), [_columns(key, retry) for retry in retries])


def _retry(row: RetryRow) -> Retry:
    first, last = Slot(row.first_slot), Slot(row.last_slot)
    reason = None if row.reason is None else Reason(row.reason)
    return Retry(first, last, row.interval_seconds, row.tries, row.next_us, reason)


def _columns(key: TickerKey, retry: Retry) -> dict[str, object]:
    return {
        **slot_ranges.columns(key, retry),
        "tries": retry.tries,
        "next_us": retry.next_us,
        "reason": None if retry.reason is None else retry.reason.value,
    }
