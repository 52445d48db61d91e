"""A process that makes ticks as a worker does; it prints JSON."""

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Final

from sqlalchemy import text

from app.core.gc_tuning import tune_gc
from app.core.logs import configure_logs
from app.core.settings import Settings, load_settings
from app.runtime import Runtime, open_runtime

ROUNDS: Final = 15


async def measure(settings: Settings) -> dict[str, object]:
    """Make ticks; give their times, and how many rows the last one stored."""
    taken = []
    async with open_runtime(settings) as runtime:
        tune_gc()
        await runtime.collector.collect()  # to connect
        for _ in range(ROUNDS):
            await _empty(runtime)
            taken.append(await _seconds(runtime.collector.collect))
        return {"seconds": taken, "stored": await _rows(runtime)}


async def _seconds(work: Callable[[], Awaitable[object]]) -> float:
    start = time.perf_counter()
    await work()
    return time.perf_counter() - start


async def _empty(runtime: Runtime) -> None:
    async with runtime.database.transaction() as session:
        await session.execute(text("TRUNCATE prices"))


async def _rows(runtime: Runtime) -> int:
    async with runtime.database.read_committed() as session:
        return int(await session.scalar(text("SELECT count(*) FROM prices")) or 0)


if __name__ == "__main__":
    chosen = load_settings()
    configure_logs(chosen.log_level, chosen.log_format, sys.stderr)
    print(json.dumps(asyncio.run(measure(chosen))))
