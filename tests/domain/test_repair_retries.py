"""What a chart may still give: kept from refusal, and asked again after growing pauses."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.charts import Chart, ChartRange, FillResult, fill
from app.domain.gaps import Gap, Reason, Retry
from app.domain.repair_retries import ChartAnswer, hold_back_pending, schedule_retries
from app.domain.slots import SECONDS_PER_DAY, Slot, floor_slot
from tests.domain.test_charts import KEY, SECOND, T0, chart_at, charts, every, gap, missing, slots

HOUR = ChartRange("1h", 3_600, 6)
DAY = ChartRange("1d", 86_400, 60)
ALL = ChartRange("all", None, 86_400)


@given(charts(), missing(), st.sampled_from([(HOUR, DAY), (DAY, ALL), (ALL, None)]))
def test_every_slot_stands_in_one_part(
    chart: Chart, run: list[Gap], ranges: tuple[ChartRange, ChartRange | None]
) -> None:
    filled = fill(KEY, run, chart, is_coarsest=ranges[1] is None)
    exchange_now_us = (T0 + 1_200) * SECOND
    result, held = hold_back_pending(filled, ChartAnswer(chart, *ranges), exchange_now_us, [])
    parts = [result.unfillable, result.before_chart, result.pending, held]
    decided = [slot for part in parts for slot in slots(part)]
    decided += [price.slot for price in result.prices]
    assert sorted(decided) == sorted(slots(run))
    assert not (held and ranges[1] is None), "what reaches back for ever is never waited for"


def test_pauses_double_up_to_a_part_of_the_reach() -> None:
    held, known, pauses = [gap(T0, T0 + 120)], list[Retry](), []
    for _ in range(9):
        known = schedule_retries(held, known, HOUR, 0)
        (run,) = known
        pauses.append(run.next_us // SECOND)
    assert pauses == [30, 90, 210, 270, 270, 270, 270, 270, 270]


def test_tries_are_counted_slot_by_slot() -> None:
    known = [Retry(Slot(T0 + 60), Slot(T0 + 60), 60, 3, 0)]
    again = schedule_retries([gap(T0, T0 + 120)], known, HOUR, 0)
    assert [(run.first, run.tries) for run in again] == [(T0, 1), (T0 + 60, 4), (T0 + 120, 1)]


def held_slots(chart: Chart, run: list[Gap]) -> list[int]:
    """Ask the chart of a day, a point a minute, for slots; give those that it may still fill."""
    filled = fill(KEY, run, chart, is_coarsest=False)
    exchange_now_us = (T0 + 86_400) * SECOND
    _, held = hold_back_pending(filled, ChartAnswer(chart, DAY, ALL), exchange_now_us, [])
    return slots(held)


def test_hole_of_a_coarse_chart_may_still_be_filled() -> None:
    """Two points are missing; between the others there never were any."""
    chart = chart_at(T0, T0 + 60, T0 + 120, T0 + 300, T0 + 360, T0 + 420)
    run = [gap(T0, T0 + 414, 6)]
    assert held_slots(chart, run) == list(range(T0 + 126, T0 + 300, 6))


@pytest.mark.parametrize(("microseconds", "is_hole"), [(0, False), (1, True)])
def test_hole_is_longer_than_one_and_a_half_steps(microseconds: int, *, is_hole: bool) -> None:
    end = T0 + 210 + microseconds / SECOND
    chart = chart_at(T0, T0 + 60, T0 + 120, end, T0 + 270, T0 + 330)
    assert held_slots(chart, [gap(T0 + 150, T0 + 156, 6)]) == [T0 + 150, T0 + 156] * is_hole


def test_chart_that_is_coarser_than_usual_has_longer_holes() -> None:
    every_two_minutes = [T0 + 120 * place for place in range(5)]
    chart = chart_at(*every_two_minutes, T0 + 660)
    assert held_slots(chart, [gap(T0, T0 + 654, 6)]) == []
    chart = chart_at(*every_two_minutes, T0 + 661)
    assert held_slots(chart, [gap(T0, T0 + 654, 6)]) == list(range(T0 + 486, T0 + 660, 6))


def test_chart_that_is_finer_than_usual_has_no_shorter_holes() -> None:
    every_half_minute = [T0 + 30 * place for place in range(5)]
    chart = chart_at(*every_half_minute, T0 + 210)
    assert held_slots(chart, [gap(T0, T0 + 204, 6)]) == []
    chart = chart_at(*every_half_minute, T0 + 211)
    assert held_slots(chart, [gap(T0, T0 + 204, 6)]) == list(range(T0 + 126, T0 + 210, 6))


def test_hole_may_lie_between_the_first_two_points_or_the_last_two() -> None:
    first = chart_at(T0, T0 + 120, T0 + 180, T0 + 240, T0 + 300)
    last = chart_at(T0, T0 + 60, T0 + 120, T0 + 180, T0 + 300)
    between = [6, 114], [186, 294]
    for chart, (start, end) in zip((first, last), between, strict=True):
        run = [gap(T0 + start, T0 + end, 6)]
        assert held_slots(chart, run) == slots(run)


def test_slots_before_the_first_point_are_in_no_hole() -> None:
    chart = chart_at(T0, T0 + 60, T0 + 120)
    assert held_slots(chart, [gap(T0 - 54, T0 - 6, 6)]) == []


NOW_US = (T0 + 3_600) * SECOND
"""The range of an hour begins at T0; a complete chart of it begins by T0 + 12, after two steps."""


def hold_back(
    gaps: list[Gap],
    chart: Chart,
    ranges: tuple[ChartRange, ChartRange | None],
    known: list[Retry] | None = None,
) -> tuple[FillResult, list[Gap]]:
    filled = fill(KEY, gaps, chart, is_coarsest=ranges[1] is None)
    return hold_back_pending(filled, ChartAnswer(chart, *ranges), NOW_US, known or [])


def tried(slot: int, interval: int, tries: int, reason: Reason | None = None) -> Retry:
    return Retry(Slot(slot), Slot(slot), interval, tries, 0, reason)


def test_slot_that_a_fine_chart_lacks_is_held_back_however_often_it_was_requested() -> None:
    chart = chart_at(*range(T0 - 60, T0, 6), *range(T0 + 60, T0 + 600, 6))
    for known in ([], [tried(T0, 60, 99)]):
        result, held = hold_back([gap(T0, T0)], chart, (HOUR, DAY), known)
        assert held == [gap(T0, T0, reason=Reason.CHART_HAS_NO_POINT)]
        assert result.unfillable == []


def test_slot_before_the_coarsest_chart_is_unfillable() -> None:
    result, held = hold_back([gap(T0, T0)], every(6, T0 + 600, T0 + 3_600), (HOUR, None))
    assert (result.unfillable, held) == ([gap(T0, T0, reason=Reason.BEFORE_CHART)], [])


def test_slot_that_the_chart_of_all_time_lacks_is_unfillable() -> None:
    day = SECONDS_PER_DAY
    first = floor_slot(T0 * SECOND, day) - 10 * day
    chart = chart_at(first, *range(first + 2 * day, T0, day))
    result, held = hold_back([gap(first + day, first + day, day)], chart, (ALL, None))
    assert [one.reason for one in result.unfillable] == [Reason.CHART_HAS_NO_POINT]
    assert held == []


def test_slot_between_the_points_of_a_coarse_chart_is_unfillable() -> None:
    half = [gap(T0 + 30, T0 + 30, 30)]
    result, held = hold_back(half, every(60, T0 - 600, T0 + 600), (DAY, ALL))
    assert result.unfillable == [gap(T0 + 30, T0 + 30, 30, Reason.CHART_TOO_COARSE)]
    assert held == []


def test_slot_in_a_hole_of_a_coarse_chart_is_unfillable_after_five_answers() -> None:
    """Points at T0 and four minutes later, and in every other minute."""
    chart = chart_at(*range(T0 - 600, T0 + 1, 60), *range(T0 + 240, T0 + 900, 60))
    known = [tried(T0 + 60, 30, 3), tried(T0 + 90, 30, 4)]
    result, held = hold_back([gap(T0 + 30, T0 + 120, 30)], chart, (DAY, ALL), known)
    assert held == [gap(slot, slot, 30) for slot in (T0 + 30, T0 + 60, T0 + 120)]
    assert result.unfillable == [gap(T0 + 90, T0 + 90, 30, Reason.CHART_TOO_COARSE)]


def test_reason_of_a_finer_chart_is_preferred() -> None:
    known = [tried(T0 + 30, 30, 1, Reason.CHART_HAS_NO_POINT)]
    half = [gap(T0 + 30, T0 + 30, 30)]
    result, _ = hold_back(half, every(60, T0 - 600, T0 + 600), (DAY, ALL), known)
    assert result.unfillable == [gap(T0 + 30, T0 + 30, 30, Reason.CHART_HAS_NO_POINT)]


def test_slot_before_a_chart_that_begins_late_is_left_to_a_coarser_range_that_is_fine() -> None:
    chart, minute, half = every(6, T0 + 600, T0 + 3_600), gap(T0 + 60, T0 + 60), 30
    result, held = hold_back([minute], chart, (HOUR, DAY))
    assert (result.before_chart, held) == ([minute], [])
    for known in ([], [tried(T0 + 60, half, 99)]):  # a minute is too coarse
        result, held = hold_back([gap(T0 + 60, T0 + 60, half)], chart, (HOUR, DAY), known)
        assert (result.before_chart, held) == ([], [gap(T0 + 60, T0 + 60, half)])


def test_slot_before_a_coarse_chart_is_left_to_the_next_one_after_five_answers() -> None:
    known = [tried(T0 + 30, 30, 3), tried(T0 + 60, 30, 4)]
    chart = every(60, T0 + 600, T0 + 3_600)
    result, held = hold_back([gap(T0, T0 + 60, 30)], chart, (DAY, ALL), known)
    assert (slots(result.before_chart), slots(held)) == ([T0 + 60], [T0, T0 + 30])


def test_slot_that_the_range_has_passed_is_left_to_a_coarser_one() -> None:
    chart = every(6, T0 + 600, T0 + 3_600)
    result, held = hold_back([gap(T0 - 6, T0 + 18, 6)], chart, (HOUR, DAY))
    assert slots(result.before_chart) == [T0 - 6, T0, T0 + 6]
    assert slots(held) == [T0 + 12, T0 + 18]


def test_retry_remembers_the_reason_of_the_finest_chart() -> None:
    no_point = Reason.CHART_HAS_NO_POINT
    for reason, former, kept in (
        (no_point, None, no_point),
        (None, no_point, no_point),
        (None, None, None),
    ):
        known = [tried(T0, 60, 1, former)]
        (retry,) = schedule_retries([gap(T0, T0, reason=reason)], known, HOUR, 0)
        assert retry.reason == kept
    (retry,) = schedule_retries([gap(T0, T0, reason=no_point)], [], HOUR, 0)
    assert retry.reason == no_point
