"""The state of a ticker beside its rows."""

from typing import NamedTuple

from app.domain.prices import Price
from app.domain.recordings import Recording
from app.domain.slots import Slot


class TickerState(NamedTuple):
    """A ticker's newest price, its oldest slot, and its recordings, the oldest first."""

    newest: Price | None = None
    oldest: Slot | None = None
    recordings: tuple[Recording, ...] = ()
