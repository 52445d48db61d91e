"""Completeness: in which parts of a range of seconds a row may still be added."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence

from app.domain.recordings import Recording

Range = tuple[int, int]
"""The first and the last second, both inclusive."""


def writable_ranges(
    slots: Sequence[int], recordings: Iterable[Recording], first: int, last: int
) -> Iterator[Range]:
    """Yield ranges where a row may still be added: promised slots without one, and unpromised time.

    `slots` are those of the stored rows, `recordings` the ticker's, both ascending. Each recording
    has its own interval. Rows outside of all recordings may be imported at any time.
    """
    covered = first - 1
    for recording in recordings:
        step, ends = recording.interval_seconds, recording.last_slot
        start = max(first, recording.first_slot)
        stop = last if ends is None else min(last, ends + step - 1)
        if start > stop:
            continue  # it is empty, or lies outside
        if start > covered + 1:
            yield covered + 1, start - 1
        yield from _missing(slots, step, start, stop)
        covered = max(covered, stop)
    if covered < last:
        yield covered + 1, last


def _missing(slots: Sequence[int], step: int, first: int, last: int) -> Iterator[Range]:
    """Yield the ranges of slots between two seconds that have no row."""
    expected = -(-first // step) * step
    stored = slots[bisect_left(slots, first) : bisect_right(slots, last)]
    for slot in stored:
        if slot % step:
            continue  # of another interval
        if slot > expected:
            yield expected, slot - step
        expected = slot + step
    if expected <= last:
        yield expected, last
