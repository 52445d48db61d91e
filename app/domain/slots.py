"""Slots: intervals that start at a multiple of their length since the epoch.

Everything here is pure integer arithmetic; the current time is always an argument.
"""

from typing import NamedTuple, NewType

MICROSECONDS = 1_000_000
SECONDS_PER_HOUR = 3_600
SECONDS_PER_DAY = 24 * SECONDS_PER_HOUR
MAX_WINDOW_SECONDS = 15.0
TIMESTAMP_TOLERANCE_US = SECONDS_PER_HOUR * MICROSECONDS
STALE_AFTER_INTERVALS = 2

Slot = NewType("Slot", int)
"""The start of a slot in UNIX seconds, as `floor_slot` returns it."""


def floor_slot(timestamp_us: int, interval_seconds: int) -> Slot:
    """Return the slot that contains a timestamp (microseconds since the epoch)."""
    return Slot(timestamp_us // (interval_seconds * MICROSECONDS) * interval_seconds)


def slot_after(slot: Slot, interval_seconds: int) -> Slot:
    """Return the next slot."""
    return Slot(slot + interval_seconds)


def slot_before(slot: Slot, interval_seconds: int) -> Slot:
    """Return the previous slot."""
    return Slot(slot - interval_seconds)


def seconds_left(slot: Slot, interval_seconds: int, now_us: int) -> float:
    """Return the seconds until a slot ends; zero or less when it is over."""
    return slot + interval_seconds - now_us / MICROSECONDS


def window_seconds(interval_seconds: int) -> float:
    """Return how close to its end a slot's end is awaited: a quarter of it, at most 15 s."""
    return min(interval_seconds / 4, MAX_WINDOW_SECONDS)


def is_plausible(observed_us: int, reference_us: int) -> bool:
    """Return whether an exchange's timestamp is within an hour of a reference clock."""
    return abs(observed_us - reference_us) <= TIMESTAMP_TOLERANCE_US


class LatestLivePrice(NamedTuple):
    """The live row of a ticker that was stored last.

    `observed_us` is the exchange's clock, `created_us` the database's, both in microseconds.
    """

    slot: Slot
    observed_us: int
    created_us: int

    def exchange_now_us(self, database_us: int) -> int | None:
        """Estimate the exchange's clock from the time that passed on the database's clock since.

        Returns None if the database's clock was set back behind the row.
        """
        elapsed_us = database_us - self.created_us
        return self.observed_us + elapsed_us if elapsed_us >= 0 else None


def estimate_exchange_now_us(latest: LatestLivePrice | None, database_us: int) -> int:
    """Estimate the exchange's clock; without a live row it is the database's clock.

    If the database's clock was set back, it is the last timestamp of the exchange.
    """
    if latest is None:
        return database_us
    return latest.observed_us + max(0, database_us - latest.created_us)
