"""Writing together what arrives at about the same time."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Generic, TypeVar

from app.core.errors import AppError
from app.core.event_wait import wait_for_event

T = TypeVar("T")

QUIET_SECONDS: Final = 0.05
MAX_GATHERING_SECONDS: Final = 0.25


class BatchWriter(Generic[T]):
    """Writes what its members bring, in few batches.

    A batch is written when every member has brought an item or left, when none came for a moment,
    or when others have come for long enough; what comes while a write is under way goes into the
    next. `write` tells of each of its items whether it was new.
    """

    def __init__(
        self, write: Callable[[Sequence[T]], Awaitable[Sequence[bool]]], members: int
    ) -> None:
        self._write = write
        self._members = members
        self._waiting: list[tuple[T, asyncio.Future[bool]]] = []
        self._news = asyncio.Event()
        self._complete = asyncio.Event()

    async def add(self, item: T) -> bool:
        """Write an item, together with those of others; tell whether it was new."""
        written: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, written))
        self._look_who_is_there()
        return await written

    def leave(self) -> None:
        """Be waited for no more."""
        self._members -= 1
        self._look_who_is_there()

    async def write_all(self) -> None:
        """Write what members bring until all have left."""
        while self._members > 0:
            await self._news.wait()
            if self._waiting:
                await self._gather()
            self._news.clear()
            self._complete.clear()
            batch, self._waiting = self._waiting, []
            if batch:
                await self._settle(batch)

    async def _gather(self) -> None:
        """Wait for others as long as there are any that come."""
        until = time.monotonic() + MAX_GATHERING_SECONDS
        gathered = 0
        while gathered < len(self._waiting) < self._members and time.monotonic() < until:
            gathered = len(self._waiting)
            await wait_for_event(self._complete, QUIET_SECONDS)

    def _look_who_is_there(self) -> None:
        self._news.set()
        if len(self._waiting) >= self._members:
            self._complete.set()

    async def _settle(self, batch: Sequence[tuple[T, asyncio.Future[bool]]]) -> None:
        try:
            are_new = await self._write([item for item, _ in batch])
        except Exception as error:  # noqa: BLE001  # who added an item raises it again
            if len(batch) > 1 and not isinstance(error, AppError):
                for one in batch:  # an item that can't be written must not take the others along
                    await self._settle([one])
                return
            for _, written in batch:
                written.set_exception(error)
        else:
            for (_, written), is_new in zip(batch, are_new, strict=True):
                written.set_result(is_new)
