"""Trying again: until a deadline on the monotonic clock, and never past it."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog

from app.core.errors import AppError, ExchangeError

T = TypeVar("T")

log = structlog.get_logger(__name__)


class Retrier:
    """Tries what may pass by itself again, with backoff and jitter, until a deadline.

    A library's loop would sleep past the deadline; here the last wait ends with it, so that who
    comes next finds nobody in the way. A wait that the exchange asks for is kept or not begun.
    """

    def __init__(self, seconds: float, *, first_wait: float, longest_wait: float) -> None:
        self._until = time.monotonic() + seconds
        self._first_wait = first_wait
        self._longest_wait = longest_wait

    @property
    def left_seconds(self) -> float:
        """Tell how long it still lasts; zero or less when it is over."""
        return self._until - time.monotonic()

    async def call(self, attempt: Callable[[], Awaitable[T]], **context: object) -> T:
        """Make attempts until one succeeds, fails for good, or time is up; log each failure.

        Raises:
            AppError: the last attempt's error.
        """
        wait = self._first_wait
        while True:
            try:
                return await attempt()
            except AppError as error:
                left, asked = self.left_seconds, _asked_for(error)
                pause = min(max(_jittered(wait), asked), left)
                again = error.retryable and left > 0 and asked <= left
                log.warning(
                    "attempt_failed",
                    code=error.code,
                    detail=str(error),
                    again_in_seconds=round(pause, 3) if again else None,
                    **context,
                )
                if not again:
                    raise
            await asyncio.sleep(pause)
            wait = min(wait * 2, self._longest_wait)


def _jittered(wait: float) -> float:
    return wait * random.uniform(0.5, 1)  # noqa: S311  # spreads retries, keeps no secret


def _asked_for(error: AppError) -> float:
    """Honour the wait that an exchange asks for."""
    return (isinstance(error, ExchangeError) and error.retry_after_seconds) or 0
