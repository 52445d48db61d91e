"""One tick under uvloop: `python -m tests.acceptance.collect_under_uvloop`."""

import sys
from dataclasses import asdict

import uvloop

from app.core.settings import load_settings
from app.runtime import open_runtime


async def collect() -> dict[str, object]:
    async with open_runtime(load_settings()) as runtime:
        return asdict(await runtime.collector.collect(wait=True))


if __name__ == "__main__":
    sys.exit(bool(uvloop.run(collect())["failed"]))
