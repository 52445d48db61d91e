"""The connection to PostgreSQL: sessions to read, transactions to write, locks to take turns."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from asyncpg.exceptions import PostgresError
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession, create_async_engine

from app.core.errors import DatabaseUnavailable

CONNECT_TIMEOUT_SECONDS = 5
COMMAND_TIMEOUT_SECONDS = 60
POOL_TIMEOUT_SECONDS = 10
AWAY_STATES = ("08", "53", "57P", "25006")
"""SQLSTATEs of a server that is away: connection, resources (disk full), shutdown, read-only."""
LOCK_IDLE_SECONDS = 9
"""A lock's holder that shows no sign of life for so long loses it; it shows one every third."""


class Database:
    """One pool of connections; a process has one, opened in its event loop."""

    def __init__(self, url: str, *, pool_size: int, application_name: str = "prices") -> None:
        self._engine = create_async_engine(
            url,
            pool_size=pool_size,
            max_overflow=0,
            pool_timeout=POOL_TIMEOUT_SECONDS,
            pool_pre_ping=True,
            connect_args={
                "timeout": CONNECT_TIMEOUT_SECONDS,
                "command_timeout": COMMAND_TIMEOUT_SECONDS,
                "server_settings": {"application_name": application_name, "jit": "off"},
            },
        )

    async def close(self) -> None:
        """Close every connection."""
        await self._engine.dispose()

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncSession]:
        """Open a session that only reads; nothing is committed.

        Raises:
            DatabaseUnavailable: PostgreSQL does not answer.
        """
        with _translated():
            async with AsyncSession(self._engine, autoflush=False) as session:
                yield session

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncSession]:
        """Open a session and commit it at the end, or roll it back on an error.

        Raises:
            DatabaseUnavailable: PostgreSQL does not answer; whether it committed is unknown.
        """
        with _translated():
            async with AsyncSession(self._engine, autoflush=False) as session, session.begin():
                yield session

    @asynccontextmanager
    async def try_lock(self, name: str) -> AsyncIterator[bool]:
        """Hold an advisory lock while the block runs; yield False at once if another has it.

        The server ends a session that is idle too long, so a host that was cut off loses the lock.
        """
        with _translated():
            async with self._engine.connect() as plain:
                connection = await plain.execution_options(isolation_level="AUTOCOMMIT")
                async with _held(connection, name) as held:
                    yield held

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
async def _held(connection: AsyncConnection, name: str) -> AsyncIterator[bool]:
    query = text("SELECT pg_try_advisory_lock(hashtextextended(:name, 0))")
    if not await connection.scalar(query, {"name": name}):
        yield False
        return
    await connection.execute(text(f"SET idle_session_timeout = '{LOCK_IDLE_SECONDS}s'"))
    released = asyncio.Event()
    signs_of_life = asyncio.create_task(_show_life(connection, released))
    try:
        yield True
    finally:
        released.set()
        await signs_of_life
        await _release(connection, name)


async def _show_life(connection: AsyncConnection, released: asyncio.Event) -> None:
    while not released.is_set():
        with suppress(TimeoutError):
            await asyncio.wait_for(released.wait(), LOCK_IDLE_SECONDS / 3)
            return
        try:
            await connection.execute(text("SELECT 1"))
        except (DBAPIError, OSError):
            return  # the lock went with the connection; what its holder does is safe without it


async def _release(connection: AsyncConnection, name: str) -> None:
    try:
        await connection.execute(text("RESET idle_session_timeout"))
        await connection.execute(
            text("SELECT pg_advisory_unlock(hashtextextended(:name, 0))"), {"name": name}
        )
    except (DBAPIError, OSError):
        await connection.invalidate()


class _translated:  # noqa: N801  # used as a function, a class because it is entered around yields
    """Turn the many ways in which PostgreSQL is away into one error."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error is not None and _is_away(error):
            raise DatabaseUnavailable(_reason(error)) from error


def _is_away(error: BaseException) -> bool:
    if isinstance(error, DBAPIError):
        state = getattr(error.orig, "sqlstate", None) or ""
        return error.connection_invalidated or state.startswith(AWAY_STATES)
    # what asyncpg raises while it connects arrives without SQLAlchemy's wrapping
    return isinstance(error, OSError | PoolTimeoutError | PostgresError)


def _reason(error: BaseException) -> str:
    cause = error.orig if isinstance(error, DBAPIError) and error.orig else error
    return f"PostgreSQL does not answer ({type(cause).__name__})"
