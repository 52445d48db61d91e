"""The event loop of a worker process, and the runtime that its tasks share."""

import asyncio
import contextvars
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, NoReturn, TypeVar

from app.core.gc_tuning import tune_gc
from app.core.settings import Settings
from app.redis.counters import flush_counters
from app.worker.heartbeat import HEARTBEAT_SECONDS, liveness

if TYPE_CHECKING:
    from app.runtime import Runtime

T = TypeVar("T")


class TaskLoop:
    """The event loop and the runtime of one worker process, opened by its first task.

    A connection pool is bound to the event loop that opened it, so with a new loop for each task
    (`asyncio.run`) the second task would fail.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._runner = asyncio.Runner()  # it creates the loop when it is first used
        self._stack = AsyncExitStack()
        self._runtime: Runtime | None = None

    def run(self, work: "Callable[[Runtime], Awaitable[T]]") -> T:
        """Run async work on this process's loop and return its result."""
        return self._runner.run(self._with_runtime(work), context=contextvars.copy_context())

    def flush_counters(self) -> None:
        """Write what this process counted to Redis, if a task opened the runtime."""
        if self._runtime is not None:
            self._runner.run(flush_counters(self._runtime.redis))

    def close(self) -> None:
        """Close the runtime and the loop, if a task opened them."""
        if self._runtime is not None:
            self._runtime = None
            self._runner.run(self._stack.aclose())
        self._runner.close()

    async def _with_runtime(self, work: "Callable[[Runtime], Awaitable[T]]") -> T:
        from app.runtime import open_runtime  # noqa: PLC0415  # heavy, and beat needs none of it

        reports = asyncio.create_task(_report_liveness())
        try:
            if self._runtime is None:
                context = open_runtime(self._settings)
                self._runtime = await self._stack.enter_async_context(context)
                tune_gc()
            return await work(self._runtime)
        finally:
            reports.cancel()


async def _report_liveness() -> NoReturn:
    """Report regularly, while a task runs, that its event loop is not blocked."""
    while True:
        liveness.report_task_loop()
        await asyncio.sleep(HEARTBEAT_SECONDS)
