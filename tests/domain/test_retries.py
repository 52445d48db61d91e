"""What a chart may still give: kept from refusal, and asked again after growing pauses."""

from hypothesis import given
from hypothesis import strategies as st

from app.domain.charts import Chart, ChartRange, fill
from app.domain.gaps import Gap, Retry
from app.domain.retries import ChartAnswer, hold_back_pending, schedule_retries
from app.domain.slots import Slot
from tests.domain.test_charts import KEY, SECOND, T0, charts, gap, missing, slots

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
