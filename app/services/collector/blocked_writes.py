"""Writes that PostgreSQL keeps waiting, reported while they wait.

A lock that blocks only writes (`CREATE INDEX` takes one) leaves every read as fast as ever, so
nothing else would tell why prices are stale.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from time import monotonic

import structlog

from app.core.background_loops import run_repeatedly
from app.core.errors import DatabaseBlocked, DatabaseUnavailable
from app.domain.prices import TickerKey
from app.postgres.blocking_sessions import read_blocking_sessions
from app.postgres.database import Database
from app.redis.process_reports import TickReports

MAX_PAUSE_SECONDS = 5.0

log = structlog.get_logger(__name__)


class BlockedWriteReporter:
    """Reports the tickers of a tick as failing while a write of it waits."""

    def __init__(
        self,
        database: Database,
        reports: TickReports,
        keys: Sequence[TickerKey],
        interval_seconds: int,
    ) -> None:
        self._database = database
        self._reports = reports
        self._keys = keys
        self._first_pause_seconds = min(MAX_PAUSE_SECONDS, interval_seconds / 4)

    @asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        """Report the block from a quarter of an interval on, 5 s at most, until it ends."""
        started_at = monotonic()
        watcher = asyncio.create_task(
            run_repeatedly("blocked write", lambda: self._report_forever(started_at))
        )
        try:
            yield
        finally:
            watcher.cancel()
            await asyncio.wait([watcher])

    async def _report_forever(self, started_at: float) -> None:
        pause = self._first_pause_seconds
        while True:
            await asyncio.sleep(pause)
            await self._report(monotonic() - started_at)
            pause = min(2 * pause, MAX_PAUSE_SECONDS)

    async def _report(self, seconds: float) -> None:
        try:
            async with self._database.raw_connection(reserved=True) as connection:
                blockers = await read_blocking_sessions(connection)
        except DatabaseUnavailable:
            return  # the check of the database reports it
        log.warning("write_blocked", seconds=round(seconds, 1), blocked_by=blockers)
        reason = "waits for another session's lock" if blockers else "is not finished"
        error = DatabaseBlocked(f"a write of prices {reason}; the worker's log tells more")
        failing_seconds = dict.fromkeys(self._keys, seconds)
        await self._reports.record_failures(
            dict.fromkeys(self._keys, error), failing_seconds=failing_seconds
        )
