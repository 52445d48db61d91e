"""The totals of all processes' counters, in Redis."""

import asyncio
import json
from collections import Counter
from collections.abc import Mapping

from redis.asyncio import Redis

from app.core.errors import BrokerUnavailable
from app.core.metrics import CounterKey, drain, pending, restore
from app.redis.client import map_redis_errors

TOTALS = "prices:metrics"
READ_TIMEOUT_SECONDS = 3.0


async def flush_counters(redis: "Redis") -> None:
    """Add what this process counted to the totals; while Redis is away it is kept."""
    counted = drain()
    if not counted:
        return
    try:
        with map_redis_errors():
            async with redis.pipeline(transaction=True) as pipeline:
                for key, amount in counted.items():
                    pipeline.hincrby(TOTALS, json.dumps([key.metric, *key.values]), amount)
                await pipeline.execute()
    except BrokerUnavailable:
        restore(counted)
    except asyncio.CancelledError:
        restore(counted)
        raise


async def totals(redis: "Redis") -> dict[CounterKey, int]:
    """Read the totals of every process, this one's included.

    Raises:
        BrokerUnavailable: Redis does not answer.
    """
    await flush_counters(redis)
    with map_redis_errors():
        fields = await redis.hgetall(TOTALS)
    return {_counter_key(field): int(amount) for field, amount in fields.items()}


class CounterTotals:
    """The totals as they were last read, for while Redis is away; a process has one.

    Without them a counter would seem to begin anew, and to jump when Redis comes back.
    """

    def __init__(self, redis: "Redis") -> None:
        self._redis = redis
        self._known: Mapping[CounterKey, int] = {}

    async def read(self) -> Mapping[CounterKey, int]:
        """Read the totals; while Redis is away, add to the last ones what this process counts."""
        try:
            async with asyncio.timeout(READ_TIMEOUT_SECONDS):
                self._known = await totals(self._redis)
        except (BrokerUnavailable, TimeoutError):
            return Counter(self._known) + Counter(pending())
        return self._known


def _counter_key(field: bytes | str) -> CounterKey:
    metric, *values = json.loads(field)
    return CounterKey(metric, tuple(values))
