"""The connection pool of PostgreSQL: read sessions, transactions and advisory locks."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Any, Protocol, cast

from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession
from sqlalchemy.util import greenlet_spawn

from app.core.background_loops import run_repeatedly
from app.core.errors import DatabaseUnavailable
from app.core.event_wait import wait_for_event
from app.postgres.closing import schedule_termination, track_connections
from app.postgres.connection_checks import register_connection_checks
from app.postgres.engine import create_engine
from app.postgres.errors import map_postgres_errors
from app.postgres.timeouts import COMMAND_TIMEOUT_SECONDS, CONNECT_TIMEOUT_SECONDS

POOL_TIMEOUT_SECONDS = 10
RESERVED_CONNECTIONS = 1
"""Connections beside the pool's, for work that must not queue behind all other work."""
IDLE_TIMEOUT_SECONDS = 9
"""A silent session loses its transaction and its locks, as its host may have lost its network.

The holder of an advisory lock sends a query every third of it.
"""


class RawConnection(Protocol):
    """The part of an asyncpg connection that reads use; it prepares each query once."""

    async def fetch(self, query: str, /, *values: object) -> Sequence[Sequence[Any]]:
        """Run a query whose parameters are $1, $2 and so on; return its rows."""
        ...


class Database:
    """A connection pool. A process has one, created in its event loop."""

    def __init__(
        self,
        url: str,
        *,
        pool_size: int,
        application_name: str = "prices",
        lock_wait_seconds: float | None = None,
    ) -> None:
        server_settings = {
            "application_name": application_name,
            "jit": "off",
            "idle_in_transaction_session_timeout": f"{round(IDLE_TIMEOUT_SECONDS * 1000)}ms",
        }
        if lock_wait_seconds is not None:
            server_settings["lock_timeout"] = f"{round(lock_wait_seconds * 1000)}ms"
        self._engine = create_engine(
            url,
            pool_size=pool_size + RESERVED_CONNECTIONS,
            max_overflow=0,
            connect_args={
                "timeout": CONNECT_TIMEOUT_SECONDS,
                "command_timeout": COMMAND_TIMEOUT_SECONDS,
                "server_settings": server_settings,
            },
        )
        # one round trip per query: no BEGIN before it, no ROLLBACK after it
        self._autocommit_engine = self._engine.execution_options(isolation_level="AUTOCOMMIT")
        self._repeatable_read_engine = self._engine.execution_options(
            isolation_level="REPEATABLE READ", postgresql_readonly=True
        )
        register_connection_checks(self._engine)
        self._connections = track_connections(self._engine)
        # A semaphore, because it serves waiters in their order; SQLAlchemy's pool does not.
        self._pool_permits = asyncio.Semaphore(pool_size)
        self._reserved_permits = asyncio.Semaphore(RESERVED_CONNECTIONS)
        self._max_connections = pool_size + RESERVED_CONNECTIONS
        self.connections_in_use = 0

    @property
    def server_version(self) -> tuple[int, ...]:
        """The server's version, such as (16, 4); empty before the first connection."""
        version: tuple[int, ...] = getattr(self._engine.dialect, "server_version_info", None) or ()
        return version

    @property
    def server_pids(self) -> list[int]:
        """The process ids that this pool's open connections have in PostgreSQL."""
        connections = [one for one in self._connections if not one.is_closed()]
        return [connection.get_server_pid() for connection in connections]

    @property
    def connections_free(self) -> int:
        """Return how many more connections may be used at once."""
        return self._max_connections - self.connections_in_use

    def begin_closing(self) -> None:
        """Bound the time that everything which still uses a connection may take to end."""
        schedule_termination(self._connections)

    async def close(self) -> None:
        """Close every connection, within the grace period also if PostgreSQL hangs."""
        self.begin_closing()
        await self._engine.dispose()

    def read_committed(self) -> AbstractAsyncContextManager[AsyncSession]:
        """Open a session for reads; each query sees what is committed when it runs.

        Raises:
            DatabaseUnavailable: PostgreSQL does not answer.
            SchemaOutdated: a table or a column is missing.
        """
        return self._session(self._autocommit_engine)

    @asynccontextmanager
    async def raw_connection(self, *, reserved: bool = False) -> AsyncIterator[RawConnection]:
        """Borrow an asyncpg connection; a session around it would cost more time than a short read.

        With `reserved`, use the connection that is kept for work which must not queue.

        Raises:
            DatabaseUnavailable: PostgreSQL does not answer.
            SchemaOutdated: a table or a column is missing.
        """
        async with self._permit(self._reserved_permits if reserved else self._pool_permits):
            with map_postgres_errors():
                pooled = await self._engine.raw_connection()
                try:
                    yield cast("RawConnection", pooled.driver_connection)
                except BaseException:
                    # asyncpg ends the transaction of a prepared query only when it executes it: the
                    # next user would be in that transaction, with its snapshot and its locks
                    await greenlet_spawn(pooled.invalidate)
                    raise
                finally:
                    await greenlet_spawn(pooled.close)

    def repeatable_read(self) -> AbstractAsyncContextManager[AsyncSession]:
        """Open a session for reads whose queries all see one snapshot.

        Raises:
            DatabaseUnavailable: PostgreSQL does not answer.
            SchemaOutdated: a table or a column is missing.
        """
        return self._session(self._repeatable_read_engine)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncSession]:
        """Open a session that is committed at the end, or rolled back on an error.

        Raises:
            DatabaseUnavailable: PostgreSQL does not answer; whether it committed is unknown.
            SchemaOutdated: a table or a column is missing.
        """
        async with self._session(self._engine) as session, session.begin():
            yield session

    @asynccontextmanager
    async def autocommit_session(self) -> AsyncIterator[AsyncSession]:
        """Open a session whose statements commit one by one; its temporary tables are dropped.

        Raises:
            DatabaseUnavailable: PostgreSQL does not answer; what was committed stays.
            SchemaOutdated: a table or a column is missing.
        """
        async with self.read_committed() as session:
            try:
                yield session
            except BaseException:
                await session.invalidate()  # a statement may still be running
                raise
            await session.execute(text("DISCARD TEMP"))

    @asynccontextmanager
    async def try_lock(self, name: str) -> AsyncIterator[bool]:
        """Hold an advisory lock while the block runs; yield False at once if it is taken.

        The server ends a session that is idle too long, so a host that lost its network loses the
        lock.

        Raises:
            DatabaseUnavailable: PostgreSQL does not answer.
        """
        async with self._permit(self._pool_permits), AsyncExitStack() as stack:
            with map_postgres_errors():  # but not the errors of the block
                connection = await stack.enter_async_context(self._engine.connect())
                await connection.execution_options(isolation_level="AUTOCOMMIT")
                lock = _hold_advisory_lock(connection, name)
                is_held = await stack.enter_async_context(lock)
            yield is_held

    @asynccontextmanager
    async def _session(self, engine: AsyncEngine) -> AsyncIterator[AsyncSession]:
        async with self._permit(self._pool_permits):
            with map_postgres_errors():
                async with AsyncSession(engine, autoflush=False) as session:
                    yield session

    @asynccontextmanager
    async def _permit(self, permits: asyncio.Semaphore) -> AsyncIterator[None]:
        """Wait until a connection is free, and count it as used while the block runs."""
        try:
            async with asyncio.timeout(POOL_TIMEOUT_SECONDS):
                await permits.acquire()
        except TimeoutError:
            raise DatabaseUnavailable("every connection to PostgreSQL is in use") from None
        self.connections_in_use += 1
        try:
            yield
        finally:
            self.connections_in_use -= 1
            permits.release()

    async def schema_revision(self) -> str | None:
        """Return the schema's Alembic revision; None for an empty database.

        Raises:
            DatabaseUnavailable: PostgreSQL does not answer.
        """
        async with self.read_committed() as session:
            table = await session.scalar(text("SELECT to_regclass('alembic_version')::text"))
            if table is None:
                return None
            revision: str | None = await session.scalar(
                text("SELECT version_num FROM alembic_version")
            )
            return revision


@asynccontextmanager
async def _hold_advisory_lock(connection: AsyncConnection, name: str) -> AsyncIterator[bool]:
    query = text("SELECT pg_try_advisory_lock(hashtextextended(:name, 0))")
    if not await connection.scalar(query, {"name": name}):
        yield False
        return
    timeout_ms = round(IDLE_TIMEOUT_SECONDS * 1000)
    await connection.execute(text(f"SET idle_session_timeout = {timeout_ms}"))
    released = asyncio.Event()
    keep_active = partial(_keep_session_active, connection, released)
    keep_alive = asyncio.create_task(
        run_repeatedly("lock", keep_active, while_=lambda: not released.is_set())
    )
    try:
        yield True
    finally:
        released.set()
        await keep_alive
        await _release_advisory_lock(connection, name)


async def _keep_session_active(connection: AsyncConnection, released: asyncio.Event) -> None:
    if await wait_for_event(released, IDLE_TIMEOUT_SECONDS / 3):
        return
    try:
        await connection.execute(text("SELECT 1"))
    except (SQLAlchemyError, OSError):
        # the lock is lost with the connection; its holder's work is safe without it
        await released.wait()


async def _release_advisory_lock(connection: AsyncConnection, name: str) -> None:
    try:
        await connection.execute(text("RESET idle_session_timeout"))
        await connection.execute(
            text("SELECT pg_advisory_unlock(hashtextextended(:name, 0))"), {"name": name}
        )
    except (SQLAlchemyError, OSError):  # also if the connection broke unnoticed
        await connection.invalidate()
