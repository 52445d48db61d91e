"""Repairs by schedule, by hand, and in slices where someone asked for one over HTTP."""

import asyncio
import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace

import structlog

from app.clients import Exchange
from app.core.errors import (
    AppError,
    BrokerUnavailable,
    DatabaseUnavailable,
    RepairRunning,
    TickerNotFound,
)
from app.core.retry import Retrier
from app.domain.gaps import Gap, Reason, apply_reasons
from app.domain.prices import TickerKey, TimeRange
from app.domain.repairs import (
    REPAIR_LOCK,
    OnProgress,
    Progress,
    QueuedRepair,
    RepairPlan,
    RepairRequest,
    RepairResult,
)
from app.domain.slots import (
    MICROSECONDS,
    SECONDS_PER_HOUR,
    estimate_exchange_now_us,
    window_seconds,
)
from app.postgres.database import Database
from app.redis.repair_queue import RepairQueue
from app.repositories import gaps, prices, recordings, retries, unfillable
from app.services.repair.tickers import Board, Pace, TickerRepair, Work, sum_up

ASKED_SECONDS = 120.0
"""How long a repair that someone asked for works, all slices together."""
TROUBLE_SECONDS = 20.0
"""How long a requested repair bears with a ticker whose chart fails."""
MIN_WINDOW_SECONDS = 0.5
"""With less, an exchange on another continent could never be asked."""
TICKERS_AT_ONCE = 4
"""Few, so that what fails can be told from what waits for its turn."""

log = structlog.get_logger(__name__)


def _silence(_: Progress) -> None:
    """Tell nobody."""


class Repair:
    """Repairs what the recordings promise; a process has one."""

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
        self._exchanges = exchanges
        self._keys = keys
        self._lookback_hours = lookback_hours
        self._queue = queue
        self._slice_seconds = max(MIN_WINDOW_SECONDS, window_seconds(interval_seconds))

    async def wake(self) -> RepairResult:
        """Repair the last hours for as long as live collection can spare this process.

        While another repair is under way, its next slice makes up for this one.

        Raises:
            DatabaseUnavailable: PostgreSQL does not answer.
            BrokerUnavailable: Redis does not answer.
        """
        async with self._database.try_lock(REPAIR_LOCK) as held:
            if held:
                return await self._repair_last_hours()
        await self._queue.mark_scheduled_missed()
        return RepairResult()

    async def serve(self) -> bool:
        """Work one slice of time on the requested repairs; False if another repair is under way.

        Whoever has the lock then looks at the queue when it is free again. While PostgreSQL is
        away, nobody can have it: the requests wait, and no time is counted.

        Raises:
            BrokerUnavailable: Redis does not answer.
        """
        patience = Retrier(self._slice_seconds, first_wait_seconds=0.25, max_wait_seconds=5)
        try:
            return await patience.call(lambda: self._serve(patience))
        except DatabaseUnavailable:  # it lasted for the whole slice
            return True

    async def carry_out(
        self, request: RepairRequest, *, seconds: float = ASKED_SECONDS, tell: OnProgress = _silence
    ) -> RepairResult:
        """Repair here and now, trying for so long; `tell` hears of every chunk.

        Raises:
            TickerNotFound: no ticker is meant that could be repaired.
            DatabaseUnavailable: PostgreSQL stayed away.
            RepairRunning: another repair did not end.
        """
        pace = Pace(seconds, min(seconds / 2, TROUBLE_SECONDS))
        patience = Retrier(seconds, first_wait_seconds=0.25, max_wait_seconds=5)

        async def attempt() -> RepairResult:
            async with self._database.try_lock(REPAIR_LOCK) as held:
                if not held:
                    raise RepairRunning("another repair is under way")
                missing = await self._look(request)
                return sum_up(missing, await self._fill(missing, pace, tell))

        await self.require_known(request)
        return await patience.call(attempt)

    async def require_known(self, request: RepairRequest) -> None:
        """Make sure that a request means something.

        Raises:
            TickerNotFound: no ticker is meant that could be repaired.
        """
        known = await self._known()
        if (request.exchange or request.ticker) and not any(map(request.covers, known)):
            wanted = f"{request.exchange or '*'}:{request.ticker or '*'}"
            names = ", ".join(sorted(map(str, known)))
            raise TickerNotFound(f"no ticker {wanted} can be repaired; known are {names}")

    async def _repair_last_hours(self) -> RepairResult:
        missing = await self._look(RepairRequest(), lookback_hours=self._lookback_hours)
        return sum_up(missing, await self._fill(missing, Pace(self._slice_seconds)))

    async def _serve(self, patience: Retrier) -> bool:
        async with self._database.try_lock(REPAIR_LOCK) as held:
            if not held:
                return False
            if await self._queue.pop_scheduled_missed():
                await self._repair_last_hours()
            while patience.remaining_seconds > 0 and (waiting := await self._waiting()):
                await self._try_to_advance(waiting[0], patience)
        return True

    async def _waiting(self) -> list[QueuedRepair]:
        return [repair for repair in await self._queue.all() if repair.result is None]

    async def _try_to_advance(self, repair: QueuedRepair, patience: Retrier) -> None:
        """Advance a repair; what fails counts for it alone. The lock is held meanwhile."""
        seconds = patience.remaining_seconds
        try:
            await patience.call(lambda: self._advance(repair, patience.remaining_seconds))
        except BrokerUnavailable:
            raise
        except AppError as error:
            await self._charge(repair, error, seconds)
        except Exception:
            log.exception("repair_broke")
            await self._charge(repair, AppError("a defect: the log tells more"), seconds)

    async def _advance(self, repair: QueuedRepair, seconds: float) -> None:
        """Work on a requested repair for so long at most, and keep how far it is."""
        began = asyncio.get_running_loop().time()
        missing = await self._look(repair.request, asked_since_us=repair.since_us)
        repair = replace(repair, since_us=repair.since_us or missing.database_us)
        left = missing.without(repair.settled)
        done = await self._fill(left, Pace(seconds, seconds))
        sum_up(left, done)
        spent = asyncio.get_running_loop().time() - began
        runs = {one.key: one.outcome for one in done if one.outcome}
        after = repair.after(runs, spent, TROUBLE_SECONDS)
        is_over = after.seconds >= ASKED_SECONDS or {*map(str, left.open)} <= after.settled
        if is_over:
            refused = sum(one.refused for one in done)
            taken = sum(one.taken for one in done)
            after = after.ended(missing, refused, taken)
        await self._queue.save(after)

    async def _charge(self, repair: QueuedRepair, error: AppError, seconds: float) -> None:
        """Let time in which nothing could be done count for a repair, and end one that broke."""
        spent = repair.after({}, seconds, TROUBLE_SECONDS)
        is_over = spent.seconds >= ASKED_SECONDS or not error.retryable
        await self._queue.save(spent.broken(error.code) if is_over else spent)

    async def _known(self) -> set[TickerKey]:
        async with self._database.read() as session:
            recorded = await recordings.newest(session)
        return {key for key in {*recorded, *self._keys} if key.exchange in self._exchanges}

    async def _look(
        self,
        request: RepairRequest,
        *,
        lookback_hours: int | None = None,
        asked_since_us: int | None = None,
    ) -> RepairPlan:
        """Find what is missing, and what of it the exchange could not give.

        Forced, what it could not give counts only if it was asked since a moment.
        """
        keys = [key for key in await self._known() if request.covers(key)]
        async with self._database.read() as session:
            database_us, edges = await prices.read_latest_live(session, keys)
            presents = {key: estimate_exchange_now_us(edges.get(key), database_us) for key in keys}
            span = request.span
            if lookback_hours is not None:
                span = TimeRange(database_us // MICROSECONDS - lookback_hours * SECONDS_PER_HOUR)
            found = await gaps.find(session, presents, span)
            since_us = (asked_since_us or database_us) if request.force else None
            known = await unfillable.read_overlapping(session, found, span, since_us)
            tried = await retries.read_overlapping(session, found, span)
        return RepairPlan(
            {key: apply_reasons(of_key, self._kept(key, known)) for key, of_key in found.items()},
            presents,
            database_us,
            tried,
            forced=request.force,
            waits=lookback_hours is not None,
        )

    def _kept(self, key: TickerKey, known: Mapping[TickerKey, Sequence[Gap]]) -> list[Gap]:
        """Give what counts of the known reasons: a configured ticker is asked for again."""
        is_ours = key in self._keys
        runs = known.get(key, [])
        return [run for run in runs if not (is_ours and run.reason is Reason.UNKNOWN_TICKER)]

    async def _fill(
        self, missing: RepairPlan, pace: Pace, tell: OnProgress = _silence
    ) -> Sequence[TickerRepair]:
        """Repair ticker by ticker, a few at once; in no order, so that none is always the last."""
        work = Work(self._database, missing, pace, Board(missing.total, tell))
        unlisted = await self._unlisted(missing, pace)
        repairs = [
            TickerRepair(key, self._exchanges[key.exchange], work, is_listed=key not in unlisted)
            for key in missing.open
        ]
        random.shuffle(repairs)
        waiting = iter(repairs)
        async with asyncio.TaskGroup() as group:
            for _ in range(TICKERS_AT_ONCE):
                group.create_task(_run_each(waiting))
        return repairs

    async def _unlisted(self, missing: RepairPlan, pace: Pace) -> set[TickerKey]:
        """Name the tickers that are not configured, and that their exchange does not list."""
        suspects = missing.open.keys() - set(self._keys)
        names: dict[str, frozenset[str]] = {}
        for exchange in {key.exchange for key in suspects}:
            with suppress(AppError, TimeoutError):  # then their charts are asked
                async with asyncio.timeout_at(pace.until):
                    names[exchange] = await self._exchanges[exchange].index_names()
        return {key for key in suspects if self._lacks(names.get(key.exchange, frozenset()), key)}

    def _lacks(self, names: frozenset[str], key: TickerKey) -> bool:
        """Tell whether a list lacks a ticker; one that lacks all that is collected is no list."""
        collected = {one.ticker for one in self._keys if one.exchange == key.exchange}
        is_whole = bool(names & collected) if collected else bool(names)
        return is_whole and key.ticker not in names


async def _run_each(repairs: Iterator[TickerRepair]) -> None:
    for repair in repairs:
        await repair.run()
