"""Forgetting: which rows are to go, and what they are."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from app.domain.prices import UNBOUNDED, Source, TickerKey, TimeRange


@dataclass(frozen=True, slots=True)
class Selection:
    """Rows of a ticker: of a span, and of one source; what is left open means all of them."""

    key: TickerKey
    span: TimeRange = UNBOUNDED
    source: Source | None = None

    @property
    def is_whole(self) -> bool:
        """Tell whether the ticker itself is meant, with all that is known of it."""
        return self.span == UNBOUNDED and self.source is None


@dataclass(frozen=True, slots=True)
class RowCounts:
    """What a selection holds: rows by source, the first and the last slot."""

    by_source: Mapping[str, int] = field(default_factory=dict)
    first: int | None = None
    last: int | None = None

    @property
    def rows(self) -> int:
        """Count all rows."""
        return sum(self.by_source.values())
