"""What a gap is: plain and slow. The SQL in `app/repositories/gaps.py` must find the same."""

from collections.abc import Collection, Iterator, Sequence
from itertools import pairwise

from app.domain.gaps import Gap, last_due_slot
from app.domain.prices import TimeRange
from app.domain.recordings import Recording
from app.domain.slots import Slot


def find_missing(
    recording: Recording, exchange_now_us: int, time_range: TimeRange, stored: Collection[int]
) -> list[Gap]:
    """Return the longest ranges of slots that a recording promises and the rows lack."""
    step = recording.interval_seconds
    last = (
        last_due_slot(exchange_now_us, step) if recording.last_slot is None else recording.last_slot
    )
    start, end = time_range.bounds()
    lacking = [
        Slot(slot)
        for slot in range(recording.first_slot, last + 1, step)
        if slot not in stored and start <= slot <= end
    ]
    return list(_contiguous(lacking, step))


def _contiguous(slots: Sequence[Slot], step: int) -> Iterator[Gap]:
    """Join ascending slots into contiguous ranges."""
    if not slots:
        return
    first = slots[0]
    for slot, following in pairwise(slots):
        if following != slot + step:
            yield Gap(first, slot, step)
            first = following
    yield Gap(first, slots[-1], step)
