"""Retries: slots that a chart may still supply, and when it is requested again.

A chart may be incomplete for a while. A slot that it is fine enough for and lacks is retried until
the chart's range has passed it; then a coarser chart decides.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from app.domain.charts import Chart, ChartRange, FillResult
from app.domain.gaps import Gap, Reason, Retry, apply_reasons, overlay, split_at
from app.domain.slots import MICROSECONDS, slot_after

MAX_COARSE_TRIES: Final = 5
"""Answers after which a slot that a coarse chart lacks counts as unfillable."""
MAX_PAUSE_SECONDS: Final = 3_600
PAUSES_PER_REACH: Final = 12
MAX_MISSING_STEPS: Final = 2
"""A complete chart may begin so many steps after its range does."""
MAX_EXPONENT: Final = 20


class ChartAnswer(NamedTuple):
    """A chart, the range that was requested, and the next coarser range if there is one."""

    chart: Chart
    chart_range: ChartRange
    coarser: ChartRange | None


def hold_back_pending(
    result: FillResult, answer: ChartAnswer, exchange_now_us: int, known: Sequence[Retry]
) -> tuple[FillResult, list[Gap]]:
    """Split off the gaps that the same range may still fill; return the rest, and those gaps."""
    unfillable: list[Gap] = []
    held: list[Gap] = []
    for gap, tries in _with_tries(result.unfillable, known):
        if _may_be_filled(gap, answer, tries):
            is_hole = gap.reason is Reason.CHART_HAS_NO_POINT
            held.append(gap if is_hole else gap._replace(reason=None))
        else:
            unfillable.append(gap)
    start_us = _latest_start_us(answer.chart_range, exchange_now_us)
    before_chart, uncovered = split_at(result.before_chart, start_us)
    for gap, tries in _with_tries(uncovered, known):
        (before_chart if _is_left_to_coarser_range(gap, answer, tries) else held).append(gap)
    # the reasons of finer charts, which earlier tries recorded, are preferred
    unfillable = apply_reasons(unfillable, [retry for retry in known if retry.reason is not None])
    return result._replace(unfillable=unfillable, before_chart=before_chart), sorted(held)


def schedule_retries(
    held: Iterable[Gap], known: Sequence[Retry], chart_range: ChartRange, now_us: int
) -> list[Retry]:
    """Schedule another try of gaps that were held back; each pause doubles the previous one."""
    return [
        Retry(
            first,
            last,
            gap.interval_seconds,
            tries := (retry.tries if retry else 0) + 1,
            now_us + _pause_us(tries, gap.interval_seconds, chart_range),
            gap.reason or (retry.reason if retry else None),
        )
        for gap, first, last, retry in overlay(held, known)
    ]


def _pause_us(tries: int, interval_seconds: int, chart_range: ChartRange) -> int:
    """Return a pause that ends half an interval before the scheduled repair runs."""
    reach = chart_range.reach_seconds
    max_seconds = MAX_PAUSE_SECONDS
    if reach is not None:
        max_seconds = min(max_seconds, reach // PAUSES_PER_REACH)
    seconds = min(interval_seconds << min(tries - 1, MAX_EXPONENT), max_seconds)
    return round((seconds - min(interval_seconds, seconds) / 2) * MICROSECONDS)


def _with_tries(gaps: Iterable[Gap], known: Sequence[Retry]) -> Iterator[tuple[Gap, int]]:
    for gap, first, last, retry in overlay(gaps, known):
        yield gap._replace(first=first, last=last), retry.tries if retry else 0


def _may_be_filled(gap: Gap, answer: ChartAnswer, tries: int) -> bool:
    """Return whether a slot that the chart covers and lacks may be in a later answer."""
    if answer.chart_range.reach_seconds is None or gap.reason is Reason.BEFORE_CHART:
        return False
    if _is_fine(answer.chart_range, gap):
        return True
    return _is_hole(gap, answer) and tries + 1 < MAX_COARSE_TRIES


def _is_left_to_coarser_range(gap: Gap, answer: ChartAnswer, tries: int) -> bool:
    """Return whether a slot before the chart's first point is left to the next coarser range."""
    if answer.coarser is not None and _is_fine(answer.coarser, gap):
        return True
    return not _is_fine(answer.chart_range, gap) and tries + 1 >= MAX_COARSE_TRIES


def _is_fine(chart_range: ChartRange, gap: Gap) -> bool:
    return chart_range.step_seconds <= gap.interval_seconds


def _is_hole(gap: Gap, answer: ChartAnswer) -> bool:
    """Return whether the chart's points around a gap are further apart than usual."""
    timestamps_us = answer.chart.timestamps_us
    usual_us = answer.chart_range.step_seconds * MICROSECONDS
    after = bisect_left(timestamps_us, slot_after(gap.last, gap.interval_seconds) * MICROSECONDS)
    before = bisect_left(timestamps_us, gap.first * MICROSECONDS) - 1
    if before < 0:
        return False  # and what ends after the last point is pending
    distance_us = timestamps_us[after] - timestamps_us[before]
    return 2 * distance_us > 3 * max(answer.chart.step_us, usual_us)


def _latest_start_us(chart_range: ChartRange, exchange_now_us: int) -> int:
    """Return where a complete chart of a range begins at the latest."""
    if chart_range.reach_seconds is None:
        return exchange_now_us
    offset_seconds = MAX_MISSING_STEPS * chart_range.step_seconds - chart_range.reach_seconds
    return exchange_now_us + offset_seconds * MICROSECONDS
