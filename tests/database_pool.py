"""Databases for tests: emptied between tests, thrown away when one changed the schema."""

from dataclasses import dataclass, field

import asyncpg

TEMPLATE = "prices"
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
    """Hands out migrated, empty databases of one server."""

    url: str
    idle: list[str] = field(default_factory=list)
    created_count: int = 0
    fingerprint: asyncpg.Record | None = None

    async def acquire(self) -> str:
        """Return the name of a migrated, empty database that no other test uses."""
        if self.idle:
            return self.idle.pop()
        self.created_count += 1
        name = f"test_{self.created_count}"
        admin = await self._connect("postgres")
        await admin.execute(f'CREATE DATABASE "{name}" TEMPLATE "{TEMPLATE}"')
        await admin.close()
        return name

    async def release(self, name: str) -> None:
        """Empty a database for the next test; drop it if its schema was changed."""
        if await self._reset(name):
            self.idle.append(name)
            return
        admin = await self._connect("postgres")
        await admin.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
        await admin.close()

    async def _reset(self, name: str) -> bool:
        try:
            if self.fingerprint is None:
                template = await self._connect(TEMPLATE)
                self.fingerprint = await template.fetchrow(_FINGERPRINT)
                await template.close()
            connection = await self._connect(name)
            try:
                await connection.execute(_CUT_OFF)
                if await connection.fetchrow(_FINGERPRINT) != self.fingerprint:
                    return False
                await connection.execute(_TRUNCATE)
            finally:
                await connection.close()
        except asyncpg.PostgresError:
            return False
        return True

    async def _connect(self, name: str) -> asyncpg.Connection:
        return await asyncpg.connect(self.url.replace("/prices?", f"/{name}?"))
