"""Clocks: one elsewhere, carried on, and this host's own that nobody sets."""

import time
from functools import cache
from pathlib import Path
from typing import Final
from uuid import uuid4

_MICROSECONDS = 1_000_000
_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")
_GOES_ON = getattr(time, "CLOCK_BOOTTIME", None)
"""Linux's; elsewhere there is none, and only the database's clock tells afterwards."""


def suspend_aware_clock() -> float:
    """Read a clock in seconds that never goes back, and counts while the machine is suspended."""
    return time.monotonic() if _GOES_ON is None else time.clock_gettime(_GOES_ON)


class ExtrapolatedClock:
    """A clock elsewhere, carried on by this machine's monotonic one."""

    def __init__(self, now_us: int) -> None:
        self._anchor_us = now_us
        self._anchored_at = time.monotonic()

    def now_us(self) -> int:
        """Give that clock's present, in microseconds since the epoch."""
        elapsed = time.monotonic() - self._anchored_at
        return self._anchor_us + round(elapsed * _MICROSECONDS)


def host_now_us() -> int:
    """Give this host's steady clock, in microseconds since it started."""
    return round(suspend_aware_clock() * _MICROSECONDS)


@cache
def host_id() -> str:
    """Name whose steady clock it is: this start of the host; elsewhere than Linux, this process."""
    try:
        return _BOOT_ID.read_text().strip()
    except OSError:
        return uuid4().hex
