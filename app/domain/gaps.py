"""Gaps: what the recordings promise and the prices lack."""

from collections.abc import Iterable, Iterator, Sequence
from enum import StrEnum
from typing import NamedTuple, TypeAlias, TypeVar

from app.domain.slots import MICROSECONDS, Slot, floor_slot, slot_after, slot_before

PENDING = "pending"
MAX_COMMIT_SECONDS = 5.0


class Reason(StrEnum):
    """Why the exchange can't supply the price of a slot, or is not requested to."""

    CHART_TOO_COARSE = "chart_too_coarse"
    CHART_HAS_NO_POINT = "chart_has_no_point"
    BEFORE_CHART = "before_chart"
    UNKNOWN_TICKER = "unknown_ticker"
    BEYOND_LOOKBACK = "beyond_lookback"
    EXCHANGE_NOT_CONFIGURED = "exchange_not_configured"


class Gap(NamedTuple):
    """A range of slots without a price, both ends inclusive; without a reason it is pending."""

    first: Slot
    last: Slot
    interval_seconds: int
    reason: Reason | None = None

    @property
    def missing(self) -> int:
        """Return the number of its slots."""
        return (self.last - self.first) // self.interval_seconds + 1

    @property
    def is_pending(self) -> bool:
        """Return whether the exchange may still be able to fill it: nothing says otherwise."""
        return self.reason is None

    @property
    def reason_code(self) -> str:
        """Return the code of the reason; `pending` without one."""
        return PENDING if self.reason is None else self.reason.value


class Retry(NamedTuple):
    """A range of slots that a chart lacked, after so many tries; the next one is at `next_us`.

    The reason is that of the finest chart that covered them, None if none did.
    """

    first: Slot
    last: Slot
    interval_seconds: int
    tries: int
    next_us: int
    reason: Reason | None = None


SlotRange: TypeAlias = Gap | Retry
SlotRangeT = TypeVar("SlotRangeT", bound=SlotRange)


def last_due_slot(exchange_now_us: int, interval_seconds: int) -> Slot:
    """Return the newest slot that can't get a live price any more.

    A request takes at most half an interval, so a slot that ended earlier has its live price or
    will never have one.
    """
    half_us = interval_seconds * MICROSECONDS // 2
    return slot_before(floor_slot(exchange_now_us - half_us, interval_seconds), interval_seconds)


def seconds_until_late(slot: Slot, interval_seconds: int, exchange_now_us: int) -> float:
    """Return how long a slot's price may still be stored as live; zero or less if it is too late.

    It has to be committed before the slot is due, and the commit takes time.
    """
    due = slot + 1.5 * interval_seconds
    return due - max_commit_seconds(interval_seconds) - exchange_now_us / MICROSECONDS


def max_commit_seconds(interval_seconds: int) -> float:
    """Return the longest time of a commit that readers can't notice as late."""
    return min(MAX_COMMIT_SECONDS, interval_seconds / 12)


def clip_to_due(gaps: Iterable[Gap], exchange_now_us: int) -> list[Gap]:
    """Return the parts of gaps that are due, by the exchange's clock."""
    ends = ((gap, last_due_slot(exchange_now_us, gap.interval_seconds)) for gap in gaps)
    return [gap._replace(last=min(gap.last, end)) for gap, end in ends if gap.first <= end]


def apply_reasons(gaps: Iterable[Gap], known: Sequence[SlotRange]) -> list[Gap]:
    """Split gaps where the reason changes; both arguments ascend without overlaps.

    Ranges of another interval are ignored, because they describe other slots.
    """
    return [
        gap._replace(first=first, last=last, reason=other.reason if other else gap.reason)
        for gap, first, last, other in overlay(gaps, known)
    ]


def subtract(gaps: Iterable[Gap], removed: Sequence[SlotRange]) -> list[Gap]:
    """Return what remains of gaps without other ranges; both ascend without overlaps."""
    return [
        gap._replace(first=first, last=last)
        for gap, first, last, other in overlay(gaps, removed)
        if other is None
    ]


def split_at(gaps: Iterable[Gap], timestamp_us: int) -> tuple[list[Gap], list[Gap]]:
    """Split gaps into slots that start before a timestamp, and those that start at it or later."""
    earlier: list[Gap] = []
    later: list[Gap] = []
    for gap in gaps:
        before = floor_slot(timestamp_us - 1, gap.interval_seconds)
        earlier.extend(subrange(gap, gap.first, min(gap.last, before)))
        later.extend(
            subrange(gap, max(gap.first, slot_after(before, gap.interval_seconds)), gap.last)
        )
    return earlier, later


def subrange(gap: Gap, first: Slot, last: Slot) -> list[Gap]:
    """Return a part of a gap as a list, empty if the last slot precedes the first."""
    return [gap._replace(first=first, last=last)] if first <= last else []


def with_default_reason(gaps: Iterable[Gap], reason: Reason) -> list[Gap]:
    """Set the reason of gaps that have none."""
    return [gap._replace(reason=reason) if gap.is_pending else gap for gap in gaps]


def count_slots(gaps: Iterable[Gap]) -> int:
    """Return the number of slots of all gaps."""
    return sum(gap.missing for gap in gaps)


def longest_missing_run(gaps: Sequence[Gap]) -> int:
    """Return the number of slots of the longest contiguous run, whatever its reasons."""
    longest = run = 0
    previous: Gap | None = None
    for gap in gaps:
        adjoins = previous is not None and previous.last + gap.interval_seconds == gap.first
        run = run + gap.missing if adjoins else gap.missing
        longest, previous = max(longest, run), gap
    return longest


def overlay(
    gaps: Iterable[Gap], others: Sequence[SlotRangeT]
) -> Iterator[tuple[Gap, Slot, Slot, SlotRangeT | None]]:
    """Cut gaps into pieces that lie in exactly one of the others, or in none.

    Both arguments ascend. Yields the gap, the piece's first and last slot, and the other or None.
    """
    index = 0
    for gap in gaps:
        step, start = gap.interval_seconds, gap.first
        while index < len(others) and others[index].last < start:
            index += 1
        for other in _starting_by(gap.last, others, index):
            if other.interval_seconds != step:
                continue
            if other.first > start:
                yield gap, start, slot_before(other.first, step), None
            last = min(gap.last, other.last)
            yield gap, max(start, other.first), last, other
            start = slot_after(last, step)
        if start <= gap.last:
            yield gap, start, gap.last, None


def _starting_by(last: Slot, ranges: Sequence[SlotRangeT], index: int) -> Iterator[SlotRangeT]:
    while index < len(ranges) and ranges[index].first <= last:
        yield ranges[index]
        index += 1
