"""What a chart may still give: kept from refusal, and asked again after growing pauses."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.charts import Chart, ChartRange, fill
from app.domain.gaps import Gap, Retry
from app.domain.retries import ChartAnswer, hold_back_pending, schedule_retries
from app.domain.slots import Slot
from tests.domain.test_charts import KEY, SECOND, T0, chart_at, charts, gap, missing, slots

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


def held_slots(chart: Chart, run: list[Gap], known: Sequence[Retry] = ()) -> list[int]:
    """Ask the chart of a day, a point a minute, for slots; give those that it may still fill."""
    filled = fill(KEY, run, chart, is_coarsest=False)
    exchange_now_us = (T0 + 86_400) * SECOND
    _, held = hold_back_pending(filled, ChartAnswer(chart, DAY, ALL), exchange_now_us, known)
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


def test_hole_of_a_coarse_chart_is_given_up_after_five_answers() -> None:
    chart = chart_at(T0, T0 + 60, T0 + 240, T0 + 300)
    run = [gap(T0 + 120, T0 + 120, 6)]
    for tries, held in ((3, [T0 + 120]), (4, [])):
        assert held_slots(chart, run, [Retry(Slot(T0), Slot(T0 + 120), 6, tries, 0)]) == held
