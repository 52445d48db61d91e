"""The totals of all processes' counters, in Redis."""

import asyncio
import json
from collections import Counter
from collections.abc import Mapping

from redis.asyncio import Redis

from app.core.errors import BrokerUnavailable
from app.core.metrics import Sample, put_back, take, waiting
from app.redis.client import translated

TOTALS = "prices:metrics"
READ_TIMEOUT_SECONDS = 3.0


async def flush_counters(redis: "Redis") -> None:
    """Add what this process counted to the totals; while Redis is away it is kept."""
    counted = take()
    if not counted:
        return
    try:
        with translated():
            async with redis.pipeline(transaction=True) as pipeline:
                for sample, amount in counted.items():
                    pipeline.hincrby(TOTALS, json.dumps([sample.metric, *sample.values]), amount)
                await pipeline.execute()
    except BrokerUnavailable:
        put_back(counted)
    except asyncio.CancelledError:
        put_back(counted)
        raise


async def totals(redis: "Redis") -> dict[Sample, int]:
    """Read the totals of every process, this one's included.

    Raises:
        BrokerUnavailable: Redis does not answer.
    """
    await flush_counters(redis)
    with translated():
        fields = await redis.hgetall(TOTALS)
    return {_sample(field): int(amount) for field, amount in fields.items()}


class CounterTotals:
    """The totals as they were last read, for while Redis is away; a process has one.

    Without them a counter would seem to begin anew, and to jump when Redis comes back.
    """

    def __init__(self, redis: "Redis") -> None:
        self._redis = redis
        self._known: Mapping[Sample, int] = {}

    async def read(self) -> Mapping[Sample, int]:
        """Read the totals; while Redis is away, add to the last ones what this process counts."""
        try:
            async with asyncio.timeout(READ_TIMEOUT_SECONDS):
                self._known = await totals(self._redis)
        except (BrokerUnavailable, TimeoutError):
            return Counter(self._known) + Counter(waiting())
        return self._known


def _sample(field: bytes | str) -> Sample:
    metric, *values = json.loads(field)
    return Sample(metric, tuple(values))
