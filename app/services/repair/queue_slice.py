"""One slice of time for the queued repairs, so that collection never waits long for one."""

import asyncio
from dataclasses import replace

import structlog

from app.core.errors import AppError, BrokerUnavailable
from app.core.retry import Retrier
from app.domain.repairs import QueuedRepair
from app.redis.repair_queue import RepairQueue
from app.services.repair.executor import RepairExecutor
from app.services.repair.planner import RepairPlanner
from app.services.repair.progress import TimeBudget

REQUESTED_SECONDS = 120.0
"""How long a requested repair works, all slices together."""
MAX_TROUBLE_SECONDS = 20.0
"""How long a requested repair works on a ticker whose chart fails."""

log = structlog.get_logger(__name__)


class QueueSlice:
    """Works on the queued repairs until the retrier's deadline; its caller holds the lock."""

    def __init__(
        self,
        queue: RepairQueue,
        planner: RepairPlanner,
        executor: RepairExecutor,
        retrier: Retrier,
    ) -> None:
        self._queue = queue
        self._planner = planner
        self._executor = executor
        self._retrier = retrier

    async def run(self) -> None:
        """Advance the repair that got the least time so far, again and again.

        Raises:
            BrokerUnavailable: Redis does not answer.
        """
        while self._retrier.remaining_seconds > 0:
            unfinished = [repair for repair in await self._queue.all() if repair.result is None]
            if not unfinished:
                return
            await self._try_to_advance(unfinished[0])

    async def _try_to_advance(self, repair: QueuedRepair) -> None:
        """Advance a repair, with retries; its errors end up in its own result."""
        seconds = self._retrier.remaining_seconds
        try:
            await self._retrier.call(lambda: self._advance(repair))
        except BrokerUnavailable:
            raise
        except AppError as error:
            await self._save_error(repair, error, seconds)
        except Exception:
            log.exception("repair_broke")
            await self._save_error(repair, AppError("a defect: the log tells more"), seconds)

    async def _advance(self, repair: QueuedRepair) -> None:
        """Work on a repair for the rest of the slice at most, and save its progress."""
        seconds = self._retrier.remaining_seconds
        began = asyncio.get_running_loop().time()
        plan = await self._planner.plan_request(repair.request, requested_since_us=repair.since_us)
        repair = replace(repair, since_us=repair.since_us or plan.database_us)
        unsettled = plan.without(repair.settled)
        tickers = (await self._executor.execute(unsettled, TimeBudget(seconds, seconds))).tickers
        spent_seconds = asyncio.get_running_loop().time() - began
        runs = {one.key: one.outcome for one in tickers if one.outcome}
        advanced = repair.after(runs, spent_seconds, MAX_TROUBLE_SECONDS)
        is_settled = {*map(str, unsettled.open)} <= advanced.settled
        if is_settled or advanced.seconds >= REQUESTED_SECONDS:
            refused = sum(one.refused for one in tickers)
            priced = sum(one.priced for one in tickers)
            advanced = advanced.ended(plan, refused, priced)
        await self._queue.save(advanced)

    async def _save_error(self, repair: QueuedRepair, error: AppError, seconds: float) -> None:
        """Add the lost time to a repair, and end it if its time is up or a retry won't help."""
        advanced = repair.after({}, seconds, MAX_TROUBLE_SECONDS)
        is_over = advanced.seconds >= REQUESTED_SECONDS or not error.retryable
        await self._queue.save(advanced.broken(error.code) if is_over else advanced)
