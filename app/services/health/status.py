"""The status of the service: the report of a health check, and the slots of the last day."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from app.core.clocks import boottime_seconds
from app.core.single_flight import SingleFlight
from app.domain.coverage import SlotCounts
from app.domain.health import HealthReport
from app.domain.prices import TickerKey, TimeRange
from app.domain.slots import MICROSECONDS, SECONDS_PER_DAY
from app.repositories import gaps, prices
from app.services.health.freshness import FreshnessService
from app.services.health.timed_query import run_timed

MAX_STATUS_AGE_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class ServiceStatus:
    """A health report, and when it was made in UNIX seconds.

    `last_day` counts the slots of the last 24 hours by ticker; None if the database did not answer.
    """

    timestamp: int
    report: HealthReport
    last_day: Mapping[TickerKey, SlotCounts] | None


class StatusService:
    """Reads the status at most once a second, however many ask; a process has one."""

    def __init__(
        self,
        freshness: FreshnessService,
        now: Callable[[], float],
        clock: Callable[[], float] = boottime_seconds,
    ) -> None:
        self._freshness = freshness
        self._now = now
        self._clock = clock
        self._flights = SingleFlight(clock)
        self._cached: ServiceStatus | None = None
        self._cached_at = float("-inf")

    async def read(self) -> ServiceStatus:
        """Return the status as of the last second; never raise.

        If a server does not answer, the status says so.
        """
        if self._cached is not None and self._clock() - self._cached_at < MAX_STATUS_AGE_SECONDS:
            return self._cached
        return await self._flights.join("status", self._read)

    async def close(self) -> None:
        """Cancel a read that is under way."""
        await self._flights.close()

    async def _read(self) -> ServiceStatus:
        started_at, now = self._clock(), self._now()
        report, last_day = await asyncio.gather(
            self._freshness.check(now), run_timed(self._count_last_day())
        )
        status = ServiceStatus(int(now), report, last_day.result)
        self._cached, self._cached_at = status, started_at
        return status

    async def _count_last_day(self) -> Mapping[TickerKey, SlotCounts]:
        async with self._freshness.database.repeatable_read() as session:
            exchange_now_us = await prices.estimate_exchange_now(session, self._freshness.keys)
            database_us = await prices.database_now_us(session)
            last_day = TimeRange(database_us // MICROSECONDS - SECONDS_PER_DAY)
            return await gaps.count(session, exchange_now_us, last_day)
