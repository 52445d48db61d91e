"""Clocks elsewhere, read once and carried on."""

import time

_MICROSECONDS = 1_000_000


class CarriedClock:
    """A clock elsewhere, carried on by this machine's monotonic one."""

    def __init__(self, now_us: int) -> None:
        self._anchor_us = now_us
        self._anchored_at = time.monotonic()

    def now_us(self) -> int:
        """Give that clock's present, in microseconds since the epoch."""
        elapsed = time.monotonic() - self._anchored_at
        return self._anchor_us + round(elapsed * _MICROSECONDS)
