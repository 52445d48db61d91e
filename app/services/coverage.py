"""Coverage: what was promised, what is there, what is missing and why; and how good it is."""

from collections.abc import Collection, Sequence

from app.domain.coverage import Coverage, Quality, SlotCounts
from app.domain.gaps import Gap, Reason, apply_reasons, split_at, with_default_reason
from app.domain.prices import TickerKey, TimeRange
from app.domain.slots import MICROSECONDS, SECONDS_PER_HOUR
from app.postgres.database import Database
from app.repositories import gaps, prices, quality, recordings, unfillable

MAX_OUTLIERS = 20


class CoverageService:
    """CoverageService for every promised slot; a process has one."""

    def __init__(
        self,
        database: Database,
        exchanges: Collection[str] | None = None,
        lookback_hours: int | None = None,
    ) -> None:
        """Account for what the schedule repairs: of these exchanges, so far back; None for all."""
        self._database = database
        self._exchanges = exchanges
        self._lookback_hours = lookback_hours

    async def look(
        self, span: TimeRange, keys: Collection[TickerKey] | None = None
    ) -> list[Coverage]:
        """Account for these tickers, or for all that were ever recorded, as of one moment.

        Raises:
            DatabaseUnavailable: PostgreSQL does not answer.
        """
        async with self._database.repeatable_read() as session:
            wanted = sorted(keys if keys is not None else await recordings.newest(session))
            presents = await prices.estimate_exchange_now(session, wanted)
            tallies = await gaps.count(session, presents, span)
            found = await gaps.find(session, presents, span)
            known = await unfillable.read_overlapping(session, found.keys(), span)
            database_us = await prices.database_now_us(session)
        return [
            Coverage(
                key,
                tallies.get(key, SlotCounts()),
                self._explained(
                    key, apply_reasons(found.get(key, []), known.get(key, [])), database_us
                ),
            )
            for key in wanted
        ]

    def _explained(self, key: TickerKey, gaps: Sequence[Gap], database_us: int) -> Sequence[Gap]:
        """Tell of what is neither given up nor repaired by schedule why it is not."""
        if self._exchanges is not None and key.exchange not in self._exchanges:
            return with_default_reason(gaps, Reason.EXCHANGE_NOT_CONFIGURED)
        if self._lookback_hours is None:
            return gaps
        start_us = database_us - self._lookback_hours * SECONDS_PER_HOUR * MICROSECONDS
        older, younger = split_at(gaps, start_us)
        return [*with_default_reason(older, Reason.BEYOND_LOOKBACK), *younger]

    async def judge(self, coverage: Coverage, span: TimeRange) -> Quality:
        """Judge the stored prices of a span: their lateness, and moves out of the ordinary.

        Raises:
            DatabaseUnavailable: PostgreSQL does not answer.
        """
        interval = coverage.tally.interval_seconds or 0
        async with self._database.repeatable_read() as session:
            return await quality.measure(session, coverage.key, span, interval, MAX_OUTLIERS)
