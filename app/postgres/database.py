"""The connection to PostgreSQL: sessions to read, transactions to write, locks to take turns."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import (
    AbstractAsyncContextManager,
    AsyncExitStack,
    asynccontextmanager,
)
from functools import partial
from typing import Any, Protocol, cast

from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import (
    AsyncConnection,
    AsyncEngine,
    AsyncSession,
)
from sqlalchemy.util import greenlet_spawn

from app.core.background import run_repeatedly
from app.core.errors import DatabaseUnavailable
from app.core.event_wait import wait_for_event
from app.postgres.connections import keep_usable
from app.postgres.engine import open_engine
from app.postgres.errors import translated

CONNECT_TIMEOUT_SECONDS = 5
COMMAND_TIMEOUT_SECONDS = 60
POOL_TIMEOUT_SECONDS = 10
RESERVED = 1
"""Connections beside the pool's, for what must get through while many wait."""
LOCK_IDLE_SECONDS = 9
"""A lock's holder that shows no sign of life for so long loses it; it shows one every third."""


class Driver(Protocol):
    """A connection of asyncpg, as far as reads need it; it prepares what it is asked, once."""

    async def fetch(self, query: str, /, *values: object) -> Sequence[Sequence[Any]]:
        """Ask a query whose parameters are $1, $2 and so on; give its rows."""
        ...


class Database:
    """One pool of connections; a process has one, opened in its event loop."""

    def __init__(  # noqa: PLR0913  # each has a default
        self,
        url: str,
        *,
        pool_size: int,
        application_name: str = "prices",
        pool_timeout_seconds: float = POOL_TIMEOUT_SECONDS,
        lock_idle_seconds: float = LOCK_IDLE_SECONDS,
        lock_wait_seconds: float | None = None,
    ) -> None:
        server_settings = {"application_name": application_name, "jit": "off"}
        if lock_wait_seconds is not None:
            server_settings["lock_timeout"] = f"{round(lock_wait_seconds * 1000)}ms"
        self._engine = open_engine(
            url,
            pool_size=pool_size + RESERVED,
            max_overflow=0,
            connect_args={
                "timeout": CONNECT_TIMEOUT_SECONDS,
                "command_timeout": COMMAND_TIMEOUT_SECONDS,
                "server_settings": server_settings,
            },
        )
        # one round trip per query: no BEGIN before it, no ROLLBACK after it
        self._reading = self._engine.execution_options(isolation_level="AUTOCOMMIT")
        self._one_moment = self._engine.execution_options(
            isolation_level="REPEATABLE READ", postgresql_readonly=True
        )
        keep_usable(self._engine)
        # The pool serves who comes last as readily as who waits longest; this queue is fair.
        self._places = asyncio.Semaphore(pool_size)
        self._reserved = asyncio.Semaphore(RESERVED)
        self._pool_timeout_seconds = pool_timeout_seconds
        self._lock_idle_seconds = lock_idle_seconds

    @property
    def server_version(self) -> tuple[int, ...]:
        """The server's version, known once it has answered; empty before."""
        found: tuple[int, ...] = getattr(self._engine.dialect, "server_version_info", None) or ()
        return found

    async def close(self) -> None:
        """Close every connection."""
        await self._engine.dispose()

    def read(self) -> AbstractAsyncContextManager[AsyncSession]:
        """Open a session that only reads; each query sees what is committed when it runs.

        Raises:
            DatabaseUnavailable: PostgreSQL does not answer.
            SchemaOutdated: a table or a column is not there.
        """
        return self._session(self._reading)

    @asynccontextmanager
    async def driver(self, *, reserved: bool = False) -> AsyncIterator[Driver]:
        """Lend a connection without a session around it, which would take longer than a read.

        The reserved one is for work that must not queue behind all others.

        Raises:
            DatabaseUnavailable: PostgreSQL does not answer.
            SchemaOutdated: a table or a column is not there.
        """
        async with self._place(self._reserved if reserved else self._places):
            with translated():
                pooled = await self._engine.raw_connection()
                try:
                    yield cast("Driver", pooled.driver_connection)
                except BaseException:
                    # asyncpg ends what it began to prepare only when it executes it: whoever came
                    # next would be in that transaction, with its snapshot and its locks
                    await greenlet_spawn(pooled.invalidate)
                    raise
                finally:
                    await greenlet_spawn(pooled.close)

    def snapshot(self) -> AbstractAsyncContextManager[AsyncSession]:
        """Open a session that only reads, and whose queries all see the same moment.

        Raises:
            DatabaseUnavailable: PostgreSQL does not answer.
            SchemaOutdated: a table or a column is not there.
        """
        return self._session(self._one_moment)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncSession]:
        """Open a session and commit it at the end, or roll it back on an error.

        Raises:
            DatabaseUnavailable: PostgreSQL does not answer; whether it committed is unknown.
            SchemaOutdated: a table or a column is not there.
        """
        async with self._session(self._engine) as session, session.begin():
            yield session

    @asynccontextmanager
    async def autocommit_session(self) -> AsyncIterator[AsyncSession]:
        """Open a session whose statements commit one by one; its temporary tables end with it.

        Raises:
            DatabaseUnavailable: PostgreSQL does not answer; what was committed stays.
            SchemaOutdated: a table or a column is not there.
        """
        async with self.read() as session:
            try:
                yield session
            except BaseException:
                await session.invalidate()  # what was under way may still be
                raise
            await session.execute(text("DISCARD TEMP"))

    @asynccontextmanager
    async def try_lock(self, name: str) -> AsyncIterator[bool]:
        """Hold an advisory lock while the block runs; yield False at once if another has it.

        The server ends a session that is idle too long, so a host that was cut off loses the lock.

        Raises:
            DatabaseUnavailable: PostgreSQL does not answer.
        """
        async with self._place(self._places), AsyncExitStack() as stack:
            with translated():  # not around the block, whose errors are its own
                connection = await stack.enter_async_context(self._engine.connect())
                await connection.execution_options(isolation_level="AUTOCOMMIT")
                holding = _held(connection, name, self._lock_idle_seconds)
                held = await stack.enter_async_context(holding)
            yield held

    @asynccontextmanager
    async def _session(self, engine: AsyncEngine) -> AsyncIterator[AsyncSession]:
        async with self._place(self._places):
            with translated():
                async with AsyncSession(engine, autoflush=False) as session:
                    yield session

    @asynccontextmanager
    async def _place(self, places: asyncio.Semaphore) -> AsyncIterator[None]:
        """Wait for one of these connections to be free."""
        try:
            async with asyncio.timeout(self._pool_timeout_seconds):
                await places.acquire()
        except TimeoutError:
            raise DatabaseUnavailable("every connection to PostgreSQL is in use") from None
        try:
            yield
        finally:
            places.release()

    async def revision(self) -> str | None:
        """Tell which migration the schema is at; None for an empty database.

        Raises:
            DatabaseUnavailable: PostgreSQL does not answer.
        """
        async with self.read() as session:
            table = await session.scalar(text("SELECT to_regclass('alembic_version')::text"))
            if table is None:
                return None
            revision: str | None = await session.scalar(
                text("SELECT version_num FROM alembic_version")
            )
            return revision


@asynccontextmanager
async def _held(connection: AsyncConnection, name: str, idle_seconds: float) -> AsyncIterator[bool]:
    query = text("SELECT pg_try_advisory_lock(hashtextextended(:name, 0))")
    if not await connection.scalar(query, {"name": name}):
        yield False
        return
    timeout_ms = round(idle_seconds * 1000)
    await connection.execute(text(f"SET idle_session_timeout = {timeout_ms}"))
    released = asyncio.Event()
    show_life = partial(_show_life, connection, idle_seconds / 3, released)
    signs_of_life = asyncio.create_task(
        run_repeatedly("lock", show_life, while_=lambda: not released.is_set())
    )
    try:
        yield True
    finally:
        released.set()
        await signs_of_life
        await _release(connection, name)


async def _show_life(
    connection: AsyncConnection, pause_seconds: float, released: asyncio.Event
) -> None:
    while not released.is_set():
        if await wait_for_event(released, pause_seconds):
            return
        try:
            await connection.execute(text("SELECT 1"))
        except (SQLAlchemyError, OSError):
            # the lock went with the connection; what its holder does is safe without it
            await released.wait()


async def _release(connection: AsyncConnection, name: str) -> None:
    try:
        await connection.execute(text("RESET idle_session_timeout"))
        await connection.execute(
            text("SELECT pg_advisory_unlock(hashtextextended(:name, 0))"), {"name": name}
        )
    except (SQLAlchemyError, OSError):  # also one that broke unnoticed
        await connection.invalidate()
