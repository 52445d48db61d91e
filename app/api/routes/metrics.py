"""The route that Prometheus scrapes."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TypeVar

import structlog
from fastapi import APIRouter, Response
from fastapi.responses import PlainTextResponse
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector
from redis.asyncio import Redis

from app.api.dependencies import RuntimeDep
from app.core.background_loops import run_repeatedly
from app.core.errors import AppError
from app.core.metrics import COUNTERS, CounterKey
from app.domain.coverage import Coverage
from app.domain.gaps import PENDING
from app.domain.health import HealthReport, ProcessReports
from app.domain.prices import TickerKey, TimeRange
from app.domain.slots import SECONDS_PER_HOUR
from app.redis.counters import flush_counters

FLUSH_INTERVAL_SECONDS = 1.0
COVERAGE_TIMEOUT_SECONDS = 3.0
EXAMPLE = 'prices_age_seconds{exchange="deribit",ticker="btc_usd"} 12.0'

LabelsT = TypeVar("LabelsT", bound=tuple[str, ...])

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
    scrape = _Scrape(counters, report, coverages)
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


@dataclass(frozen=True)
class _Scrape(Collector):
    """The metrics of one scrape."""

    counter_values: Mapping[CounterKey, int]
    report: HealthReport
    coverages: Sequence[Coverage]

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
        help_ = "Whether a server answers this API process."
        troubles = {"postgres": self.report.database_trouble, "redis": self.report.broker_trouble}
        up = {(server,): not trouble for server, trouble in troubles.items()}
        return _gauge("prices_up", help_, ("server",), up)

    def _counters(self) -> Iterable[Metric]:
        for metric in COUNTERS:
            family = CounterMetricFamily(metric.name, metric.help, labels=metric.labels)
            for sample, amount in self.counter_values.items():
                if sample.metric == metric.name:
                    family.add_metric(sample.values, amount)
            yield family

    def _ages(self) -> Metric:
        help_ = "Age of the newest live price's slot, by the exchange's clock."
        ages = {
            ticker.key: ticker.age_seconds
            for ticker in self.report.tickers
            if ticker.age_seconds is not None
        }
        return _gauge("prices_age_seconds", help_, ("exchange", "ticker"), ages)

    def _missing(self) -> Metric:
        help_ = "Promised slots without a price, as far back as the scheduled repair looks."
        missing = {
            (*coverage.key, reason): slots
            for coverage in self.coverages
            for reason, slots in {PENDING: 0, **coverage.missing_by_reason()}.items()
        }
        return _gauge("prices_slots_missing", help_, ("exchange", "ticker", "reason"), missing)

    def _silences(self) -> Metric:
        help_ = "Seconds since the newest heartbeat of any beat, and of any worker."
        processes = self.report.processes or ProcessReports()
        seconds = {"beat": processes.beats, "worker": processes.workers}
        silences = {(role,): min(of_role.values()) for role, of_role in seconds.items() if of_role}
        return _gauge("prices_silent_seconds", help_, ("process",), silences)

    def _clocks(self) -> Metric:
        help_ = "Seconds by which a clock of ours is ahead of an exchange's."
        differences = {}
        for exchange, database, server in self.report.clocks:
            differences[exchange, "database"] = database
            differences[exchange, "api"] = server
        return _gauge("prices_clock_difference_seconds", help_, ("exchange", "clock"), differences)

    def _wrong_hours(self) -> Metric:
        help_ = "Hourly summaries that differ from their rows, as far as the hourly checks found."
        checked = (self.report.processes or ProcessReports()).checked_hours
        wrong = {TickerKey.parse(name): sum(hours.values()) for name, hours in checked.items()}
        return _gauge("prices_hours_wrong", help_, ("exchange", "ticker"), wrong)


def _gauge(
    name: str, help_: str, labels: Sequence[str], samples: Mapping[LabelsT, float]
) -> Metric:
    family = GaugeMetricFamily(name, help_, labels=labels)
    for values, amount in samples.items():
        family.add_metric(values, amount)
    return family
