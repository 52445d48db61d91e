"""Facts about an export: its first and last slot, and whether prices fit a decimal."""

from collections.abc import Iterator
from decimal import Decimal

from sqlalchemy import ColumnElement, exists, func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.exports import DECIMAL_DIGITS, DECIMAL_SCALE
from app.domain.prices import TickerKey, TimeRange
from app.postgres.models import PriceRow


async def stored_range(session: AsyncSession, key: TickerKey, span: TimeRange) -> TimeRange | None:
    """Return the first and the last stored slot of a span; None if there is none."""
    query = select(func.min(PriceRow.timestamp), func.max(PriceRow.timestamp)).where(
        *_within(key, span)
    )
    ends: tuple[int | None, ...] = tuple((await session.execute(query)).one())
    return None if None in ends else TimeRange(*ends)


async def fits_decimal(session: AsyncSession, key: TickerKey, span: TimeRange) -> bool:
    """Return whether Parquet's decimal holds every price of a span exactly."""
    too_fine = func.scale(PriceRow.price) > DECIMAL_SCALE
    too_large = func.abs(PriceRow.price) >= Decimal(10) ** (DECIMAL_DIGITS - DECIMAL_SCALE)
    misfit = exists().where(*_within(key, span), or_(too_fine, too_large))
    return not await session.scalar(select(misfit))


def _within(key: TickerKey, span: TimeRange) -> Iterator[ColumnElement[bool]]:
    yield PriceRow.exchange == key.exchange
    yield PriceRow.ticker == key.ticker
    if span.start is not None:
        yield PriceRow.timestamp >= span.start
    if span.end is not None:
        yield PriceRow.timestamp <= span.end
