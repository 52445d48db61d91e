"""Notifications of PostgreSQL: hints to look, which may get lost."""

import asyncio
from collections.abc import Callable
from typing import Any

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.pool import NullPool

from app.core.errors import AppError
from app.postgres.engine import open_engine
from app.postgres.errors import translated

PAUSE_SECONDS = 1.0
CONNECT_TIMEOUT_SECONDS = 5

log = structlog.get_logger(__name__)


async def listen_forever(url: str, channel: str, hear: Callable[[], object]) -> None:
    """Call `hear` at each notification, and whenever one may have been missed.

    It holds a connection of its own, and connects anew when that one breaks.
    """
    engine = open_engine(url, poolclass=NullPool, connect_args={"timeout": CONNECT_TIMEOUT_SECONDS})
    while True:
        try:
            with translated():
                async with engine.connect() as connection:
                    await _listen(connection, channel, hear)
        except AppError as error:
            log.debug("notifications_lost", detail=str(error))
        await asyncio.sleep(PAUSE_SECONDS)


async def _listen(connection: AsyncConnection, channel: str, hear: Callable[[], object]) -> None:
    """Listen until the connection breaks."""
    raw: Any = (await connection.get_raw_connection()).driver_connection
    broken = asyncio.Event()
    raw.add_termination_listener(lambda _: broken.set())
    await raw.add_listener(channel, lambda *_: hear())
    hear()
    await broken.wait()
