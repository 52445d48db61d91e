"""Clocks: an extrapolated remote one, and this host's own, which nobody can set."""

import time
from functools import cache
from pathlib import Path
from typing import Final
from uuid import uuid4

_MICROSECONDS: Final = 1_000_000
_BOOT_ID_FILE: Final = Path("/proc/sys/kernel/random/boot_id")
_BOOTTIME_CLOCK: Final = getattr(time, "CLOCK_BOOTTIME", None)
"""Exists on Linux only; elsewhere the monotonic clock stands in, which may stop in suspend."""


def boottime_seconds() -> float:
    """Return seconds on a clock that never goes back and runs while the machine is suspended."""
    if _BOOTTIME_CLOCK is None:
        return time.monotonic()
    return time.clock_gettime(_BOOTTIME_CLOCK)


def boottime_us() -> int:
    """Return `boottime_seconds` in microseconds."""
    return round(boottime_seconds() * _MICROSECONDS)


@cache
def host_id() -> str:
    """Identify the start of the host that `boottime_us` counts from; off Linux, this process."""
    try:
        return _BOOT_ID_FILE.read_text().strip()
    except OSError:
        return uuid4().hex


class ExtrapolatedClock:
    """A remote clock that was read once and is extrapolated by this machine's monotonic clock."""

    def __init__(self, now_us: int) -> None:
        self._read_us = now_us
        self._read_at = time.monotonic()

    def now_us(self) -> int:
        """Return the remote clock's time in microseconds since the epoch."""
        elapsed = time.monotonic() - self._read_at
        return self._read_us + round(elapsed * _MICROSECONDS)
