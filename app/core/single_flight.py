"""Single flight: concurrent callers who need the same result share one call."""

import asyncio
from collections.abc import Callable, Coroutine, Hashable
from typing import Any, NamedTuple, TypeVar

T = TypeVar("T")


class _Call(NamedTuple):
    started_at: float
    task: "asyncio.Task[Any]"


class SingleFlight:
    """Shares a running call among all callers who use the same key."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._calls: dict[Hashable, _Call] = {}

    async def join(
        self,
        key: Hashable,
        work: Callable[[], Coroutine[Any, Any, T]],
        *,
        since: float = float("-inf"),
    ) -> T:
        """Await the running call of this key if it started at `since` or later, else start one.

        The call goes on when the caller who started it is cancelled, because others may await it.
        All of them get its error.
        """
        call = self._calls.get(key)
        if call is None or call.task.done() or call.started_at < since:
            call = _Call(self._clock(), asyncio.create_task(work()))
            self._calls[key] = call
            call.task.add_done_callback(lambda _: self._finish(key, call))
        result: T = await asyncio.shield(call.task)
        return result

    async def close(self) -> None:
        """Cancel the running calls."""
        tasks = [call.task for call in self._calls.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _finish(self, key: Hashable, call: _Call) -> None:
        if not call.task.cancelled():
            call.task.exception()  # if every caller was cancelled, asyncio would report it as lost
        if self._calls.get(key) is call:
            del self._calls[key]
