"""What this API process counted and measures, written to Redis every second."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from app.core.background_loops import run_repeatedly
from app.core.metrics import (
    API_PROCESSES,
    CACHE_BYTES,
    CACHE_CHUNKS,
    POOL_CONNECTIONS,
    STREAMS_OPEN,
    CounterKey,
)
from app.redis.counters import flush_counters
from app.runtime import Runtime

PUBLISH_INTERVAL_SECONDS = 1.0


@asynccontextmanager
async def publishing_metrics(runtime: Runtime) -> AsyncIterator[None]:
    """Write counters and gauges to Redis every second; the runtime writes the last counts."""

    async def publish_after_pause() -> None:
        await asyncio.sleep(PUBLISH_INTERVAL_SECONDS)
        runtime.read_cache.count_reads()
        await flush_counters(runtime.redis)
        await runtime.process_gauges.publish(measure(runtime))

    publishing = asyncio.create_task(run_repeatedly("metrics", publish_after_pause))
    try:
        yield
    finally:
        publishing.cancel()
        await asyncio.wait([publishing])
        runtime.read_cache.count_reads()
        await runtime.process_gauges.withdraw()


def measure(runtime: Runtime) -> Mapping[CounterKey, int]:
    """Measure the gauges of this process."""
    database, cache = runtime.database, runtime.read_cache
    return {
        CounterKey(API_PROCESSES.name, ()): 1,
        CounterKey(POOL_CONNECTIONS.name, ("in_use",)): database.connections_in_use,
        CounterKey(POOL_CONNECTIONS.name, ("free",)): database.connections_free,
        CounterKey(CACHE_CHUNKS.name, ()): cache.chunk_count,
        CounterKey(CACHE_BYTES.name, ()): cache.size_bytes,
        CounterKey(STREAMS_OPEN.name, ()): runtime.price_stream.open_streams,
    }
