"""The connection to Redis, and the gate that paces all workers' requests together."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from itertools import count, islice
from uuid import uuid4

from redis.asyncio import Redis
from redis.exceptions import RedisError

from app.core.errors import BrokerUnavailable

SOCKET_TIMEOUT_SECONDS = 3.0
FULL_HOUSE_WAIT_MS = 10
LARGEST_BATCH = 1_000

_ADMIT = """
-- Admits the first of the named requests, as many as rate and places allow.
-- Answers {admitted, how many ms to wait before the next can be}.
-- KEYS: bucket, places.  ARGV: rate per second, most places, lease in ms, wait when full, names...
local now = redis.call('TIME')
local now_us = now[1] * 1000000 + now[2]
local rate, most, lease_ms = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local asked = #ARGV - 4

local bucket = redis.call('HMGET', KEYS[1], 'tokens', 'at_us')
local burst = math.max(1, rate)
local tokens = tonumber(bucket[1]) or burst
local at_us = tonumber(bucket[2]) or now_us
tokens = math.min(burst, tokens + math.max(0, now_us - at_us) * rate / 1000000)

redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', now_us)
local free = most - redis.call('ZCARD', KEYS[2])
local admitted = math.max(0, math.min(asked, free, math.floor(tokens)))
for i = 1, admitted do
  redis.call('ZADD', KEYS[2], now_us + lease_ms * 1000, ARGV[4 + i])
end
tokens = tokens - admitted
redis.call('HSET', KEYS[1], 'tokens', tostring(tokens), 'at_us', string.format('%.0f', now_us))
redis.call('PEXPIRE', KEYS[1], 10000 + math.ceil(1000 / rate))
redis.call('PEXPIRE', KEYS[2], lease_ms + 10000)
if tokens < 1 then
  return {admitted, math.ceil((1 - tokens) * 1000 / rate)}
elseif free <= admitted then
  return {admitted, tonumber(ARGV[4])}
end
return {admitted, 0}
"""


def open_redis(url: str) -> "Redis":
    """Open a client whose calls end in bounded time."""
    return Redis.from_url(
        url,
        socket_timeout=SOCKET_TIMEOUT_SECONDS,
        socket_connect_timeout=SOCKET_TIMEOUT_SECONDS,
        health_check_interval=15,
        decode_responses=True,
    )


@contextmanager
def translated() -> Iterator[None]:
    """Turn the ways in which Redis is away into one error."""
    try:
        yield
    except (RedisError, OSError) as error:
        raise BrokerUnavailable(f"Redis does not answer ({type(error).__name__})") from error


async def ping(redis: "Redis") -> None:
    """Make sure that Redis answers.

    Raises:
        BrokerUnavailable: it does not.
    """
    with translated():
        await redis.ping()


class RequestGate:
    """Admits exchange requests under a rate and a number of places shared by all workers.

    A token bucket (a burst of at most one second's rate) and a set of leased places live in Redis
    and on its clock, so a worker's wrong clock changes nothing and a killed worker's places come
    back when their lease ends. Requests that wait in one process ask together, in their order.
    """

    def __init__(
        self, redis: "Redis", name: str, *, rate: float, places: int, lease_seconds: float
    ) -> None:
        self._redis = redis
        self._admit_script = redis.register_script(_ADMIT)
        self._keys = [f"prices:gate:{name}:bucket", f"prices:gate:{name}:places"]
        self._limits = [rate, places, round(lease_seconds * 1000), FULL_HOUSE_WAIT_MS]
        self._batch = min(places, LARGEST_BATCH)
        self._names = (f"{uuid4().hex}:{number}" for number in count())
        self._waiting: dict[str, asyncio.Future[BrokerUnavailable | None]] = {}
        self._pump: asyncio.Task[None] | None = None
        self._leaving: list[str] = []
        self._sweeper: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def admit(self) -> AsyncIterator[None]:
        """Wait for a turn and hold a place while the block runs.

        Raises:
            BrokerUnavailable: Redis does not answer.
        """
        name = next(self._names)
        turn = self._waiting[name] = asyncio.get_running_loop().create_future()
        if self._pump is None or self._pump.done():
            self._pump = asyncio.create_task(self._admit_waiting())
        try:
            refusal = await turn
            if refusal is not None:
                raise BrokerUnavailable(str(refusal)) from refusal  # an error of its own for each
            yield
        finally:
            self._waiting.pop(name, None)
            self._leave(name)

    async def close(self) -> None:
        """Turn away who still waits, and wait until every place is given back."""
        if self._pump is not None:
            self._pump.cancel()
            await asyncio.wait([self._pump])
        self._refuse_waiting(BrokerUnavailable("the gate is closed"))
        if self._sweeper is not None:
            await self._sweeper

    async def _admit_waiting(self) -> None:
        while self._waiting:
            names = list(islice(self._waiting, self._batch))
            try:
                with translated():
                    admitted, wait_ms = await self._admit_script(
                        self._keys, [*self._limits, *names]
                    )
            except BrokerUnavailable as error:
                self._refuse_waiting(error)
                return
            for name in names[:admitted]:
                self._let_in(name)
            if self._waiting and wait_ms:
                await asyncio.sleep(wait_ms / 1000)

    def _let_in(self, name: str) -> None:
        turn = self._waiting.pop(name, None)
        if turn is None:
            self._leave(name)  # who waited has gone meanwhile, and the place came too late
        elif not turn.done():
            turn.set_result(None)

    def _refuse_waiting(self, error: BrokerUnavailable) -> None:
        for turn in self._waiting.values():
            if not turn.done():
                turn.set_result(error)  # as an exception it would be reported when nobody looks
        self._waiting.clear()

    def _leave(self, name: str) -> None:
        self._leaving.append(name)
        if self._sweeper is None or self._sweeper.done():
            self._sweeper = asyncio.create_task(self._give_back())

    async def _give_back(self) -> None:
        while self._leaving:
            names, self._leaving = self._leaving, []
            await self._remove(names)

    async def _remove(self, names: Sequence[str]) -> None:
        try:
            await self._redis.zrem(self._keys[1], *names)
        except (RedisError, OSError):
            return  # the lease ends by itself
