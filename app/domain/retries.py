"""Retries: what a chart may still give, and when it is asked again.

A chart may be partial for a while. What it is fine enough for and did not give stays pending until
it has left the chart's reach; then a coarser chart decides.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from app.domain.charts import Chart, ChartRange, FillResult
from app.domain.gaps import Gap, Reason, apply_reasons, overlay, split_at
from app.domain.slots import MICROSECONDS, Slot, slot_after

TRIES_TO_BELIEVE: Final = 5
"""Answers after which a chart that is too coarse anyway is believed to lack what it lacks."""
MAX_PAUSE_SECONDS: Final = 3_600
PAUSES_PER_REACH: Final = 12
STEPS_OF_THE_EDGE: Final = 2
"""A whole chart may begin so many steps after its reach does."""
LARGEST_EXPONENT: Final = 20


class Retry(NamedTuple):
    """A run of slots that a chart did not give: how often it was asked, and when it is next.

    The reason is what the finest chart that covered them seemed to lack, None if none did.
    """

    first: Slot
    last: Slot
    interval_seconds: int
    tries: int
    next_us: int
    reason: Reason | None = None


class Answer(NamedTuple):
    """A chart, the range it was asked for, and the range that is asked next; None if none is."""

    chart: Chart
    chart_range: ChartRange
    coarser: ChartRange | None


def hold_back_pending(
    filling: FillResult, answer: Answer, exchange_now_us: int, known: Sequence[Retry]
) -> tuple[FillResult, list[Gap]]:
    """Keep from refusal, and from coarser charts, what the range may still give."""
    refused: list[Gap] = []
    held: list[Gap] = []
    for gap, tries in _with_tries(filling.unfillable, known):
        may_come = _may_come(gap, answer, tries)
        (held if may_come else refused).append(_tentative(gap) if may_come else gap)
    edge_us = _edge_us(answer.chart_range, exchange_now_us)
    left, uncovered = split_at(filling.before_chart, edge_us)
    for gap, tries in _with_tries(uncovered, known):
        (left if _passes_on(gap, answer, tries) else held).append(gap)
    judged = filling._replace(unfillable=_with_true_reasons(refused, known), before_chart=left)
    return judged, sorted(held)


def schedule_retries(
    held: Iterable[Gap], known: Sequence[Retry], chart_range: ChartRange, now_us: int
) -> list[Retry]:
    """Note another try of what was held back; each pause is twice as long as the one before."""
    return [
        Retry(
            first,
            last,
            gap.interval_seconds,
            tries := (run.tries if run else 0) + 1,
            now_us + _pause_us(tries, gap.interval_seconds, chart_range),
            gap.reason or (run.reason if run else None),
        )
        for gap, first, last, run in overlay(held, known)
    ]


def _pause_us(tries: int, interval_seconds: int, chart_range: ChartRange) -> int:
    """Give a pause that ends half an interval before a wake of the schedule."""
    reach = chart_range.reach_seconds
    most = MAX_PAUSE_SECONDS
    if reach is not None:
        most = min(most, reach // PAUSES_PER_REACH)
    seconds = min(interval_seconds << min(tries - 1, LARGEST_EXPONENT), most)
    return round((seconds - min(interval_seconds, seconds) / 2) * MICROSECONDS)


def _with_tries(gaps: Iterable[Gap], known: Sequence[Retry]) -> Iterator[tuple[Gap, int]]:
    for gap, first, last, run in overlay(gaps, known):
        yield gap._replace(first=first, last=last), run.tries if run else 0


def _may_come(gap: Gap, answer: Answer, tries: int) -> bool:
    """Tell whether a slot that the chart covers, and has no point in, may get one."""
    if answer.chart_range.reach_seconds is None or gap.reason is Reason.BEFORE_CHART:
        return False
    if _is_fine(answer.chart_range, gap):
        return True
    return _is_hole(gap, answer) and tries + 1 < TRIES_TO_BELIEVE


def _passes_on(gap: Gap, answer: Answer, tries: int) -> bool:
    """Tell whether a slot before the chart's beginning is asked of the next range."""
    if answer.coarser is not None and _is_fine(answer.coarser, gap):
        return True
    return not _is_fine(answer.chart_range, gap) and tries + 1 >= TRIES_TO_BELIEVE


def _is_fine(chart_range: ChartRange, gap: Gap) -> bool:
    return chart_range.step_seconds <= gap.interval_seconds


def _is_hole(gap: Gap, answer: Answer) -> bool:
    """Tell whether the points around a run lie further apart than the chart's do."""
    stamps, usual_us = answer.chart.timestamps_us, answer.chart_range.step_seconds * MICROSECONDS
    after = bisect_left(stamps, slot_after(gap.last, gap.interval_seconds) * MICROSECONDS)
    before = bisect_left(stamps, gap.first * MICROSECONDS) - 1
    if before < 0 or after >= len(stamps):
        return False
    return 2 * (stamps[after] - stamps[before]) > 3 * max(answer.chart.step_us, usual_us)


def _edge_us(chart_range: ChartRange, exchange_now_us: int) -> int:
    if chart_range.reach_seconds is None:
        return exchange_now_us
    edge = STEPS_OF_THE_EDGE * chart_range.step_seconds - chart_range.reach_seconds
    return exchange_now_us + edge * MICROSECONDS


def _tentative(gap: Gap) -> Gap:
    is_hole = gap.reason is Reason.CHART_HAS_NO_POINT
    return gap if is_hole else gap._replace(reason=None)


def _with_true_reasons(refused: Iterable[Gap], known: Sequence[Retry]) -> list[Gap]:
    """Let what a finer chart lacked count for more than a coarser one's step."""
    return apply_reasons(refused, [run for run in known if run.reason is not None])
