"""Which API process tells the alerts, and what was told: a lease and a record in Redis."""

from typing import NamedTuple
from uuid import uuid4

from redis.asyncio import Redis

from app.redis.client import map_redis_errors

LEASE_SECONDS = 10.0
LEASE = "prices:alerts:lease"
RECORD = "prices:alerts:record"

_HOLD = """
-- Renews the lease of who asks, or takes a free one for whom may take it.
-- Answers {1 if it is held, 0 if by another, -1 if by nobody; the record}.
-- KEYS: lease, record.  ARGV: who asks, lease in ms, 1 if it may be taken.
local holder = redis.call('GET', KEYS[1])
if holder == ARGV[1] or (not holder and ARGV[3] == '1') then
  redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
  holder = ARGV[1]
end
return {holder == ARGV[1] and 1 or holder and 0 or -1, redis.call('GET', KEYS[2])}
"""

_KEEP = """
-- Keeps a record for whom holds the lease.
-- KEYS: lease, record.  ARGV: who asks, the record.
if redis.call('GET', KEYS[1]) == ARGV[1] then
  redis.call('SET', KEYS[2], ARGV[2])
end
"""

_LEAVE = """
-- Gives the lease back.
-- KEYS: lease.  ARGV: who asks.
if redis.call('GET', KEYS[1]) == ARGV[1] then
  redis.call('DEL', KEYS[1])
end
"""


class LeaseState(NamedTuple):
    """Whether who asks holds the lease, or nobody; and the record, None if there is none."""

    is_mine: bool
    is_free: bool
    record: str | None


class AlertLease:
    """One process's hand on the lease and the record."""

    def __init__(self, redis: "Redis") -> None:
        self._name = uuid4().hex
        self._redis = redis
        self._hold = redis.register_script(_HOLD)
        self._keep = redis.register_script(_KEEP)
        self._leave = redis.register_script(_LEAVE)

    async def hold(self, *, may_take: bool) -> LeaseState:
        """Renew the lease, or take it if it is free and may be taken.

        Raises:
            BrokerUnavailable: Redis does not answer.
        """
        arguments = [self._name, str(round(LEASE_SECONDS * 1000)), str(int(may_take))]
        with map_redis_errors():
            holder, record = await self._hold([LEASE, RECORD], arguments)
        return LeaseState(is_mine=holder > 0, is_free=holder < 0, record=record)

    async def keep(self, record: str) -> None:
        """Keep the record, if the lease is still held.

        Raises:
            BrokerUnavailable: Redis does not answer.
        """
        with map_redis_errors():
            await self._keep([LEASE, RECORD], [self._name, record])

    async def read(self) -> str | None:
        """Read the record, whoever holds the lease.

        Raises:
            BrokerUnavailable: Redis does not answer.
        """
        with map_redis_errors():
            record = await self._redis.get(RECORD)
        return None if record is None else str(record)

    async def leave(self) -> None:
        """Give the lease back, if it is held.

        Raises:
            BrokerUnavailable: Redis does not answer.
        """
        with map_redis_errors():
            await self._leave([LEASE], [self._name])
