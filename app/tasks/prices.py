"""The tasks that keep the record of prices."""

from dataclasses import asdict
from typing import TYPE_CHECKING

import structlog

from app.celery_app import celery, run_async
from app.core.errors import AppError, CollectionFailed

if TYPE_CHECKING:
    from app.services.collector import CollectionResult

log = structlog.get_logger(__name__)


@celery.task(name="app.tasks.prices.collect", throws=(AppError,))  # type: ignore[untyped-decorator]
def collect(share: int = 0, shares: int = 1, *, wait: bool = False) -> dict[str, object]:
    """Collect one share of the tickers; the task fails if one of them did."""
    outcome: CollectionResult = run_async(
        lambda runtime: runtime.collector.collect(share, shares, wait=wait)
    )
    if outcome.failed:
        raise CollectionFailed(asdict(outcome))
    return asdict(outcome)


@celery.task(name="app.tasks.prices.check_tickers", throws=(AppError,))  # type: ignore[untyped-decorator]
def check_tickers() -> list[str]:
    """Report the configured tickers that the exchange does not list."""
    unknown = [str(key) for key in run_async(lambda runtime: runtime.collector.unknown_tickers())]
    for ticker in unknown:
        log.warning("ticker_not_listed", ticker=ticker)
    return unknown


@celery.task(name="app.tasks.prices.tidy", throws=(AppError,))  # type: ignore[untyped-decorator]
def tidy() -> None:
    """Throw away what nobody needs any more."""
    run_async(lambda runtime: runtime.housekeeping.prune())


@celery.task(name="app.tasks.prices.check_summaries", throws=(AppError,))  # type: ignore[untyped-decorator]
def check_summaries() -> int:
    """Compare some of the hourly summaries with their rows; give how many are wrong."""
    wrong: int = run_async(lambda runtime: runtime.summary_check.run())
    return wrong
