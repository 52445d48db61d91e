"""Checks that keep a broken or misconfigured connection from being reused by the pool."""

import time
from typing import Any

from sqlalchemy import ExceptionContext, event
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.pool import ConnectionPoolEntry
from sqlalchemy.util import await_only

from app.postgres.errors import SESSION_SETTING_SQLSTATES, sqlstate_of

TRUSTED_IDLE_SECONDS = 0.1
"""A connection that was idle for longer is pinged: it may have ended while the loop was blocked."""
PING_TIMEOUT_SECONDS = 3.0
INVALID_VALUE_CLASS = "22"
"""SQLSTATE class of a value that does not fit its type; asyncpg raises some before sending."""
_IDLE_SINCE_KEY = "idle_since"


def register_connection_checks(engine: AsyncEngine) -> None:
    """Check an engine's pooled connections: when one is borrowed, and when a statement fails."""
    event.listen(engine.sync_engine, "checkin", _record_idle_start)
    event.listen(engine.sync_engine, "checkout", _ping_if_idle)
    event.listen(engine.sync_engine, "handle_error", _discard_on_session_setting_error)
    event.listen(engine.sync_engine, "handle_error", _end_prepared_transaction)


def _record_idle_start(_: object, entry: ConnectionPoolEntry) -> None:
    entry.info[_IDLE_SINCE_KEY] = time.monotonic()


def _ping_if_idle(
    connection: Any,  # noqa: ANN401  # asyncpg's, adapted
    entry: ConnectionPoolEntry,
    _: object,
) -> None:
    """Let the pool replace a connection that ended while it was idle; a new one is not pinged."""
    idle_since = entry.info.get(_IDLE_SINCE_KEY)
    if idle_since is None:
        return
    driver = connection.driver_connection
    try:
        if driver.is_closed() or time.monotonic() - idle_since > TRUSTED_IDLE_SECONDS:
            await_only(driver.execute(";", timeout=PING_TIMEOUT_SECONDS))
    except Exception as error:
        raise DisconnectionError("this connection ended") from error


def _discard_on_session_setting_error(context: ExceptionContext) -> None:
    """Discard a connection whose session settings may be the cause; a new one gets current ones."""
    if sqlstate_of(context.original_exception) in SESSION_SETTING_SQLSTATES:
        context.is_disconnect = True
        context.invalidate_pool_on_disconnect = False


def _end_prepared_transaction(context: ExceptionContext) -> None:
    """End the transaction that preparing a statement began, if its values could not be sent."""
    sqlstate = sqlstate_of(context.original_exception)
    if sqlstate.startswith(INVALID_VALUE_CLASS) and context.connection:
        driver: Any = context.connection.connection.driver_connection
        if not driver.is_in_transaction():  # an explicit one is rolled back by its session
            await_only(driver.execute("SELECT 1", timeout=PING_TIMEOUT_SECONDS))
