"""What a chart gives for a gap, slot by slot."""

from decimal import Decimal
from itertools import pairwise
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.charts import Chart, ChartRange, FillResult, fill, split_by_reach
from app.domain.gaps import Gap, Reason
from app.domain.prices import Price, Source, TickerKey
from app.domain.slots import Slot

KEY = TickerKey("deribit", "btc_usd")
SECOND = 1_000_000
T0 = 1_768_579_200
"""A full hour."""


def gap(first: int, last: int, interval: int = 60, reason: Reason | None = None) -> Gap:
    return Gap(Slot(first), Slot(last), interval, reason)


def chart_at(*seconds: float) -> Chart:
    """A chart with points at these seconds, each worth its place."""
    stamps = [round(second * SECOND) for second in seconds]
    return Chart(stamps, [Decimal(place) for place in range(1, len(stamps) + 1)], stamps[-1])


def every(step: int, first: int, last: int) -> Chart:
    return chart_at(*range(first, last + 1, step))


def slots_of(prices: list[Price]) -> list[int]:
    return [price.slot for price in prices]


def slots(run: list[Gap]) -> list[int]:
    return [slot for one in run for slot in range(one.first, one.last + 1, one.interval_seconds)]


def test_slot_takes_the_earliest_point_inside_it() -> None:
    result = fill(KEY, [gap(T0, T0)], every(6, T0 - 12, T0 + 60), is_coarsest=False)
    assert result == FillResult(
        [Price(KEY, Slot(T0), Decimal(3), T0 * SECOND, Source.BACKFILL)], [], [], []
    )


def test_step_is_measured_not_assumed() -> None:
    assert every(300, T0, T0 + 3_000).step_us == 300 * SECOND
    assert chart_at(0, 6, 12, 100, 106).step_us == 6 * SECOND  # a hole changes nothing
    assert chart_at(7).step_us == Chart([], [], 0).step_us == 0


def test_chart_of_five_minutes_fills_one_minute_in_five() -> None:
    result = fill(KEY, [gap(T0, T0 + 840)], every(300, T0 - 600, T0 + 1_200), is_coarsest=False)
    assert slots_of(result.prices) == [T0, T0 + 300, T0 + 600]
    assert result.unfillable == [
        gap(T0 + start, T0 + start + 180, reason=Reason.CHART_TOO_COARSE)
        for start in (60, 360, 660)
    ]


def test_hole_in_a_fine_chart_is_told_from_a_coarse_one() -> None:
    stamps = [T0 + second for second in range(-60, 600, 6) if not 60 <= second < 180]
    result = fill(KEY, [gap(T0, T0 + 240)], chart_at(*stamps), is_coarsest=False)
    assert result.unfillable == [gap(T0 + 60, T0 + 120, reason=Reason.CHART_HAS_NO_POINT)]


def test_what_might_have_been_cut_off_is_left_to_a_coarser_chart() -> None:
    """A slot in which the chart begins might have had an earlier point."""
    chart = every(6, T0 + 12, T0 + 600)
    missing = [gap(T0 - 60, T0 + 60)]
    assert slots(fill(KEY, missing, chart, is_coarsest=False).before_chart) == [T0 - 60, T0]
    chart = every(6, T0 + 6, T0 + 600)  # it might have had a point at T0
    assert slots(fill(KEY, missing, chart, is_coarsest=False).before_chart) == [T0 - 60, T0]
    assert slots(fill(KEY, missing, every(6, T0, T0 + 600), is_coarsest=False).before_chart) == [
        T0 - 60
    ]


def test_slot_of_which_nothing_was_cut_off_is_decided_by_the_chart() -> None:
    """The point before the first one would lie a microsecond before the slot."""
    first_us = (T0 + 6) * SECOND - 1
    stamps = [first_us + 6 * SECOND * place for place in range(20)]
    chart = Chart(stamps, [Decimal(1)] * len(stamps), stamps[-1])
    result = fill(KEY, [gap(T0 - 60, T0)], chart, is_coarsest=False)
    assert (result.before_chart, slots_of(result.prices)) == ([gap(T0 - 60, T0 - 60)], [T0])
    result = fill(KEY, [gap(T0 - 1, T0, interval=1)], chart, is_coarsest=True)
    assert result.unfillable == [
        gap(T0 - 1, T0 - 1, interval=1, reason=Reason.BEFORE_CHART),
        gap(T0, T0, interval=1, reason=Reason.CHART_TOO_COARSE),
    ]


def test_hole_after_the_first_point_does_not_lie_before_the_chart() -> None:
    chart = chart_at(T0, *range(T0 + 120, T0 + 300, 6))
    result = fill(KEY, [gap(T0, T0 + 60)], chart, is_coarsest=True)
    assert result.unfillable == [gap(T0 + 60, T0 + 60, reason=Reason.CHART_HAS_NO_POINT)]


def test_slot_is_over_when_a_chart_has_a_point_at_its_end() -> None:
    chart = chart_at(*range(T0 - 60, T0, 6), T0 + 60)
    result = fill(KEY, [gap(T0, T0)], chart, is_coarsest=False)
    assert result.unfillable == [gap(T0, T0, reason=Reason.CHART_HAS_NO_POINT)]


def test_coarsest_chart_tells_what_lies_before_it() -> None:
    result = fill(KEY, [gap(T0 - 180, T0 + 60)], every(60, T0, T0 + 600), is_coarsest=True)
    assert slots_of(result.prices) == [T0, T0 + 60]
    assert result.unfillable == [gap(T0 - 180, T0 - 60, reason=Reason.BEFORE_CHART)]


def test_slot_that_may_still_get_a_point_is_pending() -> None:
    result = fill(KEY, [gap(T0, T0 + 180)], every(6, T0 - 60, T0 + 62), is_coarsest=False)
    assert slots_of(result.prices) == [T0, T0 + 60]
    assert result.pending == [gap(T0 + 120, T0 + 180)]
    assert result.unfillable == []


@pytest.mark.parametrize("is_coarsest", [False, True])
def test_empty_chart_says_nothing(is_coarsest: bool) -> None:  # noqa: FBT001  # a case
    missing = [gap(T0, T0 + 60)]
    result = fill(KEY, missing, Chart([], [], T0 * SECOND), is_coarsest=is_coarsest)
    assert (result.pending if is_coarsest else result.before_chart) == missing
    assert result.unfillable == []


def test_gap_is_parted_where_a_range_ends() -> None:
    hour = ChartRange("1h", 3_600)
    exchange_now_us = (T0 + 3_630) * SECOND
    older, reached = split_by_reach([gap(T0 - 60, T0 + 120)], hour, exchange_now_us)
    assert (slots(older), slots(reached)) == ([T0 - 60, T0], [T0 + 60, T0 + 120])
    assert split_by_reach(reached, ChartRange("all", None), 0) == ([], reached)


class Outcome(NamedTuple):
    """What becomes of a slot."""

    part: str
    price: Decimal | None = None
    reason: Reason | None = None


def expected_outcome(slot: int, interval: int, chart: Chart, *, is_coarsest: bool) -> Outcome:
    """Decide one slot by looking at every point."""
    start, end = slot * SECOND, (slot + interval) * SECOND
    if not chart.timestamps_us:
        return Outcome("pending" if is_coarsest else "before_chart")
    steps = sorted(later - earlier for earlier, later in pairwise(chart.timestamps_us)) or [0]
    step = steps[(len(steps) - 1) // 2]
    is_cut = start <= chart.timestamps_us[0] - step
    inside = [
        p for at, p in zip(chart.timestamps_us, chart.prices, strict=True) if start <= at < end
    ]
    if is_cut and not is_coarsest:
        return Outcome("before_chart")
    if inside:
        return Outcome("price", inside[0])
    if is_cut:
        return Outcome("unfillable", reason=Reason.BEFORE_CHART)
    if chart.timestamps_us[-1] < end:
        return Outcome("pending")
    is_coarse = step > interval * SECOND
    return Outcome(
        "unfillable", reason=Reason.CHART_TOO_COARSE if is_coarse else Reason.CHART_HAS_NO_POINT
    )


def outcomes(result: FillResult) -> dict[int, Outcome]:
    """Return every slot's outcome, and make sure that none has two."""
    found: list[tuple[int, Outcome]] = [
        (price.slot, Outcome("price", price.price)) for price in result.prices
    ]
    for part in ("unfillable", "before_chart", "pending"):
        run = getattr(result, part)
        found += [(slot, Outcome(part, reason=one.reason)) for one in run for slot in slots([one])]
    assert len(dict(found)) == len(found)
    return dict(found)


@st.composite
def charts(draw: st.DrawFn) -> Chart:
    """Charts with holes and wandering points, in milliseconds as they come."""
    step = draw(st.sampled_from([1, 2, 6, 7, 60, 300]))
    count = draw(st.integers(0, 60))
    start = T0 * 1000 + draw(st.integers(-300_000, 300_000))
    wander = draw(st.lists(st.integers(0, step * 1000 - 1), min_size=count, max_size=count))
    is_regular = draw(st.booleans())
    stamps = [
        start + place * step * 1000 + (0 if is_regular else off)
        for place, off in enumerate(wander)
        if draw(st.integers(0, 9)) > 0
    ]
    prices = [Decimal(place + 1) for place in range(len(stamps))]
    return Chart([stamp * 1000 for stamp in stamps], prices, stamps[-1] * 1000 if stamps else 1)


@st.composite
def missing(draw: st.DrawFn) -> list[Gap]:
    """Gaps in ascending order, of an interval that may change once."""
    intervals = draw(st.lists(st.sampled_from([60, 6, 2, 1]), min_size=1, max_size=2))
    at, run = T0 - 600, []
    for interval in intervals:
        at = at // 60 * 60 + 60
        for _ in range(draw(st.integers(0, 4))):
            first = at + interval * draw(st.integers(0, 20))
            last = first + interval * draw(st.integers(0, 30))
            run.append(gap(first, last, interval))
            at = last + 2 * interval
    return run


@given(charts(), missing(), st.booleans())
def test_every_slot_has_the_outcome_that_a_scan_of_every_point_gives(
    chart: Chart,
    run: list[Gap],
    is_coarsest: bool,  # noqa: FBT001  # a case
) -> None:
    result = fill(KEY, run, chart, is_coarsest=is_coarsest)
    expected = {
        slot: expected_outcome(slot, one.interval_seconds, chart, is_coarsest=is_coarsest)
        for one in run
        for slot in slots([one])
    }
    assert outcomes(result) == expected
    for price in result.prices:
        assert chart.prices[chart.timestamps_us.index(price.observed_us)] == price.price
    for part in (result.unfillable, result.before_chart, result.pending):
        assert [one.first for one in part] == sorted(one.first for one in part)


@given(missing(), st.integers(-400, 2_000))
def test_parts_of_a_range_hold_every_slot_once(run: list[Gap], age: int) -> None:
    exchange_now_us = (T0 + 1_000) * SECOND + 500
    older, reached = split_by_reach(run, ChartRange("any", age), exchange_now_us)
    assert sorted(slots(older) + slots(reached)) == sorted(slots(run))
    assert all(exchange_now_us - slot * SECOND > age * SECOND for slot in slots(older))
    assert all(exchange_now_us - slot * SECOND <= age * SECOND for slot in slots(reached))
