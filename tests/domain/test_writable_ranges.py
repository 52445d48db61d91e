"""Completeness: where a row may still be added, by the recordings that cover a range."""

from collections.abc import Sequence
from random import Random

import pytest

from app.domain.prices import TickerKey
from app.domain.recordings import Recording
from app.domain.slots import Slot
from app.domain.writable_ranges import writable_ranges

BTC = TickerKey("deribit", "btc_usd")


def _recording(interval: int, first: int, last: int | None) -> Recording:
    return Recording(BTC, interval, Slot(first), None if last is None else Slot(last))


def _over(second: int, recordings: Sequence[Recording]) -> list[Recording]:
    """Name the recordings that cover a second."""
    return [
        one
        for one in recordings
        if one.first_slot <= second
        and (one.last_slot is None or second < one.last_slot + one.interval_seconds)
    ]


@pytest.mark.parametrize("seed", range(200))
def test_open_ranges_hold_every_slot_without_a_row_and_what_nobody_promised(seed: int) -> None:
    random = Random(seed)  # noqa: S311  # a reproducible case, no secret
    recordings, edge = [], random.choice([0, 300])
    for interval in random.choices([60, 300, 30], k=random.randint(0, 3)):
        first = -(-edge // interval) * interval + random.choice([0, 0, 600])
        last = first + interval * random.randint(-1, 12)
        recordings.append(_recording(interval, first, last))
        edge = max(first, last + interval)
    if recordings and random.random() < 0.5:
        recordings[-1] = _recording(
            recordings[-1].interval_seconds, recordings[-1].first_slot, None
        )
    slots = [second for second in range(0, 4000, 30) if random.random() < 0.9]
    first = random.randint(0, 1500)
    last = first + random.randint(0, 2500)
    found = list(writable_ranges(slots, recordings, first, last))
    assert found == sorted(found)
    assert all(first <= start <= end <= last for start, end in found)
    for second in range(first, last + 1):
        over = _over(second, recordings)
        is_slot = any(second % one.interval_seconds == 0 for one in over)
        is_open = any(start <= second <= end for start, end in found)
        if not over or (is_slot and second not in slots):
            assert is_open
        elif is_slot:  # between two slots it makes no difference
            assert not is_open


@pytest.mark.parametrize(
    ("slots", "recordings", "bounds", "found"),
    [
        # nothing is promised
        ([0, 60], [], (0, 119), [(0, 119)]),
        # a recording covers its last slot to the end, and not a second more
        ([0, 60], [(60, 0, 60)], (0, 119), []),
        ([0, 60], [(60, 0, 60)], (0, 120), [(120, 120)]),
        # one second before a recording
        ([60], [(60, 60, 60)], (59, 119), [(59, 59)]),
        # a range of one second: a slot with its row, and one without
        ([0], [(60, 0, None)], (0, 0), []),
        ([], [(60, 0, None)], (0, 0), [(0, 0)]),
        # a range that begins and ends between slots
        ([0, 60, 120], [(60, 0, None)], (10, 170), []),
        # the last second is a slot
        ([0], [(60, 0, None)], (0, 60), [(60, 60)]),
        # recordings after the range, before it, and one that was closed before its first slot
        ([], [(60, 600, None)], (0, 59), [(0, 59)]),
        ([0], [(60, 0, 0)], (60, 119), [(60, 119)]),
        ([], [(60, 60, 0)], (0, 119), [(0, 119)]),
        # between two recordings
        ([0, 300], [(60, 0, 0), (300, 300, None)], (0, 599), [(60, 299)]),
        # a row is missing in the middle
        ([0, 120], [(60, 0, None)], (0, 179), [(60, 60)]),
    ],
)
def test_rows_may_be_added_exactly_there(
    slots: list[int],
    recordings: list[tuple[int, int, int | None]],
    bounds: tuple[int, int],
    found: list[tuple[int, int]],
) -> None:
    promised = [_recording(*one) for one in recordings]
    assert list(writable_ranges(slots, promised, *bounds)) == found


def test_all_of_a_recording_is_complete_and_a_far_future_costs_nothing() -> None:
    recordings = [_recording(60, 0, None)]
    slots = list(range(0, 7200, 60))
    assert list(writable_ranges(slots, recordings, 0, 7199)) == []
    assert list(writable_ranges(slots, recordings, 0, 10**12)) == [(7200, 10**12)]
