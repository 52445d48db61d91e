"""Clocks: one elsewhere, carried on, and one that goes on while the machine sleeps."""

import time

_MICROSECONDS = 1_000_000
_GOES_ON = getattr(time, "CLOCK_BOOTTIME", None)
"""Linux's; elsewhere there is none, and only the database's clock tells afterwards."""


def awake_or_not() -> float:
    """Read a clock in seconds that never goes back, and counts while the machine is suspended."""
    return time.monotonic() if _GOES_ON is None else time.clock_gettime(_GOES_ON)


class CarriedClock:
    """A clock elsewhere, carried on by this machine's monotonic one."""

    def __init__(self, now_us: int) -> None:
        self._anchor_us = now_us
        self._anchored_at = time.monotonic()

    def now_us(self) -> int:
        """Give that clock's present, in microseconds since the epoch."""
        elapsed = time.monotonic() - self._anchored_at
        return self._anchor_us + round(elapsed * _MICROSECONDS)
