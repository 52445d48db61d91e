"""The totals of every process's counters, in Redis."""

import asyncio
import json
from collections import Counter
from collections.abc import Mapping

from redis.asyncio import Redis

from app.core.errors import BrokerUnavailable
from app.core.metrics import CounterKey, drain, pending, restore
from app.redis.client import map_redis_errors

TOTALS_KEY = "prices:metrics"
READ_TIMEOUT_SECONDS = 3.0


async def flush_counters(redis: "Redis") -> None:
    """Add this process's counters to the totals; keep them if Redis does not answer."""
    counters = drain()
    if not counters:
        return
    try:
        with map_redis_errors():
            async with redis.pipeline(transaction=True) as pipeline:
                for key, amount in counters.items():
                    pipeline.hincrby(TOTALS_KEY, json.dumps([key.metric, *key.values]), amount)
                await pipeline.execute()
    except BrokerUnavailable:
        restore(counters)
    except asyncio.CancelledError:
        restore(counters)
        raise


class CounterTotals:
    """Reads the totals, and keeps the last ones for while Redis is away; a process has one.

    Without them a counter would seem to restart at zero, and jump when Redis comes back.
    """

    def __init__(self, redis: "Redis") -> None:
        self._redis = redis
        self._last: Mapping[CounterKey, int] = {}

    async def read(self) -> Mapping[CounterKey, int]:
        """Read the totals; without Redis, add this process's counters to the last totals."""
        try:
            async with asyncio.timeout(READ_TIMEOUT_SECONDS):
                await flush_counters(self._redis)
                with map_redis_errors():
                    fields = await self._redis.hgetall(TOTALS_KEY)
        except (BrokerUnavailable, TimeoutError):
            return Counter(self._last) + Counter(pending())
        self._last = {_parse_key(field): int(amount) for field, amount in fields.items()}
        return self._last


def _parse_key(field: bytes | str) -> CounterKey:
    metric, *values = json.loads(field)
    return CounterKey(metric, tuple(values))
