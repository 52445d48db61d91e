"""Closing connections in bounded time: a server that hangs must not keep a process from ending.

Closing is graceful: a transaction is rolled back, and the server ends the session. If it hangs,
each of these steps waits, and so does whoever awaits the close.
"""

import asyncio
from collections.abc import Iterable
from typing import Final
from weakref import WeakSet

from asyncpg import Connection
from sqlalchemy import event
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.ext.asyncio import AsyncEngine

CLOSE_GRACE_SECONDS: Final = 2.0
"""How long connections may take to close; a healthy server needs milliseconds."""


def track_connections(engine: AsyncEngine) -> "WeakSet[Connection]":
    """Return a set to which every connection is added that this engine opens from now on."""
    connections: WeakSet[Connection] = WeakSet()

    def add(connection: DBAPIConnection, _: object) -> None:
        connections.add(connection.driver_connection)

    event.listen(engine.sync_engine, "connect", add)
    return connections


def schedule_termination(connections: Iterable[Connection]) -> None:
    """Schedule the end of those connections that are not closed when the grace period ends.

    Whatever waits for one of them, a statement or its close, then ends with an error.
    """
    asyncio.get_running_loop().call_later(CLOSE_GRACE_SECONDS, _terminate, connections)


def _terminate(connections: Iterable[Connection]) -> None:
    for connection in list(connections):
        connection.terminate()
