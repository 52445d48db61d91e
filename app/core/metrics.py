"""Counters and histograms of this process, which are flushed to Redis every now and then.

The totals live in Redis because uvicorn's workers, Celery's children and other machines count the
same things, and any API process may have to report the sum. A histogram is counted like counters:
each bucket is one, and so is the sum.
"""

import math
import os
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator
from typing import Final, NamedTuple


class Metric(NamedTuple):
    """A Prometheus counter or gauge of this service; `docs/metrics.md` lists them."""

    name: str
    help: str
    labels: tuple[str, ...]


class Histogram(NamedTuple):
    """A Prometheus histogram of seconds; `bounds` are the upper bounds of its buckets."""

    name: str
    help: str
    labels: tuple[str, ...]
    bounds: tuple[float, ...]


HTTP_REQUESTS = Metric(
    "prices_http_requests", "Requests answered by the API.", ("method", "route", "status")
)
EXCHANGE_REQUESTS = Metric(
    "prices_exchange_requests", "Requests to exchanges.", ("exchange", "method", "outcome")
)
ROWS_STORED = Metric("prices_rows_stored", "Rows committed.", ("source",))
PRICES_LATE = Metric(
    "prices_late", "Live prices stored as backfill: their slot had been declared due.", ()
)
SLOTS_UNFILLABLE = Metric(
    "prices_slots_unfillable", "Slots found that the exchange can't give.", ("reason",)
)
ALERTS = Metric("prices_alerts", "Alerts to ALERT_WEBHOOK_URL.", ("event", "outcome"))
BACKGROUND_ERRORS = Metric(
    "prices_background_errors", "Errors that ended a step of work in the background.", ("work",)
)
CACHE_READS = Metric("prices_cache_reads", "Reads that the read cache served.", ("result",))
COUNTERS = (
    HTTP_REQUESTS,
    EXCHANGE_REQUESTS,
    ROWS_STORED,
    PRICES_LATE,
    ALERTS,
    SLOTS_UNFILLABLE,
    BACKGROUND_ERRORS,
    CACHE_READS,
)

API_PROCESSES = Metric("prices_api_processes", "API processes that reported lately.", ())
POOL_CONNECTIONS = Metric(
    "prices_pool_connections", "Connections to PostgreSQL that API processes may open.", ("state",)
)
CACHE_CHUNKS = Metric("prices_cache_chunks", "Chunks of two hours in the read caches.", ())
CACHE_BYTES = Metric("prices_cache_bytes", "Memory of the chunks in the read caches.", ())
STREAMS_OPEN = Metric("prices_streams_open", "Streams that clients have open.", ())
PROCESS_GAUGES = (API_PROCESSES, POOL_CONNECTIONS, CACHE_CHUNKS, CACHE_BYTES, STREAMS_OPEN)
"""Measured by each API process; a scrape reports their sums."""

# 1, 2.5 and 5 times the powers of ten
_MICROSECONDS_TO_MILLISECONDS = (5e-05, 0.0001, 0.00025, 0.0005, 0.001, 0.0025)
_MILLISECONDS_TO_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
HTTP_REQUEST_SECONDS = Histogram(
    "prices_http_request_duration_seconds",
    "Time from a request to the start of its response.",
    ("method", "route"),
    (*_MICROSECONDS_TO_MILLISECONDS, *_MILLISECONDS_TO_SECONDS),
)
EXCHANGE_REQUEST_SECONDS = Histogram(
    "prices_exchange_request_duration_seconds",
    "Time that an exchange took to answer, or to fail.",
    ("exchange", "method"),
    (*_MILLISECONDS_TO_SECONDS, 30.0),
)
RATE_LIMITER_WAIT_SECONDS = Histogram(
    "prices_rate_limiter_wait_seconds",
    "Time that a request to an exchange waited for its permit.",
    ("exchange", "priority"),
    (0.001, *_MILLISECONDS_TO_SECONDS, 30.0, 60.0),
)
TASK_SECONDS = Histogram(
    "prices_task_duration_seconds",
    "Duration of a task, by its outcome.",
    ("task", "outcome"),
    (*_MILLISECONDS_TO_SECONDS, 30.0, 60.0, 120.0, 300.0),
)
LATENESS_SECONDS = Histogram(
    "prices_lateness_seconds",
    "Time from the start of a slot to the commit of its live price, by the exchange's clock.",
    ("exchange",),
    (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0, 45.0, 60.0, 90.0, 300.0, 3600.0),
)
HISTOGRAMS = (
    HTTP_REQUEST_SECONDS,
    EXCHANGE_REQUEST_SECONDS,
    RATE_LIMITER_WAIT_SECONDS,
    TASK_SECONDS,
    LATENESS_SECONDS,
)
SUM = "sum"
"""The last value of the key of a histogram's sum in microseconds; of a bucket it is its bound."""
MICROSECONDS_PER_SECOND: Final = 1_000_000


class CounterKey(NamedTuple):
    """The name of a metric with the values of its labels."""

    metric: str
    values: tuple[str, ...]


class Series:
    """The observations of one histogram with one value for each label.

    What is hot keeps its series: to find it takes longer than to add to it.
    """

    __slots__ = ("_bounds", "_numbers")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self._bounds = bounds
        self._numbers: list[float] = [0] * (len(bounds) + 2)

    def observe(self, seconds: float) -> None:
        """Add an observation to its bucket, and to the sum."""
        numbers = self._numbers
        numbers[bisect_left(self._bounds, seconds)] += 1
        numbers[-1] += seconds

    def amounts(self) -> Iterator[tuple[str, int]]:
        """Return what was observed in each bucket, by its bound, and the sum in microseconds."""
        *buckets, seconds = self._numbers
        numbers = (*buckets, seconds * MICROSECONDS_PER_SECOND)
        for name, number in zip((*self._bounds, math.inf, SUM), numbers, strict=True):
            if round(number):
                yield str(name), round(number)

    def reset(self) -> None:
        """Remove the observations."""
        self._numbers[:] = [0] * len(self._numbers)


_counters: Counter[CounterKey] = Counter()
_series: dict[CounterKey, Series] = {}


def count(metric: Metric, *values: object, amount: int = 1) -> None:
    """Increase a counter; `values` are its labels' values in their order.

    Raises:
        ValueError: there are more or fewer values than labels.
    """
    _counters[counter_key(metric, *values)] += amount


def counter_key(metric: Metric, *values: object) -> CounterKey:
    """Return the key of a counter, which what is hot keeps for `increment`.

    Raises:
        ValueError: there are more or fewer values than labels.
    """
    if len(values) != len(metric.labels):
        raise ValueError(f"{metric.name} has the labels {metric.labels}")
    return CounterKey(metric.name, tuple(map(str, values)))


def increment(key: CounterKey) -> None:
    """Increase a counter by one."""
    _counters[key] += 1


def observe(histogram: Histogram, seconds: float, *values: str) -> None:
    """Add an observation to a histogram; `values` are its labels' values in their order.

    Raises:
        ValueError: there are more or fewer values than labels.
    """
    series(histogram, *values).observe(seconds)


def series(histogram: Histogram, *values: str) -> Series:
    """Return the series of a histogram for some labels.

    Raises:
        ValueError: there are more or fewer values than labels.
    """
    key = CounterKey(histogram.name, values)
    if key not in _series:
        if len(values) != len(histogram.labels):
            raise ValueError(f"{histogram.name} has the labels {histogram.labels}")
        _series[key] = Series(histogram.bounds)
    return _series[key]


def pending() -> dict[CounterKey, int]:
    """Return what was counted and observed since the last `drain`, and keep it."""
    counted = _counters.copy()
    for (name, values), observed in _series.items():
        for bound, number in observed.amounts():
            counted[CounterKey(name, (*values, bound))] += number
    return dict(counted)


def drain() -> dict[CounterKey, int]:
    """Return what was counted and observed since the last `drain`, and reset it."""
    drained = pending()
    _reset()
    return drained


def restore(drained: dict[CounterKey, int]) -> None:
    """Add back what was drained and could not be flushed."""
    _counters.update(drained)


def _reset() -> None:
    _counters.clear()
    for observed in _series.values():
        observed.reset()


os.register_at_fork(after_in_child=_reset)  # the parent flushes what it counted
