"""PostgreSQL's LISTEN and NOTIFY. Notifications may get lost, so they are only hints."""

import asyncio
from collections.abc import Callable
from typing import Any

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.pool import NullPool

from app.core.errors import AppError
from app.postgres.closing import schedule_termination
from app.postgres.engine import create_engine
from app.postgres.errors import map_postgres_errors
from app.postgres.timeouts import CONNECT_TIMEOUT_SECONDS

RECONNECT_PAUSE_SECONDS = 1.0

log = structlog.get_logger(__name__)


async def listen_forever(url: str, channel: str, on_notification: Callable[[], object]) -> None:
    """Call `on_notification` at each notification, and whenever one may have been missed.

    It has its own connection, and reconnects when that one breaks. It runs until it is cancelled.
    """
    engine = create_engine(
        url, poolclass=NullPool, connect_args={"timeout": CONNECT_TIMEOUT_SECONDS}
    )
    while True:
        try:
            with map_postgres_errors():
                async with engine.connect() as connection:
                    await _listen(connection, channel, on_notification)
        except AppError as error:
            log.debug("notifications_lost", detail=str(error))
        await asyncio.sleep(RECONNECT_PAUSE_SECONDS)


async def _listen(
    connection: AsyncConnection, channel: str, on_notification: Callable[[], object]
) -> None:
    """Listen until the connection breaks."""
    raw: Any = (await connection.get_raw_connection()).driver_connection
    broken = asyncio.Event()
    raw.add_termination_listener(lambda _: broken.set())
    try:
        await raw.add_listener(channel, lambda *_: on_notification())
        on_notification()
        await broken.wait()
    finally:
        schedule_termination([raw])
