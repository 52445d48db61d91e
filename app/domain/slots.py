"""The grid of time: a slot is an interval that starts at a multiple of itself since the epoch.

Everything here is pure arithmetic on integers; `now` always comes from outside.
"""

from typing import NamedTuple, NewType

MICROSECONDS = 1_000_000
MAX_WINDOW_SECONDS = 15.0
TIMESTAMP_TOLERANCE_US = 3_600 * MICROSECONDS
STALE_AFTER_INTERVALS = 2

Slot = NewType("Slot", int)
"""The start of a slot in UNIX seconds; made only by `floor_slot`."""


def floor_slot(moment_us: int, interval_seconds: int) -> Slot:
    """Give the slot in which a moment (microseconds since the epoch) lies."""
    return Slot(moment_us // (interval_seconds * MICROSECONDS) * interval_seconds)


def slot_after(slot: Slot, interval_seconds: int) -> Slot:
    """Give the slot that follows."""
    return Slot(slot + interval_seconds)


def slot_before(slot: Slot, interval_seconds: int) -> Slot:
    """Give the slot that precedes."""
    return Slot(slot - interval_seconds)


def seconds_left(slot: Slot, interval_seconds: int, now_us: int) -> float:
    """Tell how long a slot still runs; zero or less when it is over."""
    return slot + interval_seconds - now_us / MICROSECONDS


def window_seconds(interval_seconds: int) -> float:
    """Tell how close to its end a slot is waited out: a quarter of it, at most 15 s."""
    return min(interval_seconds / 4, MAX_WINDOW_SECONDS)


def is_plausible(observed_us: int, reference_us: int) -> bool:
    """Tell whether the exchange's stamp lies within an hour of a reference clock."""
    return abs(observed_us - reference_us) <= TIMESTAMP_TOLERANCE_US


class LatestLivePrice(NamedTuple):
    """The live row of a ticker that was stored last: its slot, the exchange's stamp, when."""

    slot: Slot
    observed_us: int
    created_us: int

    def exchange_now_us(self, database_us: int) -> int | None:
        """Estimate the exchange's present from what the database's clock advanced since.

        A row created in the clock's future tells nothing: the clock was set back.
        """
        elapsed_us = database_us - self.created_us
        return self.observed_us + elapsed_us if elapsed_us >= 0 else None


def estimate_exchange_now_us(edge: LatestLivePrice | None, database_us: int) -> int:
    """Estimate the exchange's present; the database's clock where no live row tells.

    Where the database's clock was set back, the last stamp is all that is sure.
    """
    if edge is None:
        return database_us
    return edge.observed_us + max(0, database_us - edge.created_us)
