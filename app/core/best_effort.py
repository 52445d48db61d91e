"""Work that may fail without any harm to what it follows."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog

log = structlog.get_logger(__name__)


@asynccontextmanager
async def best_effort(event: str, timeout_seconds: float) -> AsyncIterator[None]:
    """Run the block for so long at most; an error, or the lack of time, is logged as an event."""
    try:
        async with asyncio.timeout(timeout_seconds):
            yield
    except Exception as error:  # noqa: BLE001  # logged below
        log.warning(event, detail=str(error) or type(error).__name__)
