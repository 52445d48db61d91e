"""The databases of tests: each test finds an empty one with the schema of the service."""

import asyncio

import asyncpg
import pytest

from tests.conftest import Servers
from tests.database_pool import DatabasePool

INSERT = "INSERT INTO prices VALUES ('deribit', 'btc_usd', 60, 1.5, 0, 'live')"
END_OTHER_CONNECTIONS = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()
"""


async def _execute(url: str, statement: str) -> str:
    connection = await asyncpg.connect(url)
    try:
        done: str = await connection.execute(statement)
    finally:
        await connection.close()
    return done


@pytest.mark.parametrize(
    ("statement", "is_reused"),
    [
        (INSERT, True),
        ("ALTER TABLE prices ADD COLUMN note text", False),
        (END_OTHER_CONNECTIONS, False),
    ],
)
def test_next_test_finds_an_empty_database_of_the_same_schema(
    servers: Servers, database_pool: DatabasePool, statement: str, *, is_reused: bool
) -> None:
    with database_pool.database():
        pass  # the pool is connected to it from now on
    with database_pool.database() as used:
        asyncio.run(_execute(servers.plain_url(used), statement))
    with database_pool.database() as name:
        assert (name == used) is is_reused
        assert asyncio.run(_execute(servers.plain_url(name), INSERT)) == "INSERT 0 1"
