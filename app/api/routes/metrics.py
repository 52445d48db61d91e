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

PAUSE_SECONDS = 1.0
LOOK_TIMEOUT_SECONDS = 3.0
SHOWN = 'prices_age_seconds{exchange="deribit",ticker="btc_usd"} 12.0'

log = structlog.get_logger(__name__)

router = APIRouter(tags=["health"])


@router.get(
    "/metrics",
    summary="Metrics for Prometheus",
    response_class=PlainTextResponse,
    responses={
        200: {"content": {"text/plain": {"schema": {"type": "string", "examples": [SHOWN]}}}}
    },
)
async def metrics(runtime: RuntimeDep) -> Response:
    """Counters over all processes, ages and missing slots of tickers, silence and clocks.

    While a server is away, what is known without it, and that it is away.
    """
    counted, findings, coverages = await asyncio.gather(
        runtime.counter_totals.read(), runtime.freshness.check(runtime.now()), _coverages(runtime)
    )
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Scrape(counted, findings, coverages))
    return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)


async def _coverages(runtime: RuntimeDep) -> Sequence[Coverage]:
    """Look at the missing slots; none are known while the database is away."""
    hours = runtime.settings.backfill_lookback_hours
    since = int(runtime.now()) - hours * SECONDS_PER_HOUR
    try:
        async with asyncio.timeout(LOOK_TIMEOUT_SECONDS):
            return await runtime.coverage.measure(TimeRange(since))
    except (AppError, TimeoutError):
        return ()
    except Exception:
        log.exception("look_broke")  # the rest is told all the same
        return ()


@asynccontextmanager
async def handed_on(redis: Redis) -> AsyncIterator[None]:
    """Hand on what this process counts every second; its runtime does so at the end."""

    async def step() -> None:
        await asyncio.sleep(PAUSE_SECONDS)
        await flush_counters(redis)

    handing_on = asyncio.create_task(run_repeatedly("metrics", step))
    try:
        yield
    finally:
        handing_on.cancel()


class _Scrape(Collector):
    """What one scrape found."""

    def __init__(
        self,
        counted: Mapping[CounterKey, int],
        findings: HealthReport,
        coverages: Sequence[Coverage],
    ) -> None:
        self._counted = counted
        self._findings = findings
        self._coverages = coverages

    def collect(self) -> Iterable[Metric]:
        """Give every metric with its samples."""
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
        up.add_metric(("postgres",), not self._findings.database_trouble)
        up.add_metric(("redis",), not self._findings.broker_trouble)
        return up

    def _counters(self) -> Iterable[Metric]:
        for metric in COUNTERS:
            family = CounterMetricFamily(metric.name, metric.help, labels=metric.labels)
            for sample, amount in self._counted.items():
                if sample.metric == metric.name:
                    family.add_metric(sample.values, amount)
            yield family

    def _ages(self) -> Metric:
        ages = GaugeMetricFamily(
            "prices_age_seconds",
            "Age of the newest live price's slot, by the exchange's clock.",
            labels=("exchange", "ticker"),
        )
        for freshness in self._findings.tickers:
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
        signs = self._findings.processes or ProcessStatus()
        for process, seconds in (("beat", signs.beats), ("worker", signs.workers)):
            if seconds:
                silences.add_metric((process,), min(seconds.values()))
        return silences

    def _clocks(self) -> Metric:
        differences = GaugeMetricFamily(
            "prices_clock_difference_seconds",
            "Seconds by which a clock of ours is ahead of an exchange's.",
            labels=("exchange", "clock"),
        )
        for exchange, database, server in self._findings.clocks:
            differences.add_metric((exchange, "database"), database)
            differences.add_metric((exchange, "api"), server)
        return differences

    def _wrong_hours(self) -> Metric:
        wrong = GaugeMetricFamily(
            "prices_hours_wrong",
            "Hourly summaries that differ from their rows, as far as the hourly checks found.",
            labels=("exchange", "ticker"),
        )
        for name, found in (self._findings.processes or ProcessStatus()).checked_hours.items():
            wrong.add_metric(TickerKey.parse(name), sum(found.values()))
        return wrong
