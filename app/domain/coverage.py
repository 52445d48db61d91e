"""Coverage and quality: how many of the promised slots are stored, and how good they are."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import NamedTuple

from app.domain.gaps import Gap, longest_run
from app.domain.prices import TickerKey
from app.domain.slots import Slot


class SlotCounts(NamedTuple):
    """The promised slots from the first to the last, and how many are stored, by source.

    The interval is that of the newest recording. Without recordings there are no slots.
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
    tally: SlotCounts
    gaps: Sequence[Gap]

    @property
    def longest_gap(self) -> int:
        """Return the number of slots of the longest run without a price."""
        return longest_run(self.gaps)

    def missing_by_reason(self) -> dict[str, int]:
        """Count the missing slots by reason; those that may still be filled are `pending`."""
        counts: dict[str, int] = {}
        for gap in self.gaps:
            counts[gap.why] = counts.get(gap.why, 0) + gap.missing
        return counts


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
