"""Coverage and quality: how many of the promised slots are stored, and how good they are."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from enum import StrEnum
from typing import NamedTuple

from app.domain.gaps import Gap, longest_missing_run
from app.domain.prices import TickerKey, TimeRange
from app.domain.slots import SECONDS_PER_DAY, SECONDS_PER_HOUR, Slot


class CoveragePeriod(StrEnum):
    """The days or hours, in UTC, by which slots are counted."""

    DAY = "day"
    HOUR = "hour"

    @property
    def seconds(self) -> int:
        """Return its length."""
        return SECONDS_PER_DAY if self is CoveragePeriod.DAY else SECONDS_PER_HOUR


class SlotCounts(NamedTuple):
    """The promised slots from the first to the last, and how many are stored, by source.

    The interval is that of the newest recording. Without recordings there are no slots. The counts
    of a day or an hour have no first and last slot.
    """

    expected: int = 0
    live: int = 0
    backfilled: int = 0
    imported: int = 0
    first: Slot | None = None
    last: Slot | None = None
    interval_seconds: int | None = None

    @property
    def stored(self) -> int:
        """Return the number of promised slots that have a price."""
        return self.live + self.backfilled + self.imported

    @property
    def missing(self) -> int:
        """Return the number of promised slots without a price."""
        return self.expected - self.stored


@dataclass(frozen=True, slots=True)
class Coverage:
    """A ticker's promised and stored slots, and its gaps with their reasons."""

    key: TickerKey
    slot_counts: SlotCounts
    gaps: Sequence[Gap]

    @property
    def longest_gap(self) -> int:
        """Return the number of slots of the longest run without a price."""
        return longest_missing_run(self.gaps)

    def missing_by_reason(self) -> dict[str, int]:
        """Count the missing slots by reason; those that may still be filled are `pending`."""
        counts: dict[str, int] = {}
        for gap in self.gaps:
            counts[gap.reason_code] = counts.get(gap.reason_code, 0) + gap.missing
        return counts


@dataclass(frozen=True, slots=True)
class PeriodQuery:
    """A query of the slots of at most `limit` days or hours of a ticker within a range."""

    key: TickerKey
    time_range: TimeRange
    period: CoveragePeriod
    limit: int

    def after(self, start: int) -> "PeriodQuery":
        """Return the query of what follows the day or hour with this start."""
        earliest, _ = self.time_range.bounds()
        first = max(earliest, start + self.period.seconds)
        return replace(self, time_range=TimeRange(first, self.time_range.end))


@dataclass(frozen=True, slots=True)
class CoverageByPeriod:
    """A ticker's slots of a range, and of a page of its days or hours by their start, ascending."""

    key: TickerKey
    slot_counts: SlotCounts
    periods: Mapping[int, SlotCounts]
    has_more: bool


@dataclass(frozen=True, slots=True)
class Lateness:
    """The delay of live rows from the slot's start to the exchange's timestamp, in microseconds."""

    median_us: int
    p99_us: int
    worst_us: int


@dataclass(frozen=True, slots=True)
class Outlier:
    """A price that differs from the previous slot's more than is usual for the ticker."""

    slot: Slot
    price: Decimal
    before: Decimal
    move: float


@dataclass(frozen=True, slots=True)
class Quality:
    """The lateness of live rows, and unusual price moves, the largest first.

    `bound` is the relative move from which on a price is flagged; None without moves.
    """

    lateness: Lateness | None
    bound: float | None
    outlier_count: int
    outliers: Sequence[Outlier]
