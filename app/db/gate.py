"""The gate that paces all workers' requests together; ADR 6 tells why it lives in Redis."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from functools import partial
from itertools import count, islice
from uuid import uuid4

from redis.asyncio import Redis
from redis.exceptions import RedisError

from app.core.background import keep_running
from app.core.errors import BrokerUnavailable
from app.core.waiting import happens_within
from app.db.redis import translated

FULL_HOUSE_WAIT_MS = 10
GATHERING_SECONDS = 0.003
"""Places of this process that become free within it are given back together."""
LARGEST_BATCH = 1_000
OWN_HOUSE_WAIT_MS = 50
"""While a process holds every place itself it asks so often, only to keep its precedence.

So it must be below `hurry_ms` of the script.
"""

_ADMIT = """
-- Takes back places, then admits the first of the named requests, as many as rate and places allow.
-- Answers {admitted, how many ms to wait before the next can be}.
-- Who gives way leaves half of the burst and of the places free, and waits while anyone else does;
-- the others share the places, as many to each process that waits.
-- KEYS: bucket, places, processes that wait.
-- ARGV: rate per second, most places, lease in ms, wait when full, process, 1 to give way,
--   how many it holds and how many wait in all, how many leave, names that leave..., that ask...
local now = redis.call('TIME')
local now_us = now[1] * 1000000 + now[2]
local rate, most, lease_ms = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local full_wait_ms, process, gives_way = tonumber(ARGV[4]), ARGV[5], ARGV[6] == '1'
local hurry_ms = 100  -- how late who waits may ask again without losing precedence
local held, waiting, first = tonumber(ARGV[7]), tonumber(ARGV[8]), 10 + tonumber(ARGV[9])
local asked = #ARGV - first + 1

local bucket = redis.call('HMGET', KEYS[1], 'tokens', 'at_us', 'hurried_us')
local burst = math.max(1, rate)
local tokens = tonumber(bucket[1]) or burst
local at_us = tonumber(bucket[2]) or now_us
tokens = math.min(burst, tokens + math.max(0, now_us - at_us) * rate / 1000000)
for i = 10, first - 1 do
  redis.call('ZREM', KEYS[2], ARGV[i])
end
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', now_us)
local free = most - redis.call('ZCARD', KEYS[2])

-- where there is but one token or place, it can't be halved: being last must do
local kept_tokens, kept_places, hurried_ms = 0, 0, 0
if gives_way then
  kept_tokens = math.min(burst / 2, burst - 1)
  kept_places = math.min(math.ceil(most / 2), most - 1)
  hurried_ms = math.ceil(((tonumber(bucket[3]) or 0) - now_us) / 1000)
end
-- at_us holds whole microseconds, so that a full bucket may look a hair less than full
local payable = math.floor(tokens - kept_tokens + 0.000001)
local allowed = free - kept_places
if not gives_way then
  redis.call('ZREM', KEYS[3], process)
  redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf', now_us)
  local share = math.ceil(most / (1 + redis.call('ZCARD', KEYS[3])))
  allowed = math.min(allowed, share - held)
end
local admitted = math.max(0, math.min(asked, allowed, payable))
if hurried_ms > 0 and hurried_ms <= 1000 / rate + full_wait_ms + hurry_ms then
  admitted = 0
else
  hurried_ms = 0  -- over, or of a clock that went back since
end
for i = first, first + admitted - 1 do
  redis.call('ZADD', KEYS[2], now_us + lease_ms * 1000, ARGV[i])
end
tokens = math.max(0, tokens - admitted)

local wait_ms = hurried_ms
if tokens - kept_tokens < 1 - 0.000001 then
  wait_ms = math.max(wait_ms, math.ceil((1 + kept_tokens - tokens) * 1000 / rate))
elseif allowed <= admitted then
  wait_ms = math.max(wait_ms, full_wait_ms)
end
redis.call('HSET', KEYS[1], 'tokens', tostring(tokens), 'at_us', string.format('%.0f', now_us))
if admitted < waiting and not gives_way then
  local until_us = now_us + (wait_ms + hurry_ms) * 1000
  redis.call('HSET', KEYS[1], 'hurried_us', string.format('%.0f', until_us))
  redis.call('ZADD', KEYS[3], until_us, process)
  redis.call('PEXPIRE', KEYS[3], 10000 + math.ceil(1000 / rate))
end
redis.call('PEXPIRE', KEYS[1], 10000 + math.ceil(1000 / rate))
redis.call('PEXPIRE', KEYS[2], lease_ms + 10000)
return {admitted, wait_ms}
"""


class RequestGate:
    """Admits exchange requests under a rate and a number of places shared by all workers.

    A token bucket (a burst of at most one second's rate) and a set of leased places live in Redis
    and on its clock, so a worker's wrong clock changes nothing and a killed worker's places come
    back when their lease ends. Requests that wait in one process ask together, in their order, and
    processes that wait have equal shares of the places. Those that give way ask only while no other
    does, and leave half of everything free.
    """

    def __init__(
        self, redis: "Redis", name: str, *, rate: float, places: int, lease_seconds: float
    ) -> None:
        self._redis = redis
        self._admit_script = redis.register_script(_ADMIT)
        self._keys = [f"prices:gate:{name}:{part}" for part in ("bucket", "places", "waiting")]
        self._places = places
        process = uuid4().hex
        self._limits: list[str | float] = [
            rate,
            places,
            round(lease_seconds * 1000),
            FULL_HOUSE_WAIT_MS,
            process,
        ]
        self._names = (f"{process}:{number}" for number in count())
        self._first = _Queue(partial(self._ask, 0), self._leave)
        self._last = _Queue(partial(self._ask, 1), self._leave, behind=self._first)
        self._held: set[str] = set()
        self._leaving: list[str] = []
        self._sweeper: asyncio.Task[None] | None = None
        self._is_closing = False

    def admit(self, *, gives_way: bool = False) -> AbstractAsyncContextManager[None]:
        """Wait for a turn and hold a place while the block runs.

        Raises:
            BrokerUnavailable: Redis does not answer.
        """
        queue = self._last if gives_way else self._first
        return _Turn(queue, next(self._names), self._leave)

    async def close(self) -> None:
        """Turn away who still waits, and wait until every place is given back."""
        self._is_closing = True
        for queue in (self._last, self._first):
            await queue.close()
        if self._sweeper is not None:
            await self._sweeper

    async def _ask(self, gives_way: int, waiting: Collection[str]) -> tuple[Sequence[str], int]:
        """Ask for turns; give who was admitted, and the wait in ms before the next can be."""
        leaving = self._take_leaving()
        held = len(self._held.difference(leaving))
        room = max(0, self._places - held)  # less than none: Redis forgot what it gave
        names = list(islice(waiting, min(room, LARGEST_BATCH)))
        numbers = [*self._limits, gives_way, held, len(waiting), len(leaving)]
        try:
            with translated():
                admitted, wait_ms = await self._admit_script(
                    self._keys, [*numbers, *leaving, *names]
                )
        except BaseException:
            for name in self._held.intersection(leaving):
                self._leave(name)
            raise
        let_in = names[: int(admitted)]
        self._held.difference_update(leaving)
        self._held.update(let_in)
        holds_all = len(self._held) >= self._places
        return let_in, max(OWN_HOUSE_WAIT_MS if holds_all else 0, int(wait_ms))

    def _leave(self, name: str) -> None:
        self._leaving.append(name)
        if self._sweeper is None or self._sweeper.done():
            self._sweeper = asyncio.create_task(
                keep_running("gate", self._give_back, while_=lambda: bool(self._leaving))
            )

    async def _give_back(self) -> None:
        """Give back the places of who left, with the next question if there is going to be one."""
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


class _Turn(AbstractAsyncContextManager[None]):
    """A request's turn: waited for at the start, its place given back at the end."""

    def __init__(self, queue: "_Queue", name: str, leave: Callable[[str], None]) -> None:
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
            raise BrokerUnavailable(str(refusal)) from refusal  # an error of its own for each

    async def __aexit__(self, *_: object) -> None:
        self._end()

    def _end(self) -> None:
        self._queue.waiting.pop(self._name, None)
        self._leave(self._name)


class _Queue:
    """Requests of this process that wait for their turn and ask for it together."""

    def __init__(
        self,
        ask: Callable[[Collection[str]], Awaitable[tuple[Sequence[str], int]]],
        leave: Callable[[str], None],
        *,
        behind: "_Queue | None" = None,
    ) -> None:
        self.waiting: dict[str, asyncio.Future[BrokerUnavailable | None]] = {}
        self.freed = asyncio.Event()
        self._ask = ask
        self._leave = leave
        self._behind = behind
        self._pump: asyncio.Task[None] | None = None

    async def join(self, name: str) -> BrokerUnavailable | None:
        """Wait for a turn; give the reason where it is refused."""
        turn: asyncio.Future[BrokerUnavailable | None]
        turn = self.waiting[name] = asyncio.get_running_loop().create_future()
        if self._pump is None or self._pump.done():
            self._pump = asyncio.create_task(
                keep_running("gate", self._admit_waiting, while_=lambda: bool(self.waiting))
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
            except BrokerUnavailable as error:
                self._refuse_waiting(error)
                return
            for name in let_in:
                self._let_in(name)
            if self.waiting and wait_ms:
                await happens_within(
                    self.freed, wait_ms / 1000
                )  # or until this process frees a place

    def _let_in(self, name: str) -> None:
        turn = self.waiting.pop(name, None)
        if turn is None:
            self._leave(name)  # who waited has gone meanwhile, and the place came too late
        elif not turn.done():
            turn.set_result(None)

    def _refuse_waiting(self, error: BrokerUnavailable) -> None:
        for turn in self.waiting.values():
            if not turn.done():
                turn.set_result(error)  # as an exception it would be reported when nobody looks
        self.waiting.clear()
