"""The event loop of a worker process, and the runtime that its tasks share."""

import asyncio
import contextvars
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from typing import TYPE_CHECKING, TypeVar

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
        self._runner: asyncio.Runner | None = None
        self._stack = AsyncExitStack()
        self._runtime: Runtime | None = None

    def run(self, work: "Callable[[Runtime], Awaitable[T]]") -> T:
        """Run async work on this process's loop and return its result."""
        if self._runner is None:
            self._runner = asyncio.Runner()
        return self._runner.run(self._with_runtime(work), context=contextvars.copy_context())

    def close(self) -> None:
        """Close the runtime and the loop, if a task opened them."""
        runner, self._runner = self._runner, None
        if runner is not None:
            self._runtime = None
            runner.run(self._stack.aclose())
            runner.close()

    async def _with_runtime(self, work: "Callable[[Runtime], Awaitable[T]]") -> T:
        from app.runtime import open_runtime  # noqa: PLC0415  # heavy, and beat needs none of it

        with _reporting_liveness():
            if self._runtime is None:
                context = open_runtime(self._settings)
                self._runtime = await self._stack.enter_async_context(context)
                tune_gc()
            runtime = self._runtime  # `close` drops it while a task is being cancelled
            try:
                return await work(runtime)
            finally:
                await flush_counters(runtime.redis)


@contextmanager
def _reporting_liveness() -> Iterator[None]:
    """Report regularly, while a task runs, that its event loop is not blocked."""
    loop = asyncio.get_running_loop()
    next_report: asyncio.Handle

    def report() -> None:
        nonlocal next_report
        liveness.report_task_loop()
        next_report = loop.call_later(HEARTBEAT_SECONDS, report)

    next_report = loop.call_soon(report)
    try:
        yield
    finally:
        next_report.cancel()
