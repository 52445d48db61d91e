"""Summaries of hours: whether they say what the rows say, and writing them anew."""

from collections.abc import AsyncIterator
from typing import NamedTuple

import structlog

from app.domain.prices import TickerKey
from app.domain.slots import SECONDS_PER_HOUR
from app.postgres.database import Database
from app.repositories import prices, summaries

CHUNK_SECONDS = 30 * 24 * SECONDS_PER_HOUR

log = structlog.get_logger(__name__)


class Verified(NamedTuple):
    """A stretch of a ticker's hours, from a full hour to another, exclusive, and its flaws."""

    key: TickerKey
    start: int
    end: int
    wrong: int


class SummaryService:
    """Watches over the summaries; a process has one."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def verify(self, *, rebuild: bool = False) -> AsyncIterator[Verified]:
        """Compare every hour with its rows, a month at a time; rewrite wrong months if asked.

        Raises:
            DatabaseUnavailable: PostgreSQL does not answer.
        """
        async with self._database.read() as session:
            keys = await prices.stored_tickers(session) | (await prices.extents(session)).keys()
        for key in sorted(keys):
            async with self._database.read() as session:
                extent = await summaries.stored_range(session, key)
            last_end = ((extent.end or 0) // SECONDS_PER_HOUR + 1) * SECONDS_PER_HOUR
            for start in range(extent.start or 0, last_end, CHUNK_SECONDS):
                end = min(start + CHUNK_SECONDS, last_end)
                yield await self._verify(key, start, end, rebuild=rebuild)

    async def _verify(self, key: TickerKey, start: int, end: int, *, rebuild: bool) -> Verified:
        async with self._database.read() as session:
            wrong = await summaries.count_wrong(session, key, start, end)
        if wrong and rebuild:
            async with self._database.transaction() as session:
                await summaries.rebuild(session, key, start, end)
            log.info("summaries_rebuilt", ticker=str(key), start=start, end=end, hours=wrong)
        return Verified(key, start, end, wrong)
