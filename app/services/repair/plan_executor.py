"""Carrying out a repair plan: ticker by ticker, a few at once."""

import asyncio
import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

import structlog

from app.clients.base import Exchange
from app.core.errors import AppError
from app.domain.prices import TickerKey, names_without_common_exchange
from app.domain.repairs import OnProgress, RepairPlan, RepairProgress, RepairResult
from app.postgres.database import Database
from app.services.repair.ticker_repair import TickerRepair
from app.services.repair.time_and_progress import RepairContext, TimeBudget

MAX_CONCURRENT_TICKERS = 4
"""Few, so that a failing chart can be told from one that waits for the rate limiter."""

log = structlog.get_logger(__name__)


def ignore_progress(_: RepairProgress) -> None:
    """Ignore the progress of a repair."""


@dataclass(frozen=True, slots=True)
class PlanExecutor:
    """Executes repair plans."""

    database: Database
    exchanges: Mapping[str, Exchange]
    configured: Sequence[TickerKey]

    async def execute(
        self, plan: RepairPlan, budget: TimeBudget, on_progress: OnProgress = ignore_progress
    ) -> tuple[RepairResult, Sequence[TickerRepair]]:
        """Repair the open gaps of a plan, as far as the time allows; log and return the result.

        The order of the tickers is random, so that none is always the last one.
        """
        on_progress(RepairProgress(plan.total, 0))
        context = RepairContext(self.database, plan, budget, on_progress)
        unlisted = await self._unconfigured_unlisted_tickers(plan, budget)
        repairs = [
            TickerRepair(key, self.exchanges[key.exchange], context, is_listed=key not in unlisted)
            for key in plan.pending_gaps
        ]
        random.shuffle(repairs)
        queue = iter(repairs)
        async with asyncio.TaskGroup() as group:
            for _ in range(MAX_CONCURRENT_TICKERS):
                group.create_task(_run_from(queue))
        return _summarize_and_log(plan, repairs), repairs

    async def _unconfigured_unlisted_tickers(
        self, plan: RepairPlan, budget: TimeBudget
    ) -> set[TickerKey]:
        """Return the tickers that are not configured, and that their exchange does not list.

        A list that lacks all configured tickers is not trusted.
        """
        unlisted: set[TickerKey] = set()
        unconfigured = plan.pending_gaps.keys() - set(self.configured)
        for exchange in {key.exchange for key in unconfigured}:
            with suppress(AppError, TimeoutError):  # then their charts are requested
                async with asyncio.timeout_at(budget.deadline):
                    names = await self.exchanges[exchange].fetch_index_names()
                configured = {one.ticker for one in self.configured if one.exchange == exchange}
                if names & configured or (names and not configured):
                    requested = (key for key in unconfigured if key.exchange == exchange)
                    unlisted.update(key for key in requested if key.ticker not in names)
        return unlisted


async def _run_from(queue: Iterator[TickerRepair]) -> None:
    for repair in queue:
        await repair.run()


def _summarize_and_log(plan: RepairPlan, repairs: Sequence[TickerRepair]) -> RepairResult:
    """Sum up what became of the missing slots, and log it."""
    refused = sum(repair.refused for repair in repairs)
    names = names_without_common_exchange(repair.key for repair in repairs)
    result = RepairResult(
        filled=sum(repair.filled for repair in repairs),
        unfillable=plan.given_up + refused,
        remaining=plan.total - refused - sum(repair.priced for repair in repairs),
        failed={names[repair.key]: repair.failure for repair in repairs if repair.failure},
    )
    level = log.warning if result.failed else log.info if result.filled or refused else log.debug
    level("prices_repaired", **{name: getattr(result, name) for name in result.__slots__})
    return result
