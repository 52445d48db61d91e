"""Facts about an export: its first and last slot, and whether prices fit a decimal."""

from decimal import Decimal

from sqlalchemy import ColumnElement, and_, exists, func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.as_of import to_datetime
from app.domain.exports import DECIMAL_DIGITS, DECIMAL_SCALE
from app.domain.prices import TickerKey, TimeRange
from app.postgres.models import PriceRow


async def stored_range(
    session: AsyncSession, key: TickerKey, time_range: TimeRange, as_of_us: int | None = None
) -> TimeRange | None:
    """Return the first and the last stored slot of a range; None if there is none."""
    first, last = func.min(PriceRow.timestamp), func.max(PriceRow.timestamp)
    query = select(first, last).where(_is_within(key, time_range, as_of_us))
    stored = TimeRange(*(await session.execute(query)).one())
    return None if stored.start is None else stored


async def fits_decimal(
    session: AsyncSession, key: TickerKey, time_range: TimeRange, as_of_us: int | None = None
) -> bool:
    """Return whether Parquet's decimal holds every price of a range exactly."""
    too_fine = func.scale(PriceRow.price) > DECIMAL_SCALE
    too_large = func.abs(PriceRow.price) >= Decimal(10) ** (DECIMAL_DIGITS - DECIMAL_SCALE)
    misfit = exists().where(_is_within(key, time_range, as_of_us), or_(too_fine, too_large))
    return not await session.scalar(select(misfit))


def _is_within(key: TickerKey, time_range: TimeRange, as_of_us: int | None) -> ColumnElement[bool]:
    is_of_ticker = and_(PriceRow.exchange == key.exchange, PriceRow.ticker == key.ticker)
    is_of_range = and_(is_of_ticker, PriceRow.timestamp.between(*time_range.bounds()))
    if as_of_us is None:
        return is_of_range
    return and_(is_of_range, PriceRow.created_at <= to_datetime(as_of_us))
