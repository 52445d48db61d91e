"""Gaps: what the recordings promise and the prices lack.

`missing` is the specification: plain, slow and obvious. SQL finds the same in
`repositories/gaps.py`, and a property test holds the two equal.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from enum import StrEnum
from itertools import pairwise
from typing import NamedTuple, Protocol, TypeVar

from app.domain.prices import TimeRange
from app.domain.recordings import Recording
from app.domain.slots import MICROSECONDS, Slot, floor_slot, slot_after, slot_before

PENDING = "pending"
MAX_COMMIT_SECONDS = 5.0


class Reason(StrEnum):
    """Why the exchange can't give the price of a slot, or is not asked for it."""

    CHART_TOO_COARSE = "chart_too_coarse"
    CHART_HAS_NO_POINT = "chart_has_no_point"
    BEFORE_CHART = "before_chart"
    UNKNOWN_TICKER = "unknown_ticker"
    BEYOND_LOOKBACK = "beyond_lookback"
    EXCHANGE_NOT_CONFIGURED = "exchange_not_configured"


class Gap(NamedTuple):
    """A run of slots without a price, both ends inclusive; without a reason nobody asked yet."""

    first: Slot
    last: Slot
    interval_seconds: int
    reason: Reason | None = None

    @property
    def missing(self) -> int:
        """Count its slots."""
        return (self.last - self.first) // self.interval_seconds + 1

    @property
    def why(self) -> str:
        """Name the reason; `pending` may be filled yet."""
        return PENDING if self.reason is None else self.reason.value


class Run(Protocol):
    """A run of slots of one interval, both ends inclusive."""

    @property
    def first(self) -> Slot:
        """Its first slot."""

    @property
    def last(self) -> Slot:
        """Its last slot."""

    @property
    def interval_seconds(self) -> int:
        """How far its slots lie apart."""


class Reasoned(Run, Protocol):
    """A run that bears a reason."""

    @property
    def reason(self) -> Reason | None:
        """Why its slots can't be had."""


AnyRun = TypeVar("AnyRun", bound=Run)


def last_due_slot(exchange_now_us: int, interval_seconds: int) -> Slot:
    """Give the newest slot whose live price can't come any more.

    A request takes at most half an interval, so a slot that ended so long ago has its price, or
    will never have a live one.
    """
    half_us = interval_seconds * MICROSECONDS // 2
    return slot_before(floor_slot(exchange_now_us - half_us, interval_seconds), interval_seconds)


def seconds_until_late(slot: Slot, interval_seconds: int, exchange_now_us: int) -> float:
    """Tell for how long a slot's live price may still be stored as such; zero or less: it is late.

    It has to be there before the slot is declared due, and a commit takes its time.
    """
    due = slot + 1.5 * interval_seconds
    return due - max_commit_seconds(interval_seconds) - exchange_now_us / MICROSECONDS


def max_commit_seconds(interval_seconds: int) -> float:
    """Tell how long a commit may take before readers could see that it came too late."""
    return min(MAX_COMMIT_SECONDS, interval_seconds / 12)


def clip_to_due(gaps: Iterable[Gap], exchange_now_us: int) -> list[Gap]:
    """Give what of the gaps is due at a moment."""
    ends = ((gap, last_due_slot(exchange_now_us, gap.interval_seconds)) for gap in gaps)
    return [gap._replace(last=min(gap.last, end)) for gap, end in ends if gap.first <= end]


def missing(
    recording: Recording, exchange_now_us: int, span: TimeRange, stored: Collection[int]
) -> list[Gap]:
    """Give the longest runs of slots that a recording promises in a span and the rows lack."""
    step = recording.interval_seconds
    last = (
        last_due_slot(exchange_now_us, step) if recording.last_slot is None else recording.last_slot
    )
    lacking = [
        Slot(slot)
        for slot in range(recording.first_slot, last + 1, step)
        if slot not in stored and _is_within(slot, span)
    ]
    return list(_runs(lacking, step))


def apply_reasons(gaps: Iterable[Gap], known: Sequence[Reasoned]) -> list[Gap]:
    """Split gaps where the reason changes; both come ascending and without overlaps.

    What is known of another interval is left out: it speaks of other slots.
    """
    return [
        gap._replace(first=first, last=last, reason=run.reason if run else gap.reason)
        for gap, first, last, run in overlay(gaps, known)
    ]


def without(gaps: Iterable[Gap], removed: Sequence[Run]) -> list[Gap]:
    """Give what remains of gaps when others are taken away; both ascending, without overlaps."""
    return [
        gap._replace(first=first, last=last)
        for gap, first, last, run in overlay(gaps, removed)
        if run is None
    ]


def split_at(gaps: Iterable[Gap], moment_us: int) -> tuple[list[Gap], list[Gap]]:
    """Part gaps into slots that start before a moment, and those that start from it on."""
    earlier: list[Gap] = []
    later: list[Gap] = []
    for gap in gaps:
        before = floor_slot(moment_us - 1, gap.interval_seconds)
        earlier.extend(subrange(gap, gap.first, min(gap.last, before)))
        later.extend(
            subrange(gap, max(gap.first, slot_after(before, gap.interval_seconds)), gap.last)
        )
    return earlier, later


def subrange(gap: Gap, first: Slot, last: Slot) -> list[Gap]:
    """Give a part of a gap; nothing where the last slot precedes the first."""
    return [gap._replace(first=first, last=last)] if first <= last else []


def with_default_reason(gaps: Iterable[Gap], reason: Reason) -> list[Gap]:
    """Give a reason to gaps that have none."""
    return [gap if gap.reason else gap._replace(reason=reason) for gap in gaps]


def count_slots(gaps: Iterable[Gap]) -> int:
    """Count the slots of all gaps."""
    return sum(gap.missing for gap in gaps)


def longest(gaps: Sequence[Gap]) -> int:
    """Count the slots of the longest run, whatever its reasons are."""
    best = run = 0
    before: Gap | None = None
    for gap in gaps:
        adjoins = before is not None and before.last + gap.interval_seconds == gap.first
        run = run + gap.missing if adjoins else gap.missing
        best, before = max(best, run), gap
    return best


def overlay(
    gaps: Iterable[Gap], others: Sequence[AnyRun]
) -> Iterator[tuple[Gap, Slot, Slot, AnyRun | None]]:
    """Cut gaps into pieces that lie wholly in one of the others, or in none; both ascending."""
    at = 0
    for gap in gaps:
        step, start = gap.interval_seconds, gap.first
        while at < len(others) and others[at].last < start:
            at += 1
        for other in _reaching(others, at, gap.last):
            if other.interval_seconds != step:
                continue
            if other.first > start:
                yield gap, start, slot_before(other.first, step), None
            last = min(gap.last, other.last)
            yield gap, max(start, other.first), last, other
            start = slot_after(last, step)
        if start <= gap.last:
            yield gap, start, gap.last, None


def _reaching(runs: Sequence[AnyRun], at: int, last: Slot) -> Iterator[AnyRun]:
    while at < len(runs) and runs[at].first <= last:
        yield runs[at]
        at += 1


def _runs(slots: Sequence[Slot], step: int) -> Iterator[Gap]:
    """Join slots that follow one another; they come ascending."""
    if not slots:
        return
    first = slots[0]
    for slot, following in pairwise(slots):
        if following != slot + step:
            yield Gap(first, slot, step)
            first = following
    yield Gap(first, slots[-1], step)


def _is_within(slot: int, span: TimeRange) -> bool:
    above = span.start is None or slot >= span.start
    return above and (span.end is None or slot <= span.end)
