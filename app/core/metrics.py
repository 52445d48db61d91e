"""Counters of this process, which are flushed to Redis every now and then.

The totals live in Redis because uvicorn's workers, Celery's children and other machines count the
same things, and any API process may have to report the sum.
"""

import os
from collections import Counter
from typing import NamedTuple


class Metric(NamedTuple):
    """A Prometheus counter of this service; `docs/metrics.md` lists them."""

    name: str
    help: str
    labels: tuple[str, ...]


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
COUNTERS = (
    HTTP_REQUESTS,
    EXCHANGE_REQUESTS,
    ROWS_STORED,
    PRICES_LATE,
    ALERTS,
    SLOTS_UNFILLABLE,
    BACKGROUND_ERRORS,
)


class CounterKey(NamedTuple):
    """The name of a metric with the values of its labels."""

    metric: str
    values: tuple[str, ...]


_counters: Counter[CounterKey] = Counter()
os.register_at_fork(after_in_child=_counters.clear)  # the parent flushes what it counted


def count(metric: Metric, *values: object, amount: int = 1) -> None:
    """Increase a counter; `values` are its labels' values in their order.

    Raises:
        ValueError: there are more or fewer values than labels.
    """
    if len(values) != len(metric.labels):
        raise ValueError(f"{metric.name} has the labels {metric.labels}")
    _counters[CounterKey(metric.name, tuple(map(str, values)))] += amount


def pending() -> dict[CounterKey, int]:
    """Return what was counted since the last `drain`, and keep it."""
    return dict(_counters)


def drain() -> dict[CounterKey, int]:
    """Return what was counted since the last `drain`, and reset it."""
    drained = dict(_counters)
    _counters.clear()
    return drained


def restore(drained: dict[CounterKey, int]) -> None:
    """Add back what was drained and could not be flushed."""
    _counters.update(drained)
