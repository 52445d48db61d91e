"""Coverage: what was promised, what is stored, what is missing and why; lateness and outliers."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from app.domain.coverage import (
    Coverage,
    CoverageByPeriod,
    PeriodQuery,
    Quality,
    SlotCounts,
)
from app.domain.gaps import Gap, Reason, split_at, with_default_reason
from app.domain.prices import TickerKey, TimeRange
from app.domain.slots import MICROSECONDS, SECONDS_PER_HOUR
from app.postgres.database import Database
from app.repositories import gaps, gaps_with_reasons, lateness_and_outliers, prices, recordings

MAX_OUTLIERS = 20


@dataclass(frozen=True, slots=True)
class CoverageService:
    """Measures coverage and quality; a process has one.

    The schedule repairs `repaired_exchanges`, so many hours back; None means all.
    """

    database: Database
    repaired_exchanges: Collection[str] | None = None
    lookback_hours: int | None = None

    async def measure(
        self, time_range: TimeRange, keys: Collection[TickerKey] | None = None
    ) -> list[Coverage]:
        """Measure the coverage of these tickers, or of all recorded ones, in one snapshot.

        Raises:
            DatabaseUnavailable: PostgreSQL does not answer.
        """
        async with self.database.repeatable_read() as session:
            tickers = sorted(keys if keys is not None else await recordings.newest(session))
            exchange_now_us = await prices.estimate_exchange_now(session, tickers)
            slot_counts = await gaps.count(session, exchange_now_us, time_range)
            found = await gaps_with_reasons.find_gaps(session, exchange_now_us, time_range)
            database_us = await prices.database_now_us(session)
        return [
            Coverage(
                key,
                slot_counts.get(key, SlotCounts()),
                self._with_schedule_reasons(key, found.get(key, []), database_us),
            )
            for key in tickers
        ]

    async def measure_by_period(
        self, query: PeriodQuery, after: int | None = None
    ) -> CoverageByPeriod:
        """Count the slots of a range, and of a page of its days or hours, in one snapshot.

        With `after`, the page begins after the day or hour with this start.

        Raises:
            DatabaseUnavailable: PostgreSQL does not answer.
        """
        key, remaining = query.key, query if after is None else query.after(after)
        with_next = replace(remaining, limit=query.limit + 1)
        async with self.database.repeatable_read() as session:
            exchange_now_us = await prices.estimate_exchange_now(session, [key])
            slot_counts = await gaps.count(session, exchange_now_us, query.time_range)
            counts = await gaps.count_by_period(session, with_next, exchange_now_us[key])
        page = dict(islice(counts.items(), query.limit))
        total = slot_counts.get(key, SlotCounts())
        return CoverageByPeriod(key, total, page, has_more=len(counts) > query.limit)

    async def measure_quality(self, coverage: Coverage, time_range: TimeRange) -> Quality:
        """Measure how late the stored prices of a range are, and find extraordinary moves.

        Raises:
            DatabaseUnavailable: PostgreSQL does not answer.
        """
        interval = coverage.slot_counts.interval_seconds or 0
        async with self.database.repeatable_read() as session:
            return await lateness_and_outliers.measure(
                session, coverage.key, time_range, interval, MAX_OUTLIERS
            )

    def _with_schedule_reasons(
        self, key: TickerKey, gaps: Sequence[Gap], database_us: int
    ) -> Sequence[Gap]:
        """Add why the schedule does not repair a gap, where it has no other reason."""
        if self.repaired_exchanges is not None and key.exchange not in self.repaired_exchanges:
            return with_default_reason(gaps, Reason.EXCHANGE_NOT_CONFIGURED)
        if self.lookback_hours is None:
            return gaps
        start_us = database_us - self.lookback_hours * SECONDS_PER_HOUR * MICROSECONDS
        older, younger = split_at(gaps, start_us)
        return [*with_default_reason(older, Reason.BEYOND_LOOKBACK), *younger]
