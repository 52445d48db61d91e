"""The metrics of one scrape, as Prometheus takes them."""

import math
import platform
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from app import __version__
from app.core.metrics import (
    COUNTERS,
    HISTOGRAMS,
    MICROSECONDS_PER_SECOND,
    PROCESS_GAUGES,
    SUM,
    CounterKey,
    Histogram,
)
from app.domain.coverage import Coverage
from app.domain.gaps import PENDING
from app.domain.health import HealthReport, ProcessReports
from app.domain.prices import TickerKey

BUILD = ("version", "python")

LabelsT = TypeVar("LabelsT", bound=tuple[str, ...])


@dataclass(frozen=True)
class Scrape(Collector):
    """The metrics of one scrape."""

    counter_values: Mapping[CounterKey, int]
    gauge_values: Mapping[CounterKey, int]
    report: HealthReport
    coverages: Sequence[Coverage]
    disk_free_bytes: int | None
    """Free space on the disk of the embedded servers; None if they are not ours."""

    def collect(self) -> Iterable[Metric]:
        """Yield every metric with its samples."""
        yield _gauge("prices_build_info", "The version that answers.", BUILD, {_build(): 1})
        yield self._up()
        yield from self._counters()
        yield from map(self._histogram, HISTOGRAMS)
        yield from self._process_gauges()
        yield self._disk()
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

    def _histogram(self, histogram: Histogram) -> Metric:
        numbers: dict[tuple[str, ...], Counter[str]] = {}
        for sample, amount in self.counter_values.items():
            if sample.metric == histogram.name:
                *labels, counted = sample.values
                numbers.setdefault(tuple(labels), Counter())[counted] += amount
        family = HistogramMetricFamily(histogram.name, histogram.help, labels=histogram.labels)
        for values, observed in numbers.items():
            seconds = observed.pop(SUM, 0) / MICROSECONDS_PER_SECOND
            family.add_metric(values, _cumulate(observed, histogram.bounds), seconds)
        return family

    def _process_gauges(self) -> Iterable[Metric]:
        for metric in PROCESS_GAUGES:
            samples = {
                sample.values: amount
                for sample, amount in self.gauge_values.items()
                if sample.metric == metric.name
            }
            yield _gauge(metric.name, metric.help, metric.labels, samples)

    def _disk(self) -> Metric:
        help_ = "Free space on the disk of DATA_DIR, where the embedded servers keep their data."
        free = {} if self.disk_free_bytes is None else {(): self.disk_free_bytes}
        return _gauge("prices_disk_free_bytes", help_, (), free)

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


def _build() -> tuple[str, ...]:
    return __version__, platform.python_version()


def _cumulate(observed: Mapping[str, int], bounds: Sequence[float]) -> list[tuple[str, float]]:
    """Return for each bound how many observations lie at or below it.

    They may come from a process of another version, which has other bounds.
    """
    return [
        (
            "+Inf" if math.isinf(bound) else str(bound),
            sum(n for at, n in observed.items() if float(at) <= bound),
        )
        for bound in (*bounds, math.inf)
    ]
