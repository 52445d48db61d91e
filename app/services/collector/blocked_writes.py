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
from app.core.errors import DatabaseBlocked, DatabaseFull, DatabaseUnavailable
from app.domain.prices import TickerKey
from app.postgres.blocking_sessions import describe_blocking_sessions
from app.postgres.database import Database
from app.redis.process_reports import TickReports

MAX_REPORT_INTERVAL_SECONDS = 5.0

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
        self._first_report_seconds = min(MAX_REPORT_INTERVAL_SECONDS, interval_seconds / 4)
        self._reported: DatabaseBlocked | None = None

    @asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        """Report a write while the block runs: after a quarter of an interval, then every 5 s.

        The first report comes after 5 s at most.

        Raises:
            DatabaseBlocked: the write failed with `DatabaseUnavailable` after such a report.
        """
        self._reported, started_at = None, monotonic()
        watcher = asyncio.create_task(
            run_repeatedly("blocked write", lambda: self._report_forever(started_at))
        )
        try:
            yield
        except DatabaseFull:
            raise
        except DatabaseUnavailable as error:
            if self._reported is None:
                raise
            raise self._reported from error  # the server is there, it only kept the write waiting
        finally:
            watcher.cancel()
            await asyncio.wait([watcher])

    async def _report_forever(self, started_at: float) -> None:
        pause = self._first_report_seconds
        while True:
            await asyncio.sleep(pause)
            await self._report(monotonic() - started_at)
            pause = min(2 * pause, MAX_REPORT_INTERVAL_SECONDS)

    async def _report(self, seconds: float) -> None:
        try:
            async with self._database.raw_connection(reserved=True) as connection:
                blockers = await describe_blocking_sessions(connection, self._database.server_pids)
        except DatabaseUnavailable:
            self._reported = None
            return  # the check of the database reports it
        if blockers:
            log.warning("write_blocked", seconds=round(seconds, 1), blocked_by=blockers)
            reason = "waits for another session's lock, which the worker's log names"
        else:
            log.warning("write_slow", seconds=round(seconds, 1))
            reason = "is not finished"
        self._reported = DatabaseBlocked(f"a write of prices {reason}")
        await self._reports.record_failures(
            dict.fromkeys(self._keys, self._reported),
            failing_seconds=dict.fromkeys(self._keys, seconds),
        )
