"""Changes: which slots a write changed, so that caches can invalidate them."""

from typing import Final, NamedTuple

from app.domain.prices import TickerKey
from app.domain.slots import Slot


class Change(NamedTuple):
    """Slots of a ticker that changed, both ends inclusive; without a key, everything changed."""

    key: TickerKey | None
    first: Slot
    last: Slot

    def overlaps(self, key: TickerKey, first: int, last: int) -> bool:
        """Return whether a ticker's slots from `first` to `last` may have changed."""
        if self.key is None:
            return True
        return self.key == key and self.first <= last and first <= self.last


CHANGES_RETENTION_SECONDS: Final = 3600
"""Changes stay noted for so long after their transaction."""

EVERYTHING: Final = Change(None, Slot(0), Slot(0))
