"""Pooled connections that stay usable: what ended or failed in one never meets who comes next."""

import time
from typing import Any

from sqlalchemy import ExceptionContext, event
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.pool import ConnectionPoolEntry
from sqlalchemy.util import await_only

from app.postgres.errors import SESSION_STATES, state_of

IDLE_SECONDS = 0.1
"""A connection unused for so long may have ended unnoticed, while the loop stood still."""
ANSWER_SECONDS = 3.0
"""How long such a connection has to show that it lives."""
VALUE_STATES = "22"
"""SQLSTATEs of a value that makes no sense as its type; asyncpg finds some before it sends them."""
_IDLE_SINCE = "idle_since"


def keep_usable(engine: AsyncEngine) -> None:
    """Replace or put right what should not be used as it is, in the pool of an engine."""
    event.listen(engine.sync_engine, "checkin", _note_idle)
    event.listen(engine.sync_engine, "checkout", _require_alive)
    event.listen(engine.sync_engine, "handle_error", _drop_what_is_set)
    event.listen(engine.sync_engine, "handle_error", _end_what_is_prepared)


def _note_idle(_: object, entry: ConnectionPoolEntry) -> None:
    entry.info[_IDLE_SINCE] = time.monotonic()


def _require_alive(
    connection: Any,  # noqa: ANN401  # asyncpg's, adapted
    entry: ConnectionPoolEntry,
    _: object,
) -> None:
    """Let the pool replace a connection that ended while nobody used it; a new one is trusted."""
    idle_since = entry.info.get(_IDLE_SINCE)
    if idle_since is None:
        return
    driver = connection.driver_connection
    try:
        if driver.is_closed() or time.monotonic() - idle_since > IDLE_SECONDS:
            await_only(driver.execute(";", timeout=ANSWER_SECONDS))
    except Exception as error:
        raise DisconnectionError("this connection ended") from error


def _drop_what_is_set(context: ExceptionContext) -> None:
    """Give up a connection whose settings may be what fails; a new one gets those in force now."""
    if state_of(context.original_exception) in SESSION_STATES:
        context.is_disconnect = True
        context.invalidate_pool_on_disconnect = False


def _end_what_is_prepared(context: ExceptionContext) -> None:
    """End the transaction of a statement that was prepared and whose values could not be sent."""
    if state_of(context.original_exception).startswith(VALUE_STATES) and context.connection:
        driver: Any = context.connection.connection.driver_connection
        if not driver.is_in_transaction():  # one that was begun is rolled back by its owner
            await_only(driver.execute("SELECT 1", timeout=ANSWER_SECONDS))
