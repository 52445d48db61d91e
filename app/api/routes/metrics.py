"""The route that Prometheus scrapes."""

import asyncio
import shutil
from collections.abc import Sequence

import structlog
from fastapi import APIRouter, Response
from fastapi.responses import PlainTextResponse
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from app.api.dependencies import RuntimeDep
from app.api.process_metrics import measure
from app.api.scrape import Scrape
from app.core.errors import AppError
from app.core.server_urls import is_database_embedded
from app.core.settings import Settings
from app.domain.coverage import Coverage
from app.domain.prices import TimeRange
from app.domain.slots import SECONDS_PER_HOUR

COVERAGE_TIMEOUT_SECONDS = 3.0
EXAMPLE = 'prices_age_seconds{exchange="deribit",ticker="btc_usd"} 12.0'

log = structlog.get_logger(__name__)

router = APIRouter(tags=["health"])


@router.get(
    "/metrics",
    summary="Metrics for Prometheus",
    response_class=PlainTextResponse,
    responses={
        200: {"content": {"text/plain": {"schema": {"type": "string", "examples": [EXAMPLE]}}}}
    },
)
async def metrics(runtime: RuntimeDep) -> Response:
    """Counters and latencies over all processes, ages and missing slots, silence and clocks.

    While a server is away, what is known without it, and that it is away.
    """
    gauges = measure(runtime)  # before this request borrows connections
    runtime.read_cache.count_reads()
    counters, gauge_sums, report, coverages = await asyncio.gather(
        runtime.counter_totals.read(),
        runtime.process_gauges.read_sums(gauges),
        runtime.freshness.check(runtime.now()),
        _load_coverages(runtime),
    )
    scrape = Scrape(counters, gauge_sums, report, coverages, _disk_free_bytes(runtime.settings))
    return Response(generate_latest(scrape), media_type=CONTENT_TYPE_LATEST)


async def _load_coverages(runtime: RuntimeDep) -> Sequence[Coverage]:
    """Load the coverage of the repair's period; empty while the database is away."""
    hours = runtime.settings.backfill_lookback_hours
    since = int(runtime.now()) - hours * SECONDS_PER_HOUR
    try:
        async with asyncio.timeout(COVERAGE_TIMEOUT_SECONDS):
            return await runtime.coverage.measure(TimeRange(since))
    except (AppError, TimeoutError):
        return ()
    except Exception:
        log.exception("coverage_broke")  # the other metrics are served all the same
        return ()


def _disk_free_bytes(settings: Settings) -> int | None:
    """Return the free space where the embedded database lies; None if it is not embedded."""
    try:
        if is_database_embedded(settings):
            return shutil.disk_usage(settings.data_dir).free
    except (OSError, UnicodeError):
        log.warning("disk_not_measured", exc_info=True)
    return None
