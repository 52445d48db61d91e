"""Deletion: which rows to delete, and how many they are."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from app.domain.prices import UNBOUNDED, Source, TickerKey, TimeRange


@dataclass(frozen=True, slots=True)
class Selection:
    """Rows of a ticker within a range and of one source; a source of None means all of them."""

    key: TickerKey
    time_range: TimeRange = UNBOUNDED
    source: Source | None = None

    @property
    def is_whole(self) -> bool:
        """Return whether the whole ticker is selected, with its recordings."""
        return self.time_range == UNBOUNDED and self.source is None


@dataclass(frozen=True, slots=True)
class RowCounts:
    """The number of rows in a selection by source, and their first and last slot."""

    by_source: Mapping[str, int] = field(default_factory=dict)
    first: int | None = None
    last: int | None = None

    @property
    def rows(self) -> int:
        """Return the number of all rows."""
        return sum(self.by_source.values())
