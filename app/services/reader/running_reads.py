"""Reads of the database that are under way, and whether their slots changed meanwhile."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from app.domain.changed_slots import Change
from app.domain.prices import TickerKey


@dataclass(slots=True, eq=False)
class RunningRead:
    """Slots that are being read from the database; stale if they change during the read."""

    key: TickerKey
    first: int
    last: int
    is_stale: bool = False


class RunningReads:
    """The reads that are under way."""

    def __init__(self) -> None:
        self._reads: set[RunningRead] = set()

    @contextmanager
    def add(self, key: TickerKey, first: int, last: int) -> Iterator[RunningRead]:
        """Note a read while the block runs."""
        read = RunningRead(key, first, last)
        self._reads.add(read)
        try:
            yield read
        finally:
            self._reads.discard(read)

    def invalidate(self, change: Change) -> None:
        """Mark the reads that a change overlaps as stale."""
        for read in self._reads:
            read.is_stale |= change.overlaps(read.key, read.first, read.last)
