"""Retries with backoff and jitter until a deadline."""

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
    """Retries retryable errors, with backoff and jitter, until a deadline on the monotonic clock.

    The last wait ends with the deadline, where a library's would last beyond it. A wait that the
    exchange asks for is kept whole; if it would end after the deadline, the error is raised.
    """

    def __init__(
        self, seconds: float, *, first_wait_seconds: float, max_wait_seconds: float
    ) -> None:
        self._deadline = time.monotonic() + seconds
        self._first_wait_seconds = first_wait_seconds
        self._max_wait_seconds = max_wait_seconds

    @property
    def remaining_seconds(self) -> float:
        """Return the time until the deadline; zero or less when it has passed."""
        return self._deadline - time.monotonic()

    async def call(self, attempt: Callable[[], Awaitable[T]], **context: object) -> T:
        """Call `attempt` until it succeeds or its error is not retryable, or time is up.

        Each error is logged, with the context.

        Raises:
            AppError: the last attempt's error.
        """
        wait_seconds = self._first_wait_seconds
        while True:
            try:
                return await attempt()
            except AppError as error:
                remaining, requested = self.remaining_seconds, _requested_wait_seconds(error)
                pause = min(max(_with_jitter(wait_seconds), requested), remaining)
                is_retried = error.retryable and remaining > 0 and requested <= remaining
                log.warning(
                    "attempt_failed",
                    code=error.code,
                    detail=str(error),
                    again_in_seconds=round(pause, 3) if is_retried else None,
                    **context,
                )
                if not is_retried:
                    raise
            await asyncio.sleep(pause)
            wait_seconds = min(wait_seconds * 2, self._max_wait_seconds)


def _with_jitter(seconds: float) -> float:
    return seconds * random.uniform(0.5, 1)  # noqa: S311  # spreads retries, keeps no secret


def _requested_wait_seconds(error: AppError) -> float:
    """Return the wait that the exchange asks for; zero if it asks for none."""
    return (isinstance(error, ExchangeError) and error.retry_after_seconds) or 0
