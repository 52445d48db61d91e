"""What the repairs of all tickers of a plan share: their time, and how far they are."""

import asyncio
from dataclasses import dataclass

import structlog

from app.core.retry import Retrier
from app.domain.charts import FillResult
from app.domain.gaps import count_slots
from app.domain.prices import TickerKey
from app.domain.repairs import OnProgress, RepairPlan, RepairProgress
from app.postgres.database import Database

log = structlog.get_logger(__name__)


class TimeBudget:
    """The time of a repair, on the event loop's clock, and the retries of each of its steps."""

    def __init__(self, seconds: float, step_retry_seconds: float = 0) -> None:
        self.seconds = seconds
        self.deadline = asyncio.get_running_loop().time() + seconds
        self._step_retry_seconds = step_retry_seconds

    def step_retrier(self) -> Retrier:
        """Return a retrier for one request or one transaction."""
        return Retrier(self._step_retry_seconds, first_wait_seconds=0.25, max_wait_seconds=5)


@dataclass(slots=True)
class RepairContext:
    """What the repairs of all tickers share; `decided_slots` are filled or unfillable by now."""

    database: Database
    plan: RepairPlan
    budget: TimeBudget
    on_progress: OnProgress
    decided_slots: int = 0

    def report(self, key: TickerKey, chart: str, result: FillResult) -> None:
        """Report what was stored of a chart, whose name is empty for an unlisted ticker."""
        filled, unfillable = len(result.prices), count_slots(result.unfillable)
        self.decided_slots += filled + unfillable
        level = log.info if filled or unfillable else log.debug
        level("gap_filled", ticker=str(key), chart=chart, filled=filled, unfillable=unfillable)
        total = self.plan.total
        progress = RepairProgress(total, self.decided_slots, key, chart, filled, unfillable)
        self.on_progress(progress)
