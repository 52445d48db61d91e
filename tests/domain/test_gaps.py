"""The arithmetic of gaps."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.gaps import (
    Gap,
    Reason,
    apply_reasons,
    clip_to_due,
    count_slots,
    last_due_slot,
    longest_missing_run,
    max_commit_seconds,
    seconds_until_late,
    split_at,
    subtract,
    with_default_reason,
)
from app.domain.prices import TickerKey, TimeRange
from app.domain.recordings import Recording
from app.domain.slots import MICROSECONDS, Slot
from tests.domain.specified_gaps import find_missing

BTC = TickerKey("deribit", "btc_usd")
STEP = 60


def _gap(first: int, last: int, reason: Reason | None = None, step: int = STEP) -> Gap:
    return Gap(Slot(first * step), Slot(last * step), step, reason)


@st.composite
def _runs(draw: st.DrawFn, reasons: Sequence[Reason | None] = (None,)) -> list[Gap]:
    """Runs that ascend without overlaps; they may adjoin."""
    runs, at = [], 0
    for _ in range(draw(st.integers(0, 6))):
        first = at + draw(st.integers(0, 4))
        last = first + draw(st.integers(0, 5))
        runs.append(_gap(first, last, draw(st.sampled_from(reasons))))
        at = last + 1
    return runs


def _slots(gaps: Sequence[Gap]) -> dict[int, Reason | None]:
    return {
        slot: gap.reason
        for gap in gaps
        for slot in range(gap.first, gap.last + 1, gap.interval_seconds)
    }


def test_slot_may_come_for_half_an_interval_after_its_end() -> None:
    assert last_due_slot(90 * MICROSECONDS, STEP) == 0
    assert last_due_slot(90 * MICROSECONDS - 1, STEP) == -STEP


def test_price_must_be_committed_before_its_slot_is_due() -> None:
    """The slot from 60 to 120 s is due at 150 s, and a commit may take 5 s."""
    assert seconds_until_late(Slot(60), 60, 100 * MICROSECONDS) == 45
    assert seconds_until_late(Slot(60), 60, 145 * MICROSECONDS) == 0
    assert seconds_until_late(Slot(60), 60, 145_250_000) == -0.25


@pytest.mark.parametrize(
    ("interval", "seconds"), [(1, 1 / 12), (6, 0.5), (48, 4), (60, 5), (86_400, 5)]
)
def test_commit_takes_a_twelfth_of_an_interval_at_most_five_seconds(
    interval: int, seconds: float
) -> None:
    assert max_commit_seconds(interval) == seconds


def test_slots_of_all_gaps_are_counted() -> None:
    assert count_slots([_gap(1, 3), _gap(4, 4), _gap(0, 9, step=6)]) == 14
    assert count_slots([]) == 0


def test_open_recording_promises_up_to_what_is_due() -> None:
    recording = Recording(BTC, STEP, Slot(120))
    found = find_missing(recording, 389 * MICROSECONDS, TimeRange(), {180})
    assert found == [_gap(2, 2), _gap(4, 4)]


def test_closed_recording_promises_nothing_beyond_its_end() -> None:
    recording = Recording(BTC, STEP, Slot(120), Slot(180))
    assert find_missing(recording, 9000 * MICROSECONDS, TimeRange(), ()) == [_gap(2, 3)]
    assert find_missing(recording, 9000 * MICROSECONDS, TimeRange(121, 179), ()) == []


@given(_runs(), _runs(list(Reason)))
def test_every_slot_keeps_its_reason(gaps: list[Gap], known: list[Gap]) -> None:
    reasons = _slots(known)
    found = apply_reasons(gaps, known)
    assert _slots(found) == {slot: reasons.get(slot) for slot in _slots(gaps)}
    assert sum(gap.missing for gap in found) == len(_slots(gaps))


@given(_runs(list(Reason)), _runs())
def test_what_is_taken_away_is_gone(gaps: list[Gap], removed: list[Gap]) -> None:
    gone = _slots(removed)
    kept = {slot: reason for slot, reason in _slots(gaps).items() if slot not in gone}
    assert _slots(subtract(gaps, removed)) == kept


def test_what_is_known_of_another_interval_says_nothing() -> None:
    known = [_gap(0, 100, Reason.BEFORE_CHART, step=6)]
    assert apply_reasons([_gap(1, 2)], known) == [_gap(1, 2)]


def test_ranges_of_several_intervals_are_told_apart() -> None:
    """Both begin in the gap; only the second one describes its slots."""
    known = [
        _gap(1, 1, Reason.BEFORE_CHART, step=120),
        _gap(3, 3, Reason.CHART_HAS_NO_POINT),
    ]
    assert apply_reasons([_gap(2, 3)], known) == [
        _gap(2, 2),
        _gap(3, 3, Reason.CHART_HAS_NO_POINT),
    ]


def test_slot_that_starts_at_the_timestamp_belongs_to_the_later_part() -> None:
    gap = _gap(1, 2)
    assert split_at([gap], 120 * MICROSECONDS) == ([_gap(1, 1)], [_gap(2, 2)])
    assert split_at([gap], 120 * MICROSECONDS + 1) == ([gap], [])
    assert split_at([gap], 60 * MICROSECONDS) == ([], [gap])


def test_gap_keeps_the_reason_that_it_has() -> None:
    known, pending = _gap(1, 1, Reason.BEFORE_CHART), _gap(2, 2)
    assert with_default_reason([known, pending], Reason.CHART_TOO_COARSE) == [
        known,
        _gap(2, 2, Reason.CHART_TOO_COARSE),
    ]


@given(_runs(list(Reason)))
def test_longest_missing_run_joins_what_adjoins(gaps: list[Gap]) -> None:
    slots = _slots(gaps)
    best = run = 0
    for slot in range(0, 100 * STEP, STEP):
        run = run + 1 if slot in slots else 0
        best = max(best, run)
    assert longest_missing_run(gaps) == best


def test_what_is_due_by_a_moment_is_cut_from_gaps() -> None:
    gaps = [Gap(Slot(0), Slot(120), 60), Gap(Slot(240), Slot(300), 60)]
    assert clip_to_due(gaps, 389_999_999) == [gaps[0], Gap(Slot(240), Slot(240), 60)]
    assert clip_to_due(gaps, 390_000_000) == gaps
    assert clip_to_due(gaps, 89_999_999) == []
