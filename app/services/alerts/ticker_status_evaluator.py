"""Which tickers count as stale, and for which it is too early to say."""

import asyncio
from collections.abc import Iterator

from app.domain.alerts import TickerStatus
from app.domain.health import HealthReport
from app.domain.prices import TickerKey
from app.domain.slots import STALE_AFTER_INTERVALS


class TickerStatusEvaluator:
    """Turns health reports into the statuses of tickers.

    A ticker that was not fresh since the start gets no status for two intervals. No ticker gets one
    while the database is away for less than that.
    """

    def __init__(self) -> None:
        self._clock = asyncio.get_running_loop().time
        self._started_at = self._last_read_at = self._clock()
        self._ages: dict[TickerKey, int | None] = {}
        self._once_fresh: set[TickerKey] = set()

    def evaluate(self, report: HealthReport) -> Iterator[TickerStatus]:
        """Return the status of every ticker that has one."""
        grace_seconds = STALE_AFTER_INTERVALS * report.interval_seconds
        if not report.database_trouble:
            self._note_ages_and_freshness(report)
        away_seconds = self._clock() - self._last_read_at
        if report.database_trouble and away_seconds <= grace_seconds:
            return
        is_early = self._clock() - self._started_at <= grace_seconds
        for ticker in report.tickers:
            if ticker.is_fresh or not is_early or ticker.key in self._once_fresh:
                last_age = self._ages.get(ticker.key)
                age = None if last_age is None else last_age + round(away_seconds)
                reason = "" if ticker.is_fresh else report.reason(ticker.key).text
                yield TickerStatus(ticker.key, not ticker.is_fresh, age, reason)

    def _note_ages_and_freshness(self, report: HealthReport) -> None:
        self._last_read_at = self._clock()
        self._ages = {ticker.key: ticker.age_seconds for ticker in report.tickers}
        self._once_fresh.update(ticker.key for ticker in report.tickers if ticker.is_fresh)
