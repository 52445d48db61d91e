"""How long a repair may take, and how far it is."""

import asyncio

import structlog

from app.core.retry import Retrier
from app.domain.charts import FillResult
from app.domain.gaps import count_slots
from app.domain.prices import TickerKey
from app.domain.repairs import OnProgress, RepairProgress

log = structlog.get_logger(__name__)


def ignore_progress(_: RepairProgress) -> None:
    """Ignore the progress of a repair."""


class TimeBudget:
    """The time of a repair, on the event loop's clock, and the retries of each of its steps."""

    def __init__(self, seconds: float, step_retry_seconds: float = 0) -> None:
        self.seconds = seconds
        self.deadline = asyncio.get_running_loop().time() + seconds
        self._step_retry_seconds = step_retry_seconds

    @property
    def is_over(self) -> bool:
        """Return whether the deadline has passed."""
        return asyncio.get_running_loop().time() >= self.deadline

    def step_retrier(self) -> Retrier:
        """Return a retrier for one request or one transaction."""
        return Retrier(self._step_retry_seconds, first_wait_seconds=0.25, max_wait_seconds=5)


class ProgressReporter:
    """Counts the decided slots of all tickers, and reports each chart that was stored."""

    def __init__(self, total_slots: int, on_progress: OnProgress) -> None:
        self._total_slots = total_slots
        self._decided_slots = 0
        self._on_progress = on_progress
        on_progress(RepairProgress(total_slots, 0))

    def report(self, key: TickerKey, chart: str, result: FillResult) -> None:
        """Report what was stored of a chart, whose name is empty for an unlisted ticker."""
        filled, unfillable = len(result.prices), count_slots(result.unfillable)
        self._decided_slots += filled + unfillable
        level = log.info if filled or unfillable else log.debug
        level("gap_filled", ticker=str(key), chart=chart, filled=filled, unfillable=unfillable)
        self._on_progress(
            RepairProgress(self._total_slots, self._decided_slots, key, chart, filled, unfillable)
        )
