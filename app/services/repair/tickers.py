"""One ticker's part of a repair: a chunk per chart, the finest first."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import zip_longest
from typing import TypeVar

import structlog

from app.clients import Exchange
from app.core.clocks import ExtrapolatedClock
from app.core.errors import AppError, ExchangeTimeout, TimestampRefused
from app.core.metrics import ROWS_STORED, SLOTS_UNFILLABLE, count
from app.core.retry import Retrier
from app.domain.charts import Chart, ChartRange, FillResult, fill, split_by_reach
from app.domain.gaps import Gap, Reason, clip_to_due, count_slots, with_default_reason, without
from app.domain.prices import Price, Source, TickerKey
from app.domain.repairs import OnProgress, Progress, RepairPlan, RepairResult, TickerRun
from app.domain.retries import Answer, Retry, hold_back_pending, schedule_retries
from app.domain.slots import is_plausible
from app.domain.timestamp_checks import max_ahead_us
from app.postgres.database import Database
from app.repositories import prices, retries, unfillable

ROWS_AT_ONCE = 5_000

T = TypeVar("T")

log = structlog.get_logger(__name__)


class Pace:
    """How long a repair may work, and how long one of its steps is tried again."""

    def __init__(self, seconds: float, trouble_seconds: float = 0) -> None:
        self.seconds = seconds
        self.until = asyncio.get_running_loop().time() + seconds
        self._trouble_seconds = trouble_seconds

    @property
    def is_over(self) -> bool:
        """Tell whether the time is up."""
        return asyncio.get_running_loop().time() >= self.until

    def for_a_step(self) -> Retrier:
        """Give the patience for one question, or one transaction."""
        return Retrier(self._trouble_seconds, first_wait_seconds=0.25, max_wait_seconds=5)


class Board:
    """Keeps the count of all tickers' slots, and tells of each chunk."""

    def __init__(self, total: int, tell: OnProgress) -> None:
        self._total = total
        self._done = 0
        self._tell = tell
        tell(Progress(total, 0))

    def note(self, key: TickerKey, chart: str, filling: FillResult) -> None:
        """Tell of a chunk that was stored."""
        filled, unfillable = len(filling.prices), count_slots(filling.unfillable)
        self._done += filled + unfillable
        level = log.info if filled or unfillable else log.debug
        level("gap_filled", ticker=str(key), chart=chart, filled=filled, unfillable=unfillable)
        self._tell(Progress(self._total, self._done, key, chart, filled, unfillable))


@dataclass(frozen=True, slots=True)
class Work:
    """What the repairs of all tickers share."""

    database: Database
    missing: RepairPlan
    pace: Pace
    board: Board


class TickerRepair:
    """One ticker's part of a repair: a chunk per chart, the finest first."""

    def __init__(
        self, key: TickerKey, exchange: Exchange, work: Work, *, is_listed: bool = True
    ) -> None:
        self.key = key
        self.filled = self.taken = self.refused = 0
        self.failure: str | None = None
        self.outcome: TickerRun | None = None
        self._trouble: str | None = None
        self._passes = True
        self._exchange = exchange
        self._work = work
        self._is_listed = is_listed
        self._present = ExtrapolatedClock(work.missing.presents[key])

    async def run(self) -> None:
        """Fill what the charts give as long as there is time; a failure stays with this ticker."""
        if self._work.pace.is_over:
            return
        began = asyncio.get_running_loop().time()
        ended = await self._run()
        seconds = asyncio.get_running_loop().time() - began
        code = self.failure
        if not ended and seconds >= self._work.pace.seconds / 2:
            code = code or ExchangeTimeout.code  # it hung for most of the time that there was
        self.outcome = TickerRun(seconds, self.filled, ended, code, self._passes)

    async def _run(self) -> bool:
        """Tell whether it ended by itself."""
        try:
            await self._fill()
        except TimeoutError:  # the next repair finds the rest
            self.failure = self._trouble
            log.debug("repair_paused", ticker=str(self.key))
            return False
        except AppError as error:
            self.failure, self._passes = error.code, error.retryable
        except Exception:
            self.failure, self._passes = AppError.code, False
            log.exception("repair_broke", ticker=str(self.key))
        return True

    async def _fill(self) -> None:
        missing, charts = self._work.missing, self._exchange.charts
        left, exchange_now_us = missing.open[self.key], missing.presents[self.key]
        known = missing.retries.get(self.key, [])
        if not self._is_listed:
            await self._give_up(left)
            return
        for chart_range, coarser in zip_longest(charts, charts[1:]):
            older, asked = split_by_reach(left, chart_range, exchange_now_us)
            if asked:
                chart = await self._ask(chart_range)
                asked = clip_to_due(
                    asked, chart.exchange_now_us
                )  # or it would forestall the collector
                found = fill(self.key, asked, chart, is_coarsest=coarser is None)
                answer = Answer(chart, chart_range, coarser)
                filling, held = hold_back_pending(found, answer, exchange_now_us, known)
                again = schedule_retries(held, known, chart_range, missing.database_us)
                await self._store(asked, filling, again)
                self._work.board.note(self.key, chart_range.name, filling)
                older.extend(filling.before_chart)
            left = older

    async def _give_up(self, gaps: Sequence[Gap]) -> None:
        """Note that the exchange knows no such ticker."""
        filling = FillResult([], with_default_reason(gaps, Reason.UNKNOWN_TICKER), [], [])
        await self._store(gaps, filling, [])
        self._work.board.note(self.key, "", filling)

    async def _ask(self, chart_range: ChartRange) -> Chart:
        """Ask for a chart; TimeoutError tells that the time is up."""
        context = {"ticker": str(self.key), "chart": chart_range.name}
        async with asyncio.timeout_at(self._work.pace.until):
            chart = await self._work.pace.for_a_step().call(
                lambda: self._try(chart_range), **context
            )
        if not is_plausible(chart.exchange_now_us, self._work.missing.database_us):
            raise TimestampRefused(
                f"the chart is stamped {chart.exchange_now_us} µs since the epoch"
            )
        ahead_us = chart.exchange_now_us - self._present.now_us()
        if ahead_us > max_ahead_us(self._work.missing.open[self.key][-1].interval_seconds):
            raise TimestampRefused(
                f"the chart is stamped {ahead_us} µs ahead of the last live price"
            )
        return chart

    async def _try(self, chart_range: ChartRange) -> Chart:
        try:
            return await self._exchange.chart(self.key.ticker, chart_range)
        except AppError as error:
            self._trouble = error.code
            raise

    async def _store(
        self, asked: Sequence[Gap], filling: FillResult, again: Sequence[Retry]
    ) -> None:
        """Store a chunk, a huge one in several transactions; each may be the last."""
        undone = sorted([*filling.before_chart, *filling.unfillable, *filling.pending])
        recovered = without(asked, undone) if self._work.missing.forced else []
        decided = without(asked, sorted([*filling.before_chart, *filling.pending]))
        parts = zip_longest(_parts(filling.prices), _parts(filling.unfillable), fillvalue=())
        for rows, refused in parts:
            await self._persist(partial(self._write, rows, refused))
        await self._persist(partial(self._note, recovered, decided, again))

    async def _persist(self, write: Callable[[], Awaitable[None]]) -> None:
        await self._work.pace.for_a_step().call(write, ticker=str(self.key))

    async def _note(
        self, recovered: Sequence[Gap], decided: Sequence[Gap], again: Sequence[Retry]
    ) -> None:
        """Note what will be asked again, and forget what is said elsewhere by now."""
        known = self._work.missing.retries.get(self.key, [])
        if not (recovered or again or known):
            return
        async with self._work.database.transaction() as session:
            await unfillable.delete_slots(session, self.key, recovered)
            await retries.replace(session, self.key, decided, again)

    async def _write(self, rows: Sequence[Price], refused: Sequence[Gap]) -> None:
        async with self._work.database.transaction() as session:
            new = await prices.insert_new(session, rows)
            await unfillable.upsert(session, self.key, refused)
        self.filled += len(new)
        self.taken += len(rows)
        self.refused += count_slots(refused)
        count(ROWS_STORED, Source.BACKFILL, amount=len(new))
        for gap in refused:
            count(SLOTS_UNFILLABLE, gap.reason, amount=gap.missing)


def sum_up(missing: RepairPlan, repairs: Sequence[TickerRepair]) -> RepairResult:
    """Sum up what became of the missing slots, and log it."""
    refused = sum(repair.refused for repair in repairs)
    repaired = RepairResult(
        filled=sum(repair.filled for repair in repairs),
        unfillable=missing.given_up + refused,
        remaining=missing.total - refused - sum(repair.taken for repair in repairs),
        failed={repair.key.ticker: repair.failure for repair in repairs if repair.failure},
    )
    did_something = repaired.filled or refused
    level = log.warning if repaired.failed else log.info if did_something else log.debug
    level("prices_repaired", **{name: getattr(repaired, name) for name in repaired.__slots__})
    return repaired


def _parts(items: Sequence[T]) -> Iterator[Sequence[T]]:
    return (items[at : at + ROWS_AT_ONCE] for at in range(0, len(items), ROWS_AT_ONCE))
