"""One ticker's part of a repair: each chart in turn, the finest first."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from functools import partial
from itertools import zip_longest
from typing import TypeVar

import structlog

from app.clients.base import Exchange
from app.core.clocks import ExtrapolatedClock
from app.core.errors import AppError, ExchangeTimeout, TimestampRefused
from app.core.metrics import ROWS_STORED, SLOTS_UNFILLABLE, count
from app.domain.charts import Chart, ChartRange, FillResult, fill, split_by_reach
from app.domain.gaps import Gap, Reason, Retry, clip_to_due, count_slots, subtract
from app.domain.prices import Price, Source, TickerKey
from app.domain.repair_retries import ChartAnswer, hold_back_pending, schedule_retries
from app.domain.repairs import TickerRun
from app.domain.slots import is_plausible
from app.domain.timestamp_checks import max_ahead_us
from app.repositories import creation_times, prices, unfillable, unfillable_and_retries
from app.services.repair.time_and_progress import RepairContext

MAX_ROWS_PER_TRANSACTION = 5_000

T = TypeVar("T")

log = structlog.get_logger(__name__)


class TickerRepair:
    """Repairs one ticker.

    It counts slots: `filled` are new rows, `priced` have a price in the chart, stored by whomever,
    and `refused` are unfillable. `last_run` is None if there was no time to begin.
    """

    def __init__(
        self, key: TickerKey, exchange: Exchange, context: RepairContext, *, is_listed: bool = True
    ) -> None:
        self.key = key
        self.filled = self.priced = self.refused = 0
        self.failure: str | None = None
        self.last_run: TickerRun | None = None
        self._last_error_code: str | None = None
        self._is_retryable = True
        self._exchange = exchange
        self._context = context
        self._is_listed = is_listed
        self._exchange_now = ExtrapolatedClock(context.plan.exchange_now_us[key])

    async def run(self) -> None:
        """Fill what the charts give as long as there is time; errors end up in `failure`."""
        budget = self._context.budget
        began = asyncio.get_running_loop().time()
        if began >= budget.deadline:
            return
        has_ended = await self._fill_before_deadline()
        seconds = asyncio.get_running_loop().time() - began
        code = self.failure
        if not has_ended and seconds >= budget.seconds / 2:
            code = code or ExchangeTimeout.code  # it hung for most of the time that there was
        self.last_run = TickerRun(seconds, self.filled, has_ended, code, self._is_retryable)

    async def _fill_before_deadline(self) -> bool:
        """Fill what the charts give; return whether it ended before the time was up."""
        try:
            await self._fill()
        except TimeoutError:  # the next repair fills the rest
            self.failure = self._last_error_code
            log.debug("repair_paused", ticker=str(self.key))
            return False
        except AppError as error:
            self.failure, self._is_retryable = error.code, error.retryable
        except Exception:
            self.failure, self._is_retryable = AppError.code, False
            log.exception("repair_broke", ticker=str(self.key))
        return True

    async def _fill(self) -> None:
        plan, charts = self._context.plan, self._exchange.chart_ranges
        gaps, exchange_now_us = plan.pending_gaps[self.key], plan.exchange_now_us[self.key]
        known = plan.retries.get(self.key, [])
        if not self._is_listed:
            await self._refuse_unlisted(gaps)
            return
        for chart_range, coarser in zip_longest(charts, charts[1:]):
            older, requested = split_by_reach(gaps, chart_range, exchange_now_us)
            if requested:
                chart = await self._fetch_chart(chart_range)
                # slots that are not due yet are left to the collector
                requested = clip_to_due(requested, chart.exchange_now_us)
                filled = fill(self.key, requested, chart, is_coarsest=coarser is None)
                answer = ChartAnswer(chart, chart_range, coarser)
                result, pending = hold_back_pending(filled, answer, exchange_now_us, known)
                scheduled = schedule_retries(pending, known, chart_range, plan.database_us)
                await self._store(requested, result, scheduled)
                self._context.report(self.key, chart_range.name, result)
                older.extend(result.before_chart)
            gaps = older

    async def _refuse_unlisted(self, gaps: Sequence[Gap]) -> None:
        """Store that the exchange does not know the ticker."""
        refused = [gap._replace(reason=Reason.UNKNOWN_TICKER) for gap in gaps]
        result = FillResult([], refused, [], [])
        await self._store(gaps, result, [])
        self._context.report(self.key, "", result)

    async def _fetch_chart(self, chart_range: ChartRange) -> Chart:
        """Fetch a chart with a plausible timestamp.

        Raises:
            TimeoutError: the repair's time is up.
            ExchangeError: no usable answer.
        """
        plan, budget = self._context.plan, self._context.budget
        names = {"ticker": str(self.key), "chart": chart_range.name}
        async with asyncio.timeout_at(budget.deadline):
            chart = await budget.step_retrier().call(lambda: self._request(chart_range), **names)
        if not is_plausible(chart.exchange_now_us, plan.database_us):
            raise TimestampRefused(
                f"the chart is stamped {chart.exchange_now_us} µs since the epoch"
            )
        ahead_us = chart.exchange_now_us - self._exchange_now.now_us()
        if ahead_us > max_ahead_us(plan.pending_gaps[self.key][-1].interval_seconds):
            raise TimestampRefused(
                f"the chart is stamped {ahead_us} µs ahead of the last live price"
            )
        return chart

    async def _request(self, chart_range: ChartRange) -> Chart:
        try:
            return await self._exchange.fetch_chart(self.key.ticker, chart_range)
        except AppError as error:
            self._last_error_code = error.code
            raise

    async def _store(
        self, requested: Sequence[Gap], result: FillResult, scheduled: Sequence[Retry]
    ) -> None:
        """Store what a chart gave, a long one in several transactions; each may be the last."""
        undecided = sorted([*result.before_chart, *result.pending])
        decided = subtract(requested, undecided)
        recovered = (
            subtract(decided, sorted(result.unfillable)) if self._context.plan.forced else []
        )
        chunks = zip_longest(_chunks(result.prices), _chunks(result.unfillable), fillvalue=())
        for rows, refused in chunks:
            await self._commit(partial(self._write_rows, rows, refused))
        await self._commit(partial(self._write_retries, recovered, decided, scheduled))

    async def _commit(self, write: Callable[[], Awaitable[None]]) -> None:
        await self._context.budget.step_retrier().call(write, ticker=str(self.key))

    async def _write_rows(self, rows: Sequence[Price], refused: Sequence[Gap]) -> None:
        async with self._context.database.transaction() as session:
            new = await prices.insert_new(session, rows)
            await unfillable.upsert(session, self.key, refused)
            await creation_times.renew_if_old(session, new)
        self.filled += len(new)
        self.priced += len(rows)
        self.refused += count_slots(refused)
        count(ROWS_STORED, Source.BACKFILL, amount=len(new))
        for gap in refused:
            count(SLOTS_UNFILLABLE, gap.reason, amount=gap.missing)

    async def _write_retries(
        self, recovered: Sequence[Gap], decided: Sequence[Gap], scheduled: Sequence[Retry]
    ) -> None:
        """Replace the retries of decided slots, and delete the reasons of recovered ones."""
        known = self._context.plan.retries.get(self.key, [])
        if not (recovered or scheduled or known):
            return
        async with self._context.database.transaction() as session:
            await unfillable.delete_slots(session, self.key, recovered)
            await unfillable_and_retries.replace(session, Retry, self.key, decided, scheduled)


def _chunks(items: Sequence[T]) -> Iterator[Sequence[T]]:
    size = MAX_ROWS_PER_TRANSACTION
    return (items[start : start + size] for start in range(0, len(items), size))
