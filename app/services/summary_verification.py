"""Verification of the hourly summaries against their rows, and their rebuild."""

from collections.abc import AsyncIterator
from typing import NamedTuple

import structlog

from app.domain.prices import TickerKey
from app.domain.slots import SECONDS_PER_HOUR
from app.postgres.database import Database
from app.repositories import prices, summary_comparison

CHUNK_SECONDS = 30 * 24 * SECONDS_PER_HOUR

log = structlog.get_logger(__name__)


class VerifiedRange(NamedTuple):
    """A range of a ticker's hours, from a full hour to another, exclusive; `wrong` is a count."""

    key: TickerKey
    start: int
    end: int
    wrong: int


class SummaryVerifier:
    """Verifies the hourly summaries; a process has one."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def verify(self, *, rebuild: bool = False) -> AsyncIterator[VerifiedRange]:
        """Compare all hours with their rows, a month at a time; with `rebuild`, rewrite wrong ones.

        Raises:
            DatabaseUnavailable: PostgreSQL does not answer.
        """
        async with self._database.read_committed() as session:
            keys = await prices.stored_tickers(session) | (await prices.extents(session)).keys()
        for key in sorted(keys):
            async with self._database.read_committed() as session:
                stored = await summary_comparison.stored_range(session, key)
            last_end = ((stored.end or 0) // SECONDS_PER_HOUR + 1) * SECONDS_PER_HOUR
            for start in range(stored.start or 0, last_end, CHUNK_SECONDS):
                end = min(start + CHUNK_SECONDS, last_end)
                yield await self._verify(key, start, end, rebuild=rebuild)

    async def _verify(
        self, key: TickerKey, start: int, end: int, *, rebuild: bool
    ) -> VerifiedRange:
        async with self._database.read_committed() as session:
            wrong = await summary_comparison.count_wrong(session, key, start, end)
        if wrong and rebuild:
            async with self._database.transaction() as session:
                await summary_comparison.rebuild(session, key, start, end)
            log.info("summaries_rebuilt", ticker=str(key), start=start, end=end, hours=wrong)
        return VerifiedRange(key, start, end, wrong)
