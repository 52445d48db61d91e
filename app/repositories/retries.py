"""What a chart did not give and may give yet, with when it is asked again."""

from collections.abc import Collection, Sequence
from itertools import groupby

from sqlalchemy import ColumnElement, delete, insert, select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.gaps import Gap, Reason, subtract
from app.domain.prices import TickerKey, TimeRange
from app.domain.retries import Retry
from app.domain.slots import Slot
from app.postgres.models import RetryRow


async def read_overlapping(
    session: AsyncSession, keys: Collection[TickerKey], span: TimeRange
) -> dict[TickerKey, list[Retry]]:
    """Read the retries that touch a span, ascending, by ticker."""
    query = (
        select(RetryRow)
        .where(tuple_(RetryRow.exchange, RetryRow.ticker).in_(keys))
        .order_by(RetryRow.exchange, RetryRow.ticker, RetryRow.first_slot)
    )
    if span.start is not None:
        query = query.where(RetryRow.last_slot >= span.start)
    if span.end is not None:
        query = query.where(RetryRow.first_slot <= span.end)
    by_key = groupby(await session.scalars(query), key=lambda r: TickerKey(r.exchange, r.ticker))
    return {key: [_retry(row) for row in of_key] for key, of_key in by_key}


async def replace(
    session: AsyncSession, key: TickerKey, gaps: Sequence[Gap], retries: Sequence[Retry]
) -> None:
    """Forget the retries of these slots, and note others; gaps come ascending."""
    if gaps:
        known = (
            await read_overlapping(session, [key], TimeRange(gaps[0].first, gaps[-1].last))
        ).get(key, [])
        for run in known:
            await session.execute(delete(RetryRow).where(*_same(key, run)))
        kept = [
            run._replace(first=piece.first, last=piece.last)
            for run in known
            for piece in subtract([Gap(run.first, run.last, run.interval_seconds)], gaps)
        ]
        retries = [*kept, *retries]
    if retries:
        await session.execute(insert(RetryRow), [_columns(key, run) for run in retries])


def _same(key: TickerKey, run: Retry) -> tuple[ColumnElement[bool], ...]:
    return (
        RetryRow.exchange == key.exchange,
        RetryRow.ticker == key.ticker,
        RetryRow.first_slot == run.first,
    )


def _retry(row: RetryRow) -> Retry:
    first, last = Slot(row.first_slot), Slot(row.last_slot)
    reason = None if row.reason is None else Reason(row.reason)
    return Retry(first, last, row.interval_seconds, row.tries, row.next_us, reason)


def _columns(key: TickerKey, run: Retry) -> dict[str, object]:
    return {
        "exchange": key.exchange,
        "ticker": key.ticker,
        "first_slot": run.first,
        "last_slot": run.last,
        "interval_seconds": run.interval_seconds,
        "tries": run.tries,
        "next_us": run.next_us,
        "reason": None if run.reason is None else run.reason.value,
    }
