"""A rate limit like Deribit's: a pool of credit that refills by the second."""

import time


class RateLimit:
    """So many requests a second on average, and so many at once."""

    def __init__(self, per_second: float, burst: int) -> None:
        """Start with a full pool."""
        self._per_second, self._burst = per_second, burst
        self._credit: float = burst
        self._refilled_at = time.monotonic()

    def allows(self) -> bool:
        """Take one request's credit, or say that there is none."""
        now = time.monotonic()
        refill = (now - self._refilled_at) * self._per_second
        self._credit = min(self._burst, self._credit + refill)
        self._refilled_at = now
        if self._credit < 1:
            return False
        self._credit -= 1
        return True
