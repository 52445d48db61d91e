"""The totals of all processes' counters, in Redis."""

import json

from redis.asyncio import Redis

from app.core.errors import BrokerUnavailable
from app.core.metrics import Sample, put_back, take
from app.db.redis import translated

TOTALS = "prices:metrics"


async def hand_on(redis: "Redis") -> None:
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


async def totals(redis: "Redis") -> dict[Sample, int]:
    """Read the totals of every process, this one's included.

    Raises:
        BrokerUnavailable: Redis does not answer.
    """
    await hand_on(redis)
    with translated():
        fields = await redis.hgetall(TOTALS)
    return {_sample(field): int(amount) for field, amount in fields.items()}


def _sample(field: bytes | str) -> Sample:
    metric, *values = json.loads(field)
    return Sample(metric, tuple(values))
