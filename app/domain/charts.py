"""Charts: how far back an exchange's charts reach, and which missing slots a chart fills.

`fill` decides on every slot: the earliest point inside it fills it, or it is unfillable for a
reason, or it is left to a coarser chart or to a later answer.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from itertools import pairwise
from statistics import median_low
from typing import NamedTuple

from app.domain.gaps import Gap, Reason, split_at, subrange, with_default_reason
from app.domain.prices import Price, Source, TickerKey
from app.domain.slots import MICROSECONDS, floor_slot, slot_after, slot_before


class ChartRange(NamedTuple):
    """A range of the past that an exchange offers as a chart; None reaches back to the beginning.

    `step_seconds` is the usual distance of its points.
    """

    name: str
    reach_seconds: int | None
    step_seconds: int = 0


@dataclass(frozen=True)
class Chart:
    """Points of an index as columns: strictly ascending timestamps (µs) and exact prices.

    `exchange_now_us` is the exchange's clock when it answered.
    """

    timestamps_us: Sequence[int]
    prices: Sequence[Decimal]
    exchange_now_us: int

    @cached_property
    def step_us(self) -> int:
        """Return the median distance of its points; 0 with fewer than two."""
        steps = [later - earlier for earlier, later in pairwise(self.timestamps_us)]
        return median_low(steps) if steps else 0


class FillResult(NamedTuple):
    """The outcome of a chart for gaps; each list ascends, and each slot is in exactly one of them.

    Unfillable gaps have a reason. Gaps `before_chart` may be filled by a coarser chart, `pending`
    ones by a later answer.
    """

    prices: list[Price]
    unfillable: list[Gap]
    before_chart: list[Gap]
    pending: list[Gap]


def split_by_reach(
    gaps: Iterable[Gap], chart_range: ChartRange, exchange_now_us: int
) -> tuple[list[Gap], list[Gap]]:
    """Split gaps into those that are older than a chart range, and those that it may cover."""
    if chart_range.reach_seconds is None:
        return [], list(gaps)
    return split_at(gaps, exchange_now_us - chart_range.reach_seconds * MICROSECONDS)


def fill(key: TickerKey, gaps: Iterable[Gap], chart: Chart, *, is_coarsest: bool) -> FillResult:
    """Decide which slots of ascending gaps a chart fills; the coarsest leaves none before it."""
    result = FillResult([], [], [], [])
    if not chart.timestamps_us:
        (result.pending if is_coarsest else result.before_chart).extend(gaps)
        return result
    # The chart may have been cut inside a slot. The point before the first one would have this
    # timestamp, so later slots lost no point.
    complete_from_us = chart.timestamps_us[0] - chart.step_us + 1
    before, covered = ([], list(gaps)) if is_coarsest else split_at(gaps, complete_from_us)
    result.before_chart.extend(before)
    for gap in covered:
        _fill_gap(key, gap, chart, result)
    return result


def _fill_gap(key: TickerKey, gap: Gap, chart: Chart, result: FillResult) -> None:
    """Fill every slot that has a point, and classify the slots between."""
    start = gap.first
    for price in _earliest_points(key, gap, chart):
        end = slot_before(price.slot, gap.interval_seconds)
        _classify_missing(subrange(gap, start, end), chart, result)
        result.prices.append(price)
        start = slot_after(price.slot, gap.interval_seconds)
    _classify_missing(subrange(gap, start, gap.last), chart, result)


def _earliest_points(key: TickerKey, gap: Gap, chart: Chart) -> Iterator[Price]:
    end = slot_after(gap.last, gap.interval_seconds)
    first = bisect_left(chart.timestamps_us, gap.first * MICROSECONDS)
    stop = bisect_left(chart.timestamps_us, end * MICROSECONDS)
    filled = None
    points = zip(chart.timestamps_us[first:stop], chart.prices[first:stop], strict=True)
    for timestamp_us, price in points:
        slot = floor_slot(timestamp_us, gap.interval_seconds)
        if slot != filled:
            filled = slot
            yield Price(key, slot, price, timestamp_us, Source.BACKFILL)


def _classify_missing(gaps: list[Gap], chart: Chart, result: FillResult) -> None:
    """Sort slots without a point: pending where the chart may still get one, else unfillable."""
    before, covered = split_at(gaps, chart.timestamps_us[0] - chart.step_us + 1)
    result.unfillable.extend(with_default_reason(before, Reason.BEFORE_CHART))
    for gap in covered:
        interval_us = gap.interval_seconds * MICROSECONDS
        passed, pending = split_at([gap], chart.timestamps_us[-1] - interval_us + 1)
        is_coarse = chart.step_us > interval_us
        reason = Reason.CHART_TOO_COARSE if is_coarse else Reason.CHART_HAS_NO_POINT
        result.unfillable.extend(with_default_reason(passed, reason))
        result.pending.extend(pending)
