"""Repairs by schedule, by a command, and from the queue of those requested over HTTP."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace

import structlog

from app.clients.base import Exchange
from app.core.errors import AppError, BrokerUnavailable, DatabaseUnavailable, RepairRunning
from app.core.retry import Retrier
from app.domain.prices import TickerKey
from app.domain.repairs import REPAIR_LOCK, OnProgress, QueuedRepair, RepairRequest, RepairResult
from app.domain.slots import window_seconds
from app.postgres.database import Database
from app.redis.repair_queue import RepairQueue
from app.services.repair.plan_executor import PlanExecutor, ignore_progress
from app.services.repair.planner import RepairPlanner
from app.services.repair.time_and_progress import TimeBudget

REQUESTED_SECONDS = 120.0
"""How long a requested repair works, all slices together."""
MAX_TROUBLE_SECONDS = 20.0
"""How long a requested repair works on a ticker whose chart fails."""
MIN_SLICE_SECONDS = 0.5
"""In less time, an exchange on another continent could not answer."""

log = structlog.get_logger(__name__)


class RepairService:
    """Repairs the gaps of the recordings, one repair at a time; a process has one."""

    def __init__(  # noqa: PLR0913, PLR0917  # put together in one place
        self,
        database: Database,
        exchanges: Mapping[str, Exchange],
        keys: Sequence[TickerKey],
        interval_seconds: int,
        lookback_hours: int,
        queue: RepairQueue,
    ) -> None:
        self._database = database
        self._queue = queue
        self._planner = RepairPlanner(database, exchanges.keys(), keys, lookback_hours)
        self._executor = PlanExecutor(database, exchanges, keys)
        self._slice_seconds = max(MIN_SLICE_SECONDS, window_seconds(interval_seconds))

    async def run_scheduled(self) -> RepairResult:
        """Repair the last hours for as long as live collection can spare this process.

        While another repair is running, the result is empty, and the next slice of the queue makes
        up for this repair.

        Raises:
            DatabaseUnavailable: PostgreSQL does not answer.
            BrokerUnavailable: Redis does not answer.
        """
        async with self._database.try_lock(REPAIR_LOCK) as is_locked:
            if is_locked:
                return await self._repair_lookback()
        await self._queue.mark_scheduled_missed()
        return RepairResult()

    async def run_queue_slice(self) -> bool:
        """Work on the queued repairs for a slice of time; return False if another repair runs.

        The other repair looks at the queue when it ends. While PostgreSQL is away the queued
        repairs wait, and no time is counted for them.

        Raises:
            BrokerUnavailable: Redis does not answer.
        """
        retrier = Retrier(self._slice_seconds, first_wait_seconds=0.25, max_wait_seconds=5)
        try:
            return await retrier.call(lambda: self._run_queue_slice(retrier))
        except DatabaseUnavailable:  # for the whole slice
            return True

    async def run_requested(
        self,
        request: RepairRequest,
        *,
        seconds: float = REQUESTED_SECONDS,
        on_progress: OnProgress = ignore_progress,
    ) -> RepairResult:
        """Repair here and now, with retries, for so long at most.

        Raises:
            TickerNotFound: no ticker of the request can be repaired.
            DatabaseUnavailable: PostgreSQL stayed away.
            RepairRunning: another repair did not end.
        """
        budget = TimeBudget(seconds, min(seconds / 2, MAX_TROUBLE_SECONDS))
        retrier = Retrier(seconds, first_wait_seconds=0.25, max_wait_seconds=5)

        async def attempt() -> RepairResult:
            async with self._database.try_lock(REPAIR_LOCK) as is_locked:
                if not is_locked:
                    raise RepairRunning("another repair is under way")
                plan = await self._planner.plan(request)
                result, _ = await self._executor.execute(plan, budget, on_progress)
                return result

        await self.require_known_ticker(request)
        return await retrier.call(attempt)

    async def require_known_ticker(self, request: RepairRequest) -> None:
        """Make sure that a request covers a ticker.

        Raises:
            TickerNotFound: no ticker of the request can be repaired.
        """
        await self._planner.require_known_ticker(request)

    async def _repair_lookback(self) -> RepairResult:
        plan = await self._planner.plan_lookback()
        result, _ = await self._executor.execute(plan, TimeBudget(self._slice_seconds))
        return result

    async def _run_queue_slice(self, retrier: Retrier) -> bool:
        async with self._database.try_lock(REPAIR_LOCK) as is_locked:
            if not is_locked:
                return False
            if await self._queue.pop_scheduled_missed():
                await self._repair_lookback()
            while retrier.remaining_seconds > 0:
                unfinished = [one for one in await self._queue.all() if one.result is None]
                if not unfinished:
                    break
                await self._try_to_advance(unfinished[0], retrier)  # it got the least time so far
        return True

    async def _try_to_advance(self, repair: QueuedRepair, retrier: Retrier) -> None:
        """Advance a repair, with retries; its errors end up in its own result."""
        seconds = retrier.remaining_seconds
        try:
            await retrier.call(lambda: self._advance(repair, retrier.remaining_seconds))
        except BrokerUnavailable:
            raise
        except AppError as error:
            await self._save_error(repair, error, seconds)
        except Exception:
            log.exception("repair_broke")
            await self._save_error(repair, AppError("a defect: the log tells more"), seconds)

    async def _advance(self, repair: QueuedRepair, seconds: float) -> None:
        """Work on a repair for the rest of the slice at most, and save its progress."""
        began = asyncio.get_running_loop().time()
        plan = await self._planner.plan(repair.request, requested_since_us=repair.since_us)
        repair = replace(repair, since_us=repair.since_us or plan.database_us)
        unsettled = {
            key: gaps for key, gaps in plan.pending_gaps.items() if str(key) not in repair.settled
        }
        result, tickers = await self._executor.execute(
            replace(plan, pending_gaps=unsettled), TimeBudget(seconds, seconds)
        )
        spent_seconds = asyncio.get_running_loop().time() - began
        runs = {one.key: one.last_run for one in tickers if one.last_run}
        advanced = repair.after_slice(runs, spent_seconds, MAX_TROUBLE_SECONDS)
        is_settled = advanced.settled.issuperset(map(str, unsettled))
        if is_settled or advanced.seconds >= REQUESTED_SECONDS:
            advanced = advanced.ended(result, plan.pending_gaps)
        await self._queue.save(advanced)

    async def _save_error(self, repair: QueuedRepair, error: AppError, seconds: float) -> None:
        """Add the lost time to a repair, and end it if its time is up or a retry won't help."""
        advanced = repair.after_slice({}, seconds, MAX_TROUBLE_SECONDS)
        is_over = advanced.seconds >= REQUESTED_SECONDS or not error.retryable
        await self._queue.save(advanced.as_failed(error.code) if is_over else advanced)
