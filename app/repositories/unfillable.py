"""What the exchange could not give when it was asked, so that it need not be asked again."""

from collections.abc import Collection, Sequence
from itertools import groupby

from sqlalchemy import ColumnElement, delete, func, insert, select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.gaps import Gap, Reason, subtract
from app.domain.prices import TickerKey, TimeRange
from app.domain.slots import MICROSECONDS, Slot
from app.postgres.models import UnfillableRow


async def read_overlapping(
    session: AsyncSession, keys: Collection[TickerKey], span: TimeRange, since_us: int | None = None
) -> dict[TickerKey, list[Gap]]:
    """Read what is remembered of a span, ascending, by ticker; its ends may lie beyond.

    With `since_us`, only what was asked since then, on the database's clock.
    """
    query = (
        select(UnfillableRow)
        .where(tuple_(UnfillableRow.exchange, UnfillableRow.ticker).in_(keys))
        .order_by(UnfillableRow.exchange, UnfillableRow.ticker, UnfillableRow.first_slot)
    )
    if span.start is not None:
        query = query.where(UnfillableRow.last_slot >= span.start)
    if span.end is not None:
        query = query.where(UnfillableRow.first_slot <= span.end)
    if since_us is not None:
        since = func.to_timestamp(since_us / MICROSECONDS)
        query = query.where(UnfillableRow.asked_at >= since)
    rows = await session.scalars(query)
    by_key = groupby(rows, key=lambda row: TickerKey(row.exchange, row.ticker))
    return {key: [_gap(row) for row in of_key] for key, of_key in by_key}


async def upsert(session: AsyncSession, key: TickerKey, gaps: Sequence[Gap]) -> None:
    """Remember gaps with their reasons, instead of what was remembered of their slots.

    Gaps come ascending and without overlaps.
    """
    if not gaps:
        return
    await delete_slots(session, key, gaps)
    await session.execute(insert(UnfillableRow), [_columns(key, gap) for gap in gaps])


async def delete_slots(session: AsyncSession, key: TickerKey, gaps: Sequence[Gap]) -> None:
    """Forget these slots; runs that reach beyond them keep the rest."""
    if not gaps:
        return
    known = (await read_overlapping(session, [key], TimeRange(gaps[0].first, gaps[-1].last))).get(
        key, []
    )
    for run in known:
        await session.execute(delete(UnfillableRow).where(*_same(key, run)))
    kept = subtract(known, gaps)
    if kept:
        await session.execute(insert(UnfillableRow), [_columns(key, run) for run in kept])


def _same(key: TickerKey, run: Gap) -> tuple[ColumnElement[bool], ...]:
    return (
        UnfillableRow.exchange == key.exchange,
        UnfillableRow.ticker == key.ticker,
        UnfillableRow.first_slot == run.first,
    )


def _gap(row: UnfillableRow) -> Gap:
    first, last = Slot(row.first_slot), Slot(row.last_slot)
    return Gap(first, last, row.interval_seconds, Reason(row.reason))


def _columns(key: TickerKey, gap: Gap) -> dict[str, object]:
    if gap.reason is None:
        raise ValueError("a gap without a reason has not been asked for")
    return {
        "exchange": key.exchange,
        "ticker": key.ticker,
        "first_slot": gap.first,
        "last_slot": gap.last,
        "interval_seconds": gap.interval_seconds,
        "reason": gap.reason.value,
    }
