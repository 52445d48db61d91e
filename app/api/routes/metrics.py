"""The route that Prometheus scrapes."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager

import structlog
from fastapi import APIRouter, Response
from fastapi.responses import PlainTextResponse
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector
from redis.asyncio import Redis

from app.api.dependencies import RuntimeDep
from app.core.background import run_repeatedly
from app.core.errors import AppError
from app.core.metrics import COUNTERS, CounterKey
from app.domain.coverage import Coverage
from app.domain.freshness import HealthReport, ProcessStatus
from app.domain.gaps import PENDING
from app.domain.prices import TickerKey, TimeRange
from app.domain.slots import SECONDS_PER_HOUR
from app.redis.counters import flush_counters

FLUSH_INTERVAL_SECONDS = 1.0
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
    """Counters over all processes, ages and missing slots of tickers, silence and clocks.

    While a server is away, what is known without it, and that it is away.
    """
    counters, report, coverages = await asyncio.gather(
        runtime.counter_totals.read(),
        runtime.freshness.check(runtime.now()),
        _load_coverages(runtime),
    )
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Scrape(counters, report, coverages))
    return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)


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


@asynccontextmanager
async def counters_flushed(redis: Redis) -> AsyncIterator[None]:
    """Write this process's counters to Redis every second; its runtime does so at the end."""

    async def flush_after_pause() -> None:
        await asyncio.sleep(FLUSH_INTERVAL_SECONDS)
        await flush_counters(redis)

    flushing = asyncio.create_task(run_repeatedly("metrics", flush_after_pause))
    try:
        yield
    finally:
        flushing.cancel()


class _Scrape(Collector):
    """The metrics of one scrape."""

    def __init__(
        self,
        counters: Mapping[CounterKey, int],
        report: HealthReport,
        coverages: Sequence[Coverage],
    ) -> None:
        self._counter_values = counters
        self._report = report
        self._coverages = coverages

    def collect(self) -> Iterable[Metric]:
        """Yield every metric with its samples."""
        yield self._up()
        yield from self._counters()
        yield self._ages()
        yield self._missing()
        yield self._silences()
        yield self._clocks()
        yield self._wrong_hours()

    def _up(self) -> Metric:
        up = GaugeMetricFamily(
            "prices_up", "Whether a server answers this API process.", labels=("server",)
        )
        up.add_metric(("postgres",), not self._report.database_trouble)
        up.add_metric(("redis",), not self._report.broker_trouble)
        return up

    def _counters(self) -> Iterable[Metric]:
        for metric in COUNTERS:
            family = CounterMetricFamily(metric.name, metric.help, labels=metric.labels)
            for sample, amount in self._counter_values.items():
                if sample.metric == metric.name:
                    family.add_metric(sample.values, amount)
            yield family

    def _ages(self) -> Metric:
        ages = GaugeMetricFamily(
            "prices_age_seconds",
            "Age of the newest live price's slot, by the exchange's clock.",
            labels=("exchange", "ticker"),
        )
        for freshness in self._report.tickers:
            if freshness.age_seconds is not None:
                ages.add_metric(tuple(freshness.key), freshness.age_seconds)
        return ages

    def _missing(self) -> Metric:
        missing = GaugeMetricFamily(
            "prices_slots_missing",
            "Promised slots without a price, as far back as the scheduled repair looks.",
            labels=("exchange", "ticker", "reason"),
        )
        for coverage in self._coverages:
            for reason, slots in {PENDING: 0, **coverage.missing_by_reason()}.items():
                missing.add_metric((*coverage.key, reason), slots)
        return missing

    def _silences(self) -> Metric:
        silences = GaugeMetricFamily(
            "prices_silent_seconds",
            "Seconds since the newest sign of life of any beat, and of any worker.",
            labels=("process",),
        )
        processes = self._report.processes or ProcessStatus()
        for process, seconds in (("beat", processes.beats), ("worker", processes.workers)):
            if seconds:
                silences.add_metric((process,), min(seconds.values()))
        return silences

    def _clocks(self) -> Metric:
        differences = GaugeMetricFamily(
            "prices_clock_difference_seconds",
            "Seconds by which a clock of ours is ahead of an exchange's.",
            labels=("exchange", "clock"),
        )
        for exchange, database, server in self._report.clocks:
            differences.add_metric((exchange, "database"), database)
            differences.add_metric((exchange, "api"), server)
        return differences

    def _wrong_hours(self) -> Metric:
        wrong = GaugeMetricFamily(
            "prices_hours_wrong",
            "Hourly summaries that differ from their rows, as far as the hourly checks found.",
            labels=("exchange", "ticker"),
        )
        for name, found in (self._report.processes or ProcessStatus()).checked_hours.items():
            wrong.add_metric(TickerKey.parse(name), sum(found.values()))
        return wrong
