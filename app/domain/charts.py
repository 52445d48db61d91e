"""Charts: how far back an exchange's reach, and which missing slots a chart fills.

`fill` decides for every slot: it takes the earliest point inside it, is refused for a reason, or is
left, to a coarser chart or to a later answer.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from itertools import pairwise
from statistics import median_low
from typing import NamedTuple

from app.domain.gaps import Gap, Reason, run_between, started_before
from app.domain.prices import Price, Source, TickerKey
from app.domain.slots import MICROSECONDS, floor_slot, slot_after, slot_before


class ChartRange(NamedTuple):
    """A stretch of the past that an exchange charts; None reaches back to the beginning.

    `step_seconds` is how far its points usually lie apart: what is finer may be waited for.
    """

    name: str
    reach_seconds: int | None
    step_seconds: int = 0


@dataclass(frozen=True)
class Chart:
    """Points of an index as columns: stamps in microseconds, strictly ascending, exact prices.

    `present_us` is the exchange's clock when it answered.
    """

    stamps_us: Sequence[int]
    prices: Sequence[Decimal]
    present_us: int

    @cached_property
    def step_us(self) -> int:
        """Measure how far its points lie apart: the median, 0 where there are not two."""
        steps = [later - earlier for earlier, later in pairwise(self.stamps_us)]
        return median_low(steps) if steps else 0


class FillResult(NamedTuple):
    """What a chart gives for gaps, each part ascending; every slot stands in exactly one.

    Refused gaps bear a reason. What is `left` lies before this chart, what is `pending` may still
    get a point.
    """

    prices: list[Price]
    refused: list[Gap]
    left: list[Gap]
    pending: list[Gap]


def within_reach(
    gaps: Iterable[Gap], chart_range: ChartRange, present_us: int
) -> tuple[list[Gap], list[Gap]]:
    """Part gaps into slots older than a range reaches, and those that it may still cover."""
    if chart_range.reach_seconds is None:
        return [], list(gaps)
    return started_before(gaps, present_us - chart_range.reach_seconds * MICROSECONDS)


def fill(key: TickerKey, gaps: Iterable[Gap], chart: Chart, *, is_coarsest: bool) -> FillResult:
    """Decide which slots of ascending gaps a chart fills; the coarsest chart leaves none."""
    filling = FillResult([], [], [], [])
    if not chart.stamps_us:
        (filling.pending if is_coarsest else filling.left).extend(gaps)
        return filling
    # A point before the first one would bear this stamp: slots after it lost none to the cut.
    beyond_us = chart.stamps_us[0] - chart.step_us
    old, covered = ([], list(gaps)) if is_coarsest else started_before(gaps, beyond_us + 1)
    filling.left.extend(old)
    for gap in covered:
        _fill(key, gap, chart, filling)
    return filling


def _fill(key: TickerKey, gap: Gap, chart: Chart, filling: FillResult) -> None:
    """Take a point for every slot that has one, and judge the runs between."""
    start = gap.first
    for price in _earliest_points(key, gap, chart):
        _judge(
            run_between(gap, start, slot_before(price.slot, gap.interval_seconds)), chart, filling
        )
        filling.prices.append(price)
        start = slot_after(price.slot, gap.interval_seconds)
    _judge(run_between(gap, start, gap.last), chart, filling)


def _earliest_points(key: TickerKey, gap: Gap, chart: Chart) -> Iterator[Price]:
    end = slot_after(gap.last, gap.interval_seconds)
    first = bisect_left(chart.stamps_us, gap.first * MICROSECONDS)
    beyond = bisect_left(chart.stamps_us, end * MICROSECONDS)
    taken = None
    for stamp, price in zip(chart.stamps_us[first:beyond], chart.prices[first:beyond], strict=True):
        slot = floor_slot(stamp, gap.interval_seconds)
        if slot != taken:
            taken = slot
            yield Price(key, slot, price, stamp, Source.BACKFILL)


def _judge(run: list[Gap], chart: Chart, filling: FillResult) -> None:
    """Refuse slots without a point: before the chart, or once it moved past their end."""
    before, rest = started_before(run, chart.stamps_us[0] - chart.step_us + 1)
    filling.refused.extend(_because(before, Reason.BEFORE_CHART))
    for gap in rest:
        last_start_us = chart.stamps_us[-1] - gap.interval_seconds * MICROSECONDS
        over, pending = started_before([gap], last_start_us + 1)
        is_coarse = chart.step_us > gap.interval_seconds * MICROSECONDS
        reason = Reason.CHART_TOO_COARSE if is_coarse else Reason.CHART_HAS_NO_POINT
        filling.refused.extend(_because(over, reason))
        filling.pending.extend(pending)


def _because(gaps: Iterable[Gap], reason: Reason) -> Iterator[Gap]:
    return (gap._replace(reason=reason) for gap in gaps)
