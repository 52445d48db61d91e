"""What PostgreSQL refuses passes as trouble of the database, and leaves no connection behind."""

import asyncio
from collections.abc import Awaitable, Callable

import asyncpg
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from app.core.errors import DatabaseUnavailable
from app.postgres.connection_checks import TRUSTED_IDLE_SECONDS
from app.postgres.database import Database
from tests.conftest import Servers
from tests.waiting import until

UNAVAILABLE_STATES = {
    "08": ("003", "006"),
    "25": ("006", "P03", "P04"),
    "28": ("000", "P01"),
    "3D": ("000",),
    "40": ("001", "002", "003", "P01"),
    "42": ("501",),
    "53": ("000", "200", "300", "400"),
    "55": ("000", "006", "P02", "P03"),
    "57": ("000", "014", "P01", "P02", "P03", "P04", "P05"),
    "58": ("000", "030", "P01"),
    "F0": ("000", "001"),
    "XX": ("000", "001", "002"),
}
DEFECT_STATES = (
    "22012",
    "22003",
    "23505",
    "23514",
    "25001",
    "25P02",
    "42601",
    "42804",
    "0A000",
    "P0001",
)
SLOW_INSERT = """
WITH added AS (INSERT INTO price_changes DEFAULT VALUES RETURNING id)
SELECT pg_sleep(0.2) FROM added
"""
ENDLESS = "SELECT pg_sleep(60)"
QUICK = "SELECT pg_sleep(0.05)"
_END_OTHER_CONNECTIONS = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()
"""
_CANCEL = _END_OTHER_CONNECTIONS.replace("terminate", "cancel")
_IS_ALONE = """
SELECT count(*) = 1 FROM pg_stat_activity
WHERE datname = current_database() AND backend_type = 'client backend'
"""
_SLEEPS = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'"


def raise_statement(state: str) -> str:
    return f"DO $$ BEGIN RAISE EXCEPTION 'hush' USING ERRCODE = '{state}'; END $$"


async def read(database: Database, query: str = "SELECT 1") -> object:
    async with database.read_committed() as session:
        return await session.scalar(text(query))


async def fetch_raw(database: Database, query: str = "SELECT 1") -> object:
    async with database.raw_connection() as connection:
        return await connection.fetch(query)


async def write(database: Database, *queries: str) -> None:
    async with database.transaction() as session:
        for query in queries:
            await session.execute(text(query))


QueryFunction = Callable[[Database, str], Awaitable[object]]
QUERY_FUNCTIONS: list[QueryFunction] = [read, fetch_raw, write]


@pytest.mark.parametrize("run_query", QUERY_FUNCTIONS)
async def test_every_state_of_a_database_in_trouble_may_pass_and_a_defect_stays_one(
    database: Database, run_query: QueryFunction
) -> None:
    for state in [kind + rest for kind, rests in UNAVAILABLE_STATES.items() for rest in rests]:
        with pytest.raises(DatabaseUnavailable) as caught:
            await run_query(database, raise_statement(state))
        assert caught.value.retryable, state
    for state in DEFECT_STATES:
        with pytest.raises((DBAPIError, asyncpg.PostgresError)):
            await run_query(database, raise_statement(state))
    await run_query(database, "SELECT 1")


async def test_words_say_what_the_server_did_and_nothing_of_what_it_holds(
    database: Database,
) -> None:
    with pytest.raises(DatabaseUnavailable, match="due to statement timeout"):
        await write(database, "SET LOCAL statement_timeout = 1", ENDLESS)
    for state in ("42501", "53300", "55006", "58030", "XX000"):
        with pytest.raises(DatabaseUnavailable) as caught:
            await read(database, raise_statement(state))
        assert "hush" not in str(caught.value)


@pytest.mark.parametrize("run_query", QUERY_FUNCTIONS)
@pytest.mark.parametrize("setting", ["statement_timeout", "default_transaction_read_only"])
async def test_what_a_session_was_given_at_its_start_ends_with_the_setting(
    servers: Servers,
    database_name: str,
    sql: asyncpg.Connection,
    setting: str,
    run_query: QueryFunction,
) -> None:
    """A pool keeps its connections, and a connection the settings that were in force at first."""
    value = {"statement_timeout": "'40ms'", "default_transaction_read_only": "on"}[setting]
    database = Database(servers.database_url(database_name), pool_size=1)
    await sql.execute(f"ALTER DATABASE {database_name} SET {setting} = {value}")
    assert await read(database) == 1
    await sql.execute(f"ALTER DATABASE {database_name} RESET ALL")
    with pytest.raises(DatabaseUnavailable):
        await run_query(database, SLOW_INSERT)
    await run_query(database, SLOW_INSERT)
    await database.close()


@pytest.mark.parametrize("run_query", QUERY_FUNCTIONS)
async def test_connection_that_ended_while_the_loop_stood_still_costs_no_try(
    servers: Servers, database_name: str, run_query: QueryFunction
) -> None:
    """A worker's loop stands still between two tasks, and hears no farewell."""
    url, plain_url = servers.database_url(database_name), servers.plain_url(database_name)

    def work() -> None:
        with asyncio.Runner() as worker_loop, asyncio.Runner() as other_loop:
            database = Database(url, pool_size=2)

            async def run_two_at_once() -> None:
                await asyncio.gather(run_query(database, QUICK), run_query(database, QUICK))

            worker_loop.run(run_two_at_once())
            other_loop.run(_end_other_connections(plain_url))
            worker_loop.run(run_two_at_once())
            worker_loop.run(database.close())

    await asyncio.to_thread(work)


async def _end_other_connections(url: str) -> None:
    """End every other connection, and wait until none is left."""
    connection = await asyncpg.connect(url)
    await connection.execute(_END_OTHER_CONNECTIONS)
    await until(lambda: connection.fetchval(_IS_ALONE))
    await asyncio.sleep(TRUSTED_IDLE_SECONDS)  # used a moment ago, a connection is not doubted
    await connection.close()


async def test_cancelled_statements_end_nothing(
    database: Database, sql: asyncpg.Connection
) -> None:
    for run_query in QUERY_FUNCTIONS:
        open_api_client = asyncio.ensure_future(run_query(database, ENDLESS))
        await until(lambda: sql.fetchval(_SLEEPS))
        await sql.execute(_CANCEL)
        with pytest.raises(DatabaseUnavailable, match="due to user request"):
            await open_api_client
        assert await read(database) == 1
