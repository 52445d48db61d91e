"""Gaps together with the known reasons why the exchange can't fill them."""

from collections.abc import Collection, Mapping

from sqlalchemy.ext.asyncio import AsyncSession

from app.domain.gaps import Gap, Reason, apply_reasons
from app.domain.prices import TickerKey, TimeRange
from app.repositories import gaps, unfillable


async def find_gaps(
    session: AsyncSession,
    exchange_now_us: Mapping[TickerKey, int],
    time_range: TimeRange,
    *,
    asked_since_us: int | None = None,
    listed: Collection[TickerKey] = (),
) -> dict[TickerKey, list[Gap]]:
    """Find the gaps of a time range by ticker, ascending; each has one reason, or none yet.

    `exchange_now_us` is the exchange's present of each ticker. With `asked_since_us`, a reason
    counts only if the exchange was asked since then, on the database's clock. For the `listed`
    tickers, UNKNOWN_TICKER does not count.
    """
    found = await gaps.find(session, exchange_now_us, time_range)
    known = await unfillable.read_overlapping(session, found, time_range, asked_since_us)
    return {
        key: apply_reasons(
            of_key,
            [
                run
                for run in known.get(key, [])
                if key not in listed or run.reason is not Reason.UNKNOWN_TICKER
            ],
        )
        for key, of_key in found.items()
    }
