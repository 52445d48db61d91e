"""The scheduled tasks for prices: collection, checks and pruning."""

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
    """Collect one shard of the tickers; the task fails if one of them did."""
    result: CollectionResult = run_async(
        lambda runtime: runtime.collector.collect(share, shares, wait=wait)
    )
    if result.failed:
        raise CollectionFailed(asdict(result))
    return asdict(result)


@celery.task(name="app.tasks.prices.check_tickers", throws=(AppError,))  # type: ignore[untyped-decorator]
def check_tickers() -> list[str]:
    """Report the configured tickers that the exchange does not list."""
    unknown = [str(key) for key in run_async(lambda runtime: runtime.collector.unknown_tickers())]
    for ticker in unknown:
        log.warning("ticker_not_listed", ticker=ticker)
    return unknown


@celery.task(name="app.tasks.prices.tidy", throws=(AppError,))  # type: ignore[untyped-decorator]
def tidy() -> None:
    """Delete data that is not needed any more."""
    run_async(lambda runtime: runtime.deletion.prune_changes())


@celery.task(name="app.tasks.prices.check_summaries", throws=(AppError,))  # type: ignore[untyped-decorator]
def check_summaries() -> int:
    """Compare some hourly summaries with their rows; return how many are wrong."""
    wrong: int = run_async(lambda runtime: runtime.summary_check.check_and_count_wrong_hours())
    return wrong
