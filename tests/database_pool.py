"""Databases for tests: emptied between tests, thrown away when one changed the schema."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field

import asyncpg

TEMPLATE = "prices"
APPLICATION_NAME = "test database pool"
_CUT_OFF = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()
"""
_TRUNCATE = """
TRUNCATE prices, recordings, unfillable, repair_retries, price_changes, exchange_clocks
"""
_FINGERPRINT = """
SELECT (SELECT array_agg(version_num) FROM alembic_version),
       (SELECT count(*) FROM pg_class),
       (SELECT count(*) FROM pg_constraint),
       (SELECT count(*) FROM pg_proc),
       (SELECT count(*) FROM pg_trigger),
       (SELECT md5(string_agg(concat(attrelid, attname, atttypid, attnotnull), ','
                              ORDER BY attrelid, attnum))
        FROM pg_attribute WHERE NOT attisdropped AND attrelid >= 16384),
       (SELECT count(*) FROM pg_db_role_setting)
"""


@dataclass
class DatabasePool:
    """Hands out migrated, empty databases of one server.

    It keeps its connection to each of them, because a new one first reads the catalog, which takes
    longer than emptying a database. The connections have an event loop that runs between tests.
    """

    url: str
    idle: list[str] = field(default_factory=list)
    created_count: int = 0
    fingerprint: asyncpg.Record | None = None
    connections: dict[str, asyncpg.Connection] = field(default_factory=dict)
    runner: asyncio.Runner = field(
        default_factory=lambda: asyncio.Runner(loop_factory=asyncio.new_event_loop)
    )

    @contextmanager
    def database(self) -> Iterator[str]:
        """Give the name of a migrated, empty database that no other test uses."""
        name = self.idle.pop() if self.idle else self.runner.run(self._create())
        yield name
        self.runner.run(self._release(name))

    def close(self) -> None:
        """Close every connection."""
        for name in list(self.connections):
            self.runner.run(self._disconnect(name))
        self.runner.close()

    async def _create(self) -> str:
        self.created_count += 1
        name = f"test_{self.created_count}"
        async with self._connected_briefly("postgres") as admin:
            await admin.execute(f'CREATE DATABASE "{name}" TEMPLATE "{TEMPLATE}"')
        return name

    async def _release(self, name: str) -> None:
        """Empty a database for the next test; drop it if its schema was changed."""
        if await self._reset(name):
            self.idle.append(name)
            return
        await self._disconnect(name)
        async with self._connected_briefly("postgres") as admin:
            await admin.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    async def _reset(self, name: str) -> bool:
        with suppress(asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
            if self.fingerprint is None:
                async with self._connected_briefly(TEMPLATE) as template:
                    self.fingerprint = await template.fetchrow(_FINGERPRINT)
            if name not in self.connections:
                self.connections[name] = await self._connect(name)
            connection = self.connections[name]
            await connection.execute(_CUT_OFF)
            if await connection.fetchrow(_FINGERPRINT) == self.fingerprint:
                await connection.execute(_TRUNCATE)
                return True
        return False

    async def _disconnect(self, name: str) -> None:
        if connection := self.connections.pop(name, None):
            with suppress(asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
                await connection.close()

    @asynccontextmanager
    async def _connected_briefly(self, name: str) -> AsyncIterator[asyncpg.Connection]:
        connection = await self._connect(name)
        try:
            yield connection
        finally:
            await connection.close()

    async def _connect(self, name: str) -> asyncpg.Connection:
        url = self.url.replace("/prices?", f"/{name}?")
        return await asyncpg.connect(url, server_settings={"application_name": APPLICATION_NAME})
