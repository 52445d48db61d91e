"""Coverage and quality: how much of what was promised is there, and how good it is."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import NamedTuple

from app.domain.gaps import Gap, longest
from app.domain.prices import TickerKey
from app.domain.slots import Slot


class SlotCounts(NamedTuple):
    """How many slots were promised from the first to the last, and how many rows are there.

    The interval is the newest recording's. Without a promise there are no slots.
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
        """Count the promised slots that have their price."""
        return self.live + self.backfilled + self.imported

    @property
    def missing(self) -> int:
        """Count the promised slots without a price."""
        return self.expected - self.stored


@dataclass(frozen=True, slots=True)
class Coverage:
    """What was promised of a ticker, what is stored of it, and each gap with its reason."""

    key: TickerKey
    tally: SlotCounts
    gaps: Sequence[Gap]

    @property
    def longest_gap(self) -> int:
        """Count the slots of the longest run without a price."""
        return longest(self.gaps)

    def missing_by_reason(self) -> dict[str, int]:
        """Count the missing slots by why the exchange can't give them; `pending` may come yet."""
        counts: dict[str, int] = {}
        for gap in self.gaps:
            counts[gap.why] = counts.get(gap.why, 0) + gap.missing
        return counts


@dataclass(frozen=True, slots=True)
class Lateness:
    """How long after a slot's start the exchange's stamp lies, in microseconds, of live rows."""

    median_us: int
    p99_us: int
    worst_us: int


@dataclass(frozen=True, slots=True)
class Outlier:
    """A price that moved further from the slot before than moves of this ticker do."""

    slot: Slot
    price: Decimal
    before: Decimal
    move: float


@dataclass(frozen=True, slots=True)
class Quality:
    """How late samples are, and which moves are out of the ordinary: the widest ones first.

    `bound` is the relative move beyond which a price is flagged; None without moves.
    """

    lateness: Lateness | None
    bound: float | None
    outlier_count: int
    outliers: Sequence[Outlier]
