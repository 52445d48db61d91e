"""Histograms of this process, until they are flushed."""

import pytest

from app.core.metrics import (
    LATENESS_SECONDS,
    TASK_SECONDS,
    CounterKey,
    drain,
    observe,
    pending,
    restore,
)


def _numbers() -> dict[str, int]:
    """Return what was observed of the exchange "here", by bucket."""
    name = LATENESS_SECONDS.name
    return {values[1]: n for (metric, values), n in pending().items() if metric == name}


@pytest.fixture(autouse=True)
def _nothing_is_counted_yet() -> None:
    drain()


def test_observation_lies_in_the_first_bucket_whose_bound_it_does_not_exceed() -> None:
    for seconds in (0.1, 0.100001, 0.25, 4000.0):
        observe(LATENESS_SECONDS, seconds, "here")
    assert _numbers() == {"0.1": 1, "0.25": 2, "inf": 1, "sum": 4_000_450_001}


def test_what_is_drained_is_not_drained_again() -> None:
    observe(LATENESS_SECONDS, 0.2, "here")
    assert len(drain()) == 2
    assert drain() == {}


def test_what_could_not_be_flushed_is_added_to_what_came_since() -> None:
    observe(LATENESS_SECONDS, 0.2, "here")
    drained = drain()
    observe(LATENESS_SECONDS, 0.21, "here")
    restore(drained)
    assert _numbers() == {"0.25": 2, "sum": 410_000}


def test_series_are_told_apart_by_the_values_of_their_labels() -> None:
    observe(TASK_SECONDS, 1, "collect", "ok")
    observe(TASK_SECONDS, 1, "collect", "exchange_timeout")
    assert drain()[CounterKey(TASK_SECONDS.name, ("collect", "ok", "1.0"))] == 1


def test_labels_without_values_are_refused() -> None:
    with pytest.raises(ValueError, match="task"):
        observe(TASK_SECONDS, 1, "collect")
