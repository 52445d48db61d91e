"""A rate limit like Deribit's: a pool of credit that refills by the second."""

import time
from dataclasses import dataclass, field


@dataclass(slots=True)
class RateLimit:
    """So many requests a second on average, and so many at once."""

    per_second: float
    burst: int
    _credit: float = field(init=False)
    _refilled_at: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        """Start with a full pool."""
        self._credit = self.burst

    def allows(self) -> bool:
        """Take one request's credit, or say that there is none."""
        now = time.monotonic()
        refill = (now - self._refilled_at) * self.per_second
        self._credit = min(self.burst, self._credit + refill)
        self._refilled_at = now
        if self._credit < 1:
            return False
        self._credit -= 1
        return True
