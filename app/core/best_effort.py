"""Optional work: its failure is logged and does no harm to what follows."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog

log = structlog.get_logger(__name__)


@asynccontextmanager
async def best_effort(event: str, timeout_seconds: float) -> AsyncIterator[None]:
    """Run the block with a timeout; log an error or the timeout as `event`, and go on."""
    try:
        async with asyncio.timeout(timeout_seconds):
            yield
    except Exception as error:  # noqa: BLE001  # logged below
        log.warning(event, detail=str(error) or type(error).__name__)
