"""Writing items of many producers in few batches."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Generic, TypeVar

from app.core.errors import AppError
from app.core.event_wait import wait_for_event

T = TypeVar("T")

GATHER_SECONDS: Final = 0.05


class BatchWriter(Generic[T]):
    """Writes the items of its producers in few batches.

    A batch is complete when every producer has added an item or was removed; an incomplete one is
    written after `GATHER_SECONDS`. Items that are added during a write go into the next batch.
    `write` returns for each of its items whether it was new.
    """

    def __init__(
        self, write: Callable[[Sequence[T]], Awaitable[Sequence[bool]]], producer_count: int
    ) -> None:
        self._write = write
        self._producer_count = producer_count
        self._pending: list[tuple[T, asyncio.Future[bool]]] = []
        self._has_changed = asyncio.Event()
        self._is_complete = asyncio.Event()

    async def add(self, item: T) -> bool:
        """Write an item together with those of others; return whether it was new.

        Raises what `write` raised for it.
        """
        result: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._pending.append((item, result))
        self._notify()
        return await result

    def remove_producer(self) -> None:
        """Remove one producer."""
        self._producer_count -= 1
        self._notify()

    async def run(self) -> None:
        """Write batches until all producers are removed."""
        while self._producer_count > 0:
            await self._has_changed.wait()
            await wait_for_event(self._is_complete, GATHER_SECONDS)
            self._has_changed.clear()
            self._is_complete.clear()
            batch, self._pending = self._pending, []
            if batch:
                await self._write_batch(batch)

    def _notify(self) -> None:
        self._has_changed.set()
        if len(self._pending) >= self._producer_count:
            self._is_complete.set()

    async def _write_batch(self, batch: Sequence[tuple[T, asyncio.Future[bool]]]) -> None:
        try:
            are_new = await self._write([item for item, _ in batch])
        except Exception as error:  # noqa: BLE001  # `add` raises it
            if len(batch) > 1 and not isinstance(error, AppError):
                for one in batch:  # an item that can't be written must not fail the others
                    await self._write_batch([one])
                return
            for _, result in batch:
                result.set_exception(error)
        else:
            for (_, result), is_new in zip(batch, are_new, strict=True):
                result.set_result(is_new)
