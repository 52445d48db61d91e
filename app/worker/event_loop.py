"""The event loop of a worker process, and the runtime that its tasks share."""

import asyncio
import contextvars
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from typing import TYPE_CHECKING, TypeVar

from app.core.gc_tuning import tune_gc
from app.core.settings import Settings
from app.redis.counters import flush_counters
from app.worker.heartbeat import PAUSE_SECONDS, progress

if TYPE_CHECKING:
    from app.runtime import Runtime

T = TypeVar("T")


class TaskLoop:
    """The event loop and the runtime of one worker process, opened at its first task.

    A pooled async engine is bound to the loop that opened it, so a loop per task (`asyncio.run`)
    fails at the second one.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._runner: asyncio.Runner | None = None
        self._stack = AsyncExitStack()
        self._runtime: Runtime | None = None

    def run(self, work: "Callable[[Runtime], Awaitable[T]]") -> T:
        """Run async work on this process's loop and wait for its result."""
        if self._runner is None:
            self._runner = asyncio.Runner()
        return self._runner.run(self._with_runtime(work), context=contextvars.copy_context())

    def close(self) -> None:
        """Close the runtime and the loop; a process that ran nothing has nothing to close."""
        runner, self._runner = self._runner, None
        if runner is not None:
            self._runtime = None
            runner.run(self._stack.aclose())
            runner.close()

    async def _with_runtime(self, work: "Callable[[Runtime], Awaitable[T]]") -> T:
        from app.runtime import open_runtime  # noqa: PLC0415  # heavy, and beat needs none of it

        with _reporting_progress():
            if self._runtime is None:
                opening = open_runtime(self._settings)
                self._runtime = await self._stack.enter_async_context(opening)
                tune_gc()
            try:
                return await work(self._runtime)
            finally:
                await flush_counters(self._runtime.redis)


@contextmanager
def _reporting_progress() -> Iterator[None]:
    """Show, while a task runs, that its loop turns."""
    loop = asyncio.get_running_loop()
    next_show: asyncio.Handle

    def show() -> None:
        nonlocal next_show
        progress.work()
        next_show = loop.call_later(PAUSE_SECONDS, show)

    next_show = loop.call_soon(show)
    try:
        yield
    finally:
        next_show.cancel()
