"""The gate that paces all workers' requests together; ADR 6 tells why it lives in Redis."""

import asyncio
import math
from collections.abc import Awaitable, Callable, Collection, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from copy import copy
from functools import partial
from itertools import count, islice
from uuid import uuid4

from redis.asyncio import Redis
from redis.exceptions import RedisError

from app.core.background import run_repeatedly
from app.core.errors import AppError, BrokerUnavailable, ExchangeRateLimited
from app.core.event_wait import wait_for_event
from app.redis.client import map_redis_errors
from app.redis.rate_limiter_scripts import ADMIT, HOLD_OFF

FULL_HOUSE_WAIT_MS = 10
GATHERING_SECONDS = 0.003
"""Places of this process that become free within it are given back together."""
LARGEST_BATCH = 1_000
MAX_HOLD_OFF_SECONDS = 3_600
"""One wrong answer must not stop collection for a day; who still means it says so again."""
OWN_HOUSE_WAIT_MS = 50
"""While a process holds every place itself it asks so often, only to keep its precedence.

So it must be below `hurry_ms` of the script.
"""


class DistributedRateLimiter:
    """Admits exchange requests under a rate and a number of permits shared by all workers.

    A token bucket (a burst of at most one second's rate) and a set of leased permits live in Redis
    and on its clock, so a worker's wrong clock changes nothing and a killed worker's permits come
    back when their lease ends. Requests that wait in one process ask together, in their order, and
    processes that wait have equal shares of the permits. Those of low priority ask only while no
    other does, and leave half of everything free.
    """

    def __init__(
        self, redis: "Redis", name: str, *, rate: float, permits: int, lease_seconds: float
    ) -> None:
        self._redis = redis
        self._admit_script = redis.register_script(ADMIT)
        self._hold_off_script = redis.register_script(HOLD_OFF)
        parts = ("bucket", "places", "waiting", "not_before")
        self._keys = [f"prices:gate:{name}:{part}" for part in parts]
        self._places = permits
        process = uuid4().hex
        self._limits: list[str | float] = [
            rate,
            permits,
            round(lease_seconds * 1000),
            FULL_HOUSE_WAIT_MS,
            process,
        ]
        self._names = (f"{process}:{number}" for number in count())
        self._first = _PermitQueue(partial(self._ask, 0), self._leave)
        self._last = _PermitQueue(partial(self._ask, 1), self._leave, behind=self._first)
        self._held: set[str] = set()
        self._leaving: list[str] = []
        self._sweeper: asyncio.Task[None] | None = None
        self._is_closing = False

    def acquire(self, *, low_priority: bool = False) -> AbstractAsyncContextManager[None]:
        """Wait for a turn and hold a place while the block runs.

        Raises:
            BrokerUnavailable: Redis does not answer.
            ExchangeRateLimited: the exchange asked to wait, and the wait is not over.
        """
        queue = self._last if low_priority else self._first
        return _Permit(queue, next(self._names), self._leave)

    async def pause_requests(self, seconds: float) -> None:
        """Admit nobody, in any process, for so long, an hour at most.

        Raises:
            BrokerUnavailable: Redis does not answer.
        """
        wait_ms = math.ceil(min(seconds, MAX_HOLD_OFF_SECONDS) * 1000)
        with map_redis_errors():
            await self._hold_off_script(self._keys[3:], [wait_ms])

    async def close(self) -> None:
        """Turn away who still waits, and wait until every place is given back."""
        self._is_closing = True
        for queue in (self._last, self._first):
            await queue.close()
        if self._sweeper is not None:
            await self._sweeper

    async def _ask(self, low_priority: int, waiting: Collection[str]) -> tuple[Sequence[str], int]:
        """Ask for turns; give who was admitted, and the wait in ms before the next can be."""
        leaving = self._take_leaving()
        held = len(self._held.difference(leaving))
        room = max(0, self._places - held)  # less than none: Redis forgot what it gave
        names = list(islice(waiting, min(room, LARGEST_BATCH)))
        numbers = [*self._limits, low_priority, held, len(waiting), len(leaving)]
        try:
            with map_redis_errors():
                admitted, wait_ms, held_off_ms = await self._admit_script(
                    self._keys, [*numbers, *leaving, *names]
                )
        except BaseException:
            for name in self._held.intersection(leaving):
                self._leave(name)
            raise
        let_in = names[: int(admitted)]
        self._held.difference_update(leaving)
        self._held.update(let_in)
        if held_off_ms:
            raise _held_off(int(held_off_ms) / 1000)
        holds_all = len(self._held) >= self._places
        return let_in, max(OWN_HOUSE_WAIT_MS if holds_all else 0, int(wait_ms))

    def _leave(self, name: str) -> None:
        self._leaving.append(name)
        if self._sweeper is None or self._sweeper.done():
            self._sweeper = asyncio.create_task(
                run_repeatedly("gate", self._give_back, while_=lambda: bool(self._leaving))
            )

    async def _give_back(self) -> None:
        """Give back the permits of who left, with the next question if there is going to be one."""
        while self._leaving:
            if not self._is_closing:
                await asyncio.sleep(GATHERING_SECONDS)
            queues = (self._first, self._last)
            if self._is_closing or not any(queue.waiting for queue in queues):
                await self._remove(self._take_leaving())
            for queue in queues:
                queue.freed.set()

    def _take_leaving(self) -> Sequence[str]:
        names, self._leaving = self._leaving, []
        return names

    async def _remove(self, names: Sequence[str]) -> None:
        if names:  # a question may have taken them along
            self._held.difference_update(names)  # whatever comes: a lease ends by itself
            with suppress(RedisError, OSError):
                await self._redis.zrem(self._keys[1], *names)


def _held_off(seconds: float) -> ExchangeRateLimited:
    words = f"the exchange asked to wait, {seconds:.0f} s more"
    return ExchangeRateLimited(words, retry_after_seconds=seconds)


class _Permit(AbstractAsyncContextManager[None]):
    """A request's turn: waited for at the start, its place given back at the end."""

    def __init__(self, queue: "_PermitQueue", name: str, leave: Callable[[str], None]) -> None:
        self._queue = queue
        self._name = name
        self._leave = leave

    async def __aenter__(self) -> None:
        try:
            refusal = await self._queue.join(self._name)
        except asyncio.CancelledError:
            self._end()
            raise
        if refusal is not None:
            self._end()
            raise copy(refusal) from refusal  # an error of its own for each

    async def __aexit__(self, *_: object) -> None:
        self._end()

    def _end(self) -> None:
        self._queue.waiting.pop(self._name, None)
        self._leave(self._name)


class _PermitQueue:
    """Requests of this process that wait for their turn and ask for it together."""

    def __init__(
        self,
        ask: Callable[[Collection[str]], Awaitable[tuple[Sequence[str], int]]],
        leave: Callable[[str], None],
        *,
        behind: "_PermitQueue | None" = None,
    ) -> None:
        self.waiting: dict[str, asyncio.Future[AppError | None]] = {}
        self.freed = asyncio.Event()
        self._ask = ask
        self._leave = leave
        self._behind = behind
        self._pump: asyncio.Task[None] | None = None

    async def join(self, name: str) -> AppError | None:
        """Wait for a turn; give the reason where it is refused."""
        turn: asyncio.Future[AppError | None]
        turn = self.waiting[name] = asyncio.get_running_loop().create_future()
        if self._pump is None or self._pump.done():
            self._pump = asyncio.create_task(
                run_repeatedly("gate", self._admit_waiting, while_=lambda: bool(self.waiting))
            )
        return await turn

    async def close(self) -> None:
        """Turn away who still waits."""
        if self._pump is not None:
            self._pump.cancel()
            await asyncio.wait([self._pump])
        self._refuse_waiting(BrokerUnavailable("the gate is closed"))

    async def _admit_waiting(self) -> None:
        while self.waiting:
            if self._behind is not None and self._behind.waiting:
                await asyncio.sleep(FULL_HOUSE_WAIT_MS / 1000)
                continue
            self.freed.clear()
            try:
                let_in, wait_ms = await self._ask(self.waiting)
            except (BrokerUnavailable, ExchangeRateLimited) as error:
                self._refuse_waiting(error)
                return
            for name in let_in:
                self._let_in(name)
            if self.waiting and wait_ms:
                await wait_for_event(
                    self.freed, wait_ms / 1000
                )  # or until this process frees a place

    def _let_in(self, name: str) -> None:
        turn = self.waiting.pop(name, None)
        if turn is None:
            self._leave(name)  # who waited has gone meanwhile, and the place came too late
        elif not turn.done():
            turn.set_result(None)

    def _refuse_waiting(self, error: AppError) -> None:
        for turn in self.waiting.values():
            if not turn.done():
                turn.set_result(error)  # as an exception it would be reported when nobody looks
        self.waiting.clear()
