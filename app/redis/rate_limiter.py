"""The rate limiter that all workers share; docs/adr/0006 gives the reasons."""

import asyncio
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from contextlib import asynccontextmanager, suppress
from copy import copy
from functools import partial
from itertools import count, islice
from time import perf_counter
from typing import TypeAlias
from uuid import uuid4

from redis.asyncio import Redis
from redis.exceptions import RedisError

from app.core.background_loops import run_repeatedly
from app.core.errors import AppError, BrokerUnavailable, ExchangeRateLimited
from app.core.event_wait import wait_for_event
from app.core.metrics import RATE_LIMITER_WAIT_SECONDS, observe
from app.redis.client import map_redis_errors
from app.redis.rate_limiter_scripts import ACQUIRE, PAUSE

NO_PERMIT_WAIT_MS = 10
ALL_PERMITS_HELD_WAIT_MS = 50
"""A process that holds every permit asks so seldom, only to stay in the set of waiting processes.

It must be below `late_ms` of the script.
"""
RELEASE_BATCH_SECONDS = 0.003
"""Permits that this process releases within this time are released together."""
MAX_BATCH = 1_000
MAX_PAUSE_SECONDS = 3_600
"""One wrong answer must not stop collection for a day; an exchange that means it says so again."""

RequestPermits: TypeAlias = Callable[[Collection[str]], Awaitable[tuple[Sequence[str], int]]]
"""Takes the ids of waiting requests; returns those with a permit, and the ms until the next try."""


class DistributedRateLimiter:
    """Limits the rate and the concurrency of exchange requests over all workers.

    A token bucket (a burst of at most one second's rate) and a set of leased permits live in Redis
    and on its clock, so a worker's wrong clock changes nothing, and the permits of a killed worker
    return when their lease ends. The waiting requests of one process ask for permits together, in
    their order, and waiting processes have equal shares of the permits. Requests of low priority
    wait while any other request waits, and leave half of the tokens and permits free.
    """

    def __init__(
        self, redis: "Redis", name: str, *, rate: float, permits: int, lease_seconds: float
    ) -> None:
        self._redis = redis
        self._name = name
        self._acquire_script = redis.register_script(ACQUIRE)
        self._pause_script = redis.register_script(PAUSE)
        parts = ("bucket", "places", "waiting", "not_before")
        self._keys = [f"prices:gate:{name}:{part}" for part in parts]
        self._permits = permits
        process = uuid4().hex
        lease_ms = round(lease_seconds * 1000)
        self._limits: list[str | float] = [rate, permits, lease_ms, NO_PERMIT_WAIT_MS, process]
        self._request_ids = (f"{process}:{number}" for number in count())
        self._queue = _RequestQueue(
            partial(self._exchange_permits, is_low_priority=False), self._release
        )
        self._low_priority_queue = _RequestQueue(
            partial(self._exchange_permits, is_low_priority=True), self._release
        )
        self._held: set[str] = set()
        self._released: list[str] = []
        self._release_task: asyncio.Task[None] | None = None
        self._is_closing = False

    @asynccontextmanager
    async def acquire(self, *, low_priority: bool = False) -> AsyncIterator[None]:
        """Wait for a permit and hold it while the block runs.

        Raises:
            BrokerUnavailable: Redis does not answer.
            ExchangeRateLimited: requests are paused, and the pause is not over.
        """
        queue = self._low_priority_queue if low_priority else self._queue
        request_id = next(self._request_ids)
        started_at = perf_counter()
        try:
            await queue.wait(request_id)
            priority = "low" if low_priority else "normal"
            observe(RATE_LIMITER_WAIT_SECONDS, perf_counter() - started_at, self._name, priority)
            yield
        finally:
            self._release(request_id)

    async def pause_requests(self, seconds: float) -> None:
        """Refuse all requests, of every process, for so long, an hour at most.

        Raises:
            BrokerUnavailable: Redis does not answer.
        """
        pause_ms = math.ceil(min(seconds, MAX_PAUSE_SECONDS) * 1000)
        with map_redis_errors():
            await self._pause_script(self._keys[3:], [pause_ms])

    async def close(self) -> None:
        """Refuse the waiting requests, and wait until every permit is released."""
        self._is_closing = True
        await self._low_priority_queue.close()
        await self._queue.close()
        if self._release_task is not None:
            await self._release_task

    async def _exchange_permits(
        self, waiting: Collection[str], *, is_low_priority: bool
    ) -> tuple[Sequence[str], int]:
        released = self._pop_released()
        held = len(self._held.difference(released))
        room = max(0, self._permits - held)  # below 0 if Redis lost its data
        request_ids = list(islice(waiting, min(room, MAX_BATCH)))
        numbers = [*self._limits, int(is_low_priority), held, len(waiting), len(released)]
        try:
            with map_redis_errors():
                granted, wait_ms, paused_ms = await self._acquire_script(
                    self._keys, [*numbers, *released, *request_ids]
                )
        except BaseException:
            for request_id in self._held.intersection(released):
                self._release(request_id)
            raise
        granted_ids = request_ids[: int(granted)]
        self._held.difference_update(released)
        self._held.update(granted_ids)
        if paused_ms:
            seconds = int(paused_ms) / 1000
            text = f"the exchange asked to wait, {seconds:.0f} s more"
            raise ExchangeRateLimited(text, retry_after_seconds=seconds)
        holds_all = len(self._held) >= self._permits
        return granted_ids, max(ALL_PERMITS_HELD_WAIT_MS if holds_all else 0, int(wait_ms))

    def _release(self, request_id: str) -> None:
        self._released.append(request_id)
        if self._release_task is None or self._release_task.done():
            self._release_task = asyncio.create_task(
                run_repeatedly("gate", self._flush_released, while_=lambda: bool(self._released))
            )

    async def _flush_released(self) -> None:
        """Release permits; if requests are waiting, with the next request for permits."""
        if not self._is_closing:
            await asyncio.sleep(RELEASE_BATCH_SECONDS)
        queues = (self._queue, self._low_priority_queue)
        if self._is_closing or not any(queue.waiting for queue in queues):
            await self._remove(self._pop_released())
        for queue in queues:
            queue.wake()

    def _pop_released(self) -> Sequence[str]:
        released, self._released = self._released, []
        return released

    async def _remove(self, request_ids: Sequence[str]) -> None:
        if request_ids:
            self._held.difference_update(request_ids)  # even if this fails: a lease ends by itself
            with suppress(RedisError, OSError):
                await self._redis.zrem(self._keys[1], *request_ids)


class _RequestQueue:
    """The requests of this process that wait for a permit; one task asks for all of them."""

    def __init__(self, request_permits: RequestPermits, release: Callable[[str], None]) -> None:
        self.waiting: dict[str, asyncio.Future[AppError | None]] = {}
        self._request_permits = request_permits
        self._release = release
        self._wakeup = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def wait(self, request_id: str) -> None:
        """Wait for a permit.

        Raises:
            BrokerUnavailable: Redis does not answer.
            ExchangeRateLimited: requests are paused.
        """
        future: asyncio.Future[AppError | None] = asyncio.get_running_loop().create_future()
        self.waiting[request_id] = future
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(
                run_repeatedly("gate", self._grant_permits, while_=lambda: bool(self.waiting))
            )
        try:
            error = await future
        finally:
            self.waiting.pop(request_id, None)
        if error is not None:
            raise copy(error) from error  # each request needs an exception of its own

    def wake(self) -> None:
        """Ask for permits again at once, because this process released some."""
        self._wakeup.set()

    async def close(self) -> None:
        """Refuse the waiting requests."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        self._refuse_all(BrokerUnavailable("the gate is closed"))

    async def _grant_permits(self) -> None:
        self._wakeup.clear()
        try:
            granted_ids, wait_ms = await self._request_permits(self.waiting)
        except (BrokerUnavailable, ExchangeRateLimited) as error:
            self._refuse_all(error)
            return
        for request_id in granted_ids:
            self._grant(request_id)
        if self.waiting and wait_ms:
            await wait_for_event(self._wakeup, wait_ms / 1000)

    def _grant(self, request_id: str) -> None:
        future = self.waiting.pop(request_id, None)
        if future is None:
            self._release(request_id)  # the request was cancelled while the script ran
        elif not future.done():
            future.set_result(None)

    def _refuse_all(self, error: AppError) -> None:
        for future in self.waiting.values():
            if not future.done():
                future.set_result(error)  # set_exception would log it if the request was cancelled
        self.waiting.clear()
