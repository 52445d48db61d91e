"""Which API process sends the alerts, and which alerts it sent: a lease and a state in Redis."""

from typing import NamedTuple
from uuid import uuid4

from redis.asyncio import Redis

from app.redis.client import map_redis_errors

LEASE_SECONDS = 10.0
LEASE_KEY = "prices:alerts:lease"
STATE_KEY = "prices:alerts:record"

_RENEW = """
-- Renews the caller's lease, or acquires a free one if the caller may.
-- Returns {1 if the caller holds it, 0 if another does, -1 if nobody does; the state}.
-- KEYS: lease, state.  ARGV: caller, duration in ms, 1 if a free lease may be acquired.
local holder = redis.call('GET', KEYS[1])
if holder == ARGV[1] or (not holder and ARGV[3] == '1') then
  redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
  holder = ARGV[1]
end
return {holder == ARGV[1] and 1 or holder and 0 or -1, redis.call('GET', KEYS[2])}
"""

_SAVE_STATE = """
-- Saves the state if the caller holds the lease.
-- KEYS: lease, state.  ARGV: caller, the state.
if redis.call('GET', KEYS[1]) == ARGV[1] then
  redis.call('SET', KEYS[2], ARGV[2])
end
"""

_RELEASE = """
-- Releases the lease if the caller holds it.
-- KEYS: lease.  ARGV: caller.
if redis.call('GET', KEYS[1]) == ARGV[1] then
  redis.call('DEL', KEYS[1])
end
"""


class LeaseState(NamedTuple):
    """Whether this process holds the lease, or nobody; `alert_state` is None if never saved."""

    is_held: bool
    is_free: bool
    alert_state: str | None


class AlertLease:
    """The lease and the state, as one process sees them.

    Each method raises BrokerUnavailable while Redis does not answer.
    """

    def __init__(self, redis: "Redis") -> None:
        self._process = uuid4().hex
        self._redis = redis
        self._renew_script = redis.register_script(_RENEW)
        self._save_state_script = redis.register_script(_SAVE_STATE)
        self._release_script = redis.register_script(_RELEASE)

    async def renew(self, *, acquire_if_free: bool) -> LeaseState:
        """Renew the lease if this process holds it; acquire a free one if allowed."""
        arguments = [self._process, str(round(LEASE_SECONDS * 1000)), str(int(acquire_if_free))]
        with map_redis_errors():
            holder, alert_state = await self._renew_script([LEASE_KEY, STATE_KEY], arguments)
        return LeaseState(is_held=holder > 0, is_free=holder < 0, alert_state=alert_state)

    async def save_state(self, alert_state: str) -> None:
        """Save the state if this process still holds the lease."""
        with map_redis_errors():
            await self._save_state_script([LEASE_KEY, STATE_KEY], [self._process, alert_state])

    async def read_state(self) -> str | None:
        """Read the state, whichever process holds the lease; None if it was never saved."""
        with map_redis_errors():
            alert_state = await self._redis.get(STATE_KEY)
        return None if alert_state is None else str(alert_state)

    async def release(self) -> None:
        """Release the lease if this process holds it."""
        with map_redis_errors():
            await self._release_script([LEASE_KEY], [self._process])
