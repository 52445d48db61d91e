"""The gauges of every API process, in Redis, where any of them sums them up."""

import asyncio
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import suppress
from uuid import uuid4

from redis.asyncio import Redis

from app.core.errors import BrokerUnavailable
from app.core.metrics import CounterKey
from app.redis.client import map_redis_errors

PROCESSES_KEY = "prices:gauges"
"""The ids of the processes; the gauges of each lie under a key of its own, which expires."""
LIFETIME_MS = 5_000
"""The gauges of a process that publishes no more, because it was killed, last so long."""
TIMEOUT_SECONDS = 1.0


class ProcessGauges:
    """Publishes the gauges of this process, and sums up those of all; a process has one."""

    def __init__(self, redis: "Redis") -> None:
        self._redis = redis
        self._process = uuid4().hex

    async def publish(self, gauges: Mapping[CounterKey, int]) -> None:
        """Publish the gauges of this process; skipped while Redis does not answer."""
        rows = [[key.metric, *key.values, amount] for key, amount in gauges.items()]
        with suppress(BrokerUnavailable, TimeoutError), map_redis_errors():
            async with asyncio.timeout(TIMEOUT_SECONDS), self._redis.pipeline() as pipeline:
                pipeline.sadd(PROCESSES_KEY, self._process)
                pipeline.set(_key(self._process), json.dumps(rows), px=LIFETIME_MS)
                await pipeline.execute()

    async def read_sums(self, gauges: Mapping[CounterKey, int]) -> Mapping[CounterKey, int]:
        """Sum up the published gauges; those of this process are given, and so of this moment.

        Without Redis the sums are those of this process.
        """
        sums = Counter(gauges)
        try:
            with map_redis_errors():
                async with asyncio.timeout(TIMEOUT_SECONDS):
                    texts = await self._read_others()
        except (BrokerUnavailable, TimeoutError):
            return sums
        for text in texts:
            sums.update(_parse(text))
        return sums

    async def withdraw(self) -> None:
        """Remove the gauges of this process, which ends; without Redis they expire."""
        with suppress(BrokerUnavailable, TimeoutError), map_redis_errors():
            async with asyncio.timeout(TIMEOUT_SECONDS), self._redis.pipeline() as pipeline:
                pipeline.srem(PROCESSES_KEY, self._process)
                pipeline.delete(_key(self._process))
                await pipeline.execute()

    async def _read_others(self) -> Iterable[bytes | str]:
        """Read the gauges of the other processes; forget the processes whose gauges expired."""
        others = sorted(await self._redis.smembers(PROCESSES_KEY) - {self._process})
        if not others:
            return ()
        keys = [_key(str(process)) for process in others]
        texts = dict(zip(others, await self._redis.mget(keys), strict=True))
        if expired := [process for process, text in texts.items() if text is None]:
            await self._redis.srem(PROCESSES_KEY, *expired)
        return [text for text in texts.values() if text is not None]


def _key(process: str) -> str:
    return f"{PROCESSES_KEY}:{process}"


def _parse(text: bytes | str) -> dict[CounterKey, int]:
    rows = [(metric, tuple(values)) for metric, *values in json.loads(text)]
    return {CounterKey(metric, values[:-1]): values[-1] for metric, values in rows}
