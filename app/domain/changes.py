"""Changes: which slots a write touched, so that whoever remembers them can forget."""

from typing import Final, NamedTuple

from app.domain.prices import TickerKey
from app.domain.slots import Slot


class Change(NamedTuple):
    """Slots of a ticker that changed, both ends inclusive; without a key, everything did."""

    key: TickerKey | None
    first: Slot
    last: Slot

    def touches(self, key: TickerKey, first: int, last: int) -> bool:
        """Tell whether a ticker's slots from one to another may have changed."""
        if self.key is None:
            return True
        return self.key == key and self.first <= last and first <= self.last


EVERYTHING: Final = Change(None, Slot(0), Slot(0))
