"""Counters of this process; what they count travels to Redis in small steps.

Totals live in Redis and not in this process, because uvicorn's workers, Celery's children and other
machines all count the same things, and any API process may be asked for the sum.
"""

import os
from collections import Counter as Sums
from typing import NamedTuple


class Metric(NamedTuple):
    """A counter that this service keeps; `docs/metrics.md` lists them."""

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


class Sample(NamedTuple):
    """One counter with the values of its labels."""

    metric: str
    values: tuple[str, ...]


_counted: Sums[Sample] = Sums()
os.register_at_fork(after_in_child=_counted.clear)  # what the parent counted is the parent's


def count(metric: Metric, *values: object, amount: int = 1) -> None:
    """Count something; one value for each of the metric's labels, in their order."""
    if len(values) != len(metric.labels):
        raise ValueError(f"{metric.name} has the labels {metric.labels}")
    _counted[Sample(metric.name, tuple(map(str, values)))] += amount


def waiting() -> dict[Sample, int]:
    """Look at what was counted since the last time, and leave it."""
    return dict(_counted)


def take() -> dict[Sample, int]:
    """Take what was counted since the last time."""
    taken = dict(_counted)
    _counted.clear()
    return taken


def put_back(taken: dict[Sample, int]) -> None:
    """Give back what could not be handed on."""
    _counted.update(taken)
