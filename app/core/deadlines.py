"""Moments at which many waits end, with one timer for all of them."""

import asyncio
import time
from types import TracebackType
from typing import Final, Self

TOGETHER_SECONDS: Final = 0.05


class Deadline:
    """A moment that ends every block that it guards, as `asyncio.timeout_at` ends one.

    A timer for each of a thousand blocks would cost as much as parsing what they wait for.
    """

    def __init__(self, seconds: float) -> None:
        self._guards: set[_Guard] = set()
        self._is_over = False
        self._timer = asyncio.get_running_loop().call_later(seconds, self._end)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()

    def guard(self) -> "_Guard":
        """Guard a block; it raises TimeoutError when the moment comes, or has passed."""
        if self._is_over:
            raise TimeoutError
        return _Guard(self._guards)

    def _end(self) -> None:
        self._is_over = True
        for guard in self._guards:
            guard.end()


class Timeout:
    """Lets each of many blocks last so long; those that begin together share a deadline.

    So one may last a twentieth of a second longer.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._deadline: Deadline | None = None
        self._shared_until = 0.0

    def guard(self) -> "_Guard":
        """Guard a block; it raises TimeoutError when it lasted too long."""
        now = time.monotonic()
        if self._deadline is None or now >= self._shared_until:
            self._shared_until = now + TOGETHER_SECONDS
            self._deadline = Deadline(self.seconds + TOGETHER_SECONDS)
        return self._deadline.guard()


class _Guard:
    """A block that ends by the cancellation of its task, told apart from anyone else's."""

    __slots__ = ("_cancelling", "_guards", "_is_ending", "_task")

    def __init__(self, guards: "set[_Guard]") -> None:
        self._guards = guards
        self._is_ending = False

    def __enter__(self) -> None:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("only a task can be ended")
        self._task = task
        self._cancelling = task.cancelling()
        self._guards.add(self)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self._guards.discard(self)
        if not self._is_ending:
            return
        is_ours_alone = self._task.uncancel() <= self._cancelling
        if is_ours_alone and kind is asyncio.CancelledError:
            raise TimeoutError from error

    def end(self) -> None:
        """Cancel what the block waits for."""
        self._is_ending = True
        self._task.cancel()
