"""The exchange's clock, which may be wrong, and the time it takes to answer."""

import time
from dataclasses import dataclass
from random import Random
from typing import Final

_MAX_MS: Final = 1e12  # 31 years


def now_us() -> int:
    """Return the machine's time in microseconds since the epoch."""
    return time.time_ns() // 1_000


@dataclass(frozen=True, slots=True)
class JitteredMilliseconds:
    """A number of milliseconds: a fixed part and a random one, drawn anew for every answer."""

    fixed_ms: float = 0.0
    random_ms: tuple[float, float] = (0.0, 0.0)

    def __post_init__(self) -> None:
        """Refuse a range that runs backwards, and times beyond any calendar."""
        low, high = self.random_ms
        for value in (self.fixed_ms, low, high):
            if not abs(value) <= _MAX_MS:  # so written, it refuses NaN too
                raise ValueError(f"{value:g} ms is beyond {_MAX_MS:g} ms either way")
        if low > high:
            raise ValueError(f"a range must ascend, not run from {low:g} to {high:g}")

    def draw_us(self, rng: Random) -> int:
        """Return one draw in microseconds."""
        return round((self.fixed_ms + rng.uniform(*self.random_ms)) * 1_000)


def validate_delay(delay: JitteredMilliseconds) -> None:
    """Refuse a delay into the past."""
    shortest = delay.fixed_ms + delay.random_ms[0]
    if shortest < 0:
        raise ValueError(f"delay: {shortest:g} ms is below 0")
